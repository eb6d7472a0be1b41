"""What every tool that writes answers: how far its draft has come, and what to do next.

A state is an answer, never an error. A draft of a kind whose content a role never sees does not
exist for that role.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal, NotRequired, get_args

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from leyr_mcp.server.boundary import Reply, ToolContext
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.audit import About
from leyr_mcp.server.filing.entries import Entry
from leyr_mcp.server.filing.payloads import DocumentItem
from leyr_mcp.server.filing.reasons import REASONS, SIGN_IN, reason_of
from leyr_mcp.server.storage.store import OPEN, Kind, State
from leyr_mcp.server.text import short
from leyr_mcp.server.times import iso
from leyr_mcp.server.users import UNSEEN

_KEPT = timedelta(days=30)


# These stand in the list of tools once for each tool that writes, so they are told there in short;
# the page about tools has the whole.
SHORT_TEXT = WithJsonSchema({"type": "string"})
_TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


class CheckEntry(TypedDict):
    """One finding."""

    code: str
    level: Literal["info", "warn", "block"]
    message: str
    field: NotRequired[str]


class ApprovalEntry(TypedDict):
    """Where a person approves."""

    channel: str
    url: NotRequired[str]
    command: str
    expires_at: str


class Standing(TypedDict):
    """Where a draft stands on its way to the record."""

    draft_id: str
    status: Annotated[State, SHORT_TEXT]
    record_id: NotRequired[str]
    verified: NotRequired[str]
    approval: NotRequired[Annotated[ApprovalEntry, WithJsonSchema(_TEXTS)]]
    reason: NotRequired[str]
    checks: Annotated[list[CheckEntry], WithJsonSchema({"type": "array", "items": _TEXTS})]
    next: str


class FilingResult(Standing):
    """What became of a draft in this call."""

    already_filed: bool


class FileEntry(TypedDict):
    """The file of a document."""

    format: str
    size: int
    sha256: str


_NEXT: dict[State, str] = {
    "draft": "Call file_drafts with this draft_id when the user wants it filed.",
    "awaiting_file": "Ask the user to choose the file there; then call get_draft.",
    "awaiting_approval": "Ask the user to approve it there; then call get_draft.",
    "approved": "It is approved and will be sent; call get_draft.",
    "sending": "It is being sent; call get_draft.",
    "accepted": "The record system has it queued; call get_draft later.",
    "filed": "Tell the user that it is filed.",
    "unknown": "No definite answer came; it is being looked for. Never repeat it; call get_draft.",
    "needs_human": "Tell the user that a person must decide; get_draft says why.",
    "declined": "The person declined. Ask the user what to change, then draft it anew.",
    "withdrawn": "It was taken back and will not be filed.",
    "expired": "Nobody approved it in time. Ask the user whether to draft it again.",
}
_UNSIGNED = "Tell the user that it is filed unsigned, to be signed in the record."
_DIFFERENT = (
    "Tell the user that it is filed, but that the record stored it differently from what was "
    "approved ({what}), so that they check it there."
)
# What reading back found to be other than approved.
_DIFFERENCES = {
    "title": "the title",
    "author": "the author",
    "truncated": "the text is cut short",
    "content": "the content",
    "format": "the file format",
    "status": "the status",
    "start": "the start",
    "end": "the end",
    "resource": "the resource",
    "service": "the service",
    "comment": "the comment",
    "name": "the name",
}


def visible(context: ToolContext) -> tuple[Kind, ...]:
    """Return the kinds of drafts that exist for the role of this server."""
    return tuple(kind for kind in get_args(Kind) if kind not in UNSEEN.get(context.role or "", ()))


async def own(context: ToolContext, draft_id: str, *, field: str = "draft_id") -> Entry:
    """Return a draft of the caller.

    Raises:
        InputError: There is none, it is another's, or it does not exist for the role.
    """
    try:
        entry = await context.desk.entry(draft_id, context.who)
    except InputError as exc:
        raise InputError(exc.message, code=exc.code, field=field) from None
    if entry.draft.kind not in visible(context):
        raise InputError("There is no such draft.", code="not_found", field=field)
    return entry


async def standing(context: ToolContext, entry: Entry) -> Standing:
    """Return where a draft stands."""
    draft = entry.draft
    found = Standing(
        draft_id=draft.id,
        status=draft.state,
        checks=[CheckEntry(**check.as_dict()) for check in entry.shown.checks],  # type: ignore[typeddict-item]  # the same keys
        next=_next(entry),
    )
    if draft.state == "filed":
        if draft.remote_id:
            found["record_id"] = short(draft.remote_id)
        if draft.verified:
            found["verified"] = short(draft.verified)
    elif draft.reason:
        found["reason"] = short(draft.reason)
    if entry.waits or draft.state == "awaiting_file":
        found["approval"] = await _approval(context, entry)
    return found


async def result(context: ToolContext, entry: Entry) -> FilingResult:
    """Return a draft as the answer of a write holds it."""
    return FilingResult(**await standing(context, entry), already_filed=entry.already_filed)


def _next(entry: Entry) -> str:
    draft = entry.draft
    if draft.state == "approved" and draft.reason == SIGN_IN:
        return f"Tell the user: {REASONS[SIGN_IN].todo}"
    if draft.state != "filed":
        return _NEXT[draft.state]
    if what := _difference(draft.verified):
        return _DIFFERENT.format(what=what)
    return _UNSIGNED if draft.kind in ("note", "document") else _NEXT["filed"]


def _difference(verified: str | None) -> str | None:
    """Return what was stored differently, in words."""
    kind, _, what = (verified or "").partition(":")
    return _DIFFERENCES.get(what, "something") if kind == "differs" else None


async def _approval(context: ToolContext, entry: Entry) -> ApprovalEntry:
    caller = context.caller
    asks = caller is not None and caller.ask is not None and entry.waits
    attached, draft = entry.shown.attached, entry.draft
    until = attached.until if attached and attached.until else draft.updated_at + _KEPT
    found = ApprovalEntry(
        channel="host" if asks else "panel" if caller and caller.panel else "review",
        command=f"leyr-mcp {'approve' if entry.waits else 'review'} {entry.id}",
        expires_at=iso(until, context.zone),
    )
    if url := await context.review_url(entry.id):
        found["url"] = url
    return found


def lines(found: Standing | FilingResult) -> list[str]:
    """Return an answer as text, with every value in it."""
    head = f"draft_id {found['draft_id']}: {found['status']}"
    if "record_id" in found:
        head += f", record_id {found['record_id']}"
    if found.get("already_filed"):
        head += " (already filed before; nothing was sent again)"
    told = [head]
    if reason := reason_of(found.get("reason")):
        told.append(f"reason {found.get('reason')}: {reason.text}")
    if "verified" in found:
        told.append(f"Read back, verified {found['verified']}: {_read_back(found['verified'])}.")
    told += [f"{check['level']} {check['code']}: {check['message']}" for check in found["checks"]]
    if "approval" in found:
        way = found["approval"]
        where = f"at {way['url']} or " if "url" in way else ""
        if way["channel"] == "panel":
            where = f"in the panel shown with this answer, {where}"
        does = "approves it" if found["status"] == "awaiting_approval" else "chooses the file"
        told.append(
            f"A person {does} {where}with the command: {way['command']} (until {way['expires_at']})"
        )
    told.append(f"Next: {found['next']}")
    return told


def _read_back(verified: str) -> str:
    what = _difference(verified)
    if what is not None:
        return f"stored differently: {what}"
    return "as approved" if verified == "equal" else "the record does not show all of it"


def about(entries: Sequence[Entry]) -> tuple[About, ...]:
    """Return whose data these are, for the audit."""
    return tuple(replace(entry.about, object_type=entry.draft.kind) for entry in entries)


async def settled(context: ToolContext, entries: Sequence[Entry]) -> list[Entry]:
    """Have drafts that wait approved and filed, as far as that goes now."""
    # Not at the top: what only reads never loads it.
    from leyr_mcp.server.filing.approving import settle  # noqa: PLC0415

    if context.caller is None:
        raise RuntimeError("nobody calls")
    return await settle(context.desk, context.caller, entries, context.zone)


async def filed(context: ToolContext, entry: Entry) -> Entry:
    """Have one draft approved and filed, if it waits for that."""
    if not entry.waits and entry.draft.state not in OPEN:
        return entry
    (found,) = await settled(context, [entry])
    return found


async def reply(context: ToolContext, entry: Entry) -> Reply:
    """Return the answer of a tool that drafts one thing."""
    found = await result(context, entry)
    return Reply(found, "\n".join(lines(found)), about=about([entry]))


def file_of(entry: Entry) -> FileEntry | None:
    """Return what a document's file is, as it was accepted here; None for what has none yet."""
    item = entry.payload.item
    if not isinstance(item, DocumentItem) or not item.sha256:
        return None
    return FileEntry(format=item.format, size=item.size, sha256=item.sha256)
