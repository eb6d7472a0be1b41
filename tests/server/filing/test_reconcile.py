"""What a look finds and what follows from it."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.ehr.models import Appointment, Document, Note, Patient
from leyr_mcp.server.errors import UpstreamNotFoundError, UpstreamUnavailableError
from leyr_mcp.server.filing.compare import Age, age, text
from leyr_mcp.server.filing.payloads import Item
from leyr_mcp.server.filing.reconcile import (
    CANDIDATES,
    Again,
    Conclusion,
    Doubt,
    Filed,
    Found,
    Hit,
    Human,
    Wait,
    conclude,
    look,
    pause_s,
)
from tests.server.filing.desk import (
    BYTES,
    NUMBER,
    START,
    booking,
    change,
    document,
    note,
    payload,
    person,
    virtual,
    world,
)
from tests.server.filing.world import EPOCH, RESET_BEFORE, SimEhr, World, digested

HIT = Hit("r1", "content")
OTHER = Hit("r2", "content")


def _doubt(item: Item, *, owned: frozenset[str] = frozenset(), **more: Any) -> Doubt:
    reason = more.pop("reason", "no_answer")
    return Doubt(payload=payload(item, **more), since=EPOCH, owned=owned, reason=reason)


async def _look(at: World, item: Item, **more: Any) -> Found:
    return await look(SimEhr(at), _doubt(item, **more))


@pytest.mark.parametrize(
    ("found", "early", "late"),
    [
        (Found((HIT,)), Filed(HIT), Filed(HIT)),
        (Found((HIT,), near=3, unclear="x"), Filed(HIT), Filed(HIT)),
        (Found((HIT, OTHER)), Human("duplicate_upstream"), Human("duplicate_upstream")),
        (Found(near=1), Wait(), Human("conflict")),
        (Found(near=1, unclear="lookup_failed"), Wait(), Human("conflict")),
        (Found(unclear="lookup_failed"), Wait(), Human("lookup_failed")),
        (Found(unclear="lookup_unsupported"), Wait(), Human("lookup_unsupported")),
        (Found(), Wait(), Human("not_found_after_timeout")),
    ],
)
def test_what_follows_from_a_look(found: Found, early: Conclusion, late: Conclusion) -> None:
    doubt = _doubt(note())

    assert conclude(found, doubt, grace_over=False) == early
    assert conclude(found, doubt, grace_over=True) == late


def test_a_slot_that_is_taken_and_not_by_us_is_told_at_once() -> None:
    doubt = _doubt(booking(), reason="slot_taken")

    assert conclude(Found(), doubt, grace_over=False) == Human("slot_taken")
    assert conclude(Found((HIT,)), doubt, grace_over=False) == Filed(HIT)
    assert conclude(Found(unclear="lookup_failed"), doubt, grace_over=False) == Wait()


def test_only_a_patient_with_a_number_may_be_created_again() -> None:
    assert conclude(Found(), _doubt(person()), grace_over=False) == Wait()
    assert conclude(Found(), _doubt(person()), grace_over=True) == Again()
    assert conclude(Found(), _doubt(person(None)), grace_over=True) == Human(
        "not_found_after_timeout"
    )


def test_looks_come_after_1_2_4_8_15_30_seconds_then_each_minute() -> None:
    assert [pause_s(looked) for looked in range(9)] == [1, 2, 4, 8, 15, 30, 60, 60, 60]


UNZONED = EPOCH.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (None, Age.UNKNOWN),
        (EPOCH, Age.AFTER),
        (EPOCH - timedelta(seconds=1), Age.BEFORE),
        (EPOCH.astimezone(timezone(timedelta(hours=-8))), Age.AFTER),
        (UNZONED, Age.PERHAPS),
        (UNZONED - timedelta(hours=12), Age.PERHAPS),
        (UNZONED.replace(hour=0), Age.PERHAPS),
        (UNZONED - timedelta(days=2), Age.BEFORE),
    ],
)
def test_a_time_without_offset_is_of_any_zone(made: datetime | None, expected: Age) -> None:
    assert age(made, EPOCH) is expected


def _note(**more: Any) -> Note:
    fields = {
        "id": "r1",
        "title": "Visit",
        "created_by_id": "a1",
        "created_at": EPOCH,
        "content": {"unstructured": "Well."},
        **more,
    }
    return Note(**fields)


MINUTES_5 = timedelta(minutes=5)


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (_note(), Found((HIT,))),
        (_note(content={"unstructured": " Well.  \r\n", "other": ""}), Found((HIT,))),
        (_note(title=" Visit "), Found((HIT,))),
        (_note(title=None), Found((HIT,))),
        (_note(created_by_id=None), Found((HIT,))),
        (_note(created_by_id="emr_id:a1"), Found((HIT,))),
        (_note(created_at=EPOCH - MINUTES_5), Found((HIT,))),
        (_note(created_at=UNZONED), Found((HIT,))),
        (_note(created_at=EPOCH - MINUTES_5 - timedelta(seconds=1)), Found()),
        (_note(created_at=None), Found(unclear="lookup_inconclusive")),
        (_note(content=None), Found(unclear="lookup_inconclusive")),
        (_note(title="Another"), Found()),
        (_note(content={"unstructured": "Ill."}), Found(near=1)),
        (_note(content={"unstructured": "We"}), Found(near=1)),
        (_note(content={"unstructured": "Ill."}, created_at=None), Found()),
        (_note(content={"unstructured": "Ill."}, created_at=UNZONED), Found()),
        (_note(created_by_id="a2"), Found(near=1)),
        (_note(created_by_id="a2", content={"unstructured": "Ill."}), Found()),
        (_note(title=None, created_by_id="a2", created_at=None), Found()),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
@virtual
async def test_a_note_is_found_by_author_title_and_text(
    stored: Note,
    found: Found,
    whole: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    at = world(list_has_content=whole)
    at.put("k", stored)

    assert await _look(at, note()) == found


@virtual
async def test_what_another_filing_owns_is_skipped() -> None:
    at = world()
    at.put("k", _note())
    at.put("k", _note(id="r2"))

    assert await _look(at, note(), owned=frozenset({"r1"})) == Found((OTHER,))
    assert await _look(at, note()) == Found((HIT, OTHER))


@virtual
async def test_a_title_found_only_by_reading_is_compared_too() -> None:
    at = world()
    at.put("k", _note(title=None))

    class Telling(SimEhr):
        async def note(self, *_: Any) -> Note:
            return _note(title="Another")

    assert await look(Telling(at), _doubt(note())) == Found()


@virtual
async def test_a_note_that_is_gone_when_it_is_read_is_no_candidate() -> None:
    at = world()
    at.put("k", _note())
    at.put("k", _document(id="r2"))

    class Gone(SimEhr):
        async def note(self, *_: Any) -> Note:
            raise UpstreamNotFoundError("There is no such entry in the record.")

        async def document_digest(self, *_: Any) -> Document:
            raise UpstreamNotFoundError("There is no such entry in the record.")

    assert await look(Gone(at), _doubt(note())) == Found()
    assert await look(Gone(at), _doubt(document())) == Found()


@virtual
async def test_more_candidates_than_are_read_leave_it_open() -> None:
    at = world()
    for number in range(CANDIDATES + 1):
        at.put("k", _note(id=f"n{number}", content={"unstructured": str(number)}))

    found = await _look(at, note())

    assert found == Found(near=CANDIDATES, unclear="lookup_inconclusive")


@virtual
async def test_a_look_that_fails_is_not_an_empty_one() -> None:
    at = world(read_faults=lambda: RESET_BEFORE)

    with pytest.raises(UpstreamUnavailableError):
        await _look(at, note())


def _document(**more: Any) -> Document:
    fields = {
        "id": "r1",
        "title": "Letter",
        "format": "text/plain",
        "created_by_id": "a1",
        "content": base64.b64encode(BYTES).decode(),
        **more,
    }
    return Document(**fields)


BY_TIME = Hit("r1", "title_format_time", "unreadable")


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (_document(), Found((HIT,))),
        (_document(created_at=EPOCH), Found((HIT,))),
        (_document(created_at=UNZONED), Found((HIT,))),
        (_document(created_at=EPOCH - timedelta(hours=1)), Found()),
        (_document(title=None, format=None, created_by_id=None), Found((HIT,))),
        (_document(content="AAAA"), Found()),
        (_document(content="AAAA", created_at=EPOCH), Found(near=1)),
        (_document(content="not base64", created_at=EPOCH), Found(near=1)),
        (_document(content=None), Found(unclear="lookup_inconclusive")),
        (_document(content=None, created_at=UNZONED), Found(unclear="lookup_inconclusive")),
        (_document(content=None, created_at=EPOCH), Found((BY_TIME,))),
        (_document(title="Bill"), Found()),
        (_document(format="image/png"), Found()),
        (_document(created_by_id="a2"), Found()),
    ],
)
@virtual
async def test_a_document_is_found_by_its_bytes(stored: Document, found: Found) -> None:
    at = world()
    at.put("k", stored)

    assert await _look(at, document()) == found


@virtual
async def test_a_document_whose_title_is_told_only_by_reading_is_compared_too() -> None:
    at = world()
    at.put("k", _document(title=None))

    class Telling(SimEhr):
        async def document_digest(self, *_: Any) -> Document:
            return digested(_document(title="Bill"))

    assert await look(Telling(at), _doubt(document())) == Found()


def _booked(**more: Any) -> Appointment:
    fields = {
        "id": "r1",
        "start": START,
        "end": START + timedelta(minutes=30),
        "status": "booked",
        **more,
    }
    return Appointment(**fields)


BY_PLACE = Hit("r1", "patient_time")


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (_booked(), Found((BY_PLACE,))),
        (_booked(status="awaiting_confirmation"), Found((BY_PLACE,))),
        (_booked(start=START + timedelta(seconds=59)), Found((BY_PLACE,))),
        (_booked(patient_id=f"se_personal_number:{NUMBER}"), Found((BY_PLACE,))),
        (_booked(patient_id="e77"), Found((BY_PLACE,))),
        (_booked(patient_id="somebody"), Found()),
        (_booked(resource_id="emr_id:1021"), Found((BY_PLACE,))),
        (_booked(comment="Bring it."), Found((BY_PLACE,))),
        (_booked(comment="other"), Found((replace(BY_PLACE, verified="differs:comment"),))),
        (
            _booked(end=START + timedelta(hours=1)),
            Found((replace(BY_PLACE, verified="differs:end"),)),
        ),
        (_booked(status="cancelled"), Found()),
        (_booked(start=START + timedelta(minutes=1)), Found()),
        (_booked(resource_id="1022"), Found()),
        (_booked(healthcare_service_id="s2"), Found()),
    ],
)
@virtual
async def test_a_booking_is_found_by_patient_time_and_place(
    stored: Appointment, found: Found
) -> None:
    at = world()
    at.people[NUMBER] = Patient(id="p5", emr_id="e77", external_id=NUMBER)
    at.put("k", stored)
    item = booking(resource_id="1021", healthcare_service_id="s1", comment="Bring it.")

    assert await _look(at, item) == found
    assert await _look(at, item, owned=frozenset({"r1"})) == Found()


@virtual
async def test_where_appointments_are_not_listed_nothing_is_concluded() -> None:
    at = world(capabilities=Capabilities(name="x", list_appointments=False))

    assert await _look(at, booking()) == Found(unclear="lookup_unsupported")


LATER = START + timedelta(days=1)
MOVE = change("reschedule", start=LATER, end=LATER + timedelta(minutes=30))
AT_LATER = {"start": LATER, "end": LATER + timedelta(minutes=30)}
ROOM = change("reschedule", resource_id="1022")
WORD = change("reschedule", comment="room 2")
BOTH = replace(MOVE, resource_id="1022", comment="room 2")
BY_STATE = Found((Hit("b1", "state"),))


@pytest.mark.parametrize(
    ("item", "stored", "found"),
    [
        (change(), _booked(id="b1"), Found()),
        (change(), _booked(id="b1", status="cancelled"), BY_STATE),
        (change(), _booked(id="b1", status="awaiting_confirmation"), BY_STATE),
        (change("confirm", code="1"), _booked(id="b1", status="booked"), Found()),
        (change("confirm", code="1"), _booked(id="b1", status="awaiting_confirmation"), Found()),
        (change("confirm", code="1"), _booked(id="b1", status="cancelled"), BY_STATE),
        (MOVE, _booked(id="b1"), Found()),
        (MOVE, _booked(id="b1", **AT_LATER), BY_STATE),
        (MOVE, _booked(id="b1", **AT_LATER, status="cancelled"), Found()),
        (ROOM, _booked(id="b1"), Found()),
        (ROOM, _booked(id="b1", resource_id="1021"), Found()),
        (ROOM, _booked(id="b1", resource_id="1022"), BY_STATE),
        (WORD, _booked(id="b1"), Found()),
        (WORD, _booked(id="b1", comment="room 2"), BY_STATE),
        (BOTH, _booked(id="b1", **AT_LATER), BY_STATE),
        (BOTH, _booked(id="b1", **AT_LATER, resource_id="1021"), Found()),
        (BOTH, _booked(id="b1", **AT_LATER, comment="other"), Found()),
        (MOVE, _booked(id="b2", **AT_LATER), Found((Hit("b2", "patient_time"),))),
        (MOVE, _booked(id="b2"), Found()),
        (change(), _booked(id="b2"), Found(unclear="lookup_inconclusive")),
    ],
)
@virtual
async def test_a_change_is_found_by_the_appointments_state(
    item: Any, stored: Appointment, found: Found
) -> None:
    at = world()
    at.put("k", stored)

    assert await _look(at, item) == found


@pytest.mark.parametrize(
    ("item", "stored", "found"),
    [
        (
            person(),
            Patient(emr_id="e1", external_id="199006022397"),
            Found((Hit("e1", "external_id"),)),
        ),
        (person(), Patient(emr_id="199006022397"), Found((Hit("199006022397", "external_id"),))),
        (person(), Patient(external_id="199006022397"), Found()),
        (person(), Patient(emr_id="e1"), Found()),
        (person(), Patient(emr_id="e1", external_id="198001022386"), Found()),
        (person(None), Patient(emr_id="e1"), Found(near=1)),
    ],
)
@virtual
async def test_a_created_patient_is_found_by_number_and_never_by_name(
    item: Any, stored: Patient, found: Found
) -> None:
    at = world()
    at.people["x"] = stored.model_copy(update={"first_name": "Ola", "last_name": "Nord"})

    assert await _look(at, item) == found


def test_texts_are_compared_without_what_a_record_system_reflows() -> None:
    assert text("e\u0301 \r\nb\t\n\n") == text("\u00e9\nb")
    assert text(None) == ""
    assert text("a  b") != text("a b")


def test_the_window_begins_before_the_first_attempt() -> None:
    assert _doubt(note()).earliest == datetime(2026, 3, 2, 7, 55, tzinfo=UTC)
