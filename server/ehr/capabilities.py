"""What each record system is known to do and which identifiers it takes.

A cell is True or False only where the vendor's documentation says so; None means unknown, and then
the vendor's own refusal decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from leyr_mcp.server.ehr.identifiers import PatientType

_EHR = frozenset({"emr_id"})
_SE = frozenset({"emr_id", "se_personal_number"})
_NO = frozenset({"emr_id", "no_personal_number"})
_BOTH = _SE | _NO


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One record system; `patient_types` and `resource_types` are None where unknown.

    Attributes:
        own_type: What an identifier is that comes without its type.
        number_needed: Without a number of this type it creates no patient.
        phone_needed: Without a telephone number it creates no patient.
        notes: Whether notes can be written.
        documents: Whether documents can be attached.
        read_notes: Whether notes can be listed and read.
        read_documents: Whether documents can be listed and read.
        names_author: Whether it takes in whose name notes and documents are written.
        free_notes_only: It takes a note as one text, without a template.
        booking_needs: Without these it books nothing.
        reschedule: Whether an appointment can be moved, where it can be changed.
        confirm: Whether a code of confirmation can be given, where it can be changed.
        queues: A write is only queued at first, and stored minutes later.
    """

    name: str
    own_type: PatientType = "emr_id"
    patient_types: frozenset[str] | None = None
    resource_types: frozenset[str] | None = field(default=_EHR)
    create_patient: bool | None = None
    get_patient: bool | None = None
    book: bool | None = None
    list_appointments: bool | None = None
    change_appointment: bool | None = None
    notes: bool | None = None
    documents: bool | None = None
    emr_id_is_national_number: bool = False
    number_needed: str | None = None
    phone_needed: bool = False
    read_notes: bool | None = None
    read_documents: bool | None = None
    names_author: bool = True
    free_notes_only: bool = False
    booking_needs: tuple[str, ...] = ()
    reschedule: bool | None = None
    confirm: bool | None = None
    queues: bool = False


UNKNOWN = Capabilities(name="unknown", resource_types=None)

EMRS: dict[str, Capabilities] = {
    "webdoc": Capabilities(
        name="WebDoc",
        patient_types=_SE,
        resource_types=frozenset({"emr_id", "hsa_id", "se_personal_number"}),
    ),
    "pasientsky": Capabilities(name="PasientSky", patient_types=_EHR),
    "takecare": Capabilities(
        name="TakeCare",
        patient_types=_SE,
        create_patient=True,
        get_patient=True,
        book=True,
        list_appointments=True,
        change_appointment=True,
        emr_id_is_national_number=True,
        number_needed="se_personal_number",
    ),
    "kaddio": Capabilities(
        name="Kaddio",
        patient_types=_SE,
        create_patient=True,
        get_patient=True,
        book=True,
        list_appointments=True,
        change_appointment=False,
        notes=True,
        documents=False,
        read_documents=False,
    ),
    "anitasystems": Capabilities(
        name="Anita Systems",
        patient_types=_EHR,
        create_patient=True,
        get_patient=False,
        book=True,
        list_appointments=False,
        phone_needed=True,
    ),
    "physica": Capabilities(
        name="Physica", patient_types=_EHR, create_patient=True, get_patient=True, book=True
    ),
    "pridok": Capabilities(
        name="Pridok", patient_types=_EHR, create_patient=True, get_patient=True, book=True
    ),
    "cliniko": Capabilities(
        name="Cliniko",
        patient_types=_EHR,
        create_patient=True,
        get_patient=True,
        book=True,
        change_appointment=True,
        notes=True,
        documents=True,
    ),
    "konfidens": Capabilities(
        name="Konfidens",
        resource_types=None,
        create_patient=True,
        get_patient=True,
        book=True,
        number_needed="no_personal_number",
    ),
    "acuityscheduling": Capabilities(name="Acuity Scheduling", patient_types=_EHR),
    "dips": Capabilities(name="DIPS", patient_types=_NO),
    "easypractice": Capabilities(name="EasyPractice", patient_types=_BOTH),
    "epic": Capabilities(name="Epic", patient_types=_BOTH),
    "millenium": Capabilities(name="Millenium", patient_types=_EHR),
    "muntra": Capabilities(name="Muntra", patient_types=_EHR),
    "opusdental": Capabilities(name="Opus Dental", patient_types=_EHR),
    "prorenata": Capabilities(name="Prorenata", patient_types=_SE),
    "solvit": Capabilities(name="SolvIT", patient_types=_EHR),
}


COBALT = Capabilities(
    name="Cobalt",
    own_type="mrn",
    patient_types=frozenset({"mrn"}),
    create_patient=False,
    get_patient=True,
    book=True,
    list_appointments=True,
    change_appointment=True,
    notes=True,
    documents=True,
    read_notes=False,
    read_documents=False,
    names_author=False,
    free_notes_only=True,
    booking_needs=("resource_id", "healthcare_service_id"),
    reschedule=False,
    confirm=False,
    queues=True,
)


def capabilities_of(emr: str) -> Capabilities:
    """Return what is known of a record system; the list of them is open."""
    return EMRS.get(emr, UNKNOWN)
