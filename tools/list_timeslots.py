"""list_timeslots: free times, by day, a page at a time."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta
from itertools import groupby
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.ehr.models import Timeslot
from leyr_mcp.server.ehr.port import Window
from leyr_mcp.server.ehr.units import Place
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.audit import About
from leyr_mcp.server.text import named
from leyr_mcp.server.times import clock, day_line, iso, parse_moment
from leyr_mcp.tools.params import CareUnitId, Moment, ResourceId, ServiceId, line
from leyr_mcp.tools.spec import READS, ToolSpec

_DEFAULT_DAYS = 7
_MOST_DAYS = 92
_NOON, _EVENING = 12, 17

Key = tuple[datetime, str, str, int]  # start, resource, service, seconds


class SlotEntry(Place):
    """One free time, as a booking takes it."""

    start: str
    end: str


class Answer(TypedDict):
    """A page of free times."""

    timeslots: list[SlotEntry]
    care_unit_id: str
    timezone: str
    next_cursor: NotRequired[str]


class Input(Arguments):
    """A window and what narrows it."""

    start: Annotated[Moment, Field(description="Time with offset, or date; default now")] | None = (
        None
    )
    end: Annotated[Moment, Field(description="Default 7 days after start")] | None = None
    resource_id: ResourceId | None = None
    healthcare_service_id: ServiceId | None = None
    part_of_day: Literal["morning", "afternoon", "evening"] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(description="next_cursor of the last page"), line(400)] | None = (
        None
    )
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Return the free times of a window, sorted, a page at a time."""
    window = _window(context, args)
    after = _read_cursor(args.cursor) if args.cursor else None
    resource = context.resource_ref(args.resource_id)
    unit = await context.units.resolve(args.care_unit_id)
    found = await context.ehr.timeslots(
        unit, window, resource=resource, healthcare_service_id=args.healthcare_service_id
    )
    fits = sorted(
        (
            slot
            for slot in found
            if window.start <= slot.start < window.end
            and args.healthcare_service_id in (None, slot.healthcare_service_id)
            and args.part_of_day in (None, _part_of_day(context, slot))
            and (after is None or _key(slot) > after)
        ),
        key=_key,
    )
    page, more = fits[: args.limit], len(fits) > args.limit
    entries = await _entries(context, unit, page)
    data = Answer(timeslots=entries, care_unit_id=unit, timezone=context.zone.key)
    lines = _lines(context, page, entries)
    if more:
        data["next_cursor"] = _cursor(page[-1])
        lines.append(
            f"{len(fits) - len(page)} more. Next: narrow the search, or call again with cursor "
            f"{data['next_cursor']} and the same other arguments."
        )
    if not page:
        lines.append(
            "No free time fits. Next: try later dates, another resource or another service."
        )
    return Reply(data, "\n".join(lines), about=(About(care_unit=unit),))


def _window(context: ToolContext, args: Input) -> Window:
    now = context.now().replace(microsecond=0)
    start = parse_moment(args.start, zone=context.zone, field="start") if args.start else now
    if args.end:
        end = parse_moment(args.end, zone=context.zone, field="end", whole_day=True)
    else:
        end = start + timedelta(days=_DEFAULT_DAYS)
    window = Window(start, end)
    if end - start > timedelta(days=_MOST_DAYS):
        raise InputError(f"The span must not be longer than {_MOST_DAYS} days.", field="end")
    return window


def _part_of_day(context: ToolContext, slot: Timeslot) -> str:
    hour = slot.start.astimezone(context.zone).hour
    if hour < _NOON:
        return "morning"
    return "afternoon" if hour < _EVENING else "evening"


def _key(slot: Timeslot) -> Key:
    seconds = int((slot.end - slot.start).total_seconds())
    return slot.start, slot.resource_id or "", slot.healthcare_service_id or "", seconds


def _cursor(slot: Timeslot) -> str:
    """Return a place in the sorted list.

    It stays right when slots before it are taken meanwhile.
    """
    start, *rest = _key(slot)
    place = "|".join((start.isoformat(), *map(str, rest)))
    return base64.urlsafe_b64encode(place.encode()).decode()


def _read_cursor(cursor: str) -> Key:
    try:
        start, resource, service, length = (
            base64.urlsafe_b64decode(cursor.encode("ascii")).decode().split("|")
        )
        moment, seconds = datetime.fromisoformat(start), int(length)
    except (ValueError, binascii.Error):
        moment, seconds = datetime.min, 0  # noqa: DTZ901 - naive, so refused below
    if moment.tzinfo is None:
        raise InputError(
            "cursor is not one that this tool gave.",
            field="cursor",
            next_step="Call again without cursor.",
        )
    return moment, resource, service, seconds


async def _entries(context: ToolContext, unit: str, page: list[Timeslot]) -> list[SlotEntry]:
    if not page:
        return []
    names = await context.units.names(unit)
    return [
        SlotEntry(
            start=iso(slot.start, context.zone),
            end=iso(slot.end, context.zone),
            **names.place(slot.resource_id, slot.healthcare_service_id),
        )
        for slot in page
    ]


def _lines(context: ToolContext, page: list[Timeslot], entries: list[SlotEntry]) -> list[str]:
    """Group by day, and within it by who and what, so that no id is repeated for each time."""
    lines = []
    rows = list(zip(page, entries, strict=True))
    for heading, of_day in groupby(rows, key=lambda row: day_line(row[0].start, context.zone)):
        lines.append(heading)
        groups: dict[str, list[str]] = {}
        for slot, entry in of_day:
            times = f"{clock(slot.start, context.zone)}-{clock(slot.end, context.zone)}"
            groups.setdefault(_who(entry), []).append(times)
        lines += [f"  {who}: {', '.join(times)}" for who, times in groups.items()]
    return lines


def _who(entry: SlotEntry) -> str:
    parts = []
    if "resource_id" in entry:
        parts.append(named("resource_id", entry["resource_id"], entry.get("resource")))
    if "healthcare_service_id" in entry:
        service = entry["healthcare_service_id"], entry.get("healthcare_service")
        parts.append(named("healthcare_service_id", *service))
    return ", ".join(parts) or "any"


SPEC = ToolSpec(
    name="list_timeslots",
    title="List free times",
    description="List free appointment times in a window (default the next 7 days), in local time "
    "with offset. Next: offer them to the user; ids are those of list_care_units.",
    toolset="scheduling",
    scope="ehr.read",
    annotations=READS,
    input=Input,
    output=Answer,
    handler=handle,
)
