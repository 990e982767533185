"""Whether workers will find room, asked before they are created."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..errors import AccessDenied
from ..kube import objects, room
from ..podspec import build
from . import plan
from .jobspec import CONTAINER

if TYPE_CHECKING:
    from ..config import KubeConfig
    from ..kube.client import KubeClient
    from ..kube.room import Fit
    from .origin import Origin

_RUNNING = "status.phase!=Succeeded,status.phase!=Failed"


async def fit(client: KubeClient, wish: plan.Wish, settings: KubeConfig, origin: Origin) -> Fit:
    """Say how many of a wish's workers there is room for now.

    Raises
    ------
    InvalidInput
        If no worker can be as is wished.
    ClusterError
        If not even the namespace's pods may be listed.

    """
    profile = plan.profile(plan.check(wish), settings, origin)
    pod = build(profile, {"name": CONTAINER}, metadata={}, spec={})
    seen = await look(client, origin.user)
    # Adding up exactly takes a while where there are thousands of pods.
    return await asyncio.to_thread(room.fits, pod, wish.workers, seen)


async def look(client: KubeClient, user: str) -> room.Seen:
    """Read what nodes have, what pods hold and what quotas allow, as far as that is permitted."""
    nodes, quotas = await asyncio.gather(
        _listed(client, objects.NODES), _listed(client, objects.QUOTAS)
    )
    pods = await _listed(client, objects.PODS, everywhere=True) if nodes is not None else None
    whole = pods is not None
    if pods is None:
        pods = await objects.every(client, objects.PODS, fields=_RUNNING)
    return room.Seen(nodes, pods, quotas or [], whole, user)


async def _listed(
    client: KubeClient, resource: objects.Resource, *, everywhere: bool = False
) -> list[dict[str, Any]] | None:
    """List objects; None if that is forbidden."""
    try:
        fields = _RUNNING if resource is objects.PODS else ""
        return await objects.every(client, resource, fields=fields, everywhere=everywhere)
    except AccessDenied:
        return None
