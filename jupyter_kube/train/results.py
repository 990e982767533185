"""Opening what rank 0 sent: its frame has been authenticated, so it may be unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import JobFailed
from .cell import unpack_result
from .presenting import presentable
from .runner import Outcome


@dataclass(frozen=True)
class Results:
    """Values by name and their sizes in bytes."""

    values: Mapping[str, Any]
    sizes: Mapping[str, int]


def open_outcome(outcome: Outcome) -> Results:
    """Return a job's outputs, or raise what went wrong.

    Raises
    ------
    RemoteError
        If the cell raised an exception in a rank.
    JobFailed
        If it ended otherwise without its outputs, or they cannot be loaded here.

    """
    if outcome.error is not None:
        raise presentable(outcome.error)
    view, frame = outcome.view, outcome.result
    if not view.outputs:
        return Results({}, {})
    if frame is None:
        raise JobFailed(
            f"the result of {view.name} is not in its log any more",
            "only the newest part of a log is kept by Kubernetes",
            "Save large runs' results below kube.output_dir.",
            obj=f"job/{view.name}",
        )
    for name, why in frame.data.get("missing", {}).items():
        raise JobFailed(f'"{name}" could not come back', str(why), obj=f"job/{view.name}")
    try:
        # Only after its authentication code held: whoever knows the job's key runs code here.
        values = unpack_result(frame.blob)
    except ModuleNotFoundError as error:
        raise JobFailed(
            f"the result of {view.name} cannot be loaded here",
            f"this kernel has no module {error.name}",
            f"Install it, then %kube attach {view.name}.",
        ) from None
    except Exception as error:
        # Unpickling runs the classes' own code: anything may be raised.
        raise JobFailed(
            f"the result of {view.name} cannot be loaded here", f"{type(error).__name__}: {error}"
        ) from error
    return Results(values, frame.data.get("sizes", {}))
