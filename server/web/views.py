"""Drafts as the page is told them: plain values, each sentence made here and none of it HTML."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from leyr_mcp.server.filing.entries import DECIDABLE, Check, Entry
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    NoteItem,
    Payload,
)
from leyr_mcp.server.filing.preview import STATE_NAMES, patient_line, preview, seen
from leyr_mcp.server.storage.store import OPEN, State
from leyr_mcp.server.times import clock, day_line
from leyr_mcp.server.web import words
from leyr_mcp.server.web.changes import changes

# What a person can still change.
EDITABLE: tuple[State, ...] = (*DECIDABLE, "approved")
_FREE = "unstructured"


def status(entry: Entry) -> dict[str, Any]:
    """Return where a draft stands."""
    draft = entry.draft
    return {
        "draft_id": draft.id,
        "version": draft.version,
        "digest": draft.digest,
        "state": draft.state,
        "name": STATE_NAMES[draft.state],
        "tone": words.tone(entry),
        "told": words.told(entry),
        "decidable": draft.state in DECIDABLE,
        "wants_file": draft.state == "awaiting_file",
        "moving": draft.state in OPEN,
        "resolvable": draft.state == "needs_human",
    }


def row(entry: Entry, zone: ZoneInfo) -> dict[str, Any]:
    """Return a draft as one line of the queue."""
    shown = preview(entry, zone)
    return {
        **status(entry),
        "kind": shown.kind,
        "title": shown.title,
        "marked": sum(check.level == "block" for check in shown.checks),
        "noted": sum(check.level == "warn" for check in shown.checks),
        "changed": moment(entry.draft.updated_at, zone),
    }


def groups(entries: Sequence[Entry], zone: ZoneInfo) -> list[dict[str, Any]]:
    """Return drafts by patient, so that every heading is true of all that stands below it."""
    found = dict[tuple[str, str], list[Entry]]()
    for entry in entries:
        found.setdefault((entry.draft.patient_key, patient_line(entry)), []).append(entry)
    return [
        {"patient": line, "drafts": [row(entry, zone) for entry in own]}
        for (_, line), own in found.items()
    ]


def whole(entry: Entry, earlier: Payload | None, zone: ZoneInfo) -> dict[str, Any]:
    """Return everything that a person is to see of a draft before deciding."""
    shown = preview(entry, zone)
    draft = entry.draft
    return {
        "patient": shown.patient,
        "status": status(entry),
        "kind": shown.kind,
        "title": shown.title,
        "facts": [{"label": fact.label, "value": fact.value} for fact in shown.facts],
        # Exactly as they will be sent: nothing is done to them here.
        "texts": [{"label": _label(fact.label), "value": fact.value} for fact in shown.texts],
        "checks": [_check(check) for check in entry.shown.checks],
        "source": seen(entry.shown.source) if entry.shown.source else None,
        "drafted": moment(draft.created_at, zone),
        "changed": moment(draft.updated_at, zone),
        "edit": editable(entry) if draft.state in EDITABLE else None,
        "changes": _changes(entry, earlier, zone),
        "searched": words.searched(entry) if draft.state == "needs_human" else None,
    }


def editable(entry: Entry) -> dict[str, Any] | None:
    """Return the texts that a person may change, as they stand."""
    match entry.payload.item:
        case NoteItem() as item:
            texts = [
                {"name": name, "label": _label(name), "value": text}
                for name, text in item.content.items()
            ]
            return {"title": item.title, "texts": texts}
        case DocumentItem() as item:
            return {"title": item.title}
        case AppointmentItem(comment=comment):
            return {"comment": comment or ""}
        case ChangeItem(comment=comment, action=action) if action != "confirm":
            return {"comment": comment or ""}
        case _:
            return None


def moment(when: datetime, zone: ZoneInfo) -> str:
    """Return a time as people read it."""
    return f"{day_line(when, zone).split(' (')[0]} {clock(when, zone)}"


def _changes(entry: Entry, earlier: Payload | None, zone: ZoneInfo) -> dict[str, Any] | None:
    """Return what differs from the version before; a file that was given is there to be read."""
    if earlier is None:
        return None
    if isinstance(earlier.item, DocumentItem) and not earlier.item.sha256:
        return None
    before = preview(dataclasses.replace(entry, payload=earlier), zone)
    parts = changes(before, preview(entry, zone))
    shown = [{**part, "label": _label(part["label"])} for part in parts]
    return {"version": entry.draft.version - 1, "parts": shown}


def _check(check: Check) -> dict[str, str]:
    """Return a finding; the one field of free text is called what the page calls it."""
    message = check.message
    if check.field == _FREE:
        message = message.replace(_FREE, "The text", 1)
    return {**check.as_dict(), "message": message}


def _label(name: str) -> str:
    """Return what a field of a note is called; the one of free text has no name of its own."""
    return "Text" if name == _FREE else seen(name)
