"""Connections that are lost at any statement, and a server that goes away and comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.postgres import PostgresStore
from leyr_mcp.server.storage.store import Change, Draft
from tests.server.storage.builders import (
    DAY,
    DONE,
    DRAFTED,
    KEYS,
    MINUTE,
    NOW,
    READ,
    approved,
    claimed,
    known,
    links,
    moved,
    new,
    opened,
    sending,
    staged,
    until,
    yes,
)
from tests.server.storage.conftest import Admin, Node
from tests.support import postgres

_TABLES = ("drafts", "versions", "approvals", "events", "audit", "audit_head")


class Act(NamedTuple):
    """What must be there before, and what is done."""

    before: Callable[[PostgresStore], Awaitable[Draft]]
    do: Callable[[PostgresStore, Draft], Awaitable[Any]]


async def _stage(store: PostgresStore, _draft: Draft) -> Any:
    return await store.stage(new(dedupe="b", digest="b"), now=NOW, audit=DRAFTED)


async def _revise(store: PostgresStore, draft: Draft) -> Any:
    more: Any = {"digest": "c", "payload": b"c", "state": "draft", "now": NOW, "audit": DRAFTED}
    return await store.revise(draft.id, 1, dedupe="c", **more)


async def _approve(store: PostgresStore, draft: Draft) -> Any:
    return await store.approve(yes(draft), now=NOW, audit=DONE)


async def _claim(store: PostgresStore, _draft: Draft) -> Any:
    return await claimed(store)


async def _file(store: PostgresStore, draft: Draft) -> Any:
    return await moved(store, draft, "filed", change=Change(remote_id="r"), audit=DONE)


async def _lease(store: PostgresStore, _draft: Draft) -> Any:
    return await store.take_due("w", ["approved"], now=NOW, lease_until=NOW + MINUTE)


async def _orphan(store: PostgresStore, _draft: Draft) -> Any:
    return await store.expire_leases(now=NOW + DAY)


async def _notice(store: PostgresStore, _draft: Draft) -> Any:
    return await store.notice("e1", ["j1"], now=NOW)


async def _expire(store: PostgresStore, _draft: Draft) -> Any:
    return await store.expire(now=NOW + DAY, drafts_before=NOW + DAY)


async def _append(store: PostgresStore, _draft: Draft) -> Any:
    return await store.append(READ, now=NOW, durable=True)


async def _append_at_once(store: PostgresStore, _draft: Draft) -> Any:
    return await store.append(READ, now=NOW, durable=False)


ACTS = {
    "stage": Act(staged, _stage),
    "revise": Act(approved, _revise),
    "approve": Act(staged, _approve),
    "claim": Act(approved, _claim),
    "file": Act(sending, _file),
    "lease": Act(approved, _lease),
    "orphan": Act(sending, _orphan),
    "notice": Act(sending, _notice),
    "expire": Act(staged, _expire),
    "append": Act(staged, _append),
    "append at once": Act(staged, _append_at_once),
}


async def rows(admin: Admin) -> dict[str, Any]:
    """Return all that is stored."""
    return {
        table: sorted(map(tuple, await admin.fetch(f"SELECT * FROM {table}")), key=repr)  # noqa: S608 - named above
        for table in _TABLES
    }


class Losses:
    """Loses connections: the one that is about to run a certain statement, or has just run it."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._execute = asyncpg.Connection.execute
        self._fetch = asyncpg.Connection.fetch
        self.at = 0
        self.times = 1
        self.after = False
        self.run = list[str]()

    @contextlib.contextmanager
    def armed(self, at: int, *, times: int = 1, after: bool = False) -> Iterator[None]:
        """Do so from the statement of this number on, so many times."""
        self.at, self.times, self.after, self.run = at, times, after, []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncpg.Connection, "execute", self._lossy(self._execute))
            patch.setattr(asyncpg.Connection, "fetch", self._lossy(self._fetch))
            yield

    def _lossy(self, method: Any) -> Any:
        async def run(connection: Any, text: str, *values: Any, **more: Any) -> Any:
            self.run.append(text)
            number = len(self.run)
            if not self.at <= number < self.at + self.times:
                return await method(connection, text, *values, **more)
            if not self.after:
                await self._kill(connection.get_server_pid())
                return await method(connection, text, *values, **more)
            await method(connection, text, *values, **more)
            connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError("lost")

        return run

    async def _kill(self, pid: int) -> None:
        there = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
        await self._fetch(self._admin, "SELECT pg_terminate_backend($1)", pid)

        async def gone() -> bool:
            return not (await self._fetch(self._admin, there, pid))[0][0]

        await until(gone)


@pytest.mark.parametrize("name", ACTS)
async def test_connection_lost_at_any_statement_leaves_all_or_nothing(
    name: str, node: Node, admin: Admin
) -> None:
    act = ACTS[name]
    losses = Losses(admin)
    number, outcomes, sentences = 0, list[str](), set[str]()
    while True:
        number += 1
        store = node(f"n{number}")
        async with opened(store):
            await admin.execute(f"TRUNCATE {', '.join(_TABLES)}")
            draft = await act.before(store)
            before = await rows(admin)
            with losses.armed(number):
                try:
                    done = await act.do(store, draft)
                    outcomes.append("done" if len(losses.run) >= number else "through")
                except StorageError as exc:
                    sentences.add(exc.message)
                    outcomes.append("lost")
                    assert await rows(admin) == before
                    done = await act.do(store, draft)  # the store goes on
            assert done
            assert await rows(admin) != before
            await links(store)
        if outcomes[-1] == "through":
            break
    assert all("was lost; what was under way" in sentence for sentence in sentences)
    assert outcomes[0] == "done"  # nothing was under way
    assert "lost" in outcomes or name == "append at once"
    assert len(outcomes) >= (2 if name == "append at once" else 4)


@pytest.mark.parametrize("name", ACTS)
async def test_commit_whose_answer_is_lost_is_whole(name: str, node: Node, admin: Admin) -> None:
    act = ACTS[name]
    losses = Losses(admin)
    async with opened(node()) as store:
        assert isinstance(store, PostgresStore)
        draft = await act.before(store)
        before = await rows(admin)
        with losses.armed(0):
            assert await act.do(store, draft)
        last = len(losses.run)
        after = {table: len(found) for table, found in (await rows(admin)).items()}
        await admin.execute(f"TRUNCATE {', '.join(_TABLES)}")
        store._chain.tip = None
        draft = await act.before(store)
        with losses.armed(last, after=True):
            if name == "append at once":
                assert await act.do(store, draft) == 2  # it was looked for, and found
            else:
                with pytest.raises(StorageError, match="whole or not at all"):
                    await act.do(store, draft)
        found = await rows(admin)
        assert {table: len(kept) for table, kept in found.items()} == after
        assert found != before
        await links(store)


async def test_connection_that_is_lost_twice_is_told(node: Node, admin: Admin) -> None:
    losses = Losses(admin)
    async with opened(node()) as store:
        draft = await staged(store)
        before = await rows(admin)
        for act in (store.append(READ, now=NOW, durable=True), store.draft(draft.id)):
            with losses.armed(1, times=2), pytest.raises(StorageError, match="cannot be reached"):
                await act
        with losses.armed(1):
            assert await store.draft(draft.id) == draft
        assert await rows(admin) == before
        assert await store.append(READ, now=NOW, durable=True) == 2


@pytest.fixture
def own(tmp_path: Path) -> Iterator[postgres.Server]:
    """A server that a test may stop."""
    postgres.see_installed()
    with postgres.running(tmp_path) as found:
        yield found


async def _working(store: PostgresStore, told: list[tuple[str, str]]) -> None:
    for number in range(10_000):
        key = f"{store._node} {number}"
        with contextlib.suppress(StorageError):
            draft = await staged(store, dedupe=key, digest=key)
            told.append((draft.id, "awaiting_approval"))
            if await store.approve(yes(draft), now=NOW, audit=DONE):
                told.append((draft.id, "approved"))
            sent = await store.claim(
                "w", now=NOW, lease_until=NOW + MINUTE, audit=DONE, draft_id=draft.id
            )
            if sent is not None:
                told.append((sent.id, "sending"))
                if await moved(store, sent, "filed", change=Change(remote_id=key), audit=DONE):
                    told.append((sent.id, "filed"))
            await store.append(READ, now=NOW, durable=False)
        await asyncio.sleep(0)


async def _more(told: list[tuple[str, str]]) -> None:
    count = len(told) + 60

    async def enough() -> bool:
        return len(told) >= count

    await until(enough)


@contextlib.asynccontextmanager
async def _both(server: postgres.Server) -> AsyncIterator[list[PostgresStore]]:
    schema = postgres.new_schema()
    stores = [PostgresStore(server.url, KEYS, schema=schema, node=name) for name in ("a", "b")]
    async with opened(stores[0]), opened(stores[1]):
        yield stores


async def test_server_that_restarts_in_the_middle_keeps_what_it_told(
    own: postgres.Server,
) -> None:
    told: list[tuple[str, str]] = []
    order = ("awaiting_approval", "approved", "sending", "filed")
    async with _both(own) as stores:
        working = [asyncio.create_task(_working(store, told)) for store in stores]
        for how in ("immediate", "fast"):
            await _more(told)
            await asyncio.to_thread(own.stop, how)
            await asyncio.sleep(0.05)
            await asyncio.to_thread(own.start)
        await _more(told)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        states = dict(told)
        for draft_id, state in states.items():
            now = (await known(stores[0], draft_id)).state
            # What was told is stored; of the next step nothing was told.
            assert order.index(state) <= order.index(now) <= order.index(state) + 1
        for store in stores:
            await links(store)


async def test_server_that_is_away_is_told_and_found_again(own: postgres.Server) -> None:
    async with _both(own) as (store, other):
        draft = await staged(store)
        await asyncio.to_thread(own.stop)
        for act in (
            store.draft(draft.id),
            store.append(READ, now=NOW, durable=True),
            store.append(READ, now=NOW, durable=False),
            claimed(store),
        ):
            with pytest.raises(StorageError, match=r"^The (database|connection) "):
                await act
        with pytest.raises(StorageError, match="cannot be reached"):
            await PostgresStore(own.url, KEYS, schema="x", node="c").open()
        deaf = await other.commits()
        assert await other.commits() != deaf  # so that everybody looks for himself
        await asyncio.to_thread(own.start)
        assert await store.draft(draft.id) == draft
        assert await store.append(READ, now=NOW, durable=False) == 2

        async def hears() -> bool:
            return await other.commits() == await other.commits()

        await until(hears)


@pytest.mark.parametrize("after", [False, True])
async def test_many_events_on_a_lost_connection_stand_once(
    node: Node, admin: Admin, *, after: bool
) -> None:
    losses = Losses(admin)
    async with opened(node()) as store:
        await store.append(READ, now=NOW, durable=False)
        with losses.armed(1, after=after):
            numbers = await asyncio.gather(
                *(store.append(READ, now=NOW, durable=False) for _ in range(20))
            )
        assert numbers == list(range(2, 22))
        assert await links(store) == 21


async def test_many_events_that_cannot_be_stored_are_told_so_each(node: Node, admin: Admin) -> None:
    async with opened(node(timeout_s=0.3)) as store:
        await store.append(READ, now=NOW, durable=False)
        async with admin.transaction():
            await admin.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
            found = await asyncio.gather(
                *(store.append(READ, now=NOW, durable=False) for _ in range(20)),
                return_exceptions=True,
            )
        assert {str(one) for one in found} == {
            "The database is locked or too slow; nothing was stored."
        }
        assert await store.append(READ, now=NOW, durable=False) == 2
