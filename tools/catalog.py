"""The tools, in the order in which they are listed."""

from __future__ import annotations

from leyr_mcp.tools import (
    attach_document,
    book_appointment,
    change_appointment,
    create_patient,
    discard_draft,
    file_drafts,
    find_patient,
    get_document,
    get_draft,
    get_note,
    list_appointments,
    list_care_units,
    list_documents,
    list_drafts,
    list_notes,
    list_timeslots,
    write_note,
)
from leyr_mcp.tools.spec import ToolSpec

TOOLS: tuple[ToolSpec, ...] = (
    list_care_units.SPEC,
    find_patient.SPEC,
    create_patient.SPEC,
    list_timeslots.SPEC,
    list_appointments.SPEC,
    book_appointment.SPEC,
    change_appointment.SPEC,
    list_notes.SPEC,
    get_note.SPEC,
    write_note.SPEC,
    list_documents.SPEC,
    get_document.SPEC,
    attach_document.SPEC,
    list_drafts.SPEC,
    get_draft.SPEC,
    file_drafts.SPEC,
    discard_draft.SPEC,
)
