"""What happens to kernels, as Jupyter's events: which schemas there are, and how each is filled."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import naming
from .advice import Death

START = "https://events.jupyter.org/jupyter_kube/kernel_start/v1"
END = "https://events.jupyter.org/jupyter_kube/kernel_end/v1"
_FOLDER = Path(__file__).parents[1] / "event_schemas"
SCHEMAS = tuple(_FOLDER / name / "v1.yaml" for name in ("kernel_start", "kernel_end"))


def start(kernel_id: str, phase: str, reason: str = "", message: str = "") -> dict[str, Any]:
    """Say how a start stands."""
    event = {"schema_id": START, **_whose(kernel_id)}
    event["data"] |= {"phase": phase, "reason": reason, "message": message}
    return event


def end(kernel_id: str, outcome: str, death: Death) -> dict[str, Any]:
    """Say that a kernel process ended or is out of reach, and what becomes of it."""
    event = {"schema_id": END, **_whose(kernel_id)}
    event["data"] |= {"outcome": outcome, **asdict(death)}
    return event


def _whose(kernel_id: str) -> dict[str, Any]:
    return {"data": {"kernel_id": kernel_id, "pod": naming.kernel_name(kernel_id)}}
