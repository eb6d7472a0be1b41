"""Each operation against the sandbox, in process and over a socket: what it returns and stores."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest

from leyr_mcp.server.ehr.identifiers import ResourceRef
from leyr_mcp.server.ehr.port import (
    Cancel,
    Confirm,
    NewDocument,
    NewNote,
    NewPatient,
    Reschedule,
    Window,
)
from tests.support.leyr_bookings import NUMBER, booked, slots_of, tolvan
from tests.support.leyr_client import NOW, TOLVAN, UNITS, WAYS, days, pieces, sandboxed

SYSTEMS = tuple(UNITS)

pytestmark = pytest.mark.parametrize("way", WAYS)
each_system = pytest.mark.parametrize("emr", SYSTEMS)


@each_system
async def test_the_clinic_is_listed(way: str, emr: str) -> None:
    async with sandboxed(way, emr) as (_, ehr):
        units = await ehr.care_units()
        resources = await ehr.resources(units[0].id)
        services = await ehr.services(units[0].id)
    assert units[0].id == UNITS[emr]
    assert units[0].name == "Läkarmottagningen Söder"
    assert resources[0].name == "Läkare Ehn (läk)"
    assert (services[0].id, services[0].name) == ("301", "Läkarbesök")


@each_system
async def test_free_times_lie_in_the_window_and_keep_to_the_filters(way: str, emr: str) -> None:
    unit = UNITS[emr]
    async with sandboxed(way, emr) as (_, ehr):
        everything = await ehr.timeslots(unit, days(0, 2))
        narrowed = await slots_of(ehr, unit)
        late = await ehr.timeslots(unit, days(400, 401))
    window = days(0, 2)
    assert all(window.start <= slot.start < slot.end <= window.end for slot in everything)
    assert len({slot.resource_id for slot in everything}) > 1
    assert {(slot.resource_id, slot.healthcare_service_id) for slot in narrowed} == {
        (narrowed[0].resource_id, "301")
    }
    assert late == []


@each_system
async def test_patients_are_found_by_either_name_or_both(way: str, emr: str) -> None:
    unit = UNITS[emr]
    async with sandboxed(way, emr) as (box, ehr):
        both = await ehr.find_patients(unit, first_name="Tolvan", last_name="Tolvansson")
        first = await ehr.find_patients(unit, first_name="lars-göran", last_name=None)
        last = await ehr.find_patients(unit, first_name=None, last_name="TESTDOTTER")
        nobody = await ehr.find_patients(unit, first_name="Nobody", last_name="At & all?")
        known = box.control.patient(NUMBER)
    assert [(one.id, one.emr_id, one.external_id) for one in both] == [
        (known.id, known.emr_id, NUMBER)
    ]
    assert [one.last_name for one in first] == ["Provström"] * 2
    assert [one.first_name for one in last] == ["Åsa"] * 2
    assert nobody == []


@pytest.mark.parametrize("emr", ["webdoc", "takecare"])
async def test_a_patient_is_read_by_each_type_of_id(way: str, emr: str) -> None:
    async with sandboxed(way, emr) as (box, ehr):
        by_number = await ehr.patient(UNITS[emr], TOLVAN)
        by_own_id = await ehr.patient(UNITS[emr], tolvan(box))
    assert by_number == by_own_id
    assert (by_number.first_name, by_number.last_name) == ("Tolvan", "Tolvansson")
    assert by_number.care_unit_id == UNITS[emr]


@each_system
async def test_a_patient_is_created_once(way: str, emr: str) -> None:
    new = NewPatient(
        first_name="Ny",
        last_name="Provperson",
        external_id="199901022393",
        phones=("+46701234567",),
        emails=("ny@example.invalid",),
    )
    async with sandboxed(way, emr) as (box, ehr):
        before = len(box.control.patients())
        made = await ehr.create_patient(UNITS[emr], new)
        again = await ehr.create_patient(UNITS[emr], new)
        assert len(box.control.patients()) == before + 1
    assert made == again
    assert (made.first_name, made.external_id) == ("Ny", "199901022393")


@each_system
async def test_a_booking_is_stored_and_its_time_is_taken(way: str, emr: str) -> None:
    async with sandboxed(way, emr) as (box, ehr):
        before = await slots_of(ehr, UNITS[emr])
        made = await booked(box, ehr, UNITS[emr])
        again = await ehr.appointment(UNITS[emr], made.id)
        after = await slots_of(ehr, UNITS[emr])
        (stored,) = (item for item in box.control.appointments(NUMBER) if item.id == made.id)
    assert made == again
    assert made.status == ("awaiting_confirmation" if emr == "anitasystems" else "booked")
    assert (made.start, made.end, made.comment) == (
        before[0].start,
        before[0].end,
        "Första besöket",
    )
    assert made.patient_id is not None
    assert stored.comment == "Första besöket"
    assert (before[0] in before, before[0] in after) == (True, False)


@pytest.mark.parametrize("emr", ["webdoc", "takecare"])
async def test_appointments_are_narrowed_by_patient_resource_and_window(way: str, emr: str) -> None:
    unit = UNITS[emr]
    async with sandboxed(way, emr) as (box, ehr):
        made = await booked(box, ehr, unit)
        window = Window(made.start, made.end)
        resource = ResourceRef("emr_id", made.resource_id or "")
        everything = await ehr.appointments(unit)
        mine = await ehr.appointments(unit, patient=tolvan(box))
        exact = await ehr.appointments(unit, patient=TOLVAN, resource=resource, window=window)
    assert exact == [made]
    assert made in mine
    assert len(everything) > len(mine) > 1


@pytest.mark.parametrize("emr", ["webdoc", "takecare"])
async def test_an_appointment_moves_and_is_cancelled(way: str, emr: str) -> None:
    unit = UNITS[emr]
    async with sandboxed(way, emr) as (box, ehr):
        made = await booked(box, ehr, unit)
        later = (await slots_of(ehr, unit))[3]
        moved = await ehr.change_appointment(
            unit, made.id, Reschedule(window=Window(later.start, later.end), comment="Flyttad")
        )
        noted = await ehr.change_appointment(unit, made.id, Reschedule(comment="Ring först"))
        ended = await ehr.change_appointment(unit, made.id, Cancel(comment="Sjuk"))
        assert (await ehr.appointment(unit, made.id)).status == "cancelled"
    assert (moved.id, moved.start, moved.comment) == (made.id, later.start, "Flyttad")
    assert (noted.start, noted.comment) == (later.start, "Ring först")
    assert (ended.status, ended.comment) == ("cancelled", "Sjuk")


async def test_where_the_patient_confirms_booking_and_cancellation_take_two_steps(way: str) -> None:
    async with sandboxed(way, "anitasystems") as (box, ehr):
        made = await booked(box, ehr, "L0_1")
        sure = await ehr.change_appointment(
            "L0_1", made.id, Confirm(code=box.control.sms_code(made.id))
        )
        waiting = await ehr.change_appointment("L0_1", made.id, Cancel())
        assert (await ehr.appointment("L0_1", made.id)).status == "booked"
        ended = await ehr.change_appointment(
            "L0_1", waiting.id, Confirm(code=box.control.sms_code(waiting.id))
        )
        assert (await ehr.appointment("L0_1", made.id)).status == "cancelled"
    assert (sure.id, sure.status) == (made.id, "booked")
    assert waiting.id != made.id
    assert (waiting.status, ended.status) == ("awaiting_confirmation", "cancelled")


@each_system
async def test_a_note_is_written_listed_and_read_back(way: str, emr: str) -> None:
    unit, text = UNITS[emr], "Söker för huvudvärk.\nPlan: vila.\n"
    async with sandboxed(way, emr) as (box, ehr):
        patient = tolvan(box)
        before = await ehr.notes(unit, patient)
        author = (await ehr.resources(unit))[0].id
        made = await ehr.write_note(
            unit,
            patient,
            NewNote(
                title="Läkarbesök",
                template_id="leyr_unstructured",
                content={"unstructured": text},
                created_by_id=author,
            ),
        )
        listed = await ehr.notes(unit, patient)
        read = await ehr.note(unit, patient, made.id)
        assert box.control.notes(NUMBER)[0].content == {"unstructured": text}
    assert len(listed) == len(before) + 1
    assert listed[0].id == made.id
    assert listed[0].content is None
    assert read.content == {"unstructured": text}
    assert (read.title, read.created_by_id) == ("Läkarbesök", author)
    assert read.created_at == NOW


@each_system
async def test_a_document_is_attached_listed_and_read_back(way: str, emr: str) -> None:
    unit, file = UNITS[emr], b"%PDF-1.4 " + bytes(range(256))
    async with sandboxed(way, emr) as (box, ehr):
        patient = tolvan(box)
        made = await ehr.attach_document(
            unit,
            patient,
            NewDocument(
                title="Labbsvar maj",
                format="application/pdf",
                type="Lab Result",
                created_by_id=(await ehr.resources(unit))[0].id,
                size=len(file),
                chunks=pieces(file[:7], file[7:]),
            ),
        )
        listed = await ehr.documents(unit, patient)
        read = await ehr.document(unit, patient, made.id)
        told = await ehr.document_digest(unit, patient, made.id)
        assert box.control.documents(NUMBER)[0].content == file
    assert listed[0].id == made.id
    assert listed[0].content is None
    assert base64.b64decode(read.content or "") == file
    assert told == read.model_copy(
        update={"content": None, "size": len(file), "sha256": sha256(file).hexdigest()}
    )
    assert (read.title, read.format, read.type) == ("Labbsvar maj", "application/pdf", "Lab Result")


async def test_the_other_readings_of_the_vendors_documents_are_read_as_well(way: str) -> None:
    async with sandboxed(way) as (box, ehr):
        box.control.options.created_status = 200
        box.control.options.note_list_content = True
        box.control.options.seen_fields_only = True
        made = await booked(box, ehr, "L0_1")
        notes = await ehr.notes("L0_1", TOLVAN)
        patient = await ehr.patient("L0_1", TOLVAN)
    assert (made.resource_id, made.status) == (None, "booked")
    assert notes[0].content is not None
    assert (patient.external_id, patient.first_name) == (None, "Tolvan")
