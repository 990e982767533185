"""What a notebook's thread says while it waits for the loop: a cell's output is that thread's."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

from .background import Wait

_QUIET = 5.0
"""Seconds without an answer after which a cell says what it waits for; a login may take some."""


def aloud(ended: concurrent.futures.Future[None]) -> None:
    """Wait for the answer to one question; say so where that takes long.

    Only in the thread that runs cells: the panel asks in others, and shows itself what comes of it.
    """
    mine = threading.current_thread() is threading.main_thread()
    if mine and concurrent.futures.wait([ended], _QUIET).not_done:
        print("Waiting for the cluster …", file=sys.stderr, flush=True)
    ended.result()


def passing_on(news: SimpleQueue[str | None], told: Callable[[str], object]) -> Wait:
    """Return how to wait and hand on what the work puts into a queue."""

    def wait(ended: concurrent.futures.Future[None]) -> None:
        ended.add_done_callback(lambda _ended: news.put(None))
        for text in iter(news.get, None):
            told(text)

    return wait
