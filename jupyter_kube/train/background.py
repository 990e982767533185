"""One asyncio loop in one thread, so that a notebook's own thread stays free and interruptible."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Wait = Callable[[concurrent.futures.Future[None]], object]
"""Returns once the future is done."""

_PATIENCE = 10.0
"""Seconds that cancelled work may take to clean up after itself."""


class Background:
    """An event loop in a thread of its own, started when first used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def run(self, work: Coroutine[Any, Any, T], wait: Wait = concurrent.futures.Future.result) -> T:
        """Do work on the loop and wait for it; an interrupt cancels it and awaits its clean-up.

        ``wait`` is how this thread waits; it may say something meanwhile. What it raises counts as
        an interrupt.
        """
        loop = self._running_loop()
        tasks: list[asyncio.Task[T]] = []
        ended: concurrent.futures.Future[None] = concurrent.futures.Future()

        def begin() -> None:
            tasks.append(loop.create_task(work))
            tasks[0].add_done_callback(lambda _task: ended.set_result(None))

        def stop() -> None:
            if tasks:
                tasks[0].cancel()
            else:  # interrupted before it was begun
                work.close()
                ended.set_result(None)

        try:
            loop.call_soon_threadsafe(begin)
            wait(ended)
        except BaseException:
            loop.call_soon_threadsafe(stop)
            concurrent.futures.wait([ended], _PATIENCE)
            raise
        return tasks[0].result()

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin work on the loop and return its future; cancelling that cancels the work."""
        return asyncio.run_coroutine_threadsafe(work, self._running_loop())

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a plain function on the loop, soon."""
        self._running_loop().call_soon_threadsafe(function, *args)

    def at_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Register what is to be closed before the loop ends."""
        self._closers.append(close)

    def close(self) -> None:
        """Cancel what runs, close what was registered, end the thread."""
        with self._lock:
            loop, thread, closers = self._loop, self._thread, self._closers
            self._loop, self._thread, self._closers = None, None, []
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_finish(closers), loop).result(_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
        loop.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="jupyter-kube", daemon=True
                )
                self._thread.start()
            return self._loop


async def _finish(closers: list[Callable[[], Awaitable[None]]]) -> None:
    """End all tasks but this one, then close in reverse order."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for close in reversed(closers):
        await close()


background = Background()
"""The process's own."""

atexit.register(background.close)
