"""The worker's life: woken, waited for, stopped, and never silently dead."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.ehr.models import Note
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Change
from tests.server.filing.desk import Desk, desk, note, payload, virtual, world
from tests.server.filing.world import (
    HANG,
    RESET_BEFORE,
    Fault,
    SimEhr,
    clock,
)


def _now() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_a_woken_worker_files_at_once() -> None:
    async with desk() as at:
        worker = at.worker()
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(10.1)
        draft = await at.approved(payload(note()))
        worker.wake()
        before = _now()

        found = await worker.outcome(draft.id, 50)

        assert found is not None
        assert (found.state, found.verified) == ("filed", "equal")
        assert _now() - before < 0.5
        assert await worker.drain(1)
        await running


@virtual
async def test_what_another_process_approves_is_noticed_within_half_a_second() -> None:
    async with desk() as at:
        worker = at.worker()
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(10.1)
        draft = await at.approved(payload(note()))
        await asyncio.sleep(0.5)

        assert (await at.now(draft)).state == "sending"
        assert await worker.drain(1)
        await running


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, at: Desk) -> None:
        self._at = at
        self.asked = list[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._at.store, name)


@virtual
async def test_an_idle_worker_only_asks_whether_anything_was_committed() -> None:
    async with desk() as at:
        store = Counting(at)
        worker = at.worker(store=store)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(60)

        assert set(store.asked[10:]) == {"commits", "next_due"}
        assert store.asked.count("commits") < 250
        assert await worker.drain(1)
        await running


@virtual
async def test_a_draft_in_anothers_hands_is_no_reason_to_hurry() -> None:
    async with desk() as at:
        await at.approved(payload(note()))
        await at.store.take_due("other", ("approved",), now=clock(), lease_until=clock())
        draft = await at.approved(payload(note(text="b")))
        await at.store.move(
            draft.id,
            "approved",
            "approved",
            version=1,
            now=clock(),
            change=Change(next_at=clock()),
        )
        await at.store.take_due(
            "other", ("approved",), now=clock(), lease_until=clock().replace(year=2027)
        )
        store = Counting(at)
        worker = at.worker(store=store)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(60)

        assert store.asked.count("next_due") < 300
        assert await worker.drain(1)
        await running


@virtual
async def test_an_outcome_is_given_as_it_stands_at_the_limit() -> None:
    async with desk(faults=lambda: HANG) as at:
        worker = at.worker()
        running = asyncio.create_task(worker.run())
        draft = await at.approved(payload(note()))
        worker.wake()
        waits = [worker.outcome(draft.id, 0), worker.outcome(draft.id, 20)]

        at_once, later = await asyncio.gather(*waits)

        assert at_once is not None
        assert later is not None
        assert (at_once.state, later.state) == ("approved", "sending")
        assert _now() == pytest.approx(20)
        assert not worker._waiting
        assert await worker.outcome("d_unknown", 20) is None
        waiting = await at.stage(payload(note(text="b")))
        found = await worker.outcome(waiting.id, 20)
        assert found is not None
        assert found.state == "awaiting_approval"
        assert _now() == pytest.approx(20)
        assert not await worker.drain(0)
        with pytest.raises(asyncio.CancelledError):
            await running


@virtual
async def test_an_outcome_does_not_miss_what_happens_while_it_reads() -> None:
    async with desk() as at:

        class Slow(Counting):
            async def draft(self, draft_id: str) -> Any:
                found = await at.store.draft(draft_id)
                if found is not None and found.state == "approved":
                    await at.move(found, "withdrawn")
                    worker._tell(draft_id)
                return found

        worker = at.worker(store=Slow(at))
        draft = await at.approved(payload(note()))

        found = await worker.outcome(draft.id, 20)

        assert found is not None
        assert found.state == "withdrawn"
        assert _now() == 0


@virtual
async def test_a_caller_who_no_longer_waits_stops_nothing() -> None:
    async with desk(faults=lambda: Fault("slow", told_after=30)) as at:
        worker = at.worker()
        running = asyncio.create_task(worker.run())
        draft = await at.approved(payload(note()))
        waiting = asyncio.create_task(worker.outcome(draft.id, 100))
        await asyncio.sleep(10)
        waiting.cancel()
        await asyncio.sleep(30)

        assert not worker._waiting
        assert (await at.now(draft)).state == "filed"
        assert await worker.drain(1)
        await running


@virtual
async def test_a_drain_ends_after_the_send_it_is_in_and_starts_no_other() -> None:
    async with desk(faults=lambda: Fault("slow", told_after=5)) as at:
        drafts = [await at.approved(payload(note(text=str(n)))) for n in range(2)]
        worker = at.worker()
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(1)

        assert await worker.drain(10)

        await running
        states = sorted([(await at.now(draft)).state for draft in drafts])
        assert states == ["approved", "filed"]
        assert _now() < 7
        assert await worker.drain(10)


@virtual
async def test_a_drain_that_takes_too_long_leaves_a_doubt() -> None:
    async with desk(faults=lambda: HANG) as at:
        draft = await at.approved(payload(note()))
        worker = at.worker()
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(1)

        assert not await worker.drain(10)

        assert running.cancelled()
        found = await at.now(draft)
        assert (found.state, found.reason, found.lease_owner) == ("unknown", "cancelled", None)
        other = at.worker("w2")
        running = asyncio.create_task(other.run())
        await other.outcome(draft.id, 100)
        assert (await at.now(draft)).state == "filed"
        assert at.world.received.total() == 1
        assert await other.drain(1)
        await running


@virtual
async def test_a_cancelled_send_whose_store_fails_is_still_cancelled() -> None:
    class Full(Counting):
        async def move(self, *_: Any, **__: Any) -> bool:
            raise StorageError("full")

    async with desk(faults=lambda: HANG) as at:
        draft = await at.approved(payload(note()))
        worker = at.worker(store=Full(at))
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})

        assert running.cancelled()
        assert (await at.now(draft)).state == "sending"


@virtual
async def test_stopped_before_it_began_it_does_nothing() -> None:
    async with desk() as at:
        draft = await at.approved(payload(note()))
        worker = at.worker()

        assert await worker.drain(1)
        await worker.run()

        assert (await at.now(draft)).state == "approved"


@virtual
async def test_no_exception_ends_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as at:
        failures: list[Exception] = [StorageError("full"), ZeroDivisionError("Berg")]

        class Failing(Counting):
            async def take_due(self, *args: Any, **known: Any) -> Any:
                if failures:
                    raise failures.pop()
                return await at.store.take_due(*args, **known)

        draft = await at.approved(payload(note()))
        worker = at.worker(store=Failing(at))
        running = asyncio.create_task(worker.run())

        found = await worker.outcome(draft.id, 50)

        assert found is not None
        assert found.state == "filed"
        assert "StorageError at " in caplog.text
        assert "ZeroDivisionError at " in caplog.text
        assert "Berg" not in caplog.text
        assert await worker.drain(1)
        await running


@virtual
async def test_a_store_that_stays_broken_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Counting):
        async def commits(self) -> int:
            raise StorageError("gone")

    async with desk() as at:
        worker = at.worker(store=Broken(at))
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(3_600)

        assert len(caplog.records) < 2 * 130
        assert await worker.drain(1)
        await running


@virtual
async def test_a_hanging_write_does_not_hold_up_what_is_looked_for() -> None:
    faults = iter((RESET_BEFORE, HANG))
    async with desk(faults=lambda: next(faults)) as at:
        lost = await at.approved(payload(note()))
        worker = at.worker()
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(1)
        at.world.put_note(note().new("a1"))
        hanging = await at.approved(payload(note(text="b")))
        await asyncio.sleep(10)

        assert (await at.now(hanging)).state == "sending"
        assert (await at.now(lost)).state == "filed"
        assert not await worker.drain(0)
        with pytest.raises(asyncio.CancelledError):
            await running


@virtual
async def test_several_workers_send_each_draft_once() -> None:
    async with desk() as at:
        drafts = [await at.approved(payload(note(text=str(n)))) for n in range(12)]
        workers = [at.worker(f"w{n}") for n in range(4)]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        await asyncio.gather(*(workers[0].outcome(draft.id, 100) for draft in drafts))

        assert {(await at.now(draft)).state for draft in drafts} == {"filed"}
        assert set(at.world.received.values()) == {1}
        assert all([await worker.drain(1) for worker in workers])
        await asyncio.gather(*running)


async def test_on_a_real_file_with_its_threads(tmp_path: Path) -> None:
    at_once = Fault("at once", stored_after=0, told_after=0)
    store = SqliteStore(tmp_path / "state" / "ledger.db", Keys(bytes(32)))
    await store.open()
    record = world(read_faults=lambda: at_once)
    at = Desk(store, record)

    class Instant(SimEhr):
        async def write_note(self, *args: Any) -> Note:
            return self.world.put_note(args[2])

    worker = at.worker("w", ehr=Instant(record))
    running = asyncio.create_task(worker.run())
    draft = await at.approved(payload(note()))
    worker.wake()

    found = await worker.outcome(draft.id, 5)

    assert found is not None
    assert (found.state, found.verified) == ("filed", "equal")
    assert record.stored.total() == 1
    assert await worker.drain(5)
    await running
    await store.close()


def test_the_clock_is_utc() -> None:
    assert utc_now().tzinfo is UTC
    assert abs((utc_now() - datetime.now(UTC)).total_seconds()) < 5
