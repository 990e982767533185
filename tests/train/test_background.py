"""The loop behind the notebook."""

import asyncio
import signal
import threading
from concurrent.futures import Future
from queue import SimpleQueue

import pytest

from jupyter_kube.train.background import Background
from jupyter_kube.train.waiting import aloud, passing_on


@pytest.fixture
def background():
    made = Background()
    yield made
    made.close()


async def forty_two():
    return 42


async def broken():
    raise ValueError("no")


def test_results_and_exceptions_come_back(background):
    assert background.run(forty_two()) == 42
    assert background.start(forty_two()).result(10) == 42
    with pytest.raises(ValueError, match="no"):
        background.run(broken())


@pytest.mark.parametrize("wait", [Future.result, aloud, passing_on(SimpleQueue(), print)])
def test_an_interrupt_cancels_the_work_and_waits_for_its_end(background, wait):
    ended = []

    async def work():
        try:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        background.run(work(), wait)
    assert ended == [True]


def test_closing_cancels_what_runs_and_closes_what_was_registered(background):
    closed = []

    async def close():
        closed.append(True)

    future = background.start(asyncio.Event().wait())
    background.at_close(close)
    background.close()
    assert future.cancelled()
    assert closed == [True]
    assert background.run(forty_two()) == 42  # it starts again when used again
