"""What comes back from the API: decoded, or made into one of our errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ..errors import IS_IT_UP, ClusterError, ClusterUnavailable, from_status

if TYPE_CHECKING:
    import aiohttp

_UNREACHABLE, _TOO_MANY, _BROKEN = "Unreachable", "TooManyRequests", "Broken"
NOT_DONE = frozenset({_UNREACHABLE, _TOO_MANY})
"""Reasons of :class:`ClusterUnavailable` after which the API has surely not acted."""

_BIG = 200_000  # bytes of an answer from which decoding it would be felt on the event loop
_A_WHILE = 1.0  # seconds to wait where a 429 does not say how long
_WORDS_TIME = 5.0  # seconds for the body of a refusal


async def decoded(raw: bytes, address: str) -> dict[str, Any]:
    """Decode a success; a big one beside the event loop.

    Raises
    ------
    ClusterUnavailable
        If it is not JSON: something else than Kubernetes has answered.

    """
    try:
        return await asyncio.to_thread(_decode, raw) if len(raw) > _BIG else _decode(raw)
    except ValueError as error:
        raise ClusterUnavailable(
            f"{address} did not answer as Kubernetes does", str(error)[:256], reason=_BROKEN
        ) from error


async def refusal(response: aiohttp.ClientResponse, what: str) -> ClusterError:
    """Make our error of an answer that is not success."""
    import aiohttp

    try:
        async with asyncio.timeout(_WORDS_TIME):  # a stream has no limit of its own
            body = _decode(await response.read())
    except (aiohttp.ClientError, OSError, ValueError):
        body = {}
    error = from_status(
        response.status, body, what=what, retry_after=_seconds(response.headers.get("Retry-After"))
    )
    if response.status == 429:
        error.reason = _TOO_MANY
    if response.status == 401:
        error.why = "the cluster does not accept these credentials (401)"
        error.next = "Log in again, then see `kubectl auth whoami`."
    return error


def too_many(status: int, headers: Mapping[str, str] | None) -> float:
    """Return how many seconds a 429 asks to wait; 0 for any other answer."""
    if status != 429:
        return 0.0
    return _seconds((headers or {}).get("Retry-After")) or _A_WHILE


def unreachable(address: str, error: Exception) -> ClusterError:
    """Make our error of a connection that failed; ``address`` is what people may see of it."""
    import aiohttp

    why = (str(error) or type(error).__name__)[:256]
    if isinstance(error, aiohttp.ClientResponseError):  # as text it holds the whole URL
        why = f"it answered what is not HTTP ({type(error).__name__})"
    if isinstance(error, aiohttp.InvalidURL):
        why = "this is no address of an API server"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ClusterError(
            f"cannot trust {address}", why, "Check certificate-authority in the kubeconfig."
        )
    if isinstance(error, TimeoutError):
        why = "it did not answer in time"
    sent = not isinstance(error, aiohttp.ClientConnectorError)
    return ClusterUnavailable(
        f"cannot reach {address}", why, IS_IT_UP, reason=_BROKEN if sent else _UNREACHABLE
    )


def ahead(date: str | None) -> timedelta | None:
    """Return how far the clock that wrote a Date header is ahead of ours."""
    try:
        return parsedate_to_datetime(date) - datetime.now(UTC) if date else None
    except (ValueError, TypeError):
        return None


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None


def _decode(raw: bytes) -> dict[str, Any]:
    content = json.loads(raw) if raw else {}
    return content if isinstance(content, dict) else {"value": content}
