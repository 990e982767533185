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
from .transport import proxy_for

_FRESH = 60.0
"""Seconds after which a token that may have rotated is read again."""
_PLUGIN_TIME = 60.0
"""Seconds a credential plugin gets; a person may have to type something."""
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Credentials:
    """One cluster's address, TLS and bearer token; the token is renewed as it ages."""

    def __init__(self, loader: Any, configuration: Any, *, context: str, namespace: str) -> None:
        self.context, self.namespace = context, namespace
        self._loader, self._configuration = loader, configuration
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
        self._load_certificate()
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
        # files often end in a newline, which a header must not
        return str(self._configuration.api_key.get("BearerToken") or "").strip()

    async def _renew(self, *, rejected: bool) -> None:
        self._renewed = time.monotonic()
        try:
            if self._loader is None:  # in a pod; the token file rotates
                await asyncio.to_thread(_load_in_cluster, self._configuration)
                return
            if rejected and hasattr(self._loader, "exec_plugin_expiry"):
                del self._loader.exec_plugin_expiry  # so that the plugin is run again
            elif not rejected and _runs_plugin(self._loader, without_expiry=True):
                return
            await _load(self._loader, self._configuration)
            await asyncio.to_thread(self._load_certificate)
        except _loader_errors() as error:
            raise AccessDenied(
                "the cluster's credentials cannot be renewed", _words(error), "Log in again."
            ) from error

    def _load_certificate(self) -> None:
        """Have new connections show the client certificate, which a plugin may have renewed."""
        given = self._configuration
        if self._tls is not None and given.cert_file:
            self._tls.load_cert_chain(given.cert_file, keyfile=given.key_file)


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
    return await asyncio.to_thread(_in_cluster, config.namespace)


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
    from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

    configuration = Configuration()
    try:
        merged = await asyncio.to_thread(KubeConfigMerger, os.pathsep.join(map(str, paths)))
        loader = KubeConfigLoader(
            merged.config, active_context=config.context or None, config_base_path=None
        )
        await _load(loader, configuration)
    except _loader_errors() as error:
        raise NotConfigured(
            f"the kubeconfig {', '.join(map(str, paths))} cannot be used",
            _words(error),
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


async def _load(loader: Any, configuration: Any) -> None:
    """Have a kubeconfig's loader fill in a configuration, in bounded time: a plugin may hang."""
    async with asyncio.timeout(_PLUGIN_TIME):
        await loader.load_and_set(configuration)


def _loader_errors() -> tuple[type[Exception], ...]:
    """Name what the loader raises for files and answers that are not as they should be."""
    from kubernetes.aio.config.config_exception import ConfigException
    from yaml import YAMLError

    return ConfigException, YAMLError, ValueError, OSError, TypeError, AttributeError, KeyError


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"the credential plugin did not answer within {_PLUGIN_TIME:.0f} seconds"
    return str(error)[:256]


def _runs_plugin(loader: Any, *, without_expiry: bool = False) -> bool:
    """Say whether credentials come from an exec plugin (that gives no expiry)."""
    user = loader._user  # the loader has no public view of it
    if not user or "exec" not in user:
        return False
    return not (without_expiry and hasattr(loader, "exec_plugin_expiry"))


def _in_cluster(wanted: str) -> Credentials:
    from kubernetes.aio.client.configuration import Configuration

    configuration = Configuration()
    try:
        _load_in_cluster(configuration)
    except _loader_errors() as error:
        raise NotConfigured("the pod's service account cannot be used", _words(error)) from error
    namespace = wanted or (_IN_CLUSTER / "namespace").read_text().strip()
    return Credentials(None, configuration, context="in-cluster", namespace=namespace)


def _load_in_cluster(configuration: Any) -> None:
    from kubernetes.aio.config.incluster_config import load_incluster_config

    load_incluster_config(configuration, try_refresh_token=False)
