"""``jupyter kube doctor``: what works, what is missing, and what to do about it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from typing import Any

from . import config, needs
from .errors import KubeError, NotConfigured
from .models import Profile
from .quantity import amount

_MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}
_SERVER = ("jupyter_server", "jupyter_client", "ipykernel", "tornado", "zmq")
_WITHOUT = {
    "kernel_manager_class": "starts cannot be cancelled, and kernels end with their server",
    "kernel_websocket_connection_class": "crashes are seen late, and cells wait for each other",
    "session_manager_class": "notebooks do not find their kernels again after a server's restart",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``level`` is ok, warning or failed."""

    level: str
    what: str
    next: str = ""


def run(*, context: str = "", namespace: str = "", as_json: bool = False) -> int:
    """Print all findings; the exit code is 1 if the main job cannot run here."""
    found = list(examine(context=context, namespace=namespace))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            print(f"{_MARKS[finding.level]} {finding.what}")
            if finding.next:
                print(f"  → {finding.next}")
    return int(any(finding.level == "failed" for finding in found))


def examine(*, context: str = "", namespace: str = "") -> Iterator[Finding]:
    """Look at everything that the main job needs, cheapest first."""
    yield from _python()
    yield from _packages()
    yield from _jupyter_classes()
    try:
        settings = config.load(context=context, namespace=namespace)
    except KubeError as error:
        yield Finding("failed", f"The settings cannot be used. {error}")
        return
    for wrong in settings.wrong_profiles().values():
        yield Finding("failed", f"A profile is left out. {wrong}")
    profiles = settings.valid_profiles()
    yield Finding("ok" if profiles else "failed", f"Profiles: {', '.join(profiles) or 'none'}")
    yield from asyncio.run(_cluster(settings, demanded=bool(context)))


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    level = "ok" if sys.version_info >= (3, 11) else "failed"
    yield Finding(level, f"Python {version}", "" if level == "ok" else "Use Python 3.11 or newer.")


def _packages() -> Iterator[Finding]:
    missing = [name for name in _SERVER if util.find_spec(name) is None]
    if missing:
        yield Finding(
            "failed",
            f"Kernels cannot be started from here: {', '.join(missing)} not installed",
            needs.from_checkout("server"),
        )
        return
    names = ("jupyter_server", "jupyter_client", "ipykernel", "kubernetes")
    yield Finding("ok", ", ".join(f"{name} {metadata.version(name)}" for name in names))


def _jupyter_classes() -> Iterator[Finding]:
    """Ask a Jupyter Server, set up as the user's but never started, which classes it would use."""
    if util.find_spec("jupyter_server") is None:
        return
    from jupyter_server.serverapp import ServerApp

    from .kernels.connection import KubeWebsocketConnection
    from .kernels.manager import KubeMappingKernelManager
    from .kernels.sessions import KubeSessionManager

    ServerApp.clear_instance()
    server = ServerApp()
    logging.disable(logging.WARNING)  # what it would say at a start is no finding
    try:
        server.initialize(argv=[], find_extensions=True, new_httpserver=False)
        if not server.extension_manager.extensions.get("jupyter_kube"):
            yield Finding(
                "failed",
                "The server extension is not enabled",
                "jupyter server extension enable jupyter_kube",
            )
            return
        for trait, ours in (
            ("kernel_manager_class", KubeMappingKernelManager),
            ("kernel_websocket_connection_class", KubeWebsocketConnection),
            ("session_manager_class", KubeSessionManager),
        ):
            live = getattr(server, trait)
            name = f"ServerApp.{trait} = {live.__module__}.{live.__qualname__}"
            if issubclass(live, ours):
                yield Finding("ok", name)
            else:
                yield Finding(
                    "warning",
                    f"{name}: not ours, so {_WITHOUT[trait]}",
                    f"Remove that setting, or use a subclass of {ours.__name__}.",
                )
    finally:
        logging.disable(logging.NOTSET)
        _let_go(server)
        ServerApp.clear_instance()


def _let_go(server: Any) -> None:
    """Undo what initialising did to this process."""
    with contextlib.suppress(AttributeError, OSError):
        server.remove_server_info_file()
    with contextlib.suppress(AttributeError, OSError):
        server.remove_browser_open_files()


async def _cluster(settings: config.KubeConfig, *, demanded: bool) -> list[Finding]:
    from .kube.client import KubeClient

    try:
        client = await KubeClient.connect(settings)
    except NotConfigured as error:
        if demanded:
            return [Finding("failed", f"{error.what}: {error.why}", error.next)]
        return [_no_cluster(f"{error.what}: {error.why}")]
    try:
        return await _reachable(client, settings)
    finally:
        await client.close()


def _no_cluster(why: str) -> Finding:
    """Judge a machine without credentials: the local cluster may do."""
    try:
        needs.local_cluster()
    except KubeError as error:
        return Finding("failed", f"{why}; {error.what}", error.next)
    return Finding("warning", why, "`jupyter kube demo` uses the local cluster.")


async def _reachable(client: Any, settings: config.KubeConfig) -> list[Finding]:
    found: list[Finding] = []
    try:
        version = await client.request("GET", "/version")
    except KubeError as error:
        return [Finding("failed", f"No answer from {client.address}. {error}")]
    where = f"context {client.context}, namespace {client.namespace}"
    found.append(Finding("ok", f"Kubernetes {version['gitVersion']} at {client.address} ({where})"))
    found += await _rights(client)
    found += await _nodes(client, settings)
    return found


async def _rights(client: Any) -> list[Finding]:
    from .kube import objects, rbac

    missing = []
    for group, resources, verbs in rbac.RULES:
        for resource in resources:
            plural, _, subresource = resource.partition("/")
            kind = objects.Resource(f"{group}/v1" if group else "v1", plural, plural)
            for verb in verbs:
                if not await objects.allowed(client, verb, kind, subresource=subresource):
                    missing.append(f"{verb} {resource}")
    if missing:
        text = f"Not allowed in namespace {client.namespace}: {', '.join(missing)}"
        return [Finding("failed", text, "Ask for the Role of deploy/rbac.yaml.")]
    return [Finding("ok", "All rights that kernels and jobs need")]


async def _nodes(client: Any, settings: config.KubeConfig) -> list[Finding]:
    """Say what nodes there are for profiles that ask for GPUs or labels, if they may be listed."""
    from .errors import AccessDenied
    from .kube import objects

    wanting = [p for p in settings.valid_profiles().values() if p.gpus or p.node_selector]
    if not wanting:
        return []
    try:
        nodes = (await objects.list_(client, objects.NODES))["items"]
    except AccessDenied:
        return [
            Finding("warning", "Nodes may not be listed, so GPUs and labels were not looked at")
        ]
    return [finding for profile in wanting for finding in _room(profile, nodes)]


def _room(profile: Profile, nodes: list[dict[str, Any]]) -> Iterator[Finding]:
    """Compare what one profile asks for with the nodes."""
    labels = [node["metadata"].get("labels") or {} for node in nodes]
    wanted = profile.node_selector.items()
    if not any(wanted <= found.items() for found in labels):
        text = ", ".join(f"{key}={value}" for key, value in wanted)
        yield Finding("warning", f"Profile {profile.name}: no node has label {text}")
    if profile.gpus:
        resource = profile.gpu_resource
        offers = (node["status"].get("allocatable", {}).get(resource, "0") for node in nodes)
        number = int(sum(map(amount, offers)))
        yield Finding(
            "ok" if number >= profile.gpus else "warning",
            f"Profile {profile.name} asks for {profile.gpus} {resource}; the cluster has {number}",
        )
