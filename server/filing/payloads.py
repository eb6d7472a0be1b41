"""What a draft holds: everything that is approved, as canonical JSON, and nothing else.

Its SHA-256 is what an approval is bound to, so each byte that is sent, and the patient line that
was seen, stands in here. Building one checks nothing; reading one back does.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from hashlib import sha256
from typing import Any, Literal, cast, get_args

from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json

from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef, ResourceType
from leyr_mcp.server.ehr.port import (
    Cancel,
    Change,
    Confirm,
    NewAppointment,
    NewDocument,
    NewNote,
    NewPatient,
    Reschedule,
    Window,
)
from leyr_mcp.server.errors import InputError, StorageError
from leyr_mcp.server.storage.store import Kind

_STRICT = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
_BROKEN = "A stored draft cannot be read."


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteItem:
    """A note; `content` is by the template's fields."""

    title: str
    template_id: str
    content: Mapping[str, str] = field(repr=False)

    __pydantic_config__ = _STRICT

    def new(self, author: str | None) -> NewNote:
        """Return it as the port takes it."""
        return NewNote(
            title=self.title,
            template_id=self.template_id,
            content=dict(self.content),
            created_by_id=author,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AppointmentItem:
    """A booking."""

    start: AwareDatetime
    end: AwareDatetime
    resource_id: str | None = None
    healthcare_service_id: str | None = None
    comment: str | None = field(default=None, repr=False)

    __pydantic_config__ = _STRICT

    def new(self, patient: PatientRef) -> NewAppointment:
        """Return it as the port takes it."""
        return NewAppointment(
            patient=patient,
            window=self.window,
            resource=resource_ref(self.resource_id),
            healthcare_service_id=self.healthcare_service_id,
            comment=self.comment,
        )

    @property
    def window(self) -> Window:
        """The time that is booked."""
        return Window(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Was:
    """An appointment as it stood when its change was drafted."""

    start: AwareDatetime
    status: str

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeItem:
    """A change of one appointment."""

    appointment_id: str
    action: Literal["reschedule", "cancel", "confirm"]
    was: Was
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    resource_id: str | None = None
    comment: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)

    __pydantic_config__ = _STRICT

    def new(self) -> Change:
        """Return it as the port takes it."""
        if self.action == "cancel":
            return Cancel(comment=self.comment)
        if self.action == "confirm":
            return Confirm(code=self.code or "")
        return Reschedule(
            window=Window(self.start, self.end) if self.start and self.end else None,
            resource=resource_ref(self.resource_id),
            comment=self.comment,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientItem:
    """A patient to be created, or found."""

    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    external_id: str | None = field(default=None, repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)
    emails: tuple[str, ...] = field(default=(), repr=False)

    __pydantic_config__ = _STRICT

    def new(self) -> NewPatient:
        """Return it as the port takes it."""
        return NewPatient(
            first_name=self.first_name,
            last_name=self.last_name,
            external_id=self.external_id,
            phones=self.phones,
            emails=self.emails,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentItem:
    """A document; without a digest it waits for its file. Where its bytes lie is no part of it."""

    title: str
    format: str = ""
    size: int = 0
    sha256: str = ""
    type: str | None = None

    __pydantic_config__ = _STRICT

    def new(self, author: str | None, chunks: AsyncIterable[bytes]) -> NewDocument:
        """Return it as the port takes it."""
        return NewDocument(
            title=self.title,
            format=self.format,
            created_by_id=author,
            size=self.size,
            chunks=chunks,
            type=self.type,
        )


Item = NoteItem | AppointmentItem | ChangeItem | PatientItem | DocumentItem
_KINDS: dict[type[Item], Kind] = {
    NoteItem: "note",
    AppointmentItem: "appointment",
    ChangeItem: "change",
    PatientItem: "patient",
    DocumentItem: "document",
}
_ITEMS: dict[Kind, type[Item]] = {kind: item for item, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The part that all kinds share, as it is read back."""

    environment: str | None
    care_unit_id: str
    patient: str | None
    patient_name: str | None
    patient_birth_date: date | None
    author: str | None

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Who, where, for whom as seen, and what; `patient` is a typed id."""

    environment: str | None
    care_unit_id: str
    item: Item
    patient: str | None = field(default=None, repr=False)
    patient_name: str | None = field(default=None, repr=False)
    patient_birth_date: date | None = field(default=None, repr=False)
    author: str | None = None

    @property
    def kind(self) -> Kind:
        """What it becomes."""
        return _KINDS[type(self.item)]

    @property
    def ref(self) -> PatientRef:
        """The patient as the port takes one.

        Raises:
            StorageError: None is named, or the identifier does not hold.
        """
        kind, colon, value = (self.patient or "").partition(":")
        try:
            return PatientRef(cast("Any", kind if colon else ""), value)
        except InputError as exc:
            raise StorageError(_BROKEN) from exc

    def to_bytes(self) -> bytes:
        """Return the canonical JSON: sorted keys, no spaces, UTF-8."""
        shared = _shared().dump_python(
            _Seen(
                environment=self.environment,
                care_unit_id=self.care_unit_id,
                patient=self.patient,
                patient_name=self.patient_name,
                patient_birth_date=self.patient_birth_date,
                author=self.author,
            ),
            mode="json",
        )
        body = _adapter(self.kind).dump_python(self.item, mode="json", exclude_none=True)
        try:
            return json.dumps(
                {**shared, "kind": self.kind, "item": body},
                ensure_ascii=False,
                sort_keys=True,
                separators=(",", ":"),
            ).encode()
        except UnicodeEncodeError:  # half a character
            raise InputError("A text holds characters that cannot be sent.") from None

    def digest(self) -> str:
        """Return what an approval is bound to."""
        return digest_of(self.to_bytes())

    @staticmethod
    def from_bytes(raw: bytes) -> Payload:
        """Return what was stored.

        Raises:
            StorageError: It is damaged.
        """
        try:
            fields = from_json(raw)
            kind = fields.pop("kind")
            item = _adapter(kind).validate_json(json.dumps(fields.pop("item")))
            seen = _shared().validate_json(json.dumps(fields))
        except (ValidationError, ValueError, LookupError, TypeError, AttributeError):
            raise StorageError(_BROKEN) from None  # the cause quotes what it could not read
        return Payload(
            environment=seen.environment,
            care_unit_id=seen.care_unit_id,
            item=item,
            patient=seen.patient,
            patient_name=seen.patient_name,
            patient_birth_date=seen.patient_birth_date,
            author=seen.author,
        )


def digest_of(raw: bytes) -> str:
    """Return the SHA-256 of a payload as stored."""
    return sha256(raw).hexdigest()


def resource_ref(text: str | None) -> ResourceRef | None:
    """Return a resource as the port takes one; a bare text is the record system's own id.

    Raises:
        StorageError: The identifier does not hold.
    """
    if text is None:
        return None
    kind, colon, value = text.partition(":")
    try:
        if colon and kind in get_args(ResourceType):
            return ResourceRef(cast("ResourceType", kind), value)
        return ResourceRef("emr_id", text)
    except InputError as exc:
        raise StorageError(_BROKEN) from exc


@cache
def _adapter(kind: Kind) -> TypeAdapter[Any]:
    """Built when first needed: a server that only reads never pays for it."""
    return TypeAdapter(_ITEMS[kind])


@cache
def _shared() -> TypeAdapter[_Seen]:
    return TypeAdapter(_Seen)
