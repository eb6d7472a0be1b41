"""Which transactions survive a power cut and which need not: what SQLite is told before each."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.storage.connection import Connection
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Draft
from tests.server.storage.builders import (
    DAY,
    DONE,
    DRAFTED,
    INTENT,
    KEYS,
    MINUTE,
    NOW,
    READ,
    TEXT,
    approved,
    claimed,
    known,
    moved,
    new,
    sending,
    staged,
    yes,
)

FULL, NORMAL = "FULL", "NORMAL"
_LEVEL = "PRAGMA synchronous"


class Told:
    """Every statement that SQLite is told, and from it how each transaction is committed."""

    def __init__(self) -> None:
        self.commits: list[str] = []

    async def listen(self, store: SqliteStore) -> None:
        """Listen from now on, to each connection in its own thread."""
        main, beside = store._database._connection, store._beside
        assert main is not None
        assert beside is not None
        await store._run(lambda: self._listen(main))
        self._listen(beside)

    def _listen(self, connection: Connection) -> None:
        # A connection commits as it was last told to.
        level = FULL if connection._db.execute(_LEVEL).fetchone() == (2,) else NORMAL
        within = False

        def told(statement: str) -> None:
            nonlocal level, within
            first = statement.split(" ", 1)[0]
            if statement.startswith(f"{_LEVEL} = "):
                level = statement.rsplit(" ", 1)[1]
            elif first in {"BEGIN", "COMMIT"}:
                within = first == "BEGIN"
            if first == "COMMIT" or (not within and first in {"INSERT", "UPDATE", "DELETE"}):
                self.commits.append(level)  # the latter are transactions by themselves

        connection._db.set_trace_callback(told)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    """Open a store in a file, which begins with full safety."""
    store = SqliteStore(path / "leyr.db", KEYS)
    # The head of the chain has a second place; marking it is no transaction of a caller's.
    store._database.put_head = lambda: None  # type: ignore[method-assign]  # out of the way
    await store.open()
    try:
        assert await pragma(store) == 2
        yield store
    finally:
        await store.close()


async def heard(store: SqliteStore) -> list[str]:
    """Return the commits from now on."""
    told = Told()
    await told.listen(store)
    return told.commits


async def pragma(store: SqliteStore) -> int:
    """Return at what level the store's own connection commits at this moment."""

    def read() -> int:
        connection = store._database._connection
        assert connection is not None
        level: int = connection._db.execute(_LEVEL).fetchone()[0]
        return level

    return await store._run(read)


async def lease(store: SqliteStore) -> Draft | None:
    """Take what is due."""
    return await store.take_due("w1", ("approved",), now=NOW, lease_until=NOW + MINUTE)


async def stage(store: SqliteStore) -> Any:
    """Stage a draft."""
    return await store.stage(new(), now=NOW, audit=DRAFTED)


async def revise(store: SqliteStore, draft: Draft) -> Any:
    """Make the next version."""
    return await store.revise(
        draft.id, 1, digest="b", payload=TEXT, state="awaiting_approval", now=NOW, audit=DRAFTED
    )


async def approve(store: SqliteStore, draft: Draft) -> Any:
    """Approve what waits."""
    return await store.approve(yes(draft), now=NOW, audit=DONE)


async def claim(store: SqliteStore, _draft: Draft) -> Any:
    """Begin to send what is approved."""
    return await claimed(store)


async def file(store: SqliteStore, draft: Draft) -> Any:
    """Say that it is in the record."""
    return await moved(store, draft, "filed", audit=DONE)


async def withdraw(store: SqliteStore, draft: Draft) -> Any:
    """Take it back."""
    return await moved(store, draft, "withdrawn", audit=DONE)


async def orphan(store: SqliteStore, _draft: Draft) -> Any:
    """Put in doubt what is sent by nobody any more."""
    return await store.expire_leases(now=NOW + DAY)


async def tidy(store: SqliteStore, _draft: Draft) -> Any:
    """Delete the text of what nobody decided on."""
    return await store.expire(now=NOW + DAY, drafts_before=NOW + DAY)


async def test_new_draft_survives_a_power_cut(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        commits = await heard(store)
        assert (await stage(store))[1]
        assert commits == [FULL]


@pytest.mark.parametrize(
    ("before", "act"),
    [
        (staged, revise),
        (approved, revise),
        (staged, approve),
        (staged, withdraw),
        (staged, tidy),
        (approved, claim),
        (sending, file),
        (sending, orphan),
    ],
)
async def test_each_step_of_a_draft_survives_a_power_cut(
    before: Callable[[SqliteStore], Awaitable[Draft]],
    act: Callable[[SqliteStore, Draft], Awaitable[Any]],
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        draft = await before(store)
        commits = await heard(store)
        assert await act(store, draft)
        assert commits == [FULL]
        assert await pragma(store) == 2


async def test_lease_need_not_survive_one_but_the_claim_that_follows_does(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        draft = await approved(store)
        commits = await heard(store)
        assert await lease(store)
        assert (commits, await pragma(store)) == ([NORMAL], 1)

        assert await claimed(store)
        assert (commits, await pragma(store)) == ([NORMAL, FULL], 2)
        assert await file(store, await known(store, draft.id))
        assert commits == [NORMAL, FULL, FULL]


async def test_what_is_not_due_is_no_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await staged(store)
        commits = await heard(store)
        assert await lease(store) is None
        assert await claimed(store) is None
        assert await store.expire_leases(now=NOW) == 0
        assert commits == []


@pytest.mark.parametrize(("durable", "level"), [(True, FULL), (False, NORMAL)])
async def test_event_survives_one_if_its_writer_says_so(
    tmp_path: Path, *, durable: bool, level: str
) -> None:
    async with opened(tmp_path) as store:
        commits = await heard(store)
        # The second is appended in one statement, where that need not survive.
        for _ in range(2):
            assert await store.append(READ, now=NOW, durable=durable)
        assert commits == [level, level]
        # A write after an event that may be lost makes that event last too: they share one log.
        assert await store.append(INTENT, now=NOW, durable=True)
        assert commits == [level, level, FULL]


async def test_event_that_waits_for_a_lock_is_as_durable_as_it_was_to_be(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.append(READ, now=NOW, durable=True)
        commits = await heard(store)
        other = sqlite3.connect(tmp_path / "leyr.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.append(READ, now=NOW, durable=False))
        await asyncio.sleep(0)  # it meets the lock, and waits in the store's thread
        other.execute("ROLLBACK")
        other.close()

        assert await waiting == 2
        # What met the lock is heard too.
        assert (commits, await pragma(store)) == ([NORMAL, NORMAL], 1)
        assert (await stage(store))[1]
        assert (commits, await pragma(store)) == ([NORMAL, NORMAL, FULL], 2)
