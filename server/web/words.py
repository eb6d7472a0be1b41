"""Where a draft stands, in plain sentences for the person who decides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from leyr_mcp.server.filing.entries import Entry
from leyr_mcp.server.filing.preview import SENT_BEFORE
from leyr_mcp.server.filing.reasons import SEARCHED, SIGN_IN, reason_of, words_of
from leyr_mcp.server.storage.store import State
from leyr_mcp.server.text import clean

Tone = Literal["ask", "wait", "good", "warn", "bad", "off"]

_STATES: Mapping[State, tuple[Tone, str]] = {
    "draft": ("ask", "It was kept as a draft: nobody was asked to approve it yet."),
    "awaiting_file": ("ask", "It waits for its file: choose it below."),
    "awaiting_approval": ("ask", "It waits for your decision. Nothing has been filed."),
    "approved": ("wait", "It is approved and will be sent in a moment."),
    "sending": ("wait", "It is being sent to the record system."),
    "accepted": ("wait", "The record system has it in its queue. It is not filed yet."),
    "filed": ("good", "It is filed in the health record."),
    "unknown": (
        "wait",
        "No definite answer came. It is looked for in the record, and never sent again on a guess.",
    ),
    "needs_human": ("bad", "It was not filed as approved, or that is not certain. Decide below."),
    "declined": ("off", "It was declined. It will not be filed."),
    "withdrawn": ("off", "It was taken back. It will not be filed."),
    "expired": ("off", "Nobody approved it in time. It will not be filed."),
}
_READ_BACK = {
    "equal": "It was read back, and it is as approved.",
    "unreadable": "This record system does not let it be read back.",
}
_WAITS = "It waits, and nothing is lost."
_UNSIGNED = "It is not signed yet: sign it in the record system."
_PLAIN = re.compile(r"[a-z_]{1,40}")


def tone(entry: Entry) -> Tone:
    """Return how a draft is shown: it asks, waits, is good or bad, or is over."""
    if entry.draft.state == "filed" and (entry.draft.verified or "").startswith("differs"):
        return "warn"
    return _STATES[entry.draft.state][0]


def told(entry: Entry) -> list[str]:
    """Return what there is to say of where a draft stands."""
    draft = entry.draft
    if draft.state == "filed":
        return _filed(entry)
    found = [_WAITS if draft.reason == SIGN_IN else _STATES[draft.state][1]]
    if reason := reason_of(draft.reason):
        found += filter(None, (reason.text, words_of(draft), reason.todo))
    if draft.state == "awaiting_approval" and draft.attempt:
        found.append(SENT_BEFORE)
    return found


def searched(entry: Entry) -> str:
    """Return what was looked for in the record."""
    if entry.draft.first_sent_at is None:
        return "It was never sent, so the record was not searched for it."
    return SEARCHED[entry.draft.kind]


def _filed(entry: Entry) -> list[str]:
    draft = entry.draft
    found = [_STATES["filed"][1]]
    if draft.remote_id:
        found = [f"It is filed in the health record, id {clean(draft.remote_id, cap=130).text}."]
    if draft.matched_by == "person":
        found.append("A person found it there.")
    if draft.verified:
        found.append(_read_back(draft.verified))
    if draft.kind in ("note", "document"):
        found.append(_UNSIGNED)
    return found


def _read_back(verified: str) -> str:
    kind, _, what = verified.partition(":")
    if kind == "differs":
        part = what.replace("_", " ") if _PLAIN.fullmatch(what) else "content"
        return f"Look at it in the record: read back, its {part} is not what was approved."
    return _READ_BACK.get(kind, _READ_BACK["unreadable"])
