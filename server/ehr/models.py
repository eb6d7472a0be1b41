"""What a health record holds, in our words; tolerant of what the vendors add and leave out."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)


class Entity(BaseModel):
    """What all of them share.

    Fields that we do not name are dropped; numbers sent as ids become text; built on first use.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        coerce_numbers_to_str=True,
        defer_build=True,
        hide_input_in_errors=True,
    )


Id = Annotated[str, Field(min_length=1, max_length=200)]


def _date_or_none(value: Any) -> Any:
    """A birth date that is not a plain calendar date is treated as unknown, never guessed."""
    if not isinstance(value, str):
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def _moment_or_none(value: Any, parse: ValidatorFunctionWrapHandler) -> datetime | None:
    """When an entry was made is told where it can be read; no list fails for it."""
    try:
        found: datetime | None = parse(value)
    except ValidationError:
        return None
    return found


def _texts(value: Any) -> Any:
    return (
        {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else None
    )


def _never_told(_: Any) -> None:
    """What only this server works out is not taken from an answer."""


Made = Annotated[datetime | None, WrapValidator(_moment_or_none)]


class CareUnit(Entity):
    """A physical place of care."""

    id: Id
    name: str | None = None


class Resource(Entity):
    """A person or a piece of equipment that can be booked."""

    id: Id
    name: str | None = None


class Service(Entity):
    """A type of appointment."""

    id: Id
    name: str | None = None


class Timeslot(Entity):
    """A free time."""

    start: AwareDatetime
    end: AwareDatetime
    resource_id: str | None = None
    healthcare_service_id: str | None = None


class Patient(Entity):
    """A patient as the record system knows them."""

    id: str | None = None
    emr_id: str | None = None
    mrn: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    external_id: str | None = None
    care_unit_id: str | None = None
    birth_date: Annotated[date | None, BeforeValidator(_date_or_none)] = Field(
        default=None, validation_alias=AliasChoices("birth_date", "date_of_birth", "dob")
    )


class Appointment(Entity):
    """A booked time; `status` is kept as the vendor spells it, known or not.

    `job_id` is the job of one that is queued and not yet in the record.
    """

    id: Id
    start: AwareDatetime
    end: AwareDatetime
    status: str = "unknown"
    patient_id: str | None = None
    resource_id: str | None = None
    healthcare_service_id: str | None = None
    care_unit_id: str | None = None
    comment: str | None = None
    job_id: str | None = None


class Note(Entity):
    """A medical note; lists may leave out its content."""

    id: Id
    title: str | None = None
    template_id: str | None = None
    created_by_id: str | None = None
    created_at: Made = None
    content: Annotated[dict[str, str] | None, BeforeValidator(_texts)] = None


class Document(Entity):
    """A document; `content` is base64 and only sometimes there.

    Where only `size` and `sha256` were asked for, they stand for it: both None where the record
    gives no content, `sha256` empty where what it gives is no base64.
    """

    id: Id
    title: str | None = None
    format: str | None = None
    type: str | None = None
    created_by_id: str | None = None
    created_at: Made = None
    content: str | None = Field(default=None, repr=False)
    size: Annotated[int | None, BeforeValidator(_never_told)] = None
    sha256: Annotated[str | None, BeforeValidator(_never_told)] = None
