"""What the tools that book and change appointments share: times read, and the answer in words."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import NotRequired, cast

from leyr_mcp.server.boundary import Reply, ToolContext
from leyr_mcp.server.ehr.models import Appointment
from leyr_mcp.server.ehr.port import Window
from leyr_mcp.server.ehr.units import Place
from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.filing.compare import AWAITING, CANCELLED
from leyr_mcp.server.filing.entries import Entry
from leyr_mcp.server.text import Cleaned, clean, named, short
from leyr_mcp.server.times import clock, day_line, iso, parse_moment
from leyr_mcp.tools.results import FilingResult, about, lines, result

COMMENT_CAP = 300
_LATE = timedelta(minutes=10)  # so that a person who decides slowly does not make it too late
_LONGEST = timedelta(hours=24)
_CODE = (
    "It counts only when the patient confirms: a code was sent to them. Ask the user for the code, "
    "then call change_appointment with this appointment_id, action confirm and the code."
)
_CODE_CANCEL = (
    "The appointment stays booked until the patient confirms: a code was sent to them. Ask the "
    "user for the code, then call change_appointment with this appointment_id, action confirm and "
    "the code."
)
_CANCELLED = "Tell the user that the appointment is cancelled."
_BOOKED = "Tell the user the day, time and status of the appointment."
_UNREAD = "It is filed, but could not be read again; ask the user to look at it in the record."


class BookingEntry(Place):
    """An appointment: as the record has it, else as it is wanted, without a status."""

    appointment_id: NotRequired[str]
    start: str
    end: str
    status: NotRequired[str]


class BookingResult(FilingResult):
    """A filing result, and the appointment that it is about."""

    appointment: BookingEntry


def span(context: ToolContext, start: str, end: str) -> Window:
    """Return a span of time that can be booked, in the clinic's zone.

    Raises:
        InputError: A time is none or has no offset, or the span is past, reversed or too long.
    """
    window = Window(_moment(context, start, "start"), _moment(context, end, "end"))
    if window.start < context.now() - _LATE:
        raise InputError("start lies in the past.", field="start")
    if window.end - window.start > _LONGEST:
        raise InputError("An appointment must not be longer than 24 hours.", field="end")
    return window


def _moment(context: ToolContext, raw: str, field: str) -> datetime:
    if ":" not in raw:
        raise InputError(
            f"{field} must be a time with its UTC offset, like 2026-11-23T09:00:00+01:00; a date "
            "alone is not enough.",
            field=field,
        )
    return local(context, parse_moment(raw, zone=context.zone, field=field))


def local(context: ToolContext, moment: datetime) -> datetime:
    """Return an instant in local time with a fixed offset, so that it is written in one way."""
    try:
        return datetime.fromisoformat(moment.astimezone(context.zone).isoformat())
    except OverflowError:
        return moment


def comment_of(raw: str | None) -> Cleaned:
    """Return a comment, cleaned; empty where there is none.

    Raises:
        InputError: It is too long; a comment is never cut.
    """
    found = clean((raw or "").strip(), cap=COMMENT_CAP + 1)
    if len(found.text) > COMMENT_CAP or found.truncated:
        raise InputError(
            f"comment must not be longer than {COMMENT_CAP} characters.", field="comment"
        )
    return found._replace(text=found.text.strip())


def resource_of(context: ToolContext, raw: str | None) -> str | None:
    """Return a checked resource id as it is sent: bare where it is the record system's own."""
    ref = context.resource_ref(raw)
    if ref is None:
        return None
    return ref.value if ref.type == "emr_id" and ":" not in ref.value else str(ref)


async def reply(context: ToolContext, entry: Entry, known: Appointment | None) -> Reply:
    """Return the answer about one appointment; `known` is how the record had it before."""
    filed = entry.draft.state == "filed"
    stored = await _stored(context, entry) if filed else known
    shown = stored or _planned(entry, known)
    told = await _entry(context, entry, shown, status=stored.status if stored else None)
    found = BookingResult(**await result(context, entry), appointment=told)
    if filed and not (entry.draft.verified or "").startswith("differs"):
        found["next"] = _next(entry, told.get("status"))
    text = lines(found)
    text[1:1] = _lines(context, shown, told)
    return Reply(found, "\n".join(text), about=about([entry]))


def _planned(entry: Entry, known: Appointment | None) -> Appointment:
    """Return the appointment as the draft wants it."""
    wants = ("start", "end", "resource_id", "healthcare_service_id")
    found = {name: getattr(entry.payload.item, name, None) for name in wants}
    wanted = {name: value for name, value in found.items() if value is not None}
    if known is not None:
        return known.model_copy(update=wanted)
    return Appointment.model_construct(id="", **wanted)


async def _stored(context: ToolContext, entry: Entry) -> Appointment | None:
    """Return what was filed as the record has it now, if it tells."""
    if not entry.draft.remote_id:
        return None
    with contextlib.suppress(LeyrMcpError):  # an id of no usable form is no reading either
        return await context.ehr.appointment(entry.payload.care_unit_id, entry.draft.remote_id)
    return None


async def _entry(
    context: ToolContext, entry: Entry, shown: Appointment, *, status: str | None
) -> BookingEntry:
    names = await context.units.names(entry.payload.care_unit_id)
    told = BookingEntry(start=iso(shown.start, context.zone), end=iso(shown.end, context.zone))
    told.update(cast("BookingEntry", names.place(shown.resource_id, shown.healthcare_service_id)))
    filed = entry.draft.remote_id if entry.draft.state == "filed" else None
    if filed or shown.id:
        told["appointment_id"] = short(filed or shown.id)
    if status is not None:
        told["status"] = short(status)
    return told


def _next(entry: Entry, status: str | None) -> str:
    if status == AWAITING:
        return _CODE_CANCEL if _cancels(entry) else _CODE
    return {None: _UNREAD, CANCELLED: _CANCELLED}.get(status, _BOOKED)


def _cancels(entry: Entry) -> bool:
    return getattr(entry.payload.item, "action", None) == "cancel"


def _lines(context: ToolContext, found: Appointment, told: BookingEntry) -> list[str]:
    times = f"{clock(found.start, context.zone)}-{clock(found.end, context.zone)}"
    parts = [" ".join(filter(None, (times, told.get("status"))))]
    parts += [
        named(key, str(value), cast("str | None", told.get(key.removesuffix("_id"))))
        for key, value in told.items()
        if key.endswith("_id")
    ]
    return [day_line(found.start, context.zone), "  " + ", ".join(parts)]
