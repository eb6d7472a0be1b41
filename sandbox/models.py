"""The requests and answers of the API, as the public record states them."""

import re
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)


def parse_time(value: object) -> datetime:
    """Return an ISO 8601 text as a datetime; numbers and other spellings are refused.

    Raises:
        ValueError: the value is no such text.
    """
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        raise ValueError("invalid datetime format")
    return datetime.fromisoformat(value.upper())


Text = Annotated[str, StringConstraints(min_length=1)]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(parse_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Uuid = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Status = Literal["booked", "awaiting_confirmation", "completed", "cancelled"]


class Request(BaseModel):
    """A body or a query; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class Answer(BaseModel):
    """An answer; fields without a value are left out."""

    unseen: ClassVar[tuple[str, ...]] = ()

    def seen_only(self) -> Self:
        """Return a copy without the fields that no vendor sample shows."""
        return self.model_copy(update=dict.fromkeys(self.unseen))


class CareUnitAnswer(Answer):
    """A physical place of care."""

    id: str
    name: str


class ResourceAnswer(Answer):
    """A person or thing that can be booked."""

    id: str
    name: str


class HealthcareServiceAnswer(Answer):
    """A bookable type of visit."""

    id: str
    name: str


class TimeslotQuery(Request):
    """The window and the filters of a search for free times."""

    start: Moment | None = None
    end: Moment | None = None
    resource_id: Text | None = None
    healthcare_service_id: Text | None = None


class TimeslotAnswer(Answer):
    """A free time of one resource for one service."""

    start: Timestamp
    end: Timestamp
    resource_id: str
    healthcare_service_id: str


class PatientQuery(Request):
    """A search by name; at least one of the two is needed."""

    first_name: Text | None = None
    last_name: Text | None = None


class PatientCreate(Request):
    """A person to register, or to find again by `external_id`."""

    first_name: Text
    last_name: Text
    external_id: Text | None = None
    phones: list[Text] | None = None
    emails: list[Text] | None = None


class PatientAnswer(Answer):
    """A patient: `id` is Leyr's, `emr_id` the record system's."""

    unseen = ("external_id", "phones", "emails")

    id: Uuid
    emr_id: str
    first_name: str
    last_name: str
    external_id: str | None = None
    phones: list[str] | None = None
    emails: list[str] | None = None
    care_unit_id: str


class AppointmentQuery(Request):
    """The filters of a list of appointments."""

    patient_id: Text | None = None
    resource_id: Text | None = None
    start: Moment | None = None
    end: Moment | None = None


class AppointmentCreate(Request):
    """A booking; the slot is named by its times, and by resource and service where needed."""

    start: Moment
    end: Moment
    patient_id: Text
    resource_id: Text | None = None
    healthcare_service_id: Text | None = None
    comment: str | None = None


class Confirmation(Request):
    """The code that the patient got by SMS."""

    code: Text


class AppointmentPatch(Request):
    """A cancellation (`status`), a confirmation, or a rescheduling; never two at once."""

    start: Moment | None = None
    end: Moment | None = None
    resource_id: Text | None = None
    comment: str | None = None
    status: Literal["cancelled"] | None = None
    confirmation: Confirmation | None = None


class AppointmentAnswer(Answer):
    """An appointment."""

    unseen = ("patient_id", "resource_id", "healthcare_service_id")

    id: Uuid
    start: Timestamp
    end: Timestamp
    patient_id: str | None = None
    resource_id: str | None = None
    healthcare_service_id: str | None = None
    comment: str | None = None
    status: Status
    care_unit_id: str


class NoteCreate(Request):
    """A medical note; the keys of `content` follow from the template."""

    template_id: Text
    title: str | None = None
    created_by_id: Text
    content: Annotated[
        dict[str, object],
        WithJsonSchema(
            {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}
        ),
    ]


class NoteAnswer(Answer):
    """A medical note, unsigned."""

    unseen = ("template_id", "title")

    id: Uuid
    template_id: str | None = None
    title: str | None = None
    created_by_id: str
    created_at: Timestamp
    content: dict[str, str] | None = None


class NoteList(Answer):
    """The notes of a patient."""

    data: list[NoteAnswer]


class DocumentCreate(Request):
    """A file, base64 in JSON; at most 20,971,520 bytes before encoding."""

    content: Annotated[Text, Field(json_schema_extra={"contentEncoding": "base64"})]
    format: Text
    title: Text
    type: str | None = None
    created_by_id: Text


class DocumentAnswer(Answer):
    """A document; `content` only when a single one is asked for."""

    unseen = ("created_by_id",)

    id: Uuid
    title: str
    type: str | None = None
    format: str
    created_by_id: str | None = None
    content: str | None = None


class DocumentList(Answer):
    """The documents of a patient."""

    items: list[DocumentAnswer]
