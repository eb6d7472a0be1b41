"""Completions for care unit, resource and service, by id or by name; for template and language."""

from __future__ import annotations

from leyr_mcp.server.boundary import ToolContext
from leyr_mcp.server.ehr.models import CareUnit, Resource, Service
from leyr_mcp.tools.wording import LANGUAGES
from leyr_mcp.tools.write_note import TEMPLATES

_AT_MOST = 100
COMPLETED = frozenset({"care_unit_id", "resource_id", "healthcare_service_id"})
# The same everywhere, so that nobody is asked.
_FIXED = {"template_id": TEMPLATES, "language": LANGUAGES}


async def complete(
    context: ToolContext, name: str, begun: str, care_unit_id: str | None
) -> list[str]:
    """Return the ids that fit what was typed: the beginning of an id, or part of a name."""
    wanted = begun.strip().casefold()
    if name in _FIXED:
        return [value for value in _FIXED[name] if wanted in value]
    found: list[CareUnit] | tuple[Resource, ...] | tuple[Service, ...]
    if name == "care_unit_id":
        found = await context.units.all()
    elif name in COMPLETED:
        unit = await context.units.unit(await context.units.resolve(care_unit_id))
        found = unit.resources if name == "resource_id" else unit.services
    else:
        return []
    fits = [
        entry.id
        for entry in found
        if entry.id.casefold().startswith(wanted) or wanted in (entry.name or "").casefold()
    ]
    return fits[:_AT_MOST]
