"""Each operation's refusals by the sandbox, in process and over a socket, in our words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.port import (
    Cancel,
    Confirm,
    NewAppointment,
    NewDocument,
    NewNote,
    NewPatient,
    Reschedule,
    Window,
)
from leyr_mcp.server.errors import (
    CODES,
    UpstreamAuthError,
    UpstreamConflictError,
    UpstreamError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
    UpstreamValidationError,
)
from tests.support.leyr_bookings import booked, booking, slots_of, tolvan
from tests.support.leyr_client import TOLVAN, UNITS, WAYS, connected, days, pieces, sandboxed

STRANGER = PatientRef("emr_id", "nobody_1")
NO_ONE = ResourceRef("emr_id", "9999")
LIST_UNITS = "Call list_care_units and use an id from its answer."

Act = Callable[[Sandbox, LeyrEhr, str], Awaitable[object]]


class Case(NamedTuple):
    act: Act
    kind: type[UpstreamError]
    code: str
    field: str | None = None
    next_step: str | None = None
    emrs: tuple[str, ...] = tuple(UNITS)


def note(**changes: object) -> NewNote:
    """Return a good note with changes."""
    fields = {
        "title": "Besök",
        "template_id": "leyr_unstructured",
        "content": {"unstructured": "Text"},
        "created_by_id": "1021",
    }
    return NewNote(**{**fields, **changes})  # type: ignore[arg-type]  # the changes are the test's


def file_by(author: str) -> NewDocument:
    """Return a small upload by an author."""
    return NewDocument(
        title="t", format="text/plain", created_by_id=author, size=4, chunks=pieces(b"text")
    )


async def book_taken(box: Sandbox, ehr: LeyrEhr, unit: str) -> object:
    slots = await slots_of(ehr, unit)
    await ehr.book(unit, booking(tolvan(box), slots[0]))
    return await ehr.book(unit, booking(tolvan(box), slots[0]))


async def book_unnamed(box: Sandbox, ehr: LeyrEhr, unit: str) -> object:
    slot = (await slots_of(ehr, unit))[0]
    window = Window(slot.start, slot.end)
    return await ehr.book(unit, NewAppointment(patient=tolvan(box), window=window))


async def book_for(ehr: LeyrEhr, unit: str, patient: PatientRef, **changes: object) -> object:
    slot = (await slots_of(ehr, unit))[0]
    new = booking(patient, slot)
    for name, value in changes.items():
        object.__setattr__(new, name, value)
    return await ehr.book(unit, new)


async def book_with_long_comment(box: Sandbox, ehr: LeyrEhr, unit: str) -> object:
    box.control.options.comment_limit = 5
    return await book_for(ehr, unit, tolvan(box), comment="Far too long")


async def change_cancelled(box: Sandbox, ehr: LeyrEhr, unit: str) -> object:
    made = await booked(box, ehr, unit)
    await ehr.change_appointment(unit, made.id, Cancel())
    return await ehr.change_appointment(unit, made.id, Cancel())


async def move_onto_taken(box: Sandbox, ehr: LeyrEhr, unit: str) -> object:
    first, second = await booked(box, ehr, unit), await booked(box, ehr, unit, 1)
    onto = Reschedule(window=Window(second.start, second.end))
    return await ehr.change_appointment(unit, first.id, onto)


async def confirm_wrongly(box: Sandbox, ehr: LeyrEhr, unit: str) -> object:
    made = await booked(box, ehr, unit)
    return await ehr.change_appointment(unit, made.id, Confirm(code="not it"))


async def write_unmapped(box: Sandbox, ehr: LeyrEhr, unit: str) -> object:
    box.control.options.mapped_templates = frozenset({"leyr_unstructured"})
    author = (await ehr.resources(unit))[0].id
    new = note(template_id="leyr_acute_visit", content={"a": "b"}, created_by_id=author)
    return await ehr.write_note(unit, tolvan(box), new)


async def write_misfit(box: Sandbox, ehr: LeyrEhr, unit: str) -> object:
    author = (await ehr.resources(unit))[0].id
    return await ehr.write_note(
        unit, tolvan(box), note(content={"plan": "x"}, created_by_id=author)
    )


NO_PATIENT = (UpstreamNotFoundError, "patient_not_found", "patient_id")
NO_UNIT = (UpstreamNotFoundError, "not_found", "care_unit_id", LIST_UNITS)
NO_RESOURCE = (UpstreamNotFoundError, "not_found", "resource_id", LIST_UNITS)
NO_ENTRY = (UpstreamNotFoundError, "not_found")
NO_APPOINTMENT = (
    UpstreamNotFoundError,
    "not_found",
    "appointment_id",
    "Call list_appointments and use an id from its answer.",
)
NO_AUTHOR = (
    UpstreamValidationError,
    "upstream_refused",
    "created_by_id",
    "Tell the operator to check LEYR_RESOURCE_ID.",
)
NOT_HERE = (UpstreamNotSupportedError, "not_supported")
TAKEN = (
    UpstreamConflictError,
    "upstream_refused",
    "start",
    "Call list_timeslots and offer another time.",
)
REFUSED = (UpstreamValidationError, "upstream_refused")

ANITA, TAKECARE = ("anitasystems",), ("takecare",)
BOTH = ("webdoc", "takecare")

CASES = {
    "resources, no unit": Case(lambda b, e, u: e.resources("L9"), *NO_UNIT),
    "services, no unit": Case(lambda b, e, u: e.services("L9"), *NO_UNIT),
    "timeslots, no unit": Case(lambda b, e, u: e.timeslots("L9", days(0, 1)), *NO_UNIT),
    "timeslots, no resource": Case(
        lambda b, e, u: e.timeslots(u, days(0, 1), resource=NO_ONE), *NO_RESOURCE
    ),
    "timeslots, no service": Case(
        lambda b, e, u: e.timeslots(u, days(0, 1), healthcare_service_id="9"),
        UpstreamNotFoundError,
        "not_found",
        "healthcare_service_id",
        LIST_UNITS,
    ),
    "search, no unit": Case(
        lambda b, e, u: e.find_patients("L9", first_name="T", last_name=None), *NO_UNIT
    ),
    "search, no name": Case(
        lambda b, e, u: e.find_patients(u, first_name=None, last_name=None), *REFUSED
    ),
    "patient, unknown": Case(lambda b, e, u: e.patient(u, STRANGER), *NO_PATIENT, None, BOTH),
    "patient, none singly": Case(
        lambda b, e, u: e.patient(u, tolvan(b)), *NOT_HERE, None, None, ANITA
    ),
    "create, no phone": Case(
        lambda b, e, u: e.create_patient(u, NewPatient(first_name="A", last_name="B")),
        *REFUSED,
        None,
        None,
        ("anitasystems", "takecare"),
    ),
    "create, bad number": Case(
        lambda b, e, u: e.create_patient(
            u, NewPatient(first_name="A", last_name="B", external_id="191212121213")
        ),
        *REFUSED,
        None,
        None,
        TAKECARE,
    ),
    "appointments, none listed": Case(
        lambda b, e, u: e.appointments(u), *NOT_HERE, None, None, ANITA
    ),
    "appointments, no patient": Case(
        lambda b, e, u: e.appointments(u, patient=STRANGER), *NO_PATIENT, None, BOTH
    ),
    "appointments, no resource": Case(
        lambda b, e, u: e.appointments(u, resource=NO_ONE), *NO_RESOURCE, BOTH
    ),
    "appointment, unknown": Case(lambda b, e, u: e.appointment(u, "none"), *NO_APPOINTMENT),
    "book, taken": Case(book_taken, *TAKEN),
    "book, several fit": Case(
        book_unnamed,
        UpstreamConflictError,
        "upstream_refused",
        "resource_id",
        "Name the resource and the healthcare service.",
    ),
    "book, no patient": Case(lambda b, e, u: book_for(e, u, STRANGER), *NO_PATIENT),
    "book, no resource": Case(
        lambda b, e, u: book_for(e, u, tolvan(b), resource=NO_ONE), *NO_RESOURCE
    ),
    "book, neither": Case(lambda b, e, u: book_for(e, u, STRANGER, resource=NO_ONE), *NO_PATIENT),
    "book, long comment": Case(
        book_with_long_comment,
        UpstreamValidationError,
        "upstream_refused",
        "comment",
        "Shorten the comment.",
    ),
    "change, unknown": Case(
        lambda b, e, u: e.change_appointment(u, "none", Cancel()), *NO_APPOINTMENT
    ),
    "change, over": Case(change_cancelled, *NO_APPOINTMENT),
    "move, taken": Case(move_onto_taken, *TAKEN),
    "confirm, wrong code": Case(confirm_wrongly, *REFUSED, None, None, ANITA),
    "confirm, not asked for": Case(confirm_wrongly, *NOT_HERE, None, None, BOTH),
    "notes, no patient": Case(lambda b, e, u: e.notes(u, STRANGER), *NO_PATIENT),
    "note, unknown": Case(lambda b, e, u: e.note(u, tolvan(b), "none"), *NO_ENTRY),
    "write, no patient": Case(lambda b, e, u: e.write_note(u, STRANGER, note()), *NO_PATIENT),
    "write, no author": Case(
        lambda b, e, u: e.write_note(u, tolvan(b), note(created_by_id="9999")), *NO_AUTHOR
    ),
    "write, unmapped template": Case(write_unmapped, *NOT_HERE),
    "write, misfit": Case(write_misfit, UpstreamValidationError, "upstream_refused", "content"),
    "documents, no patient": Case(lambda b, e, u: e.documents(u, STRANGER), *NO_PATIENT),
    "document, unknown": Case(lambda b, e, u: e.document(u, tolvan(b), "none"), *NO_ENTRY),
    "digest, unknown": Case(lambda b, e, u: e.document_digest(u, tolvan(b), "none"), *NO_ENTRY),
    "attach, no patient": Case(
        lambda b, e, u: e.attach_document(u, STRANGER, file_by("1021")), *NO_PATIENT
    ),
    "attach, no author": Case(
        lambda b, e, u: e.attach_document(u, tolvan(b), file_by("9999")), *NO_AUTHOR
    ),
}
ROWS = [
    pytest.param(emr, case, id=f"{emr}-{name}") for name, case in CASES.items() for emr in case.emrs
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("emr", "case"), ROWS)
async def test_a_refusal_names_code_field_and_next_step(way: str, emr: str, case: Case) -> None:
    async with sandboxed(way, emr) as (box, ehr):
        with pytest.raises(UpstreamError) as caught:
            await case.act(box, ehr, UNITS[emr])
    error = caught.value
    assert (type(error), error.code, error.field) == (case.kind, case.code, case.field)
    assert error.next_step == (case.next_step or CODES[case.code].next_step)
    assert error.request_id is not None
    assert not error.not_received


@pytest.mark.parametrize("way", WAYS)
async def test_documents_are_refused_where_the_record_system_takes_none(way: str) -> None:
    async with sandboxed(way, "kaddio") as (box, ehr):
        with pytest.raises(UpstreamNotSupportedError):
            await ehr.documents("L0_1", tolvan(box))
        with pytest.raises(UpstreamNotSupportedError):
            await ehr.attach_document("L0_1", TOLVAN, file_by("1021"))


async def test_wrong_credentials_are_told_as_such() -> None:
    box = Sandbox()
    async with connected(app=box) as ehr:
        with pytest.raises(UpstreamAuthError) as caught:
            await ehr.care_units()
    box.close()
    assert (caught.value.code, caught.value.vendor_code) == ("upstream_auth", "UNAUTHORIZED")


async def test_another_record_system_behind_the_same_address_is_refused() -> None:
    box = Sandbox("takecare", client_id="client-canary-id", client_secret="client-canary-secret")
    async with connected(app=box, emr="webdoc") as ehr:
        with pytest.raises(UpstreamValidationError):
            await ehr.care_units()
    box.close()
