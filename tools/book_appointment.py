"""book_appointment: a free time booked for a patient, once a person approved it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.filing.entries import Proposal
from leyr_mcp.server.filing.payloads import AppointmentItem
from leyr_mcp.tools import bookings
from leyr_mcp.tools.params import (
    CareUnitId,
    Expect,
    KeepDraft,
    Key,
    Moment,
    PatientId,
    ResourceId,
    ServiceId,
)
from leyr_mcp.tools.results import filed
from leyr_mcp.tools.spec import WRITES, ToolSpec


class Input(Arguments):
    """Who, when, with whom and for what."""

    patient_id: PatientId
    start: Annotated[Moment, Field(description="With UTC offset")]
    end: Moment
    resource_id: ResourceId | None = None
    healthcare_service_id: ServiceId | None = None
    comment: str | None = None
    draft: KeepDraft = False
    idempotency_key: Key | None = None
    expect: Expect | None = None
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Draft a booking, and have it approved and filed."""
    patient = context.patient_ref(args.patient_id)
    window = bookings.span(context, args.start, args.end)
    comment = bookings.comment_of(args.comment)
    item = AppointmentItem(
        start=window.start,
        end=window.end,
        resource_id=bookings.resource_of(context, args.resource_id),
        healthcare_service_id=args.healthcare_service_id,
        comment=comment.text or None,
    )
    proposal = Proposal(
        care_unit_id=await context.units.resolve(args.care_unit_id),
        item=item,
        patient=patient,
        expect=args.expect,
        draft=args.draft,
        key=args.idempotency_key,
        removed=comment.removed,
    )
    entry = await filed(context, await context.desk.stage(proposal, context.who))
    return await bookings.reply(context, entry, None)


SPEC = ToolSpec(
    name="book_appointment",
    title="Book appointment",
    description="Draft a booking of a free time of list_timeslots, with its ids, which a person "
    "approves first. Next: tell the user the status, where to approve, and any overlap.",
    toolset="scheduling",
    scope="ehr.draft",
    annotations=WRITES,
    input=Input,
    output=bookings.BookingResult,
    handler=handle,
    needs="book",
)
