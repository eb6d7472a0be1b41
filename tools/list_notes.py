"""list_notes: which notes a patient has, without their text."""

from __future__ import annotations

from typing import NotRequired, TypeVar

from typing_extensions import TypedDict

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.ehr.models import Document, Note
from leyr_mcp.server.ehr.units import NO_NAMES, Names
from leyr_mcp.server.filing.audit import About
from leyr_mcp.server.text import named, short
from leyr_mcp.server.times import order, written
from leyr_mcp.tools.params import CareUnitId, PatientId
from leyr_mcp.tools.spec import READS, ToolSpec

_AT_MOST = 50

E = TypeVar("E", Note, Document)


class NoteEntry(TypedDict):
    """One note."""

    note_id: str
    title: NotRequired[str]
    created_at: NotRequired[str]
    template_id: NotRequired[str]
    created_by_id: NotRequired[str]
    created_by: NotRequired[str]


class Answer(TypedDict):
    """A patient's notes, newest first."""

    notes: list[NoteEntry]
    total: int
    truncated: bool
    patient_id: str
    care_unit_id: str


class Input(Arguments):
    """Whose notes."""

    patient_id: PatientId
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Return a patient's notes, newest first."""
    patient = context.patient_ref(args.patient_id)
    unit = await context.units.resolve(args.care_unit_id)
    found = newest_first(context, await context.ehr.notes(unit, patient))
    names = await context.units.names(unit) if found else NO_NAMES
    entries = [head(context, note, names) for note in found[:_AT_MOST]]
    lines = [note_line(entry) for entry in entries]
    if len(found) > _AT_MOST:
        lines.append(f"{len(found)} in all, the newest {_AT_MOST} are shown.")
    lines.append(
        f"Next: get_note with patient_id {patient} and a note_id."
        if entries
        else "The record holds no note of this patient here. Next: tell the user."
    )
    data = Answer(
        notes=entries,
        total=len(found),
        truncated=len(found) > _AT_MOST,
        patient_id=str(patient),
        care_unit_id=unit,
    )
    return Reply(data, "\n".join(lines), about=(About(patient=str(patient), care_unit=unit),))


def newest_first(context: ToolContext, found: list[E]) -> list[E]:
    """Return entries by when they were made; those that do not say come last."""
    return sorted(found, key=lambda e: order(e.created_at, context.zone), reverse=True)


def head(context: ToolContext, note: Note, names: Names) -> NoteEntry:
    """Return what is known of a note besides its text."""
    entry = NoteEntry(note_id=short(note.id))
    if note.title:
        entry["title"] = short(note.title)
    if made := written(note.created_at, context.zone):
        entry["created_at"] = made
    if note.template_id:
        entry["template_id"] = short(note.template_id)
    if note.created_by_id:
        entry["created_by_id"] = short(note.created_by_id)
        if name := names.resources.get(note.created_by_id):
            entry["created_by"] = name
    return entry


def note_line(entry: NoteEntry) -> str:
    """Return a note on one line of text, with every value of the entry."""
    parts = [named("note_id", entry["note_id"], entry.get("title"))]
    parts += [f"{entry['created_at']}"] if "created_at" in entry else []
    parts += [f"template_id {entry['template_id']}"] if "template_id" in entry else []
    if "created_by_id" in entry:
        parts.append(named("created_by_id", entry["created_by_id"], entry.get("created_by")))
    return ", ".join(parts)


SPEC = ToolSpec(
    name="list_notes",
    title="List notes",
    description="List a patient's medical notes, newest first, without their text. Next: get_note.",
    toolset="notes",
    scope="ehr.read",
    annotations=READS,
    input=Input,
    output=Answer,
    handler=handle,
    needs="read_notes",
)
