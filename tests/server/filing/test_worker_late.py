"""Twins, claims that grew old, and answers that come when others have judged already."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from leyr_mcp.server.ehr.models import Note, Patient
from leyr_mcp.server.ehr.port import Job
from leyr_mcp.server.filing.timing import Timing
from tests.server.filing.desk import (
    AUDIT,
    Late,
    change,
    desk,
    filed,
    note,
    payload,
    settled,
    virtual,
)
from tests.server.filing.world import (
    GOOD,
    HANG,
    RESET_BEFORE,
    SimEhr,
    clock,
    late,
)


@virtual
async def test_an_identical_filing_waits_until_its_twin_is_decided() -> None:
    async with desk(faults=lambda: late(60)) as at:
        first = await at.approved(payload(note()))
        second = await at.approved(payload(note()), dedupe="again")
        worker = at.worker()
        await worker._steps.send_one()
        await worker._steps.send_one()

        assert {(await at.now(d)).state for d in (first, second)} == {"unknown", "approved"}
        running = asyncio.create_task(worker.run())
        found = [await settled(at, draft, worker) for draft in (first, second)]
        assert await worker.drain(1)
        await running
        assert [draft.state for draft in found] == ["filed", "filed"]
        assert len({draft.remote_id for draft in found}) == 2


@virtual
async def test_a_twin_that_turns_up_at_the_claim_puts_it_off() -> None:
    async with desk(faults=lambda: late(60)) as at:
        first = await at.approved(payload(note()))
        other = await at.approved(payload(note()), dedupe="again")

        class Slow(SimEhr):
            async def patient(self, *args: Any) -> Patient:
                await at.worker("w2")._steps.send_one()
                return await super().patient(*args)

        await at.worker(ehr=Slow(at.world))._steps.send_one()

        states = {(await at.now(d)).state: await at.now(d) for d in (first, other)}
        assert set(states) == {"unknown", "approved"}
        assert states["approved"].reason == "twin_open"
        assert at.world.received.total() == 1


@virtual
async def test_what_was_taken_back_meanwhile_is_not_sent() -> None:
    async with desk() as at:
        draft = await at.approved(payload(note()))

        class Slow(SimEhr):
            async def patient(self, *args: Any) -> Patient:
                await at.move(draft, "withdrawn")
                return await super().patient(*args)

        await at.worker(ehr=Slow(at.world))._steps.send_one()

        assert (await at.now(draft)).state == "withdrawn"
        assert not at.world.received


@virtual
async def test_a_claim_that_grew_old_before_it_was_sent_is_not_sent() -> None:
    async with desk() as at:
        draft = await at.approved(payload(note()))
        await at.worker(store=Late(at, 16))._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason) == ("approved", "stale_claim")
        assert not at.world.received
        await asyncio.sleep(1)
        await at.worker()._steps.send_one()
        assert (await at.now(draft)).state == "filed"


@virtual
async def test_the_time_to_send_runs_from_the_claim_as_the_grace_does() -> None:
    async with desk(faults=lambda: HANG) as at:
        draft = await at.approved(payload(note()))
        await at.worker(store=Late(at, 10))._steps.send_one()

        found = await at.now(draft)
        assert found.state == "unknown"
        assert found.last_sent_at is not None
        assert found.updated_at - found.last_sent_at == timedelta(seconds=60)


@virtual
async def test_a_claim_of_a_version_that_was_not_checked_is_not_sent() -> None:
    async with desk() as at:
        draft = await at.approved(payload(note()))

        class Slow(SimEhr):
            async def patient(self, *args: Any) -> Patient:
                new = payload(note(text="other"))
                if (await at.now(draft)).version == 1:
                    revised = await at.store.revise(
                        draft.id,
                        1,
                        digest=new.digest(),
                        payload=new.to_bytes(),
                        state="awaiting_approval",
                        now=clock(),
                        audit=AUDIT,
                    )
                    assert revised is not None
                    await at.approve(revised)
                return await super().patient(*args)

        worker = at.worker(ehr=Slow(at.world))
        await worker._steps.send_one()
        assert not at.world.received

        await asyncio.sleep(200)
        await worker._steps.send_one()
        found = await at.now(draft)
        assert (found.state, found.version) == ("filed", 2)


@pytest.mark.parametrize("state", ["unknown", "needs_human", "approved"])
@virtual
async def test_an_answer_that_comes_after_its_lease_still_counts(state: str) -> None:
    async with desk() as at:
        draft = await at.approved(payload(note()))
        steps = at.worker()._steps

        class Slow(SimEhr):
            async def write_note(self, *args: Any) -> Note | Job:
                await asyncio.sleep(50)
                await at.store.expire_leases(now=clock() + timedelta(days=1))
                if state != "unknown":
                    await at.move(draft, "needs_human", reason="x")
                if state == "approved":
                    await at.approve(await at.move(draft, "awaiting_approval"))
                return await super().write_note(*args)

        steps._ehr = Slow(at.world)
        await steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.remote_id, found.verified) == ("filed", "r1", "equal")
        assert not found.reason
        assert at.world.received.total() == 1


@virtual
async def test_an_answer_that_comes_after_another_decision_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk() as at:
        draft = await at.approved(payload(note()))

        class Slow(SimEhr):
            async def write_note(self, *args: Any) -> Note | Job:
                await at.move(draft, "needs_human")
                await at.move(draft, "withdrawn")
                return await super().write_note(*args)

        await at.worker(ehr=Slow(at.world))._steps.send_one()

        assert (await at.now(draft)).state == "withdrawn"
        assert "decided otherwise" in caplog.text


@virtual
async def test_an_answer_that_another_found_first_is_no_news(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A lease that ends before the deadline does, as if this machine had slept.
    async with desk(timing=Timing(margin_s=-30)) as at:
        draft = await at.approved(payload(note()))

        class Slow(SimEhr):
            async def write_note(self, *args: Any) -> Note | Job:
                stored = await super().write_note(*args)
                await asyncio.sleep(40)
                assert await at.worker("w2")._steps.look_one()
                assert (await at.now(draft)).state == "filed"
                return stored

        await at.worker(ehr=Slow(at.world))._steps.send_one()

        assert (await at.now(draft)).state == "filed"
        assert not caplog.records


@virtual
async def test_one_entry_is_never_taken_for_two_filings() -> None:
    async with desk() as at:
        first = await at.approved(payload(note()))
        second = await at.approved(payload(note(text="other")))
        entry = at.world.put_note(note().new("a1"))

        class Same(SimEhr):
            async def write_note(self, *_: Any) -> Note:
                return entry

        steps = at.worker(ehr=Same(at.world))._steps
        await steps.send_one()
        await steps.send_one()

        found = [await at.now(first), await at.now(second)]
        assert sorted(d.state for d in found) == ["filed", "needs_human"]
        assert {d.reason for d in found} == {None, "duplicate_upstream"}


@virtual
async def test_before_it_is_sent_again_by_order_the_record_is_searched_once_more() -> None:
    async with desk(faults=lambda: late(500)) as at:
        draft = await filed(at, note())
        assert draft.reason == "not_found_after_timeout"
        await asyncio.sleep(500)
        await at.approve(await at.move(draft, "awaiting_approval"))
        await at.worker()._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.matched_by, found.attempt) == ("filed", "content", 1)
        assert at.world.stored.total() == 1


@virtual
async def test_two_equal_entries_are_for_a_person() -> None:
    async with desk(faults=lambda: late(500)) as at:
        draft = await filed(at, note())
        await asyncio.sleep(500)
        at.world.put_note(note().new("a1"), ours=False)
        await at.approve(await at.move(draft, "awaiting_approval"))
        await at.worker()._steps.send_one()

        assert (await at.now(draft)).reason == "duplicate_upstream"
        assert at.world.received.total() == 1


@virtual
async def test_a_code_of_confirmation_is_never_sent_twice() -> None:
    async with desk(faults=lambda: RESET_BEFORE) as at:
        draft = await filed(at, change("confirm", code="123"))
        assert draft.reason == "not_found_after_timeout"
        await at.approve(await at.move(draft, "awaiting_approval"))
        await at.worker()._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason) == ("needs_human", "code_spent")
        assert at.world.received.total() == 1


@virtual
async def test_sent_again_by_order_is_one_more_attempt_of_the_same_draft() -> None:
    faults = iter((RESET_BEFORE, GOOD))
    async with desk(faults=lambda: next(faults)) as at:
        draft = await filed(at, note())
        await at.approve(await at.move(draft, "awaiting_approval"))
        await at.worker()._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.attempt) == ("filed", 2)
        assert found.first_sent_at != found.last_sent_at
