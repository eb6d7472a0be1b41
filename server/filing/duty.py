"""The background work of one process: its worker, and the housekeeping, until both are ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing.audit import AuditTrail
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.filing.worker import Worker
from leyr_mcp.server.logs import location
from leyr_mcp.server.storage.store import Store

_HOUSEKEEPING_S = 3_600.0
_log = logging.getLogger("leyr_mcp.filing")


class Duty:
    """Begins at the first draft; `tidy` is done at once and every hour."""

    def __init__(
        self,
        journal: Journal,
        make_worker: Callable[[Store, AuditTrail], Worker],
        tidy: Callable[[], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self._make_worker = make_worker
        self._tidy = tidy
        self._worker: Worker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> Worker:
        """Have the worker run in this process from now on; it goes on where a dead one stopped.

        Raises:
            StorageError: The store cannot be opened, or the desk was closed.
        """
        store, trail = await self._journal.opened()
        if self._closed:  # a late answer must not begin what nobody ends
            raise StorageError("The server is being stopped.")
        if self._worker is None:
            self._worker = self._make_worker(store, trail)
            self._run(self._worker.run())
            self._run(self._keep_house())
        return self._worker

    async def close(self, drain_s: float = 0.0) -> None:
        """Stop the worker after what it has under way, for so long at most, and for good."""
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.drain(drain_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_house(self) -> None:
        """Expire what nobody decided on, and delete what has had its time."""
        while True:
            try:
                await self._tidy()
            except Exception as exc:  # noqa: BLE001 - what fails now is done an hour later
                _log.error("filing: housekeeping failed: %s", location(exc))
            await asyncio.sleep(_HOUSEKEEPING_S)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
