"""The thread that alone uses a store's connection.

The event loop hands a piece of work over and is told when it is done. Work that was handed over is
done even if nobody waits any more, so a cancelled task never leaves half a transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
_Job: TypeAlias = tuple[
    Callable[[], Any], asyncio.AbstractEventLoop | None, "asyncio.Future[Any] | None"
]


class Worker:
    """A thread that does one piece of work after the other.

    An executor would drop what a cancelled task handed over and has not begun, and with it the
    outcome of a filing. A daemon, because a commit is atomic whenever the process ends, and an end
    must not wait for a store that nobody closed.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Return what becomes of the job; it is done in any case, awaited or not."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((job, loop, future))
        return future

    def later(self, job: Callable[[], object]) -> None:
        """Do this after what was handed over before; nobody waits for it, so it may not fail."""
        self._jobs.put((job, None, None))

    def stop(self) -> None:
        """End the thread after the work that it was given."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, loop, future = item
            value, failure = None, None
            try:
                value = job()
            except BaseException as exc:  # noqa: BLE001 - belongs to whoever waits for the job
                failure = exc
            if loop is not None and future is not None:
                # A loop that was closed meanwhile has nobody left who waits.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(_deliver, future, value, failure)
            del item, job, loop, future, value, failure


def _deliver(future: asyncio.Future[Any], value: Any, failure: BaseException | None) -> None:
    if future.done():  # cancelled
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(value)
