"""change_appointment: one appointment moved, cancelled or confirmed, once a person approved it."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.ehr.identifiers import PatientRef, check_opaque
from leyr_mcp.server.ehr.models import Appointment
from leyr_mcp.server.errors import (
    InputError,
    UpstreamConflictError,
    UpstreamContractError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
)
from leyr_mcp.server.filing import subject
from leyr_mcp.server.filing.compare import CANCELLED, bare, same_time, text
from leyr_mcp.server.filing.entries import Entry, Proposal
from leyr_mcp.server.filing.payloads import ChangeItem, Was
from leyr_mcp.server.storage.store import OPEN, State
from leyr_mcp.server.text import short
from leyr_mcp.tools import bookings
from leyr_mcp.tools.params import (
    CareUnitId,
    EntryId,
    Expect,
    KeepDraft,
    Key,
    Moment,
    line,
)
from leyr_mcp.tools.results import filed
from leyr_mcp.tools.spec import WRITES, ToolSpec

_COUNTS_FOR = timedelta(hours=24)
_SENT: tuple[State, ...] = (*sorted(OPEN), "needs_human", "filed")
_OVER = (CANCELLED, "completed")
# What each action takes besides the appointment.
_TAKES = {
    "reschedule": {"start", "end", "resource_id", "comment"},
    "cancel": {"comment"},
    "confirm": {"code"},
}


class Input(Arguments):
    """Which appointment, and what becomes of it."""

    appointment_id: EntryId
    action: Literal["reschedule", "cancel", "confirm"]
    start: Annotated[Moment, Field(description="With UTC offset")] | None = None
    end: Moment | None = None
    resource_id: Annotated[str, line(130)] | None = None
    comment: str | None = None
    code: Annotated[str, Field(description="Sent to the patient"), line(40)] | None = None
    draft: KeepDraft = False
    idempotency_key: Key | None = None
    expect: Expect | None = None
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Draft a change of an appointment, and have it approved and filed."""
    appointment_id = check_opaque(args.appointment_id, field="appointment_id")
    _check_fit(args)
    subject.day_of(args.expect)
    window = bookings.span(context, args.start, args.end) if args.start and args.end else None
    comment = bookings.comment_of(args.comment)
    resource = bookings.resource_of(context, args.resource_id)
    if args.action == "reschedule" and not (window or resource or comment.text):
        raise InputError("Give a new time, a resource_id or a comment.", field="start")
    unit = await context.units.resolve(args.care_unit_id)
    found = await _read(context, unit, appointment_id)
    item = ChangeItem(
        appointment_id=appointment_id,
        action=args.action,
        was=Was(start=bookings.local(context, found.start), status=found.status),
        start=window.start if window else None,
        end=window.end if window else None,
        resource_id=resource,
        comment=comment.text or None,
        code=args.code,
    )
    proposal = Proposal(
        care_unit_id=unit,
        item=item,
        patient=_patient(context, found),
        expect=args.expect,
        draft=args.draft,
        key=args.idempotency_key,
        removed=comment.removed,
    )
    entry = await _entry(context, proposal, item, found)
    return await bookings.reply(context, entry, found)


def _check_fit(args: Input) -> None:
    """Refuse what does not belong to the action, and a time that is not whole.

    Raises:
        InputError: An argument is missing or does not belong.
    """
    for name in ("start", "end", "resource_id", "comment", "code"):
        if getattr(args, name) is not None and name not in _TAKES[args.action]:
            raise InputError(f"{name} does not belong to this action.", field=name)
    if (args.start is None) != (args.end is None):
        lacking = "start" if args.start is None else "end"
        raise InputError("start and end come together.", field=lacking)
    if args.action == "confirm" and args.code is None:
        raise InputError("Action confirm needs the code that the patient received.", field="code")


async def _read(context: ToolContext, unit: str, appointment_id: str) -> Appointment:
    """Return the appointment as it stands.

    Raises:
        UpstreamError: It cannot be read, or there is none.
    """
    try:
        found = await context.ehr.appointment(unit, appointment_id)
    except UpstreamNotSupportedError:
        raise UpstreamNotSupportedError(
            "This record system does not show a single appointment, so it cannot be changed here."
        ) from None
    if short(found.status) != found.status:  # what a person reads is what is compared
        raise UpstreamContractError("The record system's answer cannot be read as documented.")
    return found


def _patient(context: ToolContext, found: Appointment) -> PatientRef | None:
    """Return whose appointment it is, if the record tells; a bare id is its own."""
    raw = found.patient_id
    if raw:
        with contextlib.suppress(InputError):
            return context.patient_ref(raw) if ":" in raw else PatientRef("emr_id", raw)
    return None


async def _entry(
    context: ToolContext, proposal: Proposal, item: ChangeItem, found: Appointment
) -> Entry:
    """Return the draft of this change, as far as it comes now.

    Raises:
        LeyrMcpError: There is nothing to change, or it can no longer be changed.
    """
    hindrance = _hindrance(item, found)
    if hindrance is None:
        return await filed(context, await _staged(context, proposal))
    earlier = await _earlier(context, proposal, item)
    if earlier is None:
        raise UpstreamConflictError(hindrance, next_step="Tell the user; nothing was written.")
    return await filed(context, earlier)


async def _staged(context: ToolContext, proposal: Proposal) -> Entry:
    try:
        return await context.desk.stage(proposal, context.who)
    except UpstreamNotFoundError as exc:
        if proposal.patient is None or exc.field not in (None, "patient_id"):
            raise
    # The record names the patient of an appointment in a way in which it does not find them.
    return await context.desk.stage(dataclasses.replace(proposal, patient=None), context.who)


def _hindrance(item: ChangeItem, found: Appointment) -> str | None:
    """Return why there is nothing to be done, or None."""
    if item.action == "cancel" and found.status == CANCELLED:
        return "The appointment is cancelled already."
    if found.status in _OVER:
        return "The appointment is over or cancelled and can no longer be changed."
    if item.action == "confirm" and found.status == "booked":
        return "This appointment does not wait for a code."
    if item.action == "reschedule" and _as_wanted(item, found):
        return "The appointment is like this already."
    return None


def _as_wanted(item: ChangeItem, found: Appointment) -> bool:
    return (
        (item.start is None or same_time(found.start, item.start))
        and (item.end is None or same_time(found.end, item.end))
        and (item.resource_id is None or bare(found.resource_id or "") == bare(item.resource_id))
        and (item.comment is None or text(found.comment) == text(item.comment))
    )


async def _earlier(context: ToolContext, proposal: Proposal, item: ChangeItem) -> Entry | None:
    """Return the draft by which a like call of the same day brought this about, if one did."""
    since = context.now() - _COUNTS_FOR
    whose = str(proposal.patient or f"unknown:{proposal.care_unit_id}")
    for entry in await context.desk.entries(context.who, states=_SENT, patient=whose):
        before = entry.payload.item
        if (
            isinstance(before, ChangeItem)
            and dataclasses.replace(before, was=item.was) == item
            and entry.shown.key == proposal.key
            and entry.draft.updated_at >= since
        ):
            return entry.again()
    return None


SPEC = ToolSpec(
    name="change_appointment",
    title="Change appointment",
    description="Draft a move, cancellation or confirmation (with code) of an appointment, which a "
    "person approves first. Next: tell the user the status and where to approve.",
    toolset="scheduling",
    scope="ehr.draft",
    annotations=WRITES,
    input=Input,
    output=bookings.BookingResult,
    handler=handle,
    needs="change_appointment",
)
