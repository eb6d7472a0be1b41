"""The hand-off to the store's thread: cancelled callers, closed loops, and the end."""

from __future__ import annotations

import asyncio
import functools
import threading
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.worker import Worker
from tests.server.storage.builders import (
    DONE,
    KEYS,
    NOW,
    READ,
    approved,
    events,
    known,
    moved,
    opened,
    sending,
    staged,
    unbroken,
)


async def held(store: SqliteStore) -> threading.Event:
    """Keep the store's thread busy until the event is set."""
    release, busy = threading.Event(), threading.Event()

    def wait() -> None:
        busy.set()
        release.wait(10)

    assert store._worker is not None
    store._worker.later(wait)
    await asyncio.to_thread(busy.wait, 10)
    return release


async def test_work_runs_in_one_thread_and_in_order() -> None:
    worker = Worker("test")
    seen: list[int] = []
    names = {await worker.run(lambda: threading.current_thread().name) for _ in range(3)}
    await asyncio.gather(*(worker.run(functools.partial(seen.append, n)) for n in range(20)))
    worker.stop()
    assert names == {"test"}
    assert seen == list(range(20))


async def test_what_was_handed_over_is_done_though_its_caller_is_gone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    odd: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: odd.append(context))
    async with opened(store):
        draft = await sending(store)
        release = await held(store)
        task = asyncio.create_task(moved(store, draft, "filed", audit=DONE))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert (await known(store, draft.id)).state == "filed"
        assert (await events(store))[-1]["phase"] == "outcome"
    assert odd == []


async def test_cancelled_in_any_moment_a_call_is_whole_or_not_at_all(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    async with opened(store):
        for turns in range(60):
            task = asyncio.create_task(approved(store, dedupe=str(turns), digest=str(turns)))
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        drafts = await store.drafts(limit=1000)
        told = await events(store)
        for draft in drafts:
            mine = [e["event"] for e in told if e["draft_id"] == draft.id]
            assert mine == (["draft", "file"] if draft.state == "approved" else ["draft"])
            assert (draft.approval_id is not None) == (draft.state == "approved")
        unbroken(await store.audit_rows())
        assert await store.append(READ, now=NOW, durable=True) == len(told) + 1


async def test_an_open_that_is_cancelled_leaves_nothing_open(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    before = threading.active_count()
    task = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threading.active_count() == before
    async with opened(store):
        await staged(store)


async def test_a_close_that_is_cancelled_closes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    await store.open()
    await store.append(READ, now=NOW, durable=False)
    task = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store._database._connection is None
    assert not (tmp_path / "leyr.db-wal").exists()
    assert (tmp_path / "leyr.db.head").exists()


async def test_a_closed_store_says_so_and_opens_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    with pytest.raises(StorageError, match="not open"):
        await store.drafts()
    async with opened(store):
        draft = await staged(store)
    await store.close()
    with pytest.raises(StorageError, match="not open"):
        await store.draft(draft.id)
    with pytest.raises(StorageError, match="not open"):
        store._database.read(iter(()))  # type: ignore[arg-type]  # it is refused before
    store._database.put_head()
    async with opened(store):
        assert await known(store, draft.id) == draft


def test_a_loop_that_ended_does_not_disturb_the_thread() -> None:
    worker = Worker("test")
    release = threading.Event()

    async def begin() -> None:
        worker.run(release.wait)

    asyncio.run(begin())
    release.set()

    async def again() -> int:
        return await worker.run(lambda: 7)

    assert asyncio.run(again()) == 7
    worker.stop()


async def test_a_failure_reaches_its_caller_alone() -> None:
    worker = Worker("test")
    failing = worker.run(lambda: 1 / 0)
    assert await worker.run(lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        await failing
    worker.later(lambda: 1 / 0)
    assert await worker.run(lambda: 2) == 2
    worker.stop()
