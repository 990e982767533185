"""How this process reaches jobs: one connection for each way in, kept while the process lives.

A kubeconfig that has changed is another way in. The connection it had before stays, too: jobs that
were found through it go on with it. Where none does, it costs nothing: it has no open sockets.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import config
from ..kube.client import KubeClient
from ..kube.credentials import kubeconfig_paths, kubeconfig_state
from .background import background
from .owndesk import OwnDesk
from .serversdesk import ServersDesk

if TYPE_CHECKING:
    from .desk import Desk

POD_CLIENT = "jupyter_kube_pod"
"""The module by which a kernel in a pod reaches its server: kernels/podclient.py."""

_open: dict[tuple[Any, ...], KubeClient] = {}


async def connection(settings: config.KubeConfig) -> KubeClient:
    """Return a client for these settings, on the background loop only.

    Raises
    ------
    NotConfigured
        If there are no usable credentials.

    """
    state = kubeconfig_state(kubeconfig_paths(settings.kubeconfig))
    way_in = (state, settings.context, settings.namespace)
    if way_in not in _open:
        made = await KubeClient.connect(settings)
        if way_in in _open:  # somebody else was quicker
            await made.close()
        else:
            _open[way_in] = made
            background.at_close(partial(_close, way_in))
    return _open[way_in]


async def find_desk(settings: config.KubeConfig) -> Desk:
    """Choose the way to the cluster: own credentials where there are some, else the server.

    Raises
    ------
    NotConfigured
        If there is neither.

    """
    client = sys.modules.get(POD_CLIENT)
    own = {config.SETTINGS_ENV, "KUBECONFIG"} & os.environ.keys()
    if client is not None and not (own or settings.kubeconfig or settings.context):
        return ServersDesk(client)
    return OwnDesk(await connection(settings), settings)


async def _close(way_in: tuple[Any, ...]) -> None:
    if (client := _open.pop(way_in, None)) is not None:
        await client.close()
