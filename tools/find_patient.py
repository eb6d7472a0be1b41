"""find_patient: the right patient, by identifier or by name."""

from __future__ import annotations

from datetime import date
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.ehr import people
from leyr_mcp.server.ehr.identifiers import PatientRef, mask_national_number
from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.filing.audit import About
from leyr_mcp.server.text import named, short
from leyr_mcp.server.times import parse_date
from leyr_mcp.tools.params import AnyPatientId, BirthDate, CareUnitId, Name
from leyr_mcp.tools.spec import READS, ToolSpec

_AT_MOST = 10
_NOT_COMPARED = "The birth date is not in the record and could not be compared."


class PatientEntry(TypedDict):
    """One patient."""

    patient_id: Annotated[str, Field(description="Use this from here on")]
    id: NotRequired[str]
    emr_id: NotRequired[str]
    first_name: NotRequired[str]
    last_name: NotRequired[str]
    birth_date: NotRequired[str]
    national_number: NotRequired[Annotated[str, Field(description="Masked")]]


class Answer(TypedDict):
    """The patients that match."""

    patients: list[PatientEntry]
    total: int
    truncated: bool
    care_unit_id: str


class Input(Arguments):
    """An identifier, or names."""

    patient_id: AnyPatientId | None = None
    first_name: Name | None = None
    last_name: Name | None = None
    birth_date: BirthDate | None = None
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Return the patients that match, at most ten, with what to do next."""
    born = parse_date(args.birth_date, field="birth_date") if args.birth_date else None
    ref = context.patient_ref(args.patient_id) if args.patient_id else None
    if ref is None and args.first_name is None and args.last_name is None:
        raise InputError("Give patient_id, or first_name or last_name.", field="patient_id")
    unit = await context.units.resolve(args.care_unit_id)
    if ref is not None:
        patient = await _by_id(context, unit, ref, args, born)
        compared = (
            born is None or people.birth_date(patient, ref, _number(context, patient)) is not None
        )
        return _reply(context, [patient], unit, ref, None if compared else _NOT_COMPARED)
    found = await context.ehr.find_patients(
        unit, first_name=args.first_name, last_name=args.last_name
    )
    note = None
    if born is not None:
        known = {id(p): people.birth_date(p, None, _number(context, p)) for p in found}
        found = [p for p in found if known[id(p)] in (None, born)]
        unsure = sum(known[id(p)] is None for p in found)
        if unsure:
            note = (
                f"The birth date of {unsure} of them is not in the record and could not be "
                "compared."
            )
    return _reply(context, found, unit, None, note)


async def _by_id(
    context: ToolContext, unit: str, ref: PatientRef, args: Input, born: date | None
) -> Patient:
    """Return the patient with this identifier; the names and birth date given must be theirs."""
    if context.ehr.capabilities.get_patient is False:
        raise InputError(
            f"{context.ehr.capabilities.name} cannot look a patient up by identifier.",
            code="not_supported",
            field="patient_id",
            next_step="Search with first_name and last_name.",
        )
    patient = await context.ehr.patient(unit, ref)
    known = people.birth_date(patient, ref, _number(context, patient))
    given = ((args.first_name, patient.first_name), (args.last_name, patient.last_name))
    if any(a and b and people.folded(a) != people.folded(b) for a, b in given) or (
        born and known and born != known
    ):
        raise LeyrMcpError(
            "The identifier belongs to a patient with another name or birth date.",
            code="patient_mismatch",
        )
    return patient


def _reply(
    context: ToolContext,
    found: list[Patient],
    unit: str,
    ref: PatientRef | None,
    note: str | None,
) -> Reply:
    usable = [e for e in (entry(context, patient, ref) for patient in found) if e is not None]
    entries = usable[:_AT_MOST]
    total, truncated = len(usable), len(usable) > _AT_MOST
    lines = [line(e) for e in entries]
    if note:
        lines.append(note)
    if len(found) > total:
        lines.append(f"{len(found) - total} more match but have no identifier that can be used.")
    if not entries:
        lines.append(
            "No patient matches. Next: ask the user to check the spelling and the birth date, or "
            "for an identifier."
        )
    elif truncated:
        lines.append(
            f"{total} patients match, {_AT_MOST} are shown. Next: ask the user for the first name, "
            "the birth date or an identifier and search again."
        )
    elif total > 1:
        lines.append(
            "Several patients match. Next: ask the user which one, by birth date or identifier; "
            "never guess."
        )
    data = Answer(patients=entries, total=total, truncated=truncated, care_unit_id=unit)
    about = tuple(About(patient=e["patient_id"], care_unit=unit) for e in entries)
    return Reply(data, "\n".join(lines), about=about)


def entry(context: ToolContext, patient: Patient, ref: PatientRef | None) -> PatientEntry | None:
    """Return a patient as the caller sees them; None without an identifier that can be used."""
    number = _number(context, patient)
    usable = _usable_id(patient, ref or number)
    if usable is None:
        return None
    found = PatientEntry(patient_id=usable)
    born = people.birth_date(patient, ref, number)
    masked = number.masked if number else mask_national_number(patient.external_id or "")
    shown: dict[str, str | None] = {
        "id": short(patient.id) if patient.id else None,
        "emr_id": short(patient.emr_id) if patient.emr_id else None,
        "first_name": short(patient.first_name) if patient.first_name else None,
        "last_name": short(patient.last_name) if patient.last_name else None,
        "birth_date": born.isoformat() if born else None,
        "national_number": masked,
    }
    found.update({k: v for k, v in shown.items() if v})  # type: ignore[typeddict-item]  # same keys
    return found


def line(found: PatientEntry) -> str:
    """Return one patient on one line of text, with every value of the entry."""
    name = " ".join(filter(None, (found.get("first_name"), found.get("last_name"))))
    parts = [
        named("patient_id", found["patient_id"], name),
        f"born {found['birth_date']}" if "birth_date" in found else "birth date unknown",
    ]
    if "national_number" in found:
        parts.append(f"national number {found['national_number']}")
    if "emr_id" in found:
        parts.append(f"emr_id {found['emr_id']}")
    if "id" in found:
        parts.append(f"id {found['id']}")
    return ", ".join(parts)


def _number(context: ToolContext, patient: Patient) -> PatientRef | None:
    types = context.ehr.capabilities.patient_types
    return people.national_number(patient, types, context.today(), context.environment)


def _usable_id(patient: Patient, otherwise: PatientRef | None) -> str | None:
    """Return the identifier to use from here on: never Leyr's own id, which no path takes."""
    usable = people.own_ref(patient) or otherwise
    return str(usable) if usable else None


SPEC = ToolSpec(
    name="find_patient",
    title="Find patient",
    description="Find a patient by identifier or by name, at most 10. Start here: what concerns a "
    "patient takes the patient_id of the answer; if several match, ask the user, never choose.",
    toolset="patients",
    scope="ehr.read",
    annotations=READS,
    input=Input,
    output=Answer,
    handler=handle,
)
