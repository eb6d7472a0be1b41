"""What changed since it was approved comes back as the next version, with what is there now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.filing.entries import Check, Shown
from leyr_mcp.server.filing.payloads import ChangeItem, Payload, Was
from leyr_mcp.server.filing.precheck import Review
from leyr_mcp.server.filing.reasons import REASONS
from leyr_mcp.server.storage.store import Approval, Draft
from tests.server.filing.desk import (
    ANNA,
    AUDIT,
    NUMBER,
    START,
    Desk,
    by_hand,
    change,
    desk,
    note,
    payload,
    virtual,
)
from tests.server.filing.world import clock

HOUR = timedelta(hours=1)


def shown(draft: Draft) -> list[tuple[str, str]]:
    """Return what a person is shown to be found."""
    return [(check.code, check.level) for check in Shown.from_bytes(draft.shown).checks]


def was(draft: Draft) -> Was:
    """Return the appointment as the draft says it stands."""
    item = Payload.from_bytes(draft.payload).item
    assert isinstance(item, ChangeItem)
    return item.was


@pytest.mark.parametrize(
    ("stored", "now"),
    [
        (
            {"start": START + HOUR, "end": START + 2 * HOUR},
            Was(start=START + HOUR, status="booked"),
        ),
        ({"status": "arrived"}, Was(start=START, status="arrived")),
    ],
)
@virtual
async def test_changed_appointment_is_shown_as_it_stands_and_that_is_what_is_filed(
    stored: dict[str, Any], now: Was
) -> None:
    async with desk() as at:
        by_hand(at, **stored)
        what = payload(change(comment="Sjuk"))
        draft = await at.approved(what)
        worker = at.worker()
        assert await worker._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason) == ("awaiting_approval", "appointment_changed")
        assert (found.version, found.approval_id, found.attempt) == (2, None, 0)
        assert (found.lease_owner, found.next_at) == (None, None)
        assert was(found) == now
        assert found.digest == Payload.from_bytes(found.payload).digest() != draft.digest
        assert shown(found) == [("appointment_changed", "block")]
        assert not at.world.received
        assert not await worker._steps.send_one()  # nothing is sent before a person looked
        # All that was approved and is not of the record stays, word for word.
        kept = Payload.from_bytes(found.payload)
        assert isinstance(kept.item, ChangeItem)
        assert (kept.item.action, kept.item.comment) == ("cancel", "Sjuk")
        assert await at.store.version(draft.id, 1) == what.to_bytes()

        await at.approve(found)
        assert await worker._steps.send_one()
        filed = await at.now(draft)
        assert (filed.state, filed.version, filed.reason) == ("filed", 2, None)
        assert at.world.entries["b1"].model.status == "cancelled"
        assert at.world.received == {"change b1": 1}


@virtual
async def test_appointment_that_changes_twice_comes_back_twice_and_says_so_once() -> None:
    async with desk() as at:
        draft = await at.approved(payload(change()))
        worker = at.worker()
        for version, later in ((2, HOUR), (3, 2 * HOUR)):
            by_hand(at, start=START + later, end=START + later + HOUR)
            assert await worker._steps.send_one()
            found = await at.now(draft)
            assert (found.version, was(found).start) == (version, START + later)
            assert shown(found) == [("appointment_changed", "block")]
            await at.approve(found)

        assert await worker._steps.send_one()
        assert (await at.now(draft)).state == "filed"


@virtual
async def test_appointment_and_patient_that_both_changed_are_both_shown() -> None:
    async with desk() as at:
        by_hand(at, start=START + HOUR, end=START + 2 * HOUR)
        at.world.people[NUMBER] = ANNA.model_copy(update={"last_name": "Gift"})
        draft = await at.approved(payload(change()))
        worker = at.worker()
        assert await worker._steps.send_one()
        await at.approve(await at.now(draft))
        assert await worker._steps.send_one()

        found = await at.now(draft)
        assert shown(found) == [("appointment_changed", "block"), ("patient_changed", "block")]
        assert Payload.from_bytes(found.payload).patient_name == "Anna Gift"
        assert was(found).start == START + HOUR
        assert not at.world.received


@virtual
async def test_approval_of_what_was_there_before_is_void() -> None:
    async with desk() as at:
        by_hand(at, start=START + HOUR, end=START + 2 * HOUR)
        draft = await at.approved(payload(change()))
        await at.worker()._steps.send_one()

        stale = Approval(
            id="stale",
            draft_id=draft.id,
            version=1,
            digest=draft.digest,
            approver="d",
            channel="page",
            created_at=clock(),
            expires_at=clock() + HOUR,
        )
        assert not await at.store.approve(stale, now=clock(), audit=AUDIT)
        assert (await at.now(draft)).state == "awaiting_approval"


@pytest.mark.parametrize(
    ("read", "name", "born"),
    [
        (Patient(first_name="Anna", last_name="Gift"), "Anna Gift", "1980-01-02"),
        (Patient.model_validate({"birth_date": "1981-01-02"}), "Anna Berg", "1981-01-02"),
    ],
)
@virtual
async def test_what_the_record_no_longer_tells_of_the_patient_stays_as_it_was_seen(
    read: Patient, name: str, born: str
) -> None:
    async with desk() as at:
        at.world.people[NUMBER] = read
        draft = await at.approved(payload(note()))
        await at.worker()._steps.send_one()

        now = Payload.from_bytes((await at.now(draft)).payload)
        assert (now.patient_name, str(now.patient_birth_date)) == (name, born)


def test_findings_of_before_stay_behind_why_it_came_back() -> None:
    before = Shown(
        expected="equal",
        checks=(Check("patient_changed", "block", "Once."), Check("overlap", "warn", "Two.")),
        number="19800102-****",
        names={"author": "Dr Ek"},
        key="copy-2",
        source="claude-code",
        written=1,
    )

    after = Shown.from_bytes(Review("patient_changed", payload(note())).shown(before.to_bytes()))

    told = Check("patient_changed", "block", REASONS["patient_changed"].text)
    assert after.checks == (told, before.checks[1])
    assert after.blocked
    for kept in ("expected", "number", "names", "key", "source", "written"):
        assert getattr(after, kept) == getattr(before, kept)


@virtual
async def test_findings_that_cannot_be_read_leave_it_to_a_person() -> None:
    async with desk() as at:
        by_hand(at, status="arrived")
        what = payload(change())
        draft = await at.approve(await at.stage(what, shown=b"no findings"))
        worker = at.worker()
        assert await worker._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason, found.version) == ("needs_human", "damaged", 1)
        assert found.payload == what.to_bytes()
        assert not await worker._steps.send_one()
        assert not at.world.received


# Somebody else is quicker


class Meanwhile:
    """A store at which somebody does something just before a draft gets its next version."""

    def __init__(self, at: Desk, act: Callable[[], Awaitable[Any]]) -> None:
        self._at = at
        self._act = act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._at.store, name)

    async def revise(self, *args: Any, **known: Any) -> Draft | None:
        await self._act()
        return await self._at.store.revise(*args, **known)


@virtual
async def test_draft_that_was_taken_back_meanwhile_stays_taken_back() -> None:
    async with desk() as at:
        by_hand(at, status="arrived")
        draft = await at.approved(payload(change()))
        store = Meanwhile(at, lambda: at.move(draft, "withdrawn"))
        worker = at.worker(store=store)
        told = list[str]()
        worker._steps._changed = told.append
        assert await worker._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.version, found.reason) == ("withdrawn", 1, None)
        assert await at.store.version(draft.id, 2) is None
        assert told == [draft.id]  # who waits for it learns how it stands
        assert not await worker._steps.send_one()
        assert not at.world.received


@virtual
async def test_version_that_its_caller_wrote_meanwhile_is_the_one_that_waits() -> None:
    async with desk() as at:
        by_hand(at, status="arrived")
        draft = await at.approved(payload(change()))
        wanted = payload(change(comment="Sjuk"))

        async def rewrite() -> Draft | None:
            return await at.store.revise(
                draft.id,
                1,
                digest=wanted.digest(),
                payload=wanted.to_bytes(),
                state="awaiting_approval",
                now=clock(),
                audit=AUDIT,
            )

        assert await at.worker(store=Meanwhile(at, rewrite))._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.version, found.reason) == ("awaiting_approval", 2, None)
        assert (found.digest, found.payload) == (wanted.digest(), wanted.to_bytes())
        assert not at.world.received
