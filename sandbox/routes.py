"""The table of operations: the router, the dispatcher and the OpenAPI document all read it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, TypeAdapter

from leyr_mcp.sandbox import appointments, documents, models, notes, patients, units
from leyr_mcp.sandbox.call import Call

CARE_UNITS = "/api/emrs/{emr}/care-units"
UNIT = CARE_UNITS + "/{care_unit_id}"
PATIENT = UNIT + "/patients/{patient_id}"

SMALL_BODY = 1024 * 1024
DOCUMENT_BODY = 30_000_000


@dataclass(frozen=True)
class Operation:
    """One operation of the API."""

    method: str
    template: str
    tag: str
    handler: Callable[[Call], object]
    answer: object
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    creates: bool = False
    body_limit: int = SMALL_BODY

    @property
    def id(self) -> str:
        """The operation id: tag, dash, name of the function."""
        return f"{self.tag}-{self.handler.__name__}"

    @cached_property
    def adapter(self) -> "TypeAdapter[object]":
        """What writes the answer, made at the first use."""
        adapter: TypeAdapter[object] = TypeAdapter(self.answer)  # type: ignore[arg-type]  # a type form
        return adapter

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path; a parameter stands in braces."""
        return tuple(self.template.strip("/").split("/"))


OPERATIONS = (
    Operation("GET", CARE_UNITS, "care_units", units.find_care_units, list[models.CareUnitAnswer]),
    Operation(
        "GET", f"{UNIT}/resources", "resources", units.find_resources, list[models.ResourceAnswer]
    ),
    Operation(
        "GET",
        f"{UNIT}/resources/{{resource_id}}",
        "resources",
        units.get_resource,
        models.ResourceAnswer,
    ),
    Operation(
        "GET",
        f"{UNIT}/healthcare-services",
        "healthcare_services",
        units.find_healthcare_services,
        list[models.HealthcareServiceAnswer],
    ),
    Operation(
        "GET",
        f"{UNIT}/timeslots",
        "timeslots",
        units.find_timeslots,
        list[models.TimeslotAnswer],
        query=models.TimeslotQuery,
    ),
    Operation(
        "GET",
        f"{UNIT}/patients",
        "patients",
        patients.find_patients,
        list[models.PatientAnswer],
        query=models.PatientQuery,
    ),
    Operation(
        "POST",
        f"{UNIT}/patients",
        "patients",
        patients.create_patient,
        models.PatientAnswer,
        body=models.PatientCreate,
    ),
    Operation("GET", PATIENT, "patients", patients.get_patient, models.PatientAnswer),
    Operation(
        "GET",
        f"{UNIT}/appointments",
        "appointments",
        appointments.find_appointments,
        list[models.AppointmentAnswer],
        query=models.AppointmentQuery,
    ),
    Operation(
        "POST",
        f"{UNIT}/appointments",
        "appointments",
        appointments.create_appointment,
        list[models.AppointmentAnswer],
        body=models.AppointmentCreate,
        creates=True,
    ),
    Operation(
        "GET",
        f"{UNIT}/appointments/{{appointment_id}}",
        "appointments",
        appointments.get_appointment,
        models.AppointmentAnswer,
    ),
    Operation(
        "PATCH",
        f"{UNIT}/appointments/{{appointment_id}}",
        "appointments",
        appointments.update_appointment,
        models.AppointmentAnswer,
        body=models.AppointmentPatch,
    ),
    Operation(
        "GET",
        f"{PATIENT}/medical-notes",
        "medical_notes",
        notes.find_medical_notes,
        models.NoteList,
    ),
    Operation(
        "POST",
        f"{PATIENT}/medical-notes",
        "medical_notes",
        notes.create_medical_note,
        models.NoteAnswer,
        body=models.NoteCreate,
        creates=True,
    ),
    Operation(
        "GET",
        f"{PATIENT}/medical-notes/{{note_id}}",
        "medical_notes",
        notes.get_medical_note,
        models.NoteAnswer,
    ),
    Operation(
        "GET", f"{PATIENT}/documents", "documents", documents.find_documents, models.DocumentList
    ),
    Operation(
        "POST",
        f"{PATIENT}/documents",
        "documents",
        documents.create_document,
        models.DocumentAnswer,
        body=models.DocumentCreate,
        creates=True,
        body_limit=DOCUMENT_BODY,
    ),
    Operation(
        "GET",
        f"{PATIENT}/documents/{{document_id}}",
        "documents",
        documents.get_document,
        models.DocumentAnswer,
    ),
)


@dataclass(frozen=True)
class Match:
    """What a method and a path lead to; `allowed` tells the methods of the path."""

    operation: Operation | None
    path: dict[str, str]
    allowed: tuple[str, ...]


def find_operation(method: str, segments: tuple[str, ...]) -> Match:
    """Return the operation for a path, already split and unquoted."""
    fitting = [item for item in OPERATIONS if _fits(item.segments, segments)]
    allowed = tuple(item.method for item in fitting)
    for item in fitting:
        if item.method == method:
            pairs = zip(item.segments, segments, strict=True)
            path = {name[1:-1]: value for name, value in pairs if name.startswith("{")}
            return Match(item, path, allowed)
    return Match(None, {}, allowed)


def _fits(template: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if len(template) != len(segments):
        return False
    pairs = zip(template, segments, strict=True)
    return all(part == value or (part.startswith("{") and value) for part, value in pairs)
