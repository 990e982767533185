"""Where the cluster is and how to prove who we are: kubeconfig or a pod's service account."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..config import KubeConfig
from ..errors import AccessDenied, NotConfigured
from .plugin import Plugin
from .transport import address, proxy_for

_FRESH = 60.0
"""Seconds after which a token that may have rotated is read again."""
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class _Kubeconfig(NamedTuple):
    """What kubeconfigs said when they were read."""

    paths: Sequence[Path]
    state: tuple[object, ...]
    configuration: Any
    loader: Any
    plugin: Plugin | None


class Credentials:
    """One cluster's address, TLS and bearer token; the token is renewed as it ages."""

    def __init__(
        self,
        configuration: Any,
        *,
        context: str,
        namespace: str,
        kubeconfig: _Kubeconfig | None = None,
    ) -> None:
        self.context, self.namespace = context, namespace
        self._configuration, self._kubeconfig = configuration, kubeconfig
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

    @property
    def tls(self) -> ssl.SSLContext | bool:
        """The TLS context for the next request.

        It is another one after a new login: no connection that has shown the certificate of the
        last one is used again.
        """
        return self._tls or True

    def ssl_context(self) -> ssl.SSLContext:
        """Build the TLS context: the cluster's CA, our client certificate."""
        self._tls = _tls_context(self._configuration, self._plugin)
        return self._tls

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

    @property
    def _plugin(self) -> Plugin | None:
        return self._kubeconfig.plugin if self._kubeconfig is not None else None

    def _current(self) -> str:
        if self._plugin is not None and self._plugin.token:
            return f"Bearer {self._plugin.token}"
        # files often end in a newline, which a header must not
        return str(self._configuration.api_key.get("BearerToken") or "").strip()

    async def _renew(self, *, rejected: bool) -> None:
        self._renewed = time.monotonic()
        try:
            if rejected and await self._read_again():
                return
            if self._plugin is not None:
                if rejected or self._plugin.stale:
                    await self._plugin.run()
            elif self._kubeconfig is not None:
                await self._kubeconfig.loader.load_and_set(self._configuration)
            else:  # in a pod; the token file rotates
                await asyncio.to_thread(_load_in_cluster, self._configuration)
            if self._tls is not None:
                await asyncio.to_thread(
                    _show_certificate, self._tls, self._configuration, self._plugin
                )
        except NotConfigured as error:
            raise AccessDenied(error.what, error.why, error.next) from error
        except _loader_errors() as error:
            raise AccessDenied(
                "the cluster's credentials cannot be renewed", str(error)[:256], "Log in again."
            ) from error

    async def _read_again(self) -> bool:
        """Take over what the kubeconfig says by now of our context; return whether it has changed.

        What cannot be read, such as a file that is half written, is read at the next refusal.
        """
        old = self._kubeconfig
        if old is None or await asyncio.to_thread(kubeconfig_state, old.paths) == old.state:
            return False
        try:
            new = await _read(old.paths, self.context)
        except NotConfigured:  # or the context has another name by now: our plugin may still do
            if old.plugin is None:
                raise
            return False
        given = new.configuration
        if given.host.rstrip("/") != self.server:
            if old.plugin is not None:
                return False
            raise NotConfigured(
                f"context {self.context} of the kubeconfig leads to another server by now",
                f"{address(given.host)}, and this process asks {address(self.server)}",
                "Restart the Jupyter Server to go there.",
            )
        if new.plugin is not None:
            await new.plugin.run()
        elif not (given.api_key or given.cert_file):  # as nobody we would not be refused any more
            raise NotConfigured(f"context {self.context} has no credentials", next="Log in again.")
        self._tls = await asyncio.to_thread(_tls_context, given, new.plugin)
        self._configuration, self._kubeconfig = given, new
        return True


def _tls_context(configuration: Any, plugin: Plugin | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Python 3.13 asks of a CA what kubectl does not, and what many clusters' own CAs lack.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    _show_certificate(context, configuration, plugin)
    return context


def _show_certificate(context: ssl.SSLContext, configuration: Any, plugin: Plugin | None) -> None:
    """Have new connections show the client certificate, which may have been renewed."""
    if plugin is not None:
        plugin.show_certificate(context)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)


async def find(config: KubeConfig) -> Credentials:
    """Find credentials in the order that :class:`KubeConfig` documents.

    Raises
    ------
    NotConfigured
        With what was looked for, and what to do.

    """
    await asyncio.to_thread(_import)
    paths = kubeconfig_paths(config.kubeconfig)
    if any(path.is_file() for path in paths):
        return await _from_kubeconfig(paths, config)
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


def kubeconfig_state(paths: Sequence[Path]) -> tuple[object, ...]:
    """Tell which files lead to the cluster, and in which state they are."""
    found: list[object] = []
    for path in paths:
        try:
            state = path.stat()
        except OSError:
            found.append((path,))
        else:
            found.append((path, state.st_ino, state.st_mtime_ns, state.st_size))
    return tuple(found)


async def _from_kubeconfig(paths: Sequence[Path], config: KubeConfig) -> Credentials:
    read = await _read(paths, config.context)
    if read.plugin is not None:
        await read.plugin.run()
    current = read.loader.current_context
    return Credentials(
        read.configuration,
        kubeconfig=read,
        context=current["name"],
        namespace=config.namespace or current["context"].get("namespace") or "default",
    )


async def _read(paths: Sequence[Path], context: str) -> _Kubeconfig:
    """Read kubeconfigs; their plugin is yet to be run."""
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

    configuration = Configuration()
    state = await asyncio.to_thread(kubeconfig_state, paths)  # before: it may change meanwhile
    existing = [str(path) for path in paths if path.is_file()]
    try:
        merged = await asyncio.to_thread(KubeConfigMerger, os.pathsep.join(existing))
        loader = KubeConfigLoader(
            merged.config, active_context=context or None, config_base_path=None
        )
        plugin = _take_plugin(loader)
        await loader.load_and_set(configuration)
    except _loader_errors() as error:
        raise NotConfigured(
            f"the kubeconfig {', '.join(existing)} cannot be used",
            " ".join(str(error).split())[:256],
            "See `kubectl config get-contexts`.",
        ) from error
    if not configuration.verify_ssl:
        raise NotConfigured(
            "the kubeconfig switches TLS verification off (insecure-skip-tls-verify)",
            "credentials would go to whoever answers",
            "Put the cluster's certificate-authority into the kubeconfig.",
        )
    return _Kubeconfig(paths, state, configuration, loader, plugin)


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
