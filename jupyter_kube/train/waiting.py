"""What a notebook's thread says while it waits for the loop: a cell's output is that thread's."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from queue import SimpleQueue

from .background import Wait


def passing_on(news: SimpleQueue[str | None], told: Callable[[str], object]) -> Wait:
    """Return how to wait and hand on what the work puts into a queue."""

    def wait(ended: concurrent.futures.Future[None]) -> None:
        ended.add_done_callback(lambda _ended: news.put(None))
        for text in iter(news.get, None):
            told(text)

    return wait
