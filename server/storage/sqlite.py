"""The store in one SQLite file, shared by any number of processes on one machine.

Each store has one thread with one connection. Whatever is begun there is finished there: a caller
that is cancelled learns nothing, but leaves no half transaction. Only events that need not survive
a power cut go through a second connection, on the event loop's own thread.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.connection import BusyError, Connection
from leyr_mcp.server.storage.database import Database
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.rows import Work
from leyr_mcp.server.storage.store import AuditEntry
from leyr_mcp.server.storage.transactions import LedgerStore
from leyr_mcp.server.storage.worker import Worker

T = TypeVar("T")


class SqliteStore(LedgerStore):
    """The ledger and the chain in one file; in memory, for tests, without a path."""

    def __init__(self, path: Path | None, keys: Keys, *, timeout_s: float = 5.0) -> None:
        super().__init__(keys)
        self._database = Database(path, keys, timeout_s)
        self._worker: Worker | None = None
        self._path = path
        self._timeout_s = timeout_s
        # For events that need no power-safe commit, on the event loop's own thread: such a commit
        # writes a page to the cache and never waits, and costs a fifth of a hop to another thread.
        self._beside: Connection | None = None
        self._head_at = 0

    async def open(self) -> None:
        """Open, migrate, and prove that the key fits.

        Raises:
            StorageError: The key is wrong, the schema is newer, or the place cannot be written.
        """
        if self._worker is not None:
            return
        worker = self._worker = Worker("leyr-mcp-store")
        try:
            await worker.run(self._database.open)
            if self._path is not None:
                self._beside = Connection(str(self._path), self._timeout_s, waits=False)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close; what is committed stays."""
        worker, self._worker = self._worker, None
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.close()
        if worker is None:
            return
        closed = worker.run(self._close)
        try:
            await closed
        finally:
            worker.stop()

    async def append(self, entry: AuditEntry, *, now: datetime, durable: bool) -> int:
        """Append to the chain and return the sequence number; `durable` survives a power cut."""
        if not durable and self._beside is not None:
            try:
                return self._kept(self._append_here(self._beside, entry, now))
            except BusyError:
                pass  # waited for in the store's thread
        return await self._write(lambda: self._chain.append(entry, now=now), durable=durable)

    def _append_here(self, connection: Connection, entry: AuditEntry, now: datetime) -> int:
        last = self._chain.tip
        if last is not None:
            statement, tip = self._chain.after(last, entry, now=now)
            if connection.once(statement, durable=False):
                self._chain.tip = tip
                return tip.seq
        return connection.write(self._chain.append(entry, now=now), durable=False)

    async def commits(self) -> int:
        """Return a number that changes when any process commits."""
        return await self._run(self._database.commits)

    async def _run(self, job: Callable[[], T]) -> T:
        if self._worker is None:
            raise StorageError("The local store is not open.")
        return await self._worker.run(job)

    async def _read(self, make: Callable[[], Work[T]]) -> T:
        return await self._run(lambda: self._database.read(make()))

    async def _write(self, make: Callable[[], Work[T]], *, durable: bool = True) -> T:
        return await self._run(lambda: self._store(make(), durable=durable))

    async def _write_beside(self, make: Callable[[], Work[T]], *, durable: bool) -> T:
        return await self._write(make, durable=durable)

    async def _attempt(
        self,
        asked: Callable[[], Work[object]],
        make: Callable[[], Work[T]],
        *,
        otherwise: T,
        durable: bool = True,
    ) -> T:
        def job() -> T:
            if not self._database.read(asked()):
                return otherwise
            return self._store(make(), durable=durable)

        return await self._run(job)

    def _store(self, work: Work[T], *, durable: bool = True) -> T:
        return self._kept(self._database.write(work, durable=durable))

    def _kept(self, value: T) -> T:
        worker, tip = self._worker, self._chain.tip
        if worker is not None and tip is not None and tip.seq >= self._head_at:
            self._head_at = tip.seq // chain.EVERY * chain.EVERY + chain.EVERY
            worker.later(self._database.put_head)
        return value

    def _close(self) -> None:
        try:
            if self._chain.tip is not None:
                self._database.put_head()
        finally:
            self._database.close()
