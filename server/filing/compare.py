"""When two things are the same: a name seen and read, a note approved and stored, an appointment.

Record systems reflow text, cut times and leave fields out, so a field that is not there is no
difference; one that is there and differs always is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import get_args

from leyr_mcp.server.ehr.identifiers import IdType
from leyr_mcp.server.ehr.models import Appointment, Document, Note, Patient
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    NoteItem,
    Payload,
)

EQUAL = "equal"
UNREADABLE = "unreadable"
CANCELLED = "cancelled"
# In these an appointment takes no time.
GONE = frozenset({CANCELLED, "failed"})
AWAITING = "awaiting_confirmation"

# A time without offset may be of any zone, and a date alone stands for its midnight.
_ANY_ZONE = timedelta(hours=14 + 24)


class Age(Enum):
    """When an entry was made, against a moment."""

    AFTER = 1
    PERHAPS = 2  # its time has no offset
    UNKNOWN = 3
    BEFORE = 4


def age(made: datetime | None, since: datetime) -> Age:
    """Return whether an entry was made after `since`, as far as its time tells."""
    if made is None:
        return Age.UNKNOWN
    if made.tzinfo is None:
        earliest = (since - _ANY_ZONE).astimezone(UTC).replace(tzinfo=None)
        return Age.PERHAPS if made >= earliest else Age.BEFORE
    return Age.AFTER if made >= since else Age.BEFORE


def name(text: str | None) -> str:
    """Return a name for comparison: composed, without case, spaces collapsed."""
    folded = unicodedata.normalize("NFC", text or "").casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def text(raw: str | None) -> str:
    """Return a text for comparison: composed, one kind of line end, no space at a line's end."""
    lines = unicodedata.normalize("NFC", raw or "").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip()


def bare(identifier: str) -> str:
    """Return an identifier without its type."""
    kind, colon, value = identifier.partition(":")
    return value if colon and kind in _TYPES else identifier


_TYPES = frozenset(get_args(IdType))


def may_be(found: str | None, wanted: str | None) -> bool:
    """Return whether two identifiers can name one thing; one not told, or of another type, can."""
    if found is None or wanted is None or not comparable(found, wanted):
        return True
    return bare(found) == bare(wanted)


def comparable(found: str | None, wanted: str | None) -> bool:
    """Return whether two identifiers are of one type, so that they tell things apart."""
    return found is None or wanted is None or _type(found) == _type(wanted)


def _type(identifier: str) -> str:
    kind, colon, _ = identifier.partition(":")
    return kind if colon and kind in _TYPES else "emr_id"


def same_time(one: datetime, other: datetime) -> bool:
    """Return whether two times are of one minute: record systems keep no more."""
    return one.replace(second=0, microsecond=0) == other.replace(second=0, microsecond=0)


def patient_change(payload: Payload, read: Patient) -> bool:
    """Return whether name or birth date are no longer what was seen."""
    known = name(f"{read.first_name or ''} {read.last_name or ''}")
    if known and payload.patient_name is not None and name(payload.patient_name) != known:
        return True
    born = payload.patient_birth_date
    return born is not None and read.birth_date is not None and born != read.birth_date


def note_difference(item: NoteItem, author: str | None, note: Note) -> str | None:
    """Return what of a stored note is not as approved, or None; its content must be known."""
    if note.title is not None and text(note.title) != text(item.title):
        return "title"
    if not may_be(note.created_by_id, author):
        return "author"
    stored, approved = _parts(note.content or {}), _parts(item.content)
    if stored == approved:
        return None
    cut = stored.keys() == approved.keys() and all(
        approved[key].startswith(value) for key, value in stored.items()
    )
    return "truncated" if cut else "content"


def _parts(content: Mapping[str, str]) -> dict[str, str]:
    return {key: text(value) for key, value in content.items() if text(value)}


def appointment_difference(item: AppointmentItem, found: Appointment) -> str | None:
    """Return what of a stored appointment is not as approved, or None."""
    same = {
        "status": found.status not in GONE,
        "start": same_time(found.start, item.start),
        "end": same_time(found.end, item.end),
        "resource": may_be(found.resource_id, item.resource_id),
        "service": may_be(found.healthcare_service_id, item.healthcare_service_id),
        "comment": found.comment is None
        or item.comment is None
        or text(found.comment) == text(item.comment),
    }
    return next((part for part, equal in same.items() if not equal), None)


def change_difference(item: ChangeItem, found: Appointment) -> str | None:
    """Return what of an appointment is not as the change wants it, or None."""
    if item.action == "cancel":
        waits = found.status == AWAITING and item.was.status != AWAITING
        return None if found.status == CANCELLED or waits else "status"
    if item.action == "confirm":
        return "status" if found.status in {item.was.status, AWAITING} else None
    moved = item.start is not None  # then the time proves it, and what is not told may be missing
    resource = found.resource_id if found.resource_id or not moved else item.resource_id
    comment = found.comment if found.comment or not moved else item.comment
    same = {
        "status": found.status not in GONE,
        "start": item.start is None or same_time(found.start, item.start),
        "end": item.end is None or same_time(found.end, item.end),
        "resource": item.resource_id is None or may_be(resource or "", item.resource_id),
        "comment": item.comment is None or text(comment) == text(item.comment),
    }
    return next((part for part, equal in same.items() if not equal), None)


def document_difference(item: DocumentItem, author: str | None, found: Document) -> str | None:
    """Return what of a stored document is not as approved, or None; bytes only if told."""
    if found.title is not None and text(found.title) != text(item.title):
        return "title"
    if found.format is not None and found.format.lower() != item.format.lower():
        return "format"
    if not may_be(found.created_by_id, author):
        return "author"
    return None if found.sha256 in {None, item.sha256} else "content"
