"""The warm pool, with kernels that are told when to be ready and how a claim ends."""

from __future__ import annotations

import asyncio
import logging

import pytest

from jupyter_kube.errors import Conflict, StartFailed
from jupyter_kube.kernels import pool as pools
from jupyter_kube.kernels.pool import Pool


class Kernel:
    def __init__(self, number: int, outcomes: dict[int, Exception]) -> None:
        self.kernel_id, self.notebook, self.ended, self.up = f"k{number}", "", False, False
        self._outcome = outcomes.get(number)
        self.lost = False
        self.claimed = asyncio.Event()
        self.claimed.set()

    async def first_word(self, patience: float | None) -> None:
        await asyncio.sleep(0)
        if self._outcome:
            raise self._outcome
        self.up = True

    async def claim(self, notebook: str) -> None:
        if self.lost:
            raise Conflict("pod", "somebody else was quicker")
        await self.claimed.wait()
        self.notebook = notebook

    async def end(self, *, now: bool) -> None:
        self.ended, self.up = True, False


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_REST", 0.0)


class Starter:
    def __init__(self, **outcomes: Exception) -> None:
        self.outcomes = {int(name[1:]): error for name, error in outcomes.items()}
        self.refusals: list[Exception] = []
        self.made: list[Kernel] = []
        self.pool = Pool(self._begin, logging.getLogger("tests.pool"))

    def _begin(self, kernel_name: str) -> Kernel:
        assert kernel_name == "kube-gpu"
        if self.refusals:
            raise self.refusals.pop()
        self.made.append(Kernel(len(self.made), self.outcomes))
        return self.made[-1]

    async def ready(self, count: int) -> list[Kernel]:
        async with asyncio.timeout(5):
            while len(found := self.pool.ready("kube-gpu")) < count:
                await asyncio.sleep(0)
        return found


async def test_a_kernel_is_used_once_and_replaced() -> None:
    starter = Starter()
    starter.pool.keep("kube-gpu", 2)
    first, second = await starter.ready(2)
    assert len(starter.made) == 2
    taken = [await starter.pool.take("kube-gpu", f"{n}.ipynb") for n in range(2)]
    assert taken == [first, second]
    assert [first.notebook, second.notebook] == ["0.ipynb", "1.ipynb"]
    assert not {first, second} & set(await starter.ready(2))
    await starter.pool.close()
    assert [kernel.ended for kernel in starter.made] == [False, False, True, True]


async def test_one_just_taken_is_not_disturbed_by_its_successors_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_REST", 3600.0)
    starter = Starter()
    starter.pool.keep("kube-gpu", 1)
    (kernel,) = await starter.ready(1)
    assert await starter.pool.take("kube-gpu", "") is kernel
    for _ in range(20):
        await asyncio.sleep(0)
    assert starter.made == [kernel]
    await starter.pool.close()


async def test_f33_there_is_none_until_one_is_ready_and_none_of_other_kernelspecs() -> None:
    starter = Starter()
    starter.pool.keep("kube-gpu", 1)
    assert await starter.pool.take("kube-gpu", "") is None
    await starter.ready(1)
    assert await starter.pool.take("kube-python", "") is None
    await starter.pool.close()


async def test_f33_one_that_somebody_else_has_is_passed_over() -> None:
    starter = Starter()
    starter.pool.keep("kube-gpu", 2)
    first, second = await starter.ready(2)
    first.lost = True
    assert await starter.pool.take("kube-gpu", "") is second
    assert first.ended
    await starter.pool.close()


async def test_one_whose_claim_is_cancelled_is_nobodys_and_ends() -> None:
    starter = Starter()
    starter.pool.keep("kube-gpu", 1)
    (kernel,) = await starter.ready(1)
    kernel.claimed.clear()
    taking = asyncio.create_task(starter.pool.take("kube-gpu", "a.ipynb"))
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert kernel.ended
    assert kernel not in await starter.ready(1)
    await starter.pool.close()


async def test_f33_a_dead_one_is_replaced() -> None:
    starter = Starter()
    starter.pool.keep("kube-gpu", 1)
    (kernel,) = await starter.ready(1)
    kernel.up = False
    starter.pool.drop(kernel.kernel_id)
    (other,) = await starter.ready(1)
    assert other is not kernel
    await starter.pool.close()


async def test_a_start_that_failed_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_FIRST_PAUSE", 0.001)
    starter = Starter(k0=StartFailed("no room"), k1=StartFailed("no room"))
    starter.pool.keep("kube-gpu", 1)
    (kernel,) = await starter.ready(1)
    assert kernel is starter.made[2]
    assert [made.ended for made in starter.made] == [True, True, False]
    await starter.pool.close()


async def test_a_kernel_that_cannot_even_begin_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_FIRST_PAUSE", 0.001)
    starter = Starter()
    starter.refusals.append(LookupError("no such kernelspec"))
    starter.pool.keep("kube-gpu", 1)
    await starter.ready(1)
    await starter.pool.close()


async def test_why_it_failed_is_said_once_and_of_what_is_odd_also_where(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pools, "_FIRST_PAUSE", 0.001)
    odd, full = LookupError("odd"), StartFailed("no room")
    starter = Starter(k0=odd, k1=odd, k2=full, k3=full)
    starter.pool.keep("kube-gpu", 1)
    await starter.ready(1)
    await starter.pool.close()
    said = [(record.getMessage(), bool(record.exc_info)) for record in caplog.records]
    assert said == [
        ("No kernel of kube-gpu is kept warm: odd", True),
        ("No kernel of kube-gpu is kept warm: no room", False),
    ]
