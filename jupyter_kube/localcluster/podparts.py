"""Which pod and container a request for logs, exec or port-forward is about (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .kinds import ApiError

Pod = Mapping[str, Any]

_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def chosen_container(pod: Pod, asked: str) -> str:
    """Name the container that is meant: the one asked for, or the only one.

    Raises
    ------
    ApiError
        400 if there is no such container, or several to choose from.

    """
    names = [each["name"] for each in pod["spec"]["containers"]]
    name = pod["metadata"]["name"]
    if asked in names:
        return asked
    if asked:
        raise _bad(f"container {asked} is not valid for pod {name}")
    if len(names) > 1:
        text = f"a container name must be specified for pod {name}, choose one of: "
        raise _bad(f"{text}[{' '.join(names)}]")
    return str(names[0])


def check_host(pod: Pod) -> None:
    """Refuse a pod that no node has yet.

    Raises
    ------
    ApiError
        400.

    """
    if not pod["spec"].get("nodeName"):
        raise _bad(f"pod {pod['metadata']['name']} does not have a host assigned")


def container_status(pod: Pod, container: str) -> dict[str, Any] | None:
    """Find what is known of a container."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((each for each in statuses if each["name"] == container), None)


def log_number(pod: Pod, container: str, *, previous: bool) -> int:
    """Tell which of a container's processes the log asked for is of, counted from 0.

    Raises
    ------
    ApiError
        400 if there has been no such process yet.

    """
    name, status = pod["metadata"]["name"], container_status(pod, container)
    if status is None:
        raise _bad(f'container "{container}" in pod "{name}" is not available')
    number = int(status["restartCount"])
    waiting = (status.get("state") or {}).get("waiting")
    has_ended_before = bool((status.get("lastState") or {}).get("terminated"))
    if previous and not has_ended_before:
        raise _bad(f'previous terminated container "{container}" in pod "{name}" not found')
    if previous:
        return number if waiting else number - 1
    if waiting and not has_ended_before:
        reason = waiting.get("reason", "")
        why = _WAITING.get(reason, reason)
        raise _bad(f'container "{container}" in pod "{name}" is waiting to start: {why}')
    return number


def has_ended(pod: Pod, container: str, number: int) -> bool:
    """Tell whether a container's process with that number has ended."""
    status = container_status(pod, container)
    if status is None or int(status["restartCount"]) > number:
        return True
    return "running" not in (status.get("state") or {})


def _bad(text: str) -> ApiError:
    return ApiError(400, "BadRequest", text)
