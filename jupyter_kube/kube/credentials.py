"""Where the cluster is and how to prove who we are: kubeconfig or a pod's service account."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from pathlib import Path
from typing import Any

from ..config import KubeConfig
from ..errors import NotConfigured

_FRESH = 60.0
"""Seconds after which a token that may have rotated is read again."""
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Credentials:
    """One cluster's address, TLS and bearer token; the token is renewed as it ages."""

    def __init__(self, loader: Any, configuration: Any, *, context: str, namespace: str) -> None:
        self.context, self.namespace = context, namespace
        self._loader, self._configuration = loader, configuration
        self._renewed = time.monotonic()
        self._lock = asyncio.Lock()

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        return str(self._configuration.host).rstrip("/")

    @property
    def proxy(self) -> str | None:
        """URL of the HTTP proxy to use, if any."""
        return self._configuration.proxy or None

    @property
    def server_hostname(self) -> str | None:
        """Name that the server's certificate must bear, if not its address."""
        return self._configuration.tls_server_name or None

    def ssl_context(self) -> ssl.SSLContext:
        """Build the TLS context: the cluster's CA, our client certificate."""
        given = self._configuration
        context = ssl.create_default_context(cafile=given.ssl_ca_cert)
        if given.cert_file:
            context.load_cert_chain(given.cert_file, keyfile=given.key_file)
        return context

    async def headers(self, *, rejected: bool = False) -> dict[str, str]:
        """Return the authorization header; ``rejected`` says that the last one was refused."""
        async with self._lock:
            if rejected or time.monotonic() - self._renewed > _FRESH:
                await self._renew(rejected=rejected)
        token = self._configuration.api_key.get("BearerToken")
        return {"Authorization": token} if token else {}

    async def _renew(self, *, rejected: bool) -> None:
        self._renewed = time.monotonic()
        if self._loader is None:  # in a pod; the token file rotates
            await asyncio.to_thread(_load_in_cluster, self._configuration)
            return
        if rejected and hasattr(self._loader, "exec_plugin_expiry"):
            del self._loader.exec_plugin_expiry  # so that the plugin is run again
        elif not rejected and _runs_plugin(self._loader, without_expiry=True):
            return
        await self._loader.load_and_set(self._configuration)


async def find(config: KubeConfig) -> Credentials:
    """Find credentials in the order that :class:`KubeConfig` documents.

    Raises
    ------
    NotConfigured
        With what was looked for, and what to do.

    """
    await asyncio.to_thread(_import)
    paths = _kubeconfig_paths(config.kubeconfig)
    existing = [path for path in paths if path.is_file()]
    if existing:
        return await _from_kubeconfig(existing, config)
    if config.context or config.kubeconfig or not (_IN_CLUSTER / "token").is_file():
        looked = ", ".join(map(str, paths))
        raise NotConfigured(
            "no cluster is set up",
            f"looked for {looked}" + ("" if config.context else " and a pod's service account"),
            "Set KUBECONFIG, or try `jupyter kube demo`, which needs no cluster.",
        )
    return await asyncio.to_thread(_in_cluster)


def _import() -> None:
    """Pay for the client library's import outside the event loop."""
    import kubernetes.aio.client.configuration
    import kubernetes.aio.config.kube_config  # noqa: F401


def _kubeconfig_paths(given: str) -> list[Path]:
    if given:
        return [Path(given).expanduser()]
    listed = os.environ.get("KUBECONFIG", "")
    paths = [Path(part).expanduser() for part in listed.split(os.pathsep) if part]
    return paths or [Path("~/.kube/config").expanduser()]


async def _from_kubeconfig(paths: list[Path], config: KubeConfig) -> Credentials:
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.config.config_exception import ConfigException
    from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

    configuration = Configuration()
    try:
        merged = await asyncio.to_thread(KubeConfigMerger, os.pathsep.join(map(str, paths)))
        loader = KubeConfigLoader(
            merged.config, active_context=config.context or None, config_base_path=None
        )
        await loader.load_and_set(configuration)
    except (ConfigException, ValueError, OSError, TypeError, AttributeError) as error:
        raise NotConfigured(
            f"the kubeconfig {', '.join(map(str, paths))} cannot be used",
            str(error)[:256],
            "See `kubectl config get-contexts`.",
        ) from error
    if not configuration.verify_ssl:
        raise NotConfigured(
            "the kubeconfig switches TLS verification off (insecure-skip-tls-verify)",
            "credentials would go to whoever answers",
            "Put the cluster's certificate-authority into the kubeconfig.",
        )
    if _runs_plugin(loader) and not (
        configuration.api_key.get("BearerToken") or configuration.cert_file
    ):
        raise NotConfigured(
            "the kubeconfig's credential plugin gave no credentials",
            "its own message is in the log",
            "Run `kubectl get pods` to see it.",
        )
    current = loader.current_context
    return Credentials(
        loader,
        configuration,
        context=current["name"],
        namespace=config.namespace or current["context"].get("namespace") or "default",
    )


def _runs_plugin(loader: Any, *, without_expiry: bool = False) -> bool:
    """Say whether credentials come from an exec plugin (that gives no expiry)."""
    user = loader._user  # the loader has no public view of it
    if not user or "exec" not in user:
        return False
    return not (without_expiry and hasattr(loader, "exec_plugin_expiry"))


def _in_cluster() -> Credentials:
    from kubernetes.aio.client.configuration import Configuration

    configuration = Configuration()
    _load_in_cluster(configuration)
    namespace = (_IN_CLUSTER / "namespace").read_text().strip()
    return Credentials(None, configuration, context="in-cluster", namespace=namespace)


def _load_in_cluster(configuration: Any) -> None:
    from kubernetes.aio.config.config_exception import ConfigException
    from kubernetes.aio.config.incluster_config import load_incluster_config

    try:
        load_incluster_config(configuration, try_refresh_token=False)
    except ConfigException as error:
        raise NotConfigured("the pod's service account cannot be used", str(error)) from error
