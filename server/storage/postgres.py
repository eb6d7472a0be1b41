"""The store in PostgreSQL, shared by any number of nodes; one schema for each health record.

It runs the same statements as the file does, one writer of the ledger at a time, so that what is
right there is right here: a lock that PostgreSQL holds until the commit stands for the lock of the
file. Each node's chain has a lock of its own, so events of reading wait for no other node.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage import chain, migrations
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.postgres_errors import (
    FAILURES,
    is_lost,
    is_second_link,
    is_taken_back,
    storage_error,
)
from leyr_mcp.server.storage.postgres_news import News
from leyr_mcp.server.storage.postgres_pool import Pool, drive, options
from leyr_mcp.server.storage.rows import Work, sql
from leyr_mcp.server.storage.store import AuditEntry
from leyr_mcp.server.storage.transactions import LedgerStore

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_log = logging.getLogger("leyr_mcp.storage")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_CONNECTIONS = 5
# One for events, and one for leases, which may wait for another node.
_BESIDE = 2
_TRIES = 6
_PAUSE_S = 0.02
_MIGRATING_S = 600.0
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# So many events of reading are added by one statement.
_AT_ONCE = 100
_ADD_ALL_AFTER = (
    "INSERT INTO audit (node, seq, time, body, prev, mac)"
    " SELECT ?, * FROM unnest(?::bigint[], ?::bigint[], ?::bytea[], ?::bytea[], ?::bytea[])"
    " WHERE (SELECT mac FROM audit WHERE node = ? ORDER BY seq DESC LIMIT 1) = ?"
)


class _Event(NamedTuple):
    """An event that waits to be added, and who waits for it."""

    entry: AuditEntry
    now: datetime
    number: asyncio.Future[int]


class PostgresStore(LedgerStore):
    """The ledger, and the chain of one node, in one schema of a database.

    `head` is the file on this node in which the head of its chain has its second place.
    """

    def __init__(
        self,
        url: str,
        keys: Keys,
        *,
        schema: str,
        node: str,
        head: Path | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        super().__init__(keys, node)
        if not _SCHEMA.fullmatch(schema):
            raise ValueError("a schema is named by lower-case letters, digits and underscores")
        self._keys = keys
        self._schema = schema
        self._head = head
        self._head_at = 0
        settings = options(url, schema, timeout_s)
        self._main = Pool(settings, _CONNECTIONS)
        # Its commits survive the end of any process, but not a power cut where the database is.
        self._beside = Pool(options(url, schema, timeout_s, durable=False), _BESIDE)
        self._news = News(settings, schema, secrets.token_hex(8))
        # In this process one waits for the other here, and not on a connection.
        self._writing = asyncio.Lock()
        self._linking = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._events = list[_Event]()
        self._adding = False
        self._is_open = False

    async def open(self) -> None:
        """Connect, migrate, and prove that the key fits.

        Raises:
            StorageError: The key is wrong, the schema is newer, or the database cannot be used.
        """
        if self._is_open:
            return
        try:
            await self._main.open()
            await self._beside.open()
            await self._migrate()
            await self._news.open()
            self._is_open = True
        except BaseException as exc:
            await self.close()
            if isinstance(exc, FAILURES):
                raise storage_error(exc) from exc
            raise

    async def close(self) -> None:
        """Close; what was begun is ended before, and what is committed stays."""
        was_open, self._is_open = self._is_open, False
        while self._under_way:
            await asyncio.wait(self._under_way)
        if was_open and self._chain.tip is not None:
            await self._put_head()
        await self._news.close()
        await self._beside.close()
        await self._main.close()

    async def append(self, entry: AuditEntry, *, now: datetime, durable: bool) -> int:
        """Append to the chain and return the sequence number; `durable` survives a power cut.

        What comes while others are added is added with the next ones, by one statement.
        """
        if durable:
            return await self._handed_over(self._append(entry, now, durable=True))
        self._see_open()
        number = asyncio.get_running_loop().create_future()
        self._events.append(_Event(entry, now, number))
        if not self._adding:
            self._adding = True
            self._begun(self._add_events())
        return await asyncio.shield(number)

    async def commits(self) -> int:
        """Return a number that changes when any node changes a draft, or this one commits."""
        self._see_open()
        return self._news.count()

    async def _read(self, make: Callable[[], Work[T]]) -> T:
        self._see_open()
        try:
            return await self._main.read(make)
        except FAILURES as exc:
            raise storage_error(exc) from exc

    async def _write(self, make: Callable[[], Work[T]], *, durable: bool = True) -> T:
        return await self._handed_over(self._stored(make, durable=durable))

    async def _write_beside(self, make: Callable[[], Work[T]], *, durable: bool) -> T:
        pool = self._main if durable else self._beside

        async def write() -> T:
            async with pool.begun(_BEGIN) as connection:
                value = await drive(connection, make())
                await connection.execute("COMMIT")
                return value

        try:
            return await self._handed_over(write())
        except FAILURES as exc:
            raise storage_error(exc) from exc

    async def _attempt(
        self,
        asked: Callable[[], Work[object]],
        make: Callable[[], Work[T]],
        *,
        otherwise: T,
        durable: bool = True,
    ) -> T:
        if not await self._read(asked):
            return otherwise
        return await self._write(make, durable=durable)

    async def _handed_over(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what becomes of the work; it is done in any case, awaited or not."""
        if not self._is_open:
            work.close()
            self._see_open()
        return await asyncio.shield(self._begun(work))

    def _begun(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # belongs to whoever waits, and is nobody's if nobody does

    async def _stored(self, make: Callable[[], Work[T]], *, durable: bool) -> T:
        pool = self._main if durable else self._beside

        async def write(*, alone: bool) -> T:
            async with (
                self._writing,
                pool.begun(f"{_BEGIN}; {self._lock('ledger')}") as connection,
                self._linking,
            ):
                await connection.execute(self._chain_lock(alone=alone))
                value = await drive(connection, make())
                await connection.execute(f"{self._news.telling()}; COMMIT")
                return value

        return self._kept(await _until_stored(write))

    async def _append(self, entry: AuditEntry, now: datetime, *, durable: bool) -> int:
        pool = self._main if durable else self._beside

        async def write(*, alone: bool) -> int:
            begin = f"{_BEGIN}; {self._chain_lock(alone=alone)}"
            async with self._linking, pool.begun(begin) as connection:
                seq = await drive(connection, self._chain.append(entry, now=now))
                await connection.execute("COMMIT")
                return seq

        return self._kept(await _until_stored(write))

    async def _add_events(self) -> None:
        """Add what waits, and what comes meanwhile."""
        while self._events:
            async with self._linking:
                events, self._events = self._events[:_AT_ONCE], self._events[_AT_ONCE:]
                try:
                    added = await self._add_at_once(events)
                except (StorageError, *FAILURES) as exc:
                    failure = exc if isinstance(exc, StorageError) else storage_error(exc)
                    for event in events:
                        event.number.set_exception(failure)
                    continue
                except Exception:  # noqa: BLE001 - one is no event, and is told so by itself
                    added = False
            if added:
                self._kept(None)
                continue
            for event in events:
                try:
                    event.number.set_result(
                        await self._append(event.entry, event.now, durable=False)
                    )
                except Exception as exc:  # noqa: BLE001 - whoever waits for it is told
                    event.number.set_exception(exc)
        self._adding = False

    async def _add_at_once(self, events: list[_Event]) -> bool:
        """Return whether events were added by one statement, without a lock."""
        last = self._chain.tip
        if last is None:
            return False
        rows, tip = self._chain.after_all(last, ((one.entry, one.now) for one in events))
        _, *columns = zip(*rows, strict=True)
        try:
            values = (self._node, *columns, self._node, last.mac)
            if not await self._beside.once(_ADD_ALL_AFTER, *values):
                return False
        except FAILURES as exc:
            if is_taken_back(exc):
                return False
            if not is_lost(exc):
                raise
            # They may stand there, or not: only a look tells.
            link = chain.Head(tip.seq, 0, tip.mac)
            if not await self._main.read(lambda: chain.holds(link, self._node)):
                return False
        self._chain.tip = tip
        for seq, event in enumerate(events, last.seq + 1):
            event.number.set_result(seq)
        return True

    def _kept(self, value: T) -> T:
        self._news.mine()
        tip = self._chain.tip
        if self._head is not None and tip is not None and tip.seq >= self._head_at:
            self._head_at = tip.seq // chain.EVERY * chain.EVERY + chain.EVERY
            self._begun(self._put_head())
        return value

    async def _put_head(self) -> None:
        """Write the head of this node's chain to its second place; a failure is only logged."""
        if self._head is None:
            return
        try:
            begin = f"{_BEGIN}; {self._chain_lock(alone=False)}"
            async with self._main.begun(begin) as connection:
                await drive(connection, _only(chain.mark_head(self._node)))
                # Safe on the database's disk, and with it every link before it.
                await connection.execute("COMMIT")
            written = None
            while (head := await self._marked()) != written and head is not None:
                await self._write_head(self._head, head)
                written = head
        except (StorageError, *FAILURES):
            _log.warning("the head of the audit chain could not be written to its second place")

    async def _marked(self) -> chain.Head | None:
        return await self._main.read(lambda: chain.marked_head(self._node))

    async def _write_head(self, place: Path, head: chain.Head) -> None:
        before = await asyncio.to_thread(chain.read_head, place, self._keys)
        if before is not None and not await self._main.read(
            lambda: chain.holds(before, self._node)
        ):
            # What the chain has lost since must stay provable.
            _log.error("the audit chain does not reach its recorded head; verify it")
            return
        await asyncio.to_thread(chain.write_head, place, head, self._keys)

    async def _migrate(self) -> None:
        """Make the schema, take the steps that are missing, and prove that the key fits."""
        await self._step(self._schema_made)
        taken = await self._step(migrations.found)
        steps = migrations.missing(taken)
        if taken:  # a wrong key must not change the schema
            await self._step(lambda: migrations.check_key(self._keys))
        for step in steps:
            await self._step(partial(migrations.take, step, datetime.now(UTC)))
        await self._step(lambda: migrations.check_key(self._keys))

    async def _step(self, make: Callable[[], Work[T]]) -> T:
        begin = f"{_BEGIN}; {self._lock('schema')}"
        async with self._main.begun(begin) as connection:
            await connection.execute(f"SET LOCAL statement_timeout = {_MIGRATING_S * 1000:.0f}")
            value = await drive(connection, make(), timeout_s=_MIGRATING_S)
            await connection.execute("COMMIT")
            return value

    def _schema_made(self) -> Work[None]:
        # Asked first: who may not make a schema may not even say "if there is none".
        rows = yield sql("SELECT 1 FROM pg_namespace WHERE nspname = ?", self._schema)
        if not rows:
            yield sql(f'CREATE SCHEMA "{self._schema}"')

    def _chain_lock(self, *, alone: bool) -> str:
        """Return what keeps others from this node's chain, or, alone, everybody from every one.

        What is added at once takes no lock, so it may come between the look at the last link and
        the next one. Whoever lost that race shall not lose it again.
        """
        lock = self._lock(f"chain {self._node}")
        return f"{lock}; LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE" if alone else lock

    def _lock(self, what: str) -> str:
        """Return the statement that waits for a lock and holds it until the transaction's end."""
        digest = sha256(f"leyr-mcp\0{self._schema}\0{what}".encode()).digest()
        return f"SELECT pg_advisory_xact_lock({int.from_bytes(digest[:8], 'big', signed=True)})"

    def _see_open(self) -> None:
        if not self._is_open:
            raise StorageError("The store is not open.")


def _only(statement: tuple[str, tuple[Any, ...]]) -> Work[None]:
    yield statement


class _Write(Protocol[T_co]):
    def __call__(self, *, alone: bool) -> Coroutine[Any, Any, T_co]: ...


async def _until_stored(write: _Write[T]) -> T:
    """Return what was written; what was taken back for another's sake is written again.

    Raises:
        StorageError: Nothing was stored, or the connection was lost at the commit.
    """
    alone = False
    for left in reversed(range(_TRIES)):
        try:
            return await write(alone=alone)
        except FAILURES as exc:
            if not left or not is_taken_back(exc):
                raise storage_error(exc) from exc
            alone = alone or is_second_link(exc)
        await asyncio.sleep(_PAUSE_S * random.random())  # noqa: S311 - so that two do not meet again
    raise AssertionError("the last try returns or raises")
