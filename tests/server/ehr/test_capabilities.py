"""What is known of a record system is refused here, without a request; what is unknown is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from leyr_mcp.sandbox.systems import SYSTEMS
from leyr_mcp.server.ehr.capabilities import EMRS, UNKNOWN, capabilities_of
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.port import NewAppointment, NewNote, Reschedule, Window
from leyr_mcp.server.errors import InputError, UpstreamNotSupportedError
from tests.support.leyr_client import ABC, NOW, connected, days
from tests.support.upstream_app import app_of, json_reply

NORWEGIAN = PatientRef("no_personal_number", "26258605879")
BRITISH = PatientRef("nhs_number", "9434765919")
HSA = ResourceRef("hsa_id", "SE2321000131-E000000012345")
NOTE = NewNote(title="t", template_id="leyr_unstructured", content={}, created_by_id="r")

Call = Callable[[LeyrEhr], Awaitable[object]]

BY_PATIENT: dict[str, Call] = {
    "patient": lambda ehr: ehr.patient("L0_1", NORWEGIAN),
    "notes": lambda ehr: ehr.notes("L0_1", NORWEGIAN),
    "note": lambda ehr: ehr.note("L0_1", NORWEGIAN, "n"),
    "documents": lambda ehr: ehr.documents("L0_1", NORWEGIAN),
    "document": lambda ehr: ehr.document("L0_1", NORWEGIAN, "d"),
    "document digest": lambda ehr: ehr.document_digest("L0_1", NORWEGIAN, "d"),
    "appointments": lambda ehr: ehr.appointments("L0_1", patient=NORWEGIAN),
    "book": lambda ehr: ehr.book("L0_1", NewAppointment(patient=NORWEGIAN, window=days(0, 1))),
    "write note": lambda ehr: ehr.write_note("L0_1", NORWEGIAN, NOTE),
}
BY_RESOURCE: dict[str, Call] = {
    "timeslots": lambda ehr: ehr.timeslots("L0_1", days(0, 1), resource=HSA),
    "appointments": lambda ehr: ehr.appointments("L0_1", resource=HSA),
    "book": lambda ehr: ehr.book(
        "L0_1", NewAppointment(patient=ABC, window=days(0, 1), resource=HSA)
    ),
    "reschedule": lambda ehr: ehr.change_appointment("L0_1", "a1", Reschedule(resource=HSA)),
}


async def _refused(call: Call, emr: str) -> UpstreamNotSupportedError:
    app = app_of()
    async with connected(app=app, emr=emr) as ehr:
        with pytest.raises(UpstreamNotSupportedError) as caught:
            await call(ehr)
    assert app.asked == []
    return caught.value


@pytest.mark.parametrize("call", BY_PATIENT.values(), ids=BY_PATIENT)
@pytest.mark.parametrize("emr", ["webdoc", "anitasystems", "takecare"])
async def test_a_type_of_patient_id_that_is_not_taken_is_refused_here(call: Call, emr: str) -> None:
    error = await _refused(call, emr)
    assert (error.code, error.field) == ("not_supported", "patient_id")
    assert error.next_step == "Search by name and use an id from the answer."
    assert "26258605879" not in str(error)
    assert "no_personal_number" in str(error)


@pytest.mark.parametrize("call", BY_RESOURCE.values(), ids=BY_RESOURCE)
async def test_a_type_of_resource_id_that_is_not_taken_is_refused_here(call: Call) -> None:
    error = await _refused(call, "cliniko")
    assert (error.code, error.field) == ("not_supported", "resource_id")
    assert HSA.value not in str(error)


async def test_an_nhs_number_is_taken_by_no_known_record_system() -> None:
    for emr, known in EMRS.items():
        if known.patient_types is not None:
            await _refused(lambda ehr: ehr.patient("L0_1", BRITISH), emr)


@pytest.mark.parametrize("emr", ["a-new-one", "konfidens"])
async def test_where_nothing_is_known_the_upstream_decides(emr: str) -> None:
    app = app_of(json_reply({"emr_id": "x"}))
    async with connected(app=app, emr=emr) as ehr:
        await ehr.patient("L0_1", BRITISH)
    assert app.asked[0].path.endswith("/patients/nhs_number:9434765919")


async def test_a_resource_is_sent_bare_by_own_id_and_typed_otherwise() -> None:
    app = app_of()
    async with connected(app=app) as ehr:
        await ehr.appointments("L0_1", resource=ResourceRef("emr_id", "1021"))
        await ehr.appointments("L0_1", resource=HSA)
    assert [asked.query for asked in app.asked] == [
        "resource_id=1021",
        "resource_id=hsa_id%3ASE2321000131-E000000012345",
    ]


def test_the_list_of_record_systems_is_open() -> None:
    assert capabilities_of("brand-new") is UNKNOWN
    assert (UNKNOWN.patient_types, UNKNOWN.resource_types, UNKNOWN.documents) == (None,) * 3


def test_the_sandbox_takes_what_the_table_promises() -> None:
    assert set(EMRS) == set(SYSTEMS)
    for slug, known in EMRS.items():
        served = SYSTEMS[slug]
        assert known.patient_types in (None, served.patient_types), slug
        assert known.resource_types in (None, served.resource_types), slug
        assert (known.documents is False) == ("documents" in served.lacks), slug
        assert (known.get_patient is False) == ("patient_get" in served.lacks), slug
        assert (known.list_appointments is False) == ("appointment_list" in served.lacks), slug


async def test_the_record_tells_what_it_can_do() -> None:
    async with connected(app=app_of(), emr="kaddio") as ehr:
        assert ehr.capabilities.documents is False
        assert ehr.capabilities.name == "Kaddio"


def test_a_window_has_offsets_and_runs_forward() -> None:
    naive = NOW.replace(tzinfo=None)
    for start, end in ((naive, NOW), (NOW, naive), (NOW, NOW), (days(1, 2).end, NOW)):
        with pytest.raises(InputError):
            Window(start, end)


def test_a_change_of_nothing_is_refused() -> None:
    with pytest.raises(InputError):
        Reschedule()
