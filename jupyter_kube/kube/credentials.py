"""Where the cluster is and how to prove who we are: kubeconfig or a pod's service account."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from pathlib import Path
from typing import Any

from ..config import KubeConfig
from ..errors import AccessDenied, NotConfigured
from .plugin import Plugin
from .transport import proxy_for

_FRESH = 60.0
"""Seconds after which a token that may have rotated is read again."""
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Credentials:
    """One cluster's address, TLS and bearer token; the token is renewed as it ages."""

    def __init__(
        self,
        configuration: Any,
        *,
        context: str,
        namespace: str,
        loader: Any = None,
        plugin: Plugin | None = None,
    ) -> None:
        self.context, self.namespace = context, namespace
        self._loader, self._plugin, self._configuration = loader, plugin, configuration
        self._tls: ssl.SSLContext | None = None
        self._renewed = time.monotonic()
        self._lock = asyncio.Lock()

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        return str(self._configuration.host).rstrip("/")

    @property
    def proxy(self) -> str | None:
        """URL of the HTTP proxy to use, if any."""
        return proxy_for(self.server, self._configuration.proxy)

    @property
    def server_hostname(self) -> str | None:
        """Name that the server's certificate must bear, if not its address."""
        return self._configuration.tls_server_name or None

    def ssl_context(self) -> ssl.SSLContext:
        """Build the TLS context: the cluster's CA, our client certificate."""
        context = ssl.create_default_context(cafile=self._configuration.ssl_ca_cert)
        # Python 3.13 asks of a CA what kubectl does not, and what many clusters' own CAs lack.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._tls = context
        self._show_certificate()
        return context

    async def token(self, *, refused: str | None = None) -> str:
        """Return the Authorization header's value, or "" where a certificate says who we are.

        Parameters
        ----------
        refused
            The value that the API has just answered with 401; what it does not name is kept, so
            that many refused requests renew once.

        Raises
        ------
        AccessDenied
            If new credentials cannot be had.

        """
        async with self._lock:
            rejected = refused is not None and refused == self._current()
            if rejected or time.monotonic() - self._renewed > _FRESH:
                await self._renew(rejected=rejected)
            return self._current()

    def _current(self) -> str:
        if self._plugin is not None and self._plugin.token:
            return f"Bearer {self._plugin.token}"
        # files often end in a newline, which a header must not
        return str(self._configuration.api_key.get("BearerToken") or "").strip()

    async def _renew(self, *, rejected: bool) -> None:
        self._renewed = time.monotonic()
        try:
            if self._plugin is not None:
                if rejected or self._plugin.stale:
                    await self._plugin.run()
            elif self._loader is not None:
                await self._loader.load_and_set(self._configuration)
            else:  # in a pod; the token file rotates
                await asyncio.to_thread(_load_in_cluster, self._configuration)
            await asyncio.to_thread(self._show_certificate)
        except NotConfigured as error:
            raise AccessDenied(error.what, error.why, error.next) from error
        except _loader_errors() as error:
            raise AccessDenied(
                "the cluster's credentials cannot be renewed", str(error)[:256], "Log in again."
            ) from error

    def _show_certificate(self) -> None:
        """Have new connections show the client certificate, which may have been renewed."""
        given = self._configuration
        if self._tls is None:
            return
        if self._plugin is not None:
            self._plugin.show_certificate(self._tls)
        if given.cert_file:
            self._tls.load_cert_chain(given.cert_file, keyfile=given.key_file)


async def find(config: KubeConfig) -> Credentials:
    """Find credentials in the order that :class:`KubeConfig` documents.

    Raises
    ------
    NotConfigured
        With what was looked for, and what to do.

    """
    await asyncio.to_thread(_import)
    paths = kubeconfig_paths(config.kubeconfig)
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
    return await asyncio.to_thread(_in_cluster, config.namespace)


def _import() -> None:
    """Pay for the client library's import outside the event loop."""
    import kubernetes.aio.client.configuration
    import kubernetes.aio.config.kube_config  # noqa: F401


def kubeconfig_paths(given: str = "") -> list[Path]:
    """List the kubeconfigs that count: the one given, else KUBECONFIG's, else the default one."""
    if given:
        return [Path(given).expanduser()]
    listed = os.environ.get("KUBECONFIG", "")
    paths = [Path(part).expanduser() for part in listed.split(os.pathsep) if part]
    return paths or [Path("~/.kube/config").expanduser()]


async def _from_kubeconfig(paths: list[Path], config: KubeConfig) -> Credentials:
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

    configuration = Configuration()
    try:
        merged = await asyncio.to_thread(KubeConfigMerger, os.pathsep.join(map(str, paths)))
        loader = KubeConfigLoader(
            merged.config, active_context=config.context or None, config_base_path=None
        )
        plugin = _take_plugin(loader)
        await loader.load_and_set(configuration)
    except _loader_errors() as error:
        raise NotConfigured(
            f"the kubeconfig {', '.join(map(str, paths))} cannot be used",
            " ".join(str(error).split())[:256],
            "See `kubectl config get-contexts`.",
        ) from error
    if not configuration.verify_ssl:
        raise NotConfigured(
            "the kubeconfig switches TLS verification off (insecure-skip-tls-verify)",
            "credentials would go to whoever answers",
            "Put the cluster's certificate-authority into the kubeconfig.",
        )
    if plugin is not None:
        await plugin.run()
    current = loader.current_context
    return Credentials(
        configuration,
        loader=loader,
        plugin=plugin,
        context=current["name"],
        namespace=config.namespace or current["context"].get("namespace") or "default",
    )


def _take_plugin(loader: Any) -> Plugin | None:
    """Take the credential plugin over from the loader, which would not end one that hangs."""
    user = loader._user  # the loader has no public view of it
    spec = user.value.pop("exec", None) if user is not None else None
    return Plugin(spec, Path(user.path).parent) if spec else None


def _loader_errors() -> tuple[type[Exception], ...]:
    """Name what the loader raises for files and answers that are not as they should be."""
    from kubernetes.aio.config.config_exception import ConfigException
    from yaml import YAMLError

    return ConfigException, YAMLError, ValueError, OSError, TypeError, AttributeError, KeyError


def _in_cluster(wanted: str) -> Credentials:
    from kubernetes.aio.client.configuration import Configuration

    configuration = Configuration()
    try:
        _load_in_cluster(configuration)
    except _loader_errors() as error:
        raise NotConfigured("the pod's service account cannot be used", str(error)) from error
    namespace = wanted or (_IN_CLUSTER / "namespace").read_text(encoding="utf-8").strip()
    return Credentials(configuration, context="in-cluster", namespace=namespace)


def _load_in_cluster(configuration: Any) -> None:
    from kubernetes.aio.config.incluster_config import load_incluster_config

    load_incluster_config(configuration, try_refresh_token=False)
