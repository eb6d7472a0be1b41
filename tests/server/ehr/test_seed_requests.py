"""The bytes of each call, as the vendor's own examples put them on the wire."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.port import (
    Cancel,
    Confirm,
    NewAppointment,
    NewNote,
    NewPatient,
    Reschedule,
    Window,
)
from tests.support.leyr_client import ABC, CLIENT_ID, DOCTOR, SECRET, TOLVAN, connected
from tests.support.upstream_raw import RawRequest, answer, raw_upstream

UNIT = "/api/emrs/webdoc/care-units/care-unit-123"
SLOT = Window(
    datetime.fromisoformat("2024-03-25T14:00:00+01:00"),
    datetime.fromisoformat("2024-03-25T14:30:00+01:00"),
)
NOTE_TEXT = "Patient presents with mild headache and fatigue.\nSymptoms:\n- Nattsömn: dålig\n"

Call = Callable[[LeyrEhr], Awaitable[object]]


class Example(NamedTuple):
    call: Call
    target: str
    answer: bytes = b"[]"


SLOT_BODY = b'{"id":"a1","start":"2024-03-25T14:00:00+01:00","end":"2024-03-25T14:30:00+01:00"}'

READS = {
    "care units": Example(lambda ehr: ehr.care_units(), "/api/emrs/webdoc/care-units"),
    "resources": Example(lambda ehr: ehr.resources("care-unit-123"), f"{UNIT}/resources"),
    "services": Example(lambda ehr: ehr.services("care-unit-123"), f"{UNIT}/healthcare-services"),
    "timeslots": Example(
        lambda ehr: ehr.timeslots("care-unit-123", SLOT),
        f"{UNIT}/timeslots?start=2024-03-25T14%3A00%3A00%2B01%3A00"
        "&end=2024-03-25T14%3A30%3A00%2B01%3A00",
    ),
    "timeslots of a resource and a service": Example(
        lambda ehr: ehr.timeslots(
            "care-unit-123", SLOT, resource=DOCTOR, healthcare_service_id="service-101"
        ),
        f"{UNIT}/timeslots?start=2024-03-25T14%3A00%3A00%2B01%3A00"
        "&end=2024-03-25T14%3A30%3A00%2B01%3A00"
        "&resource_id=doctor-789&healthcare_service_id=service-101",
    ),
    "patients by name (seed 001)": Example(
        lambda ehr: ehr.find_patients("L0_1", first_name="Tolvan", last_name="Tolvansson"),
        "/api/emrs/webdoc/care-units/L0_1/patients?first_name=Tolvan&last_name=Tolvansson",
    ),
    "patients by a name with signs": Example(
        lambda ehr: ehr.find_patients("L0_1", first_name="Lars Göran", last_name="O'Pla&c=~e*h/#"),
        "/api/emrs/webdoc/care-units/L0_1/patients"
        "?first_name=Lars+G%C3%B6ran&last_name=O%27Pla%26c%3D~e%2Ah%2F%23",
    ),
    "patients by last name": Example(
        lambda ehr: ehr.find_patients("L0_1", first_name=None, last_name="Tolvansson"),
        "/api/emrs/webdoc/care-units/L0_1/patients?last_name=Tolvansson",
    ),
    "one patient (seed 001)": Example(
        lambda ehr: ehr.patient("L0_1", ABC),
        "/api/emrs/webdoc/care-units/L0_1/patients/emr_id:abc_12345",
        b"{}",
    ),
    "appointments": Example(lambda ehr: ehr.appointments("care-unit-123"), f"{UNIT}/appointments"),
    "appointments narrowed": Example(
        lambda ehr: ehr.appointments(
            "care-unit-123",
            patient=TOLVAN,
            resource=ResourceRef("hsa_id", "SE2321000131-E000000012345"),
            window=SLOT,
        ),
        f"{UNIT}/appointments?patient_id=se_personal_number%3A191212121212"
        "&resource_id=hsa_id%3ASE2321000131-E000000012345"
        "&start=2024-03-25T14%3A00%3A00%2B01%3A00&end=2024-03-25T14%3A30%3A00%2B01%3A00",
    ),
    "one appointment": Example(
        lambda ehr: ehr.appointment("care-unit-123", "a1"), f"{UNIT}/appointments/a1", SLOT_BODY
    ),
    "notes (seed 000)": Example(
        lambda ehr: ehr.notes("care-unit-123", TOLVAN),
        f"{UNIT}/patients/se_personal_number:191212121212/medical-notes",
        b'{"data":[]}',
    ),
    "one note (seed 000)": Example(
        lambda ehr: ehr.note("care-unit-123", TOLVAN, "note-1"),
        f"{UNIT}/patients/se_personal_number:191212121212/medical-notes/note-1",
        b'{"id":"note-1"}',
    ),
    "documents (seed 002)": Example(
        lambda ehr: ehr.documents("care-unit-123", TOLVAN),
        f"{UNIT}/patients/se_personal_number:191212121212/documents",
        b'{"items":[]}',
    ),
    "one document's digest": Example(
        lambda ehr: ehr.document_digest("care-unit-123", TOLVAN, "doc-1"),
        f"{UNIT}/patients/se_personal_number:191212121212/documents/doc-1",
        b'{"id":"doc-1"}',
    ),
    "one document (seed 002)": Example(
        lambda ehr: ehr.document("care-unit-123", TOLVAN, "doc-1"),
        f"{UNIT}/patients/se_personal_number:191212121212/documents/doc-1",
        b'{"id":"doc-1"}',
    ),
}


class Written(NamedTuple):
    call: Call
    method: str
    target: str
    body: dict[str, Any]
    answer: bytes


WRITES = {
    "booking (seed 003)": Written(
        lambda ehr: ehr.book(
            "care-unit-123",
            NewAppointment(
                patient=TOLVAN,
                window=SLOT,
                resource=DOCTOR,
                healthcare_service_id="service-101",
                comment="First consultation",
            ),
        ),
        "POST",
        f"{UNIT}/appointments",
        {
            "start": "2024-03-25T14:00:00+01:00",
            "end": "2024-03-25T14:30:00+01:00",
            "patient_id": "se_personal_number:191212121212",
            "resource_id": "doctor-789",
            "healthcare_service_id": "service-101",
            "comment": "First consultation",
        },
        b"[" + SLOT_BODY + b"]",
    ),
    "booking with the least": Written(
        lambda ehr: ehr.book("care-unit-123", NewAppointment(patient=ABC, window=SLOT)),
        "POST",
        f"{UNIT}/appointments",
        {
            "start": "2024-03-25T14:00:00+01:00",
            "end": "2024-03-25T14:30:00+01:00",
            "patient_id": "emr_id:abc_12345",
        },
        SLOT_BODY,
    ),
    "note (seed 000)": Written(
        lambda ehr: ehr.write_note(
            "care-unit-123",
            TOLVAN,
            NewNote(
                template_id="leyr_unstructured",
                title="Consultation Summary",
                created_by_id="resource-123",
                content={"unstructured": NOTE_TEXT},
            ),
        ),
        "POST",
        f"{UNIT}/patients/se_personal_number:191212121212/medical-notes",
        {
            "template_id": "leyr_unstructured",
            "title": "Consultation Summary",
            "created_by_id": "resource-123",
            "content": {"unstructured": NOTE_TEXT},
        },
        b'{"id":"note-1"}',
    ),
    "patient": Written(
        lambda ehr: ehr.create_patient(
            "care-unit-123",
            NewPatient(
                first_name="Tolvan",
                last_name="Tolvansson",
                external_id="191212121212",
                phones=("+46001234567",),
            ),
        ),
        "POST",
        f"{UNIT}/patients",
        {
            "first_name": "Tolvan",
            "last_name": "Tolvansson",
            "external_id": "191212121212",
            "phones": ["+46001234567"],
        },
        b"{}",
    ),
    "reschedule": Written(
        lambda ehr: ehr.change_appointment(
            "care-unit-123", "a1", Reschedule(window=SLOT, resource=DOCTOR, comment="Moved")
        ),
        "PATCH",
        f"{UNIT}/appointments/a1",
        {
            "start": "2024-03-25T14:00:00+01:00",
            "end": "2024-03-25T14:30:00+01:00",
            "resource_id": "doctor-789",
            "comment": "Moved",
        },
        SLOT_BODY,
    ),
    "only a comment": Written(
        lambda ehr: ehr.change_appointment("care-unit-123", "a1", Reschedule(comment="")),
        "PATCH",
        f"{UNIT}/appointments/a1",
        {"comment": ""},
        SLOT_BODY,
    ),
    "cancel": Written(
        lambda ehr: ehr.change_appointment("care-unit-123", "a1", Cancel(comment="Ill")),
        "PATCH",
        f"{UNIT}/appointments/a1",
        {"status": "cancelled", "comment": "Ill"},
        SLOT_BODY,
    ),
    "confirm": Written(
        lambda ehr: ehr.change_appointment("care-unit-123", "a1", Confirm(code="123456")),
        "PATCH",
        f"{UNIT}/appointments/a1",
        {"confirmation": {"code": "123456"}},
        SLOT_BODY,
    ),
}


async def _sent(call: Call, body: bytes) -> RawRequest:
    async with raw_upstream(answer(body)) as upstream:
        async with connected(origin=upstream.origin) as ehr:
            await call(ehr)
        (request,) = upstream.requests
        host = upstream.origin.removeprefix("http://")
        assert request.headers["Host"] == host
        return request


def _has_the_seeds_headers(request: RawRequest) -> None:
    assert request.headers["x-leyr-client-id"] == CLIENT_ID
    assert request.headers["x-leyr-client-secret"] == SECRET
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("example", READS.values(), ids=READS)
async def test_a_read_is_the_seeds_request_on_the_wire(example: Example) -> None:
    request = await _sent(example.call, example.answer)
    assert request.line == f"GET {example.target} HTTP/1.1"
    _has_the_seeds_headers(request)
    assert request.headers["Accept-Encoding"] == "identity"
    assert not {"Content-Length", "Transfer-Encoding", "Authorization", "Cookie"} & {
        *request.headers
    }


@pytest.mark.parametrize("written", WRITES.values(), ids=WRITES)
async def test_a_write_is_the_seeds_request_on_the_wire(written: Written) -> None:
    request = await _sent(written.call, written.answer)
    assert request.line == f"{written.method} {written.target} HTTP/1.1"
    _has_the_seeds_headers(request)
    assert request.headers["Content-Length"] == str(len(request.body))
    assert "Transfer-Encoding" not in request.headers
    sent = json.loads(request.body)
    assert sent == written.body
    assert list(sent) == list(written.body)


async def test_a_bare_value_is_never_sent_as_a_patient_id() -> None:
    request = await _sent(lambda ehr: ehr.patient("L0_1", PatientRef("emr_id", "emr_id:x")), b"{}")
    assert request.segments[-1] == "emr_id:emr_id:x"


async def test_one_connection_serves_several_calls() -> None:
    async with raw_upstream(answer()) as upstream, connected(origin=upstream.origin) as ehr:
        for _ in range(3):
            await ehr.care_units()
        assert upstream.connections == 1
        assert len(upstream.requests) == 3
