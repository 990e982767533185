"""Opening what rank 0 sent: its frame has been authenticated, so it may be unpickled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidInput, JobFailed
from .cell import unpack_result
from .runner import Outcome


@dataclass(frozen=True)
class Results:
    """What came back from a job."""

    job: str
    """The job's name."""
    values: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes by name."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Names of outputs that could not come back, with the reason."""

    def require(self, names: Iterable[str]) -> None:
        """Check that there are values of these names.

        Raises
        ------
        JobFailed
            If outputs among them could not come back.
        InvalidInput
            If the job has no such output.

        """
        absent = [name for name in names if name not in self.values]
        for name in absent:
            if name not in self.missing:
                raise InvalidInput(f'{self.job} has no output "{name}"')
        if absent:
            quoted = " and ".join(f'"{name}"' for name in absent)
            whys = [self.missing[name] for name in absent]
            if len(absent) > 1:
                whys = [f"{name}: {why}" for name, why in zip(absent, whys, strict=True)]
            raise JobFailed(f"{quoted} could not come back", "; ".join(whys), obj=f"job/{self.job}")


def open_outcome(outcome: Outcome) -> Results:
    """Return those of a job's outputs that came back, or raise what went wrong.

    Raises
    ------
    RemoteError
        If the cell raised an exception in a rank.
    JobFailed
        If it ended otherwise without its outputs, or they cannot be loaded here.

    """
    if outcome.error is not None:
        raise outcome.error
    view, frame = outcome.view, outcome.result
    if not view.outputs:
        return Results(view.name)
    if frame is None:
        gone = bool(view.ranks) and view.ranks[0].state.phase == "gone"
        raise JobFailed(
            f"the result of {view.name} is not in its log any more",
            "the pod of rank 0 was removed, and its log with it"
            if gone
            else "only the newest part of a log is kept by Kubernetes",
            "Save large runs' results below kube.output_dir.",
            obj=f"job/{view.name}",
        )
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
    return Results(view.name, values, frame.data.get("sizes", {}), frame.data.get("missing", {}))
