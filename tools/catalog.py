"""The tools, in the order in which they are listed."""

from __future__ import annotations

from leyr_mcp.tools import (
    find_patient,
    get_document,
    get_note,
    list_appointments,
    list_care_units,
    list_documents,
    list_notes,
    list_timeslots,
)
from leyr_mcp.tools.spec import ToolSpec

TOOLS: tuple[ToolSpec, ...] = (
    list_care_units.SPEC,
    find_patient.SPEC,
    list_timeslots.SPEC,
    list_appointments.SPEC,
    list_notes.SPEC,
    get_note.SPEC,
    list_documents.SPEC,
    get_document.SPEC,
)
