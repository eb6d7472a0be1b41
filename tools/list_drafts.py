"""list_drafts: what is drafted and not yet in the record."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.filing.entries import UNFINISHED, Entry
from leyr_mcp.server.filing.preview import preview
from leyr_mcp.server.storage.store import Kind, State
from leyr_mcp.server.text import named, quoted, short
from leyr_mcp.server.times import written
from leyr_mcp.tools.params import CareUnitId, PatientId
from leyr_mcp.tools.results import SHORT_TEXT, about, visible
from leyr_mcp.tools.spec import READS, ToolSpec

_AT_MOST = 50


class DraftEntry(TypedDict):
    """One draft."""

    draft_id: str
    kind: Annotated[Kind, SHORT_TEXT]
    status: Annotated[State, SHORT_TEXT]
    title: str
    reason: NotRequired[str]
    patient_id: NotRequired[str]
    patient: NotRequired[str]
    updated_at: NotRequired[str]


class Answer(TypedDict):
    """The caller's drafts, the latest first."""

    drafts: list[DraftEntry]
    truncated: bool


class Input(Arguments):
    """Which drafts."""

    state: Annotated[State, Field(description="Default: all unsent or in doubt")] | None = None
    patient_id: PatientId | None = None
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Return drafts of the caller, the latest first."""
    patient = None
    if args.patient_id is not None:
        ref = context.patient_ref(args.patient_id)
        patient = await context.desk.whom(await context.units.resolve(args.care_unit_id), ref)
    return await listed(context, (args.state,) if args.state else UNFINISHED, patient, args)


async def listed(
    context: ToolContext,
    states: tuple[State, ...] = UNFINISHED,
    patient: str | None = None,
    args: Input | None = None,
) -> Reply:
    """Return the caller's drafts in these states, as an answer."""
    found = await context.desk.entries(
        context.who,
        states=states,
        patient=patient,
        care_unit_id=args.care_unit_id if args else None,
        kinds=visible(context),
        limit=_AT_MOST + 1,
    )
    shown = found[:_AT_MOST]
    entries = [_entry(context, entry) for entry in shown]
    lines = [_line(entry) for entry in entries]
    if len(found) > _AT_MOST:
        lines.append(f"There are more; the latest {_AT_MOST} are shown.")
    lines.append(
        "Next: get_draft with a draft_id, or file_drafts with up to 10 of one patient."
        if entries
        else "There is no such draft. Next: tell the user."
    )
    data = Answer(drafts=entries, truncated=len(found) > _AT_MOST)
    return Reply(data, "\n".join(lines), about=about(shown))


def _entry(context: ToolContext, entry: Entry) -> DraftEntry:
    draft, payload = entry.draft, entry.payload
    found = DraftEntry(
        draft_id=draft.id,
        kind=draft.kind,
        status=draft.state,
        title=short(preview(entry, context.zone).title),
    )
    if draft.reason and draft.state != "filed":
        found["reason"] = short(draft.reason)
    if payload.patient:
        found["patient_id"] = short(payload.patient)
    if payload.patient_name:
        found["patient"] = short(payload.patient_name)
    if when := written(draft.updated_at, context.zone):
        found["updated_at"] = when
    return found


def _line(entry: DraftEntry) -> str:
    """Return a draft on one line of text, with every value of the entry."""
    parts = [
        f"draft_id {entry['draft_id']}: {entry['kind']} {quoted(entry['title'])}",
        entry["status"],
    ]
    parts += [f"reason {entry['reason']}"] if "reason" in entry else []
    if "patient_id" in entry:
        parts.append(named("patient_id", entry["patient_id"], entry.get("patient")))
    parts += [entry["updated_at"]] if "updated_at" in entry else []
    return ", ".join(parts)


SPEC = ToolSpec(
    name="list_drafts",
    title="List drafts",
    description="List what you drafted that is not yet in the record, latest first, at most 50. "
    "Next: get_draft or file_drafts.",
    toolset="drafts",
    scope="ehr.read",
    annotations=READS,
    input=Input,
    output=Answer,
    handler=handle,
)
