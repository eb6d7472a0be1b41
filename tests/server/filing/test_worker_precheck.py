"""What stands against sending what was approved: the record is read once more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest

from leyr_mcp.server.ehr import people
from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.ehr.models import Appointment, Patient, Timeslot
from leyr_mcp.server.errors import (
    StoreAwayError,
    UpstreamAuthError,
    UpstreamNotSupportedError,
    UpstreamRateLimitError,
)
from leyr_mcp.server.filing.entries import Shown
from leyr_mcp.server.filing.payloads import Item, Payload
from tests.server.filing.desk import (
    ANNA,
    AUDIT,
    BYTES,
    NUMBER,
    START,
    booking,
    by_hand,
    change,
    desk,
    document,
    filed,
    note,
    payload,
    virtual,
)
from tests.server.filing.world import (
    HANG,
    Fault,
    SimEhr,
    clock,
)


@virtual
async def test_a_slot_that_is_gone_is_told_at_once() -> None:
    async with desk() as at:
        by_hand(at)
        draft = await filed(at, booking())

        assert (draft.state, draft.reason, draft.attempt) == ("needs_human", "slot_taken", 0)
        assert asyncio.get_running_loop().time() < 5


class Blind(SimEhr):
    """A record system that tells no free times, no patients and no single appointments."""

    async def timeslots(self, *_: Any, **__: Any) -> list[Timeslot]:
        raise UpstreamNotSupportedError("No.")

    async def patient(self, *_: Any) -> Patient:
        raise UpstreamNotSupportedError("No.")

    async def appointment(self, *_: Any) -> Appointment:
        raise UpstreamNotSupportedError("No.")


@virtual
async def test_where_nothing_can_be_read_the_vendor_itself_tells_that_a_slot_is_gone() -> None:
    async with desk() as at:
        by_hand(at, patient_id="somebody")
        draft = await at.approved(payload(booking()))
        worker = at.worker(ehr=Blind(at.world))
        while (await at.now(draft)).state == "approved":
            assert await worker._steps.send_one()
        assert (await at.now(draft)).reason == "slot_taken"

        assert await at.worker()._steps.look_one()
        assert (await at.now(draft)).state == "needs_human"
        assert asyncio.get_running_loop().time() < 5


@virtual
async def test_where_nothing_can_be_read_a_change_is_sent_all_the_same() -> None:
    async with desk() as at:
        by_hand(at)
        draft = await at.approved(payload(change()))

        assert await at.worker(ehr=Blind(at.world))._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.verified) == ("filed", "unreadable")


@pytest.mark.parametrize(
    ("slots", "free"),
    [
        ([(0, 30)], True),
        ([(15, 30), (0, 15)], True),
        ([(-30, 60)], True),
        ([(0, 15)], False),
        ([(0, 10), (20, 30)], False),
        ([(5, 30)], False),
        ([], False),
    ],
)
@virtual
async def test_free_times_must_cover_the_whole_booking(
    slots: list[tuple[int, int]], *, free: bool
) -> None:
    class Free(SimEhr):
        async def timeslots(self, *_: Any, **__: Any) -> list[Timeslot]:
            of_another = Timeslot(
                start=START - timedelta(days=1), end=START + timedelta(days=1), resource_id="9"
            )
            return [
                of_another,
                *(
                    Timeslot(
                        start=START + timedelta(minutes=start),
                        end=START + timedelta(minutes=end),
                        resource_id="1021",
                    )
                    for start, end in slots
                ),
            ]

    async with desk() as at:
        draft = await at.approved(payload(booking(resource_id="emr_id:1021")))
        await at.worker(ehr=Free(at.world))._steps.send_one()

        assert ((await at.now(draft)).state == "filed") is free


@pytest.mark.parametrize(
    ("read", "changed"),
    [
        (ANNA.model_copy(update={"first_name": "ANNA", "last_name": "  Berg "}), False),
        (Patient(first_name="Anna", last_name="Berg"), False),
        (Patient(), False),
        (Patient(first_name="Anna", last_name="Bergman"), True),
        (ANNA.model_copy(update={"birth_date": date(1981, 1, 2)}), True),
    ],
)
@virtual
async def test_a_patient_who_changed_goes_back_to_review(read: Patient, *, changed: bool) -> None:
    async with desk() as at:
        at.world.people[NUMBER] = read
        draft = await at.approved(payload(note()))
        await at.worker()._steps.send_one()

        found = await at.now(draft)
        if changed:
            assert (found.state, found.reason) == ("awaiting_approval", "patient_changed")
            assert (found.approval_id, found.version, found.attempt) == (None, 2, 0)
            assert not at.world.received
            now = Payload.from_bytes(found.payload)
            assert now.patient_name == people.full_name(read)
            assert Shown.from_bytes(found.shown).checks[0].code == "patient_changed"
            # What the person then approves is what the record says, so it goes through.
            await at.approve(found)
            await at.worker()._steps.send_one()
            assert (await at.now(draft)).state == "filed"
        else:
            assert found.state == "filed"


@virtual
async def test_a_name_is_compared_composed_and_only_if_one_was_seen() -> None:
    async with desk() as at:
        at.world.people[NUMBER] = Patient(first_name="A\u030asa", last_name="Stra\u00dfe")
        same = await at.approved(payload(note(), patient_name="\u00c5SA strasse"))
        unseen = await at.approved(
            payload(note(text="b"), patient_name=None, patient_birth_date=None)
        )
        worker = at.worker()
        await worker._steps.send_one()
        await worker._steps.send_one()

        assert (await at.now(same)).state == (await at.now(unseen)).state == "filed"


@virtual
async def test_a_patient_who_is_gone_is_for_a_person() -> None:
    async with desk() as at:
        at.world.people.clear()
        draft = await filed(at, note())

        assert (draft.state, draft.reason) == ("needs_human", "patient_not_found")


@virtual
async def test_a_record_system_without_patients_is_not_asked() -> None:
    async with desk(capabilities=Capabilities(name="x", get_patient=False)) as at:
        at.world.people.clear()

        assert (await filed(at, note())).state == "filed"


@pytest.mark.parametrize(
    "exc", [UpstreamAuthError("x", status=401), UpstreamRateLimitError("x", retry_after_s=40.0)]
)
@virtual
async def test_a_reading_that_fails_leaves_it_approved_for_later(exc: Any) -> None:
    failing = Fault("x", error=lambda: exc)
    async with desk(read_faults=lambda: failing) as at:
        draft = await at.approved(payload(note()))
        worker = at.worker()
        await worker._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason, found.attempt) == ("approved", exc.code, 0)
        assert found.lease_owner is None
        assert found.next_at is not None
        wait = (found.next_at - clock()).total_seconds()
        assert wait == 40.0 if exc.retry_after_s else 0 <= wait <= 0.25
        assert not await worker._steps.send_one()


@virtual
async def test_a_reading_that_hangs_is_given_up() -> None:
    async with desk(read_faults=lambda: HANG) as at:
        draft = await at.approved(payload(note()))
        await at.worker()._steps.send_one()

        assert (await at.now(draft)).reason == "upstream_busy"
        assert asyncio.get_running_loop().time() == 60


@pytest.mark.parametrize(
    ("stored", "state", "reason"),
    [
        ({}, "filed", None),
        ({"status": "cancelled"}, "awaiting_approval", "appointment_changed"),
        ({"start": START + timedelta(hours=1)}, "awaiting_approval", "appointment_changed"),
        ({"id": "b2"}, "needs_human", "appointment_not_found"),
    ],
)
@virtual
async def test_an_appointment_is_read_before_it_is_changed(
    stored: dict[str, Any], state: str, reason: str | None
) -> None:
    async with desk() as at:
        by_hand(at, **stored)
        draft = await at.approved(payload(change()))
        await at.worker()._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason) == (state, reason)


@pytest.mark.parametrize("item", [document(sha256="0" * 64), document(sha256=""), document()])
@virtual
async def test_a_file_that_is_not_the_approved_one_is_not_sent(item: Item) -> None:
    async with desk() as at:
        if item == document():
            at.world.files["f1"] = b""
        draft = await filed(at, item)

        assert (draft.state, draft.reason) == ("needs_human", "file_changed")
        assert not at.world.received


@pytest.mark.parametrize("shown", [b"", b"no json"])
@virtual
async def test_a_file_that_is_gone_is_not_sent(shown: bytes) -> None:
    async with desk() as at:
        del at.world.files["f1"]
        draft = await at.approved(payload(document()), shown=shown)
        await at.worker()._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason) == ("needs_human", "file_gone")
        assert not at.world.received


@virtual
async def test_a_file_that_cannot_be_read_now_is_sent_later() -> None:
    async with desk() as at:
        draft = await at.approved(payload(document()))

        class Away:
            async def read(self, _: str) -> AsyncIterator[bytes]:
                yield BYTES[:8]
                raise StoreAwayError("away")

            async def drop(self, name: str) -> None:
                raise NotImplementedError

        worker = at.worker()
        worker._steps._files = Away()
        with pytest.raises(StoreAwayError):
            await worker._steps.send_one()
        assert (await at.now(draft)).state == "approved"
        assert not at.world.received

        worker._steps._files = at.world
        await asyncio.sleep(100)  # its lease ends
        await worker._steps.send_one()
        assert (await at.now(draft)).state == "filed"


@virtual
async def test_a_file_that_changes_while_it_is_sent_never_arrives_whole() -> None:
    async with desk() as at:
        draft = await at.approved(payload(document()))
        readings = iter((BYTES, BYTES[:-1] + b"X"))
        pieces = list[bytes]()

        class Changing:
            def read(self, _: str) -> Changing:
                return self

            async def drop(self, name: str) -> None:
                raise NotImplementedError

            async def __aiter__(self) -> AsyncIterator[bytes]:
                whole = next(readings)
                yield whole[:8]
                yield whole[8:]

        class Streaming(SimEhr):
            async def attach_document(self, *args: Any) -> Any:
                async for piece in args[2].chunks:
                    pieces.append(piece)

        worker = at.worker(ehr=Streaming(at.world))
        worker._steps._files = Changing()
        await worker._steps.send_one()

        assert pieces == [BYTES[:8]]
        assert (await at.now(draft)).reason == "unexpected"


@pytest.mark.parametrize(
    "what",
    [
        payload(note(), author=None),
        payload(note(), patient="emr_id:?"),
        payload(booking(end=START)),
        payload(change("reschedule")),
        payload(document(), author=""),
    ],
)
@virtual
async def test_a_draft_that_no_record_system_takes_is_for_a_person(what: Any) -> None:
    async with desk() as at:
        draft = await at.approved(what)
        await at.worker()._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason, found.attempt) == ("needs_human", "damaged", 0)


@pytest.mark.parametrize("raw", [b"{}", payload(note(text="other")).to_bytes()])
@pytest.mark.parametrize("state", ["approved", "unknown"])
@virtual
async def test_a_payload_that_is_not_what_was_approved_is_for_a_person(
    raw: bytes, state: str
) -> None:
    async with desk() as at:
        draft = await at.approve(await at.stage(payload(note()), raw=raw))
        steps = at.worker()._steps
        if state == "unknown":
            await at.store.claim("x", now=clock(), lease_until=clock(), audit=AUDIT)
            await asyncio.sleep(1)
            await steps.look_one()
        else:
            await steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason) == ("needs_human", "damaged")
        assert not at.world.received


@virtual
async def test_an_error_of_our_own_before_sending_is_for_a_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd(SimEhr):
        async def patient(self, *_: Any) -> Patient:
            raise ZeroDivisionError("Anna Berg")

    async with desk() as at:
        draft = await at.approved(payload(note()))
        await at.worker(ehr=Odd(at.world))._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason, found.attempt) == ("needs_human", "internal", 0)
        assert "ZeroDivisionError at " in caplog.text
        assert "Berg" not in caplog.text


@pytest.mark.parametrize("state", ["approved", "unknown"])
@virtual
async def test_a_draft_of_another_environment_touches_no_record(state: str) -> None:
    async with desk(read_faults=lambda: pytest.fail("read")) as at:
        draft = await at.approved(payload(note(), environment="sandbox"))
        if state == "unknown":
            await at.store.claim("x", now=clock(), lease_until=clock(), audit=AUDIT)
            await at.worker()._steps.look_one()
        else:
            await at.worker()._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason) == ("needs_human", "wrong_environment")
        assert not at.world.received
