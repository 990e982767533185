"""Work beside the kernel's own thread, so that no cell and no click waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..errors import KubeError

log = logging.getLogger(__name__)


def apart(work: Callable[[], object], failed: Callable[[Exception], object]) -> None:
    """Do work in a thread of its own; what goes wrong is told.

    Parameters
    ----------
    work
        May wait for the cluster.
    failed
        Gets what went wrong, in that thread.

    """

    def do() -> None:
        try:
            work()
        except Exception as error:
            if not isinstance(error, KubeError):
                log.exception("in the panel")
            failed(error)

    threading.Thread(target=do, name="jupyter-kube-panel", daemon=True).start()
