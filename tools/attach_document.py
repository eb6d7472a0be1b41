"""attach_document: a file, drafted as a document, approved by a person, and filed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NotRequired

from pydantic import Field, WithJsonSchema

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.entries import Proposal, Source
from leyr_mcp.server.filing.payloads import DocumentItem
from leyr_mcp.server.times import iso
from leyr_mcp.tools.params import (
    CareUnitId,
    DraftId,
    Expect,
    KeepDraft,
    Key,
    PatientId,
    cleaned,
    line,
)
from leyr_mcp.tools.results import (
    FileEntry,
    FilingResult,
    about,
    file_of,
    filed,
    lines,
    own,
    result,
)
from leyr_mcp.tools.spec import WRITES, ToolSpec

_TITLE_CAP = 200
_TYPE_CAP = 100
_MOST = 200_000
_UPLOAD = (
    "Or a program that has the file brings it, once, by PUT with its Content-Type to {url} "
    "(until {until})"
)


class Answer(FilingResult):
    """What became of the draft, and what its file is."""

    file: NotRequired[Annotated[FileEntry, WithJsonSchema({"type": "object"})]]
    upload: NotRequired[Annotated[Mapping[str, str], WithJsonSchema({"type": "object"})]]


class Input(Arguments):
    """Which file, for whom."""

    patient_id: PatientId
    title: Annotated[str, line(_TITLE_CAP)]
    path: Annotated[str, Field(description="File below a folder that the operator set")] | None = (
        None
    )
    text: Annotated[str, Field(description="Becomes a text file")] | None = None
    from_draft: Annotated[DraftId, Field(description="Note draft to make a PDF of")] | None = None
    type: Annotated[str, Field(description="As Lab Result"), line(_TYPE_CAP)] | None = None
    draft: KeepDraft = False
    idempotency_key: Key | None = None
    expect: Expect | None = None
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Draft a document and have it approved and filed."""
    source, removed = await _source(context, args)
    title = cleaned(args.title, _TITLE_CAP, "title")
    kind = cleaned(args.type, _TYPE_CAP, "type") if args.type is not None else None
    proposal = Proposal(
        care_unit_id=await context.units.resolve(args.care_unit_id),
        item=DocumentItem(title=title.text, type=kind.text if kind else None),
        patient=context.patient_ref(args.patient_id),
        expect=args.expect,
        draft=args.draft,
        key=args.idempotency_key,
        removed=title.removed + (kind.removed if kind else 0) + removed,
    )
    entry = await context.attaching.attach(proposal, source, context.who)
    entry = await filed(context, entry)
    found = await result(context, entry)
    data: Answer = {**found}  # type: ignore[typeddict-item]  # a superset
    told = lines(found)
    if file := file_of(entry):
        data["file"] = file
        told.insert(1, f"{file['format']}, {file['size']} bytes, SHA-256 {file['sha256']}")
    if entry.draft.state == "awaiting_file" and context.upload_link is not None:
        url, until = context.upload_link(entry, context.who)
        data["upload"] = {"url": url, "expires_at": iso(until, context.zone)}
        told.insert(-1, _UPLOAD.format(url=url, until=data["upload"]["expires_at"]))
    return Reply(data, "\n".join(told), about=about([entry]))


async def _source(context: ToolContext, args: Input) -> tuple[Source, int]:
    """Return where the file comes from, and how many characters cleaning took out of a text.

    Raises:
        InputError: There are several, the text is empty or too long, or there is no such draft.
    """
    if sum(given is not None for given in (args.path, args.text, args.from_draft)) > 1:
        raise InputError(
            "Give at most one of path, text and from_draft; none, and the user chooses the file.",
            field="path",
        )
    if args.text is not None:
        text = cleaned(args.text, _MOST, "text")
        return Source(text=text.text), text.removed
    if args.from_draft is not None:
        return Source(draft=await own(context, args.from_draft, field="from_draft")), 0
    return Source(path=args.path), 0


SPEC = ToolSpec(
    name="attach_document",
    title="Attach document",
    description="Draft a document, which a person approves before it is filed. Without path, text "
    "or from_draft the user chooses the file on a page. Next: tell the user the status and where.",
    toolset="documents",
    scope="ehr.draft",
    annotations=WRITES,
    input=Input,
    output=Answer,
    handler=handle,
    needs="documents",
)
