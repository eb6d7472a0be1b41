"""list_documents: which documents a patient has, without their content."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.ehr.models import Document
from leyr_mcp.server.filing.audit import About
from leyr_mcp.server.text import named, quoted, short
from leyr_mcp.server.times import written
from leyr_mcp.tools.list_notes import newest_first
from leyr_mcp.tools.params import CareUnitId, PatientId
from leyr_mcp.tools.spec import READS, ToolSpec

_AT_MOST = 50


class DocumentEntry(TypedDict):
    """One document."""

    document_id: str
    title: NotRequired[str]
    format: NotRequired[str]
    type: NotRequired[str]
    created_at: NotRequired[str]


class Answer(TypedDict):
    """A patient's documents."""

    documents: list[DocumentEntry]
    total: int
    truncated: bool
    patient_id: str
    care_unit_id: str


class Input(Arguments):
    """Whose documents."""

    patient_id: PatientId
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Return a patient's documents."""
    patient = context.patient_ref(args.patient_id)
    unit = await context.units.resolve(args.care_unit_id)
    found = newest_first(context, await context.ehr.documents(unit, patient))
    entries = [head(context, document) for document in found[:_AT_MOST]]
    lines = [document_line(entry) for entry in entries]
    if len(found) > _AT_MOST:
        lines.append(f"{len(found)} in all, {_AT_MOST} are shown.")
    lines.append(
        f"Next: get_document with patient_id {patient} and a document_id."
        if entries
        else "The record holds no document of this patient here. Next: tell the user."
    )
    data = Answer(
        documents=entries,
        total=len(found),
        truncated=len(found) > _AT_MOST,
        patient_id=str(patient),
        care_unit_id=unit,
    )
    return Reply(data, "\n".join(lines), about=(About(patient=str(patient), care_unit=unit),))


def head(context: ToolContext, document: Document) -> DocumentEntry:
    """Return what is known of a document besides its content."""
    entry = DocumentEntry(document_id=short(document.id))
    if document.title:
        entry["title"] = short(document.title)
    if document.format:
        entry["format"] = short(document.format)
    if document.type:
        entry["type"] = short(document.type)
    if made := written(document.created_at, context.zone):
        entry["created_at"] = made
    return entry


def document_line(entry: DocumentEntry) -> str:
    """Return a document on one line of text, with every value of the entry."""
    parts = [named("document_id", entry["document_id"], entry.get("title"))]
    parts += [f"{entry['format']}"] if "format" in entry else []
    parts += [f"type {quoted(entry['type'])}"] if "type" in entry else []
    parts += [f"{entry['created_at']}"] if "created_at" in entry else []
    return ", ".join(parts)


SPEC = ToolSpec(
    name="list_documents",
    title="List documents",
    description="List a patient's documents without their content. Next: get_document.",
    toolset="documents",
    scope="ehr.read",
    annotations=READS,
    input=Input,
    output=Answer,
    handler=handle,
    needs="read_documents",
)
