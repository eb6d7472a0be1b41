"""How a proposal becomes a draft: its patient, author and key, and when it may be filed anew."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Patient, Resource
from leyr_mcp.server.ehr.units import Units
from leyr_mcp.server.errors import (
    LeyrMcpError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
    UpstreamUnavailableError,
)
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.drafting import Drafting
from leyr_mcp.server.filing.entries import Check, Entry, Proposal, Shown
from leyr_mcp.server.filing.payloads import Item, Payload
from leyr_mcp.server.storage.store import Draft, State
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
from tests.server.filing.record import HALF, record, standing

ANNA = Patient(emr_id="7", first_name="Anna", last_name="Berg", external_id=NUMBER)
BY_NUMBER = PatientRef("se_personal_number", NUMBER)
BY_ID = PatientRef("emr_id", "7")
ME = Who(subject="me", client="claude-code")
RESOURCES: dict[str, Any] = {
    "resources": [Resource(id="1021", name="Dr Ek"), Resource(id="2")],
    "services": [],
}


def drafting(ehr: Any, **more: Any) -> Drafting:
    """Return it over a record, at noon of the day before START."""
    fields = {
        "clock": lambda: datetime(2026, 3, 2, 12, tzinfo=UTC),
        "zone": ZoneInfo("Europe/Stockholm"),
        "author": "a1",
        "sandbox": False,
        "environment": None,
        "policy": "required",
        **more,
    }
    return Drafting(ehr, Units(ehr), **fields)


def proposal(item: Item, patient: PatientRef | None = BY_NUMBER, **more: Any) -> Proposal:
    """Return what a caller proposes."""
    return Proposal(care_unit_id="u1", item=item, patient=patient, **more)


def entry(what: Payload, state: State = "filed", **more: Any) -> Entry:
    """Return a draft as it was filed."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    draft = Draft(
        id="d_1",
        version=1,
        kind=what.kind,
        state=state,
        principal="p",
        care_unit_id=what.care_unit_id,
        patient_key="k",
        digest=what.digest(),
        payload=what.to_bytes(),
        created_at=now,
        updated_at=now,
        remote_id="b1",
    )
    shown = more.pop("shown", Shown())
    return Entry(draft=dataclasses.replace(draft, **more), payload=what, shown=shown)


# Whom it concerns


async def test_draft_names_the_patient_as_the_record_has_them() -> None:
    plan = await drafting(record(patient=ANNA)).plan(proposal(note(), expect="Berg"))

    assert plan.payload.patient == f"se_personal_number:{NUMBER}"
    assert plan.payload.patient_name == "Anna Berg"
    assert str(plan.payload.patient_birth_date) == "1980-01-02"
    assert plan.whom == "emr_id:7"


async def test_key_is_of_what_is_written_and_not_of_how_or_when_the_patient_was_read() -> None:
    renamed = ANNA.model_copy(update={"last_name": "Gift"})

    async def key(read: Patient, item: Item, by: PatientRef, **more: Any) -> Any:
        return (await drafting(record(patient=read)).plan(proposal(item, by, **more))).key

    first = await key(ANNA, note(), BY_NUMBER)
    assert await key(renamed, note(), BY_ID) == first
    assert await key(ANNA, note(text="Ill."), BY_NUMBER) != first
    assert await key(ANNA, note(), BY_NUMBER, key="copy-2") != first
    other = ANNA.model_copy(update={"emr_id": "8"})
    assert await key(other, note(), BY_NUMBER) != first


async def test_new_patient_is_one_by_number_and_otherwise_by_name() -> None:
    async def whom(item: Item) -> str:
        return (await drafting(record()).plan(proposal(item, None))).whom

    numbered, named = person(), person(None)
    assert await whom(numbered) == "new:199006022397"
    assert await whom(named) == "new:Ola Nord"
    assert await whom(change("confirm", code="1")) == "unknown:u1"


async def test_what_was_expected_of_somebody_whom_nobody_could_read_is_unverified() -> None:
    at = drafting(record(**RESOURCES))
    confirm = change("confirm", code="1")

    told = await at.shown(await at.plan(proposal(confirm, None, expect="Berg")), ME)
    assert told.expected == "unverified"
    assert [check.code for check in told.checks] == ["patient_unverified"]
    untold = await at.shown(await at.plan(proposal(confirm, None)), ME)
    assert (untold.expected, untold.number) == ("absent", None)


async def test_person_is_shown_the_masked_number_the_names_and_the_client() -> None:
    at = drafting(record(patient=ANNA, **RESOURCES), author="1021")

    shown = await at.shown(await at.plan(proposal(note(), expect="Berg", key="copy-2")), ME)

    assert (shown.expected, shown.key, shown.source) == ("equal", "copy-2", "claude-code")
    assert shown.names == {"author": "Dr Ek"}
    assert shown.number is not None
    assert NUMBER[-4:] not in shown.number


# Without a person, only for a patient who was compared


@pytest.mark.parametrize("expect", [None, ""])
async def test_without_a_person_the_caller_says_whom_it_believes_in(expect: str | None) -> None:
    ehr = record(patient=ANNA)

    with pytest.raises(LeyrMcpError) as refused:
        await drafting(ehr, policy="trusted").plan(proposal(note(), expect=expect))

    assert refused.value.field == "expect"
    assert ehr.asked == []


@pytest.mark.parametrize(
    ("patient", "read"),
    [
        (None, None),  # the record does not tell whose appointment it is
        (BY_ID, Patient(emr_id="7", last_name="Berg")),  # nor when they were born
        (BY_ID, UpstreamNotSupportedError("No.")),
    ],
)
async def test_without_a_person_what_could_not_be_compared_is_refused(
    patient: PatientRef | None, read: Any
) -> None:
    ehr = record(patient=read)
    what = proposal(change("cancel"), patient, expect="1980-01-02")

    with pytest.raises(LeyrMcpError) as refused:
        await drafting(ehr, policy="trusted").plan(what)
    assert (refused.value.code, refused.value.field) == ("patient_mismatch", "expect")

    plan = await drafting(ehr).plan(what)  # a person may see for themselves
    assert plan.seen is None or plan.seen.expected == "unverified"


async def test_without_a_person_what_was_compared_goes_and_so_does_a_new_patient() -> None:
    at = drafting(record(patient=ANNA), policy="trusted")

    plan = await at.plan(proposal(note(), expect="Berg"))
    assert plan.seen is not None
    assert plan.seen.expected == "equal"
    assert (await at.plan(proposal(person(), None))).seen is None


# In whose name


@pytest.mark.parametrize("item", [note(), document()])
async def test_author_is_who_is_set_and_only_the_sandbox_finds_one(item: Item) -> None:
    ehr = record(patient=ANNA, **RESOURCES)

    assert (await drafting(ehr, sandbox=True).plan(proposal(item))).payload.author == "a1"
    found = await drafting(ehr, author="", sandbox=True).plan(proposal(item))
    assert found.payload.author == "1021"
    with pytest.raises(LeyrMcpError) as refused:
        await drafting(ehr, author="").plan(proposal(item))
    assert refused.value.code == "not_supported"
    assert "LEYR_RESOURCE_ID" in (refused.value.next_step or "")


@pytest.mark.parametrize("item", [booking(), change("cancel"), change("confirm", code="1")])
async def test_what_has_no_author_needs_none(item: Item) -> None:
    plan = await drafting(record(patient=ANNA), author="").plan(proposal(item))

    assert plan.payload.author is None


# What a person wrote


async def test_version_that_a_person_wrote_is_looked_at_anew() -> None:
    before = Shown(
        expected="equal",
        checks=(Check("placeholder", "block", "One."),),
        number="19800102-****",
        names={"author": "Dr Ek"},
        key="copy-2",
        source="claude-code",
    )
    known = entry(payload(note(text="TODO")), "awaiting_approval", shown=before)

    shown = await drafting(record(patient=ANNA)).shown_again(known, payload(note(text="Ill.")))

    assert shown == dataclasses.replace(before, checks=())


async def test_patient_yet_to_be_created_is_looked_for_and_not_read() -> None:
    ehr = record(find_patients=[ANNA])
    known = entry(payload(person(None)), "awaiting_approval")

    shown = await drafting(ehr).shown_again(known, payload(person(None)))

    assert [check.code for check in shown.checks] == ["same_name"]
    assert ehr.asked == [("find_patients", {"first_name": "Ola", "last_name": "Nord"})]


async def test_patient_is_named_by_the_records_own_id() -> None:
    assert await drafting(record(patient=ANNA)).whom("u1", BY_NUMBER) == "emr_id:7"


# Whether what was filed is over


MOVED = change("reschedule", start=START, end=START + HALF, resource_id="1021", comment="Knä")
GONE = UpstreamNotFoundError("No such appointment.", status=404)
NOT_HERE = UpstreamNotSupportedError("No.")


@pytest.mark.parametrize(
    ("item", "now", "over"),
    [
        (booking(), standing(), False),
        (booking(), standing(status="cancelled"), True),
        (booking(), GONE, True),
        (booking(), NOT_HERE, False),
        (change("confirm", code="1"), standing(), False),  # a code is spent
        (change("confirm", code="1"), standing(status="cancelled"), False),
        (change("cancel"), standing(status="cancelled"), False),
        (change("cancel"), standing(status="awaiting_confirmation"), False),
        (change("cancel"), standing(), True),
        (change("cancel"), GONE, True),
        (change("cancel"), NOT_HERE, False),
        (MOVED, standing(resource_id="1021", comment="Knä"), False),
        (MOVED, standing(), False),  # what is not told is as it was filed
        (MOVED, standing(start=START + timedelta(seconds=30)), False),
        (MOVED, standing(start=START - HALF), True),
        (MOVED, standing(end=START + 2 * HALF), True),
        (MOVED, standing(resource_id="1022"), True),
        (MOVED, standing(comment="Axel"), True),
        (change("reschedule", resource_id="1021"), standing(start=START - HALF), False),
    ],
)
async def test_filed_appointment_is_over_once_the_record_has_it_otherwise(
    item: Item, now: Any, *, over: bool
) -> None:
    assert await drafting(record(appointment=now)).is_over(entry(payload(item))) is over


@pytest.mark.parametrize(
    "known",
    [
        entry(payload(note())),
        entry(payload(person())),
        entry(payload(booking()), "needs_human"),
        entry(payload(booking()), "awaiting_approval"),
        entry(payload(booking()), remote_id=None),
    ],
)
async def test_all_else_is_never_over_and_nothing_is_read(known: Entry) -> None:
    ehr = record()

    assert not await drafting(ehr).is_over(known)
    assert ehr.asked == []


async def test_reading_that_fails_does_not_say_that_it_is_over() -> None:
    ehr = record(appointment=UpstreamUnavailableError("Down.", status=503))

    with pytest.raises(UpstreamUnavailableError):
        await drafting(ehr).is_over(entry(payload(booking())))
