"""The port: what this server asks of any health record, in our words.

A backend translates it into one vendor's API. Reads return models; a write returns what was stored,
or the vendor's job when the vendor only accepted it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.models import (
    Appointment,
    CareUnit,
    Document,
    Note,
    Patient,
    Resource,
    Service,
    Timeslot,
)
from leyr_mcp.server.errors import InputError


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time between two instants."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise InputError("A time needs its UTC offset.")
        if self.start >= self.end:
            raise InputError("end must be after start.", field="end")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPatient:
    """A patient to be created, or found if the record already has them."""

    first_name: str
    last_name: str
    external_id: str | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAppointment:
    """An appointment to be booked."""

    patient: PatientRef
    window: Window
    resource: ResourceRef | None = None
    healthcare_service_id: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reschedule:
    """Move an appointment to another time or resource."""

    window: Window | None = None
    resource: ResourceRef | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        if self.window is None and self.resource is None and self.comment is None:
            raise InputError("Nothing to change: give a time, a resource or a comment.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Cancel an appointment; some record systems then ask the patient to confirm."""

    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Confirm a booking or a cancellation with the code that the patient received."""

    code: str = field(repr=False)


Change = Reschedule | Cancel | Confirm


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNote:
    """A note to be written; it arrives unsigned. Not every record system takes an author."""

    title: str
    template_id: str
    content: Mapping[str, str]
    created_by_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document to be attached; `chunks` gives its bytes, in the same pieces at each iteration."""

    title: str
    format: str
    created_by_id: str | None
    size: int
    chunks: AsyncIterable[bytes]
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A write that the record system only queued; its backend alone reads the id."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The end of a job that went well: what is stored, as the record system tells it.

    `entry` is None where it tells only the id; `patient_id` says whose it is, if that is told.
    """

    record_id: str
    entry: Appointment | Note | Document | Patient | None = None
    patient_id: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of a job that failed; `told` is the record system's own words, for people alone."""

    told: str = field(default="", repr=False)


class Ehr(Protocol):
    """A health record."""

    @property
    def capabilities(self) -> Capabilities:
        """What this record system can do, as far as it is known."""
        ...

    async def care_units(self) -> list[CareUnit]:
        """Return the places of care."""
        ...

    async def resources(self, care_unit_id: str) -> list[Resource]:
        """Return who and what can be booked there."""
        ...

    async def services(self, care_unit_id: str) -> list[Service]:
        """Return the types of appointment there."""
        ...

    async def timeslots(
        self,
        care_unit_id: str,
        window: Window,
        *,
        resource: ResourceRef | None = None,
        healthcare_service_id: str | None = None,
    ) -> list[Timeslot]:
        """Return the free times in a window."""
        ...

    async def find_patients(
        self, care_unit_id: str, *, first_name: str | None, last_name: str | None
    ) -> list[Patient]:
        """Return the patients with these names."""
        ...

    async def patient(self, care_unit_id: str, patient: PatientRef) -> Patient:
        """Return one patient."""
        ...

    async def appointments(
        self,
        care_unit_id: str,
        *,
        patient: PatientRef | None = None,
        resource: ResourceRef | None = None,
        window: Window | None = None,
    ) -> list[Appointment]:
        """Return appointments, narrowed by what is given."""
        ...

    async def appointment(self, care_unit_id: str, appointment_id: str) -> Appointment:
        """Return one appointment."""
        ...

    async def notes(
        self, care_unit_id: str, patient: PatientRef, *, since: datetime | None = None
    ) -> list[Note]:
        """Return a patient's notes; those made before `since` may be left out."""
        ...

    async def note(self, care_unit_id: str, patient: PatientRef, note_id: str) -> Note:
        """Return one note with its content."""
        ...

    async def documents(
        self, care_unit_id: str, patient: PatientRef, *, since: datetime | None = None
    ) -> list[Document]:
        """Return a patient's documents, without content; those before `since` may be left out."""
        ...

    async def document(self, care_unit_id: str, patient: PatientRef, document_id: str) -> Document:
        """Return one document, with its content where the record system gives it."""
        ...

    async def document_digest(
        self, care_unit_id: str, patient: PatientRef, document_id: str
    ) -> Document:
        """Return one document whose content is told as size and SHA-256 only."""
        ...

    async def job(
        self, care_unit_id: str, job_id: str, *, since: datetime
    ) -> Stored | Failed | None:
        """Return what became of a job that was queued after `since`; None while it is not known."""
        ...

    async def create_patient(self, care_unit_id: str, new: NewPatient) -> Patient | Job:
        """Create a patient, or return the one that exists."""
        ...

    async def book(self, care_unit_id: str, new: NewAppointment) -> Appointment | Job:
        """Book an appointment."""
        ...

    async def change_appointment(
        self, care_unit_id: str, appointment_id: str, change: Change
    ) -> Appointment | Job:
        """Reschedule, cancel or confirm an appointment; the answer may carry another id."""
        ...

    async def write_note(self, care_unit_id: str, patient: PatientRef, new: NewNote) -> Note | Job:
        """Write a note."""
        ...

    async def attach_document(
        self, care_unit_id: str, patient: PatientRef, new: NewDocument
    ) -> Document | Job:
        """Attach a document."""
        ...

    def clock_skew_s(self) -> float | None:
        """Return how far this machine's clock is ahead of the vendor's, if that is known."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
