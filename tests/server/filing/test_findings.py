"""What is found of a draft when it is made: its texts, whether its time is free, who is known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Patient, Resource, Service, Timeslot
from leyr_mcp.server.ehr.units import Units
from leyr_mcp.server.errors import (
    LeyrMcpError,
    UpstreamConflictError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
    UpstreamUnavailableError,
)
from leyr_mcp.server.filing import findings
from leyr_mcp.server.filing.entries import Check, Expected
from leyr_mcp.server.filing.payloads import Item
from leyr_mcp.server.filing.subject import Seen
from tests.server.filing.desk import (
    NUMBER,
    START,
    booking,
    change,
    document,
    note,
    payload,
    person,
)
from tests.server.filing.record import HALF, TODAY, record, standing

ZONE = ZoneInfo("Europe/Stockholm")
OTHERS = "199006022397"  # Ola's, whom `person` makes
NOT_HERE = UpstreamNotSupportedError("No.")
NOBODY = UpstreamNotFoundError("No such patient.", status=404)
ANNA = Seen(
    ref=PatientRef("emr_id", "7"),
    canonical="emr_id:7",
    first_name="Anna",
    last_name="Berg",
    number=PatientRef("se_personal_number", NUMBER),
    ids=frozenset({"7", NUMBER}),
)
OLA = Patient(emr_id="8", first_name="Ola", last_name="Nord", external_id=OTHERS)


async def found(
    ehr: Any,
    item: Item,
    seen: Seen | None = ANNA,
    *,
    expected: Expected = "absent",
    removed: int = 0,
) -> tuple[Check, ...]:
    """Return what is found of a draft."""
    return await findings.at_staging(
        ehr, payload(item), seen, expected, today=TODAY, zone=ZONE, removed=removed
    )


def codes(checks: tuple[Check, ...]) -> list[str]:
    """Return what was found, by name."""
    return [check.code for check in checks]


def slot(minutes: int = 0, length: timedelta = HALF, **more: Any) -> Timeslot:
    """Return a free time, so long after the one that is booked."""
    start = START + timedelta(minutes=minutes)
    return Timeslot(start=start, end=start + length, **more)


def moving(**more: Any) -> Item:
    """Return a move by one hour."""
    start = START + timedelta(hours=1)
    return change("reschedule", **{"start": start, "end": start + HALF, **more})


# The content


async def test_title_of_a_document_is_read_like_a_text() -> None:
    clean = await found(record(), document())
    wrong = await found(record(), document(title=f"Brev om {OTHERS}"))

    assert clean == ()
    assert [(check.code, check.level) for check in wrong] == [("other_identifier", "block")]
    assert OTHERS not in wrong[0].message
    assert await found(record(), document(title=f"Brev om {NUMBER}")) == ()


@pytest.mark.parametrize("item", [booking(comment="Fråga TODO"), change(comment="Fråga TODO")])
async def test_comment_is_read_like_a_text(item: Item) -> None:
    ehr = record(timeslots=[slot()], appointments=[])

    assert codes(await found(ehr, item)) == ["placeholder"]


async def test_what_cleaning_took_out_is_told_also_of_a_draft_without_text() -> None:
    checks = await found(record(), change("confirm", code="1234"), removed=2)

    assert [(check.code, check.level) for check in checks] == [("characters_removed", "info")]
    assert checks[0].message.startswith("2 ")
    assert await found(record(), change("confirm", code="1234")) == ()


async def test_findings_come_the_gravest_first() -> None:
    checks = await found(record(), note(text="TODO"), expected="unverified", removed=1)

    assert [check.level for check in checks] == ["block", "warn", "info"]


@pytest.mark.parametrize(
    ("item", "seen", "expected", "field"),
    [
        (note(), ANNA, "unverified", "expect"),
        (note(), Seen(ref=ANNA.ref, canonical="c"), "absent", "patient_id"),
        (change("confirm", code="1"), None, "absent", "appointment_id"),
        (note(), ANNA, "equal", None),
    ],
)
async def test_patient_of_whom_nothing_proves_who_they_are_is_told(
    item: Item, seen: Seen | None, expected: Expected, field: str | None
) -> None:
    checks = await found(record(), item, seen, expected=expected)

    told = [check.field for check in checks if check.code == "patient_unverified"]
    assert told == ([] if field is None else [field])


# Whether the time is free


async def test_time_of_which_the_record_tells_nothing_is_not_taken_to_be_free() -> None:
    checks = await found(record(timeslots=NOT_HERE, appointments=[]), booking())

    assert [(check.code, check.level, check.field) for check in checks] == [
        ("free_unknown", "warn", "start")
    ]


async def test_taken_time_offers_others_with_what_is_needed_to_book_them() -> None:
    ehr = record(
        timeslots=[
            slot(60),
            slot(120, resource_id="1021", healthcare_service_id="9"),
            slot(180, timedelta(minutes=15)),
        ]
    )

    with pytest.raises(LeyrMcpError) as refused:
        await found(ehr, booking())

    assert (refused.value.code, refused.value.field) == ("slot_taken", "start")
    # START is 9 in the morning there; a time of another length is no substitute.
    assert refused.value.next_step == (
        "Offer the user: 2026-03-03T10:00:00+01:00 to 10:30; "
        "2026-03-03T11:00:00+01:00 to 11:30 with resource_id 1021 for healthcare_service_id 9."
    )


async def test_service_that_was_asked_for_is_not_told_again() -> None:
    ehr = record(timeslots=[slot(60, healthcare_service_id="9")])

    with pytest.raises(LeyrMcpError) as refused:
        await found(ehr, booking(healthcare_service_id="9"))

    assert refused.value.next_step == "Offer the user: 2026-03-03T10:00:00+01:00 to 10:30."


async def test_no_more_than_five_are_offered_and_none_means_other_days() -> None:
    with pytest.raises(LeyrMcpError) as refused:
        await found(record(timeslots=[slot(30 * n) for n in range(1, 9)]), booking())
    assert (refused.value.next_step or "").count(" to ") == 5

    with pytest.raises(LeyrMcpError) as refused:
        await found(record(timeslots=[slot(60, resource_id="9")]), booking(resource_id="1021"))
    assert "list_timeslots" in (refused.value.next_step or "")


async def test_free_times_that_only_together_cover_it_are_told() -> None:
    quarter = timedelta(minutes=15)
    ehr = record(timeslots=[slot(0, quarter), slot(15, quarter)], appointments=[])

    assert codes(await found(ehr, booking())) == ["several_slots"]


async def test_two_free_times_that_both_fit_are_for_the_caller_to_choose_from() -> None:
    ehr = record(timeslots=[slot(resource_id="1"), slot(resource_id="2")], appointments=[])

    with pytest.raises(UpstreamConflictError) as refused:
        await found(ehr, booking())
    assert refused.value.field == "resource_id"
    assert await found(ehr, booking(resource_id="2")) == ()


# A move


async def test_move_of_an_appointment_that_cannot_be_read_is_not_taken_to_be_free() -> None:
    ehr = record(appointment=NOT_HERE)

    checks = await found(ehr, moving())

    assert [(check.code, check.level) for check in checks] == [("free_unknown", "warn")]
    assert ehr.read == ["appointment"]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("1021", "emr_id:1021"),
        ("hsa_id:SE2321000131-E000000012345", "hsa_id:SE2321000131-E000000012345"),
        ("Rum 3, plan 2", None),
        (None, None),
    ],
)
async def test_move_asks_for_the_times_of_its_resource_where_the_id_can_be_asked_by(
    stored: str | None, asked: str | None
) -> None:
    ehr = record(
        appointment=standing(resource_id=stored), timeslots=[slot(60)], appointments=[standing()]
    )

    assert await found(ehr, moving()) == ()

    resource = dict(ehr.asked)["timeslots"]["resource"]
    assert (None if resource is None else str(resource)) == asked


async def test_move_within_its_own_time_needs_only_what_is_added() -> None:
    later = START + timedelta(minutes=15)
    item = moving(start=later, end=later + HALF)
    ehr = record(appointment=standing(), timeslots=[slot(30)], appointments=[])
    assert await found(ehr, item) == ()

    ehr = record(appointment=standing(), timeslots=[], appointments=[])
    with pytest.raises(LeyrMcpError) as refused:
        await found(ehr, item)
    assert refused.value.code == "slot_taken"


async def test_time_of_the_old_resource_says_nothing_of_the_new_one() -> None:
    ehr = record(appointment=standing(resource_id="1021"), timeslots=[], appointments=[])

    with pytest.raises(LeyrMcpError) as refused:
        await found(ehr, change("reschedule", resource_id="1022"))
    assert refused.value.code == "slot_taken"


async def test_move_of_nothing_but_its_comment_reads_no_times() -> None:
    assert await found(record(), change("reschedule", comment="Knä")) == ()


# The patient's other appointments


async def test_where_nobody_knows_whose_it_is_no_appointments_are_read() -> None:
    ehr = record(appointment=standing(), timeslots=[slot(60)])

    assert codes(await found(ehr, moving(), None)) == ["patient_unverified"]
    assert ehr.read == ["appointment", "timeslots"]


@pytest.mark.parametrize(
    ("capabilities", "said", "level"),
    [
        (Capabilities(name="x", list_appointments=False), None, "info"),
        (Capabilities(name="x"), NOT_HERE, "info"),
        (Capabilities(name="x"), UpstreamUnavailableError("Down.", status=503), "warn"),
    ],
)
async def test_other_appointments_that_are_not_told_are_not_taken_to_be_none(
    capabilities: Capabilities, said: Any, level: str
) -> None:
    more = {} if said is None else {"appointments": said}
    checks = await found(record(capabilities, timeslots=[slot()], **more), booking())

    assert [(check.code, check.level) for check in checks] == [("overlap_unknown", level)]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, True),
        ({"patient_id": "emr_id:7"}, True),
        ({"patient_id": "8"}, False),
        ({"status": "cancelled"}, False),
        ({"id": "b1"}, False),
        ({"start": START + timedelta(hours=1) - HALF, "end": START + timedelta(hours=1)}, False),
    ],
)
async def test_other_appointment_at_the_same_time_is_told(
    other: dict[str, Any], *, told: bool
) -> None:
    then = START + timedelta(hours=1)
    listed = standing(**{"id": "b2", "start": then, "end": then + HALF, **other})
    ehr = record(appointment=standing(), timeslots=[slot(60)], appointments=[listed])

    checks = await found(ehr, moving())

    assert codes(checks) == (["overlap"] if told else [])
    if told:
        assert checks[0].message.endswith("10:00-10:30, appointment_id b2.")


# The patient, known already


@pytest.mark.parametrize("said", [NOBODY, NOT_HERE])
async def test_number_that_cannot_be_read_by_is_looked_for_under_the_name(said: Any) -> None:
    namesake = Patient(emr_id="9", first_name="Ola", last_name="Nord")
    ehr = record(patient=said, find_patients=[namesake, OLA])

    checks = await found(ehr, person(), None)

    assert [(check.code, check.level) for check in checks] == [("patient_exists", "warn")]
    assert "patient_id emr_id:8" in checks[0].message


async def test_number_under_another_name_blocks() -> None:
    read = OLA.model_copy(update={"last_name": "Syd"})

    checks = await found(record(patient=read), person(), None)

    assert [(check.code, check.level) for check in checks] == [("patient_exists", "block")]
    assert "Syd" not in checks[0].message


async def test_namesakes_are_told_by_the_ids_that_can_be_used() -> None:
    unusable = [Patient(emr_id=None), Patient(emr_id="no id / at all")]
    ehr = record(find_patients=[*unusable, OLA.model_copy(update={"external_id": None})])

    checks = await found(ehr, person(None), None)

    assert [(check.code, check.level) for check in checks] == [("same_name", "warn")]
    assert checks[0].message == (
        "The record has 3 patients of this name; make sure that this is another person: "
        "patient_id emr_id:8."
    )


async def test_namesake_without_a_usable_id_is_told_all_the_same() -> None:
    ehr = record(patient=NOBODY, find_patients=[Patient(last_name="Nord")])

    checks = await found(ehr, person(), None)

    assert [(check.code, check.level) for check in checks] == [("same_name", "info")]
    assert checks[0].message.endswith(
        "1 patient of this name; make sure that this is another person."
    )


@pytest.mark.parametrize("said", [NOT_HERE, []])
async def test_nobody_known_is_nothing_found(said: Any) -> None:
    ehr = record(Capabilities(name="x", get_patient=False), find_patients=said)

    assert await found(ehr, person(), None) == ()


# The names


@pytest.mark.parametrize(
    ("item", "names"),
    [
        (
            booking(resource_id="1021", healthcare_service_id="9"),
            {"resource": "Dr Ek", "healthcare_service": "Besök", "author": "Syster Ask"},
        ),
        (change("reschedule", resource_id="1021"), {"resource": "Dr Ek", "author": "Syster Ask"}),
        (booking(resource_id="1022"), {"author": "Syster Ask"}),
        (note(), {"author": "Syster Ask"}),
    ],
)
async def test_what_a_draft_names_by_id_is_told_by_name(
    item: Item, names: Mapping[str, str]
) -> None:
    resources = [Resource(id="1021", name="Dr Ek"), Resource(id="a1", name="Syster Ask")]
    units = Units(record(resources=resources, services=[Service(id="9", name="Besök")]))

    assert await findings.names(units, payload(item)) == names


async def test_author_whom_the_record_does_not_name_has_no_name() -> None:
    units = Units(record(resources=[Resource(id="a1")], services=[]))

    assert await findings.names(units, payload(note())) == {}
    assert await findings.names(units, payload(note(), author=None)) == {}
    assert (
        await findings.names(Units(record(resources=NOT_HERE, services=[])), payload(note())) == {}
    )
