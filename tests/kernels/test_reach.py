"""The ways to a pod where port-forwards are forbidden."""

from __future__ import annotations

from typing import Any, cast

import pytest

from jupyter_kube.errors import AccessDenied
from jupyter_kube.kernels import reach as ways
from jupyter_kube.kernels.reach import Reach


@pytest.fixture(autouse=True)
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any) -> Any:
        raise AccessDenied("no way", "pods/portforward is forbidden", "Ask somebody.")

    monkeypatch.setattr(ways, "port_forward", refuse)


def answer(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    async def dial(_host: str, _port: int) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(ways, "tcp_connection", dial)


def reach(way: str, address: str = "") -> Reach:
    made = Reach(cast(Any, None), "a-pod", 8888, way)
    made.address = address
    return made


async def test_without_a_choice_that_is_the_end() -> None:
    with pytest.raises(AccessDenied, match="pods/portforward"):
        await reach("port-forward", "10.0.0.1").dial()


async def test_the_address_is_used_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"pods/portforward.*no address yet"):
        await reach("auto").dial()
    answer(monkeypatch, ConnectionRefusedError("nobody listens"))
    with pytest.raises(ConnectionRefusedError, match="nobody listens"):
        await reach("auto", "10.0.0.1").dial()
    answer(monkeypatch, "a connection")
    assert await reach("auto", "10.0.0.1").dial() == "a connection"


@pytest.mark.parametrize("error", [TimeoutError(), OSError("No route to host")])
async def test_an_address_that_leads_nowhere_is_the_end_too(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, error)
    with pytest.raises(AccessDenied, match=r"pods/portforward.*(does not answer|No route)"):
        await reach("auto", "10.0.0.1").dial()
