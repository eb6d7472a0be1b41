"""list_care_units: where care is given, by whom, and what can be booked."""

from __future__ import annotations

import asyncio
from typing import NotRequired

from typing_extensions import TypedDict

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.text import named, short
from leyr_mcp.tools.spec import READS, ToolSpec

_AT_MOST = 50


class NamedEntry(TypedDict):
    """An id and what people call it."""

    id: str
    name: NotRequired[str]


class UnitEntry(TypedDict):
    """One care unit."""

    care_unit_id: str
    name: NotRequired[str]
    resources: list[NamedEntry]
    services: list[NamedEntry]


class Answer(TypedDict):
    """The care units."""

    care_units: list[UnitEntry]
    truncated: bool


class Input(Arguments):
    """No arguments."""


async def handle(context: ToolContext, _: Input) -> Reply:
    """Return every care unit with its resources and services."""
    found = await context.units.all()
    units = await asyncio.gather(
        *(context.units.unit(unit.id, unit.name) for unit in found[:_AT_MOST])
    )
    entries: list[UnitEntry] = []
    lines: list[str] = []
    for unit in units:
        resources = [_entry(r.id, r.name) for r in unit.resources]
        services = [_entry(s.id, s.name) for s in unit.services]
        entry = UnitEntry(care_unit_id=short(unit.id), resources=resources, services=services)
        if unit.name:
            entry["name"] = short(unit.name)
        entries.append(entry)
        lines.append(named("care_unit_id", entry["care_unit_id"], entry.get("name")))
        lines += ["  " + named("resource_id", r["id"], r.get("name")) for r in resources]
        lines += ["  " + named("healthcare_service_id", s["id"], s.get("name")) for s in services]
    truncated = len(found) > _AT_MOST
    if truncated:
        lines.append(f"Only the first {_AT_MOST} of {len(found)} care units are shown.")
    if not entries:
        lines.append("There is no care unit. Next: tell the user that the account has none.")
    return Reply(Answer(care_units=entries, truncated=truncated), "\n".join(lines))


def _entry(entry_id: str, name: str | None) -> NamedEntry:
    return (
        NamedEntry(id=short(entry_id), name=short(name)) if name else NamedEntry(id=short(entry_id))
    )


SPEC = ToolSpec(
    name="list_care_units",
    title="List care units",
    description="List care units with their resources (practitioners, rooms) and healthcare "
    "services. Next: list_timeslots with these ids.",
    toolset="base",
    scope="ehr.read",
    annotations=READS,
    input=Input,
    output=Answer,
    handler=handle,
)
