"""The process's connections to clusters: one for each way in, kept while the process lives."""

from __future__ import annotations

import os

from .. import config
from ..kube.client import KubeClient
from .background import background

_open: dict[tuple[str, ...], KubeClient] = {}


async def connection(settings: config.KubeConfig) -> KubeClient:
    """Return a client for these settings, on the background loop only.

    Raises
    ------
    NotConfigured
        If there are no usable credentials.

    """
    way_in = (
        settings.kubeconfig or os.environ.get("KUBECONFIG", ""),
        settings.context,
        settings.namespace,
    )
    if way_in not in _open:
        if not _open:
            background.at_close(_close_all)
        _open[way_in] = await KubeClient.connect(settings)
    return _open[way_in]


async def _close_all() -> None:
    while _open:
        await _open.popitem()[1].close()
