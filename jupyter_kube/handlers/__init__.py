"""The REST API under ``/jupyter-kube/``, which openapi.yaml describes: a module per resource."""

from __future__ import annotations

from typing import Any

from jupyter_server.utils import url_path_join

from .cluster import ClusterHandler
from .fit import FitHandler
from .jobs import JobHandler, JobsHandler, RerunHandler, WhyHandler
from .kernels import KernelHandler, KernelsHandler
from .live import LiveHandler
from .logs import LogsHandler
from .profiles import ProfilesHandler

_NAME = r"([^/]+)"
ROUTES: tuple[tuple[str, type[Any]], ...] = (
    ("cluster", ClusterHandler),
    ("profiles", ProfilesHandler),
    ("fit", FitHandler),
    ("kernels", KernelsHandler),
    (f"kernels/{_NAME}", KernelHandler),
    ("live", LiveHandler),
    ("jobs", JobsHandler),
    (f"jobs/{_NAME}", JobHandler),
    (f"jobs/{_NAME}/why", WhyHandler),
    (f"jobs/{_NAME}/rerun", RerunHandler),
    (f"jobs/{_NAME}/logs", LogsHandler),
)


def routes() -> list[tuple[str, type[Any]]]:
    """Return the handlers with the places they serve below the server's base URL."""
    return [(url_path_join("jupyter-kube", path), handler) for path, handler in ROUTES]
