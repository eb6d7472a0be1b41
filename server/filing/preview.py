"""A draft in words: what a person reads before deciding, wherever that is.

The patient stands first and last, the text exactly as it will be sent, then what was found. The
same drafts always give the same words, so that an answer can be bound to them. Every line of a text
stands behind a bar, and everything else is one line, so nothing in a text can pass for a line of
ours; four spaces before the bar keep hosts that read Markdown from reading it.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from leyr_mcp.server.files.kinds import by_format
from leyr_mcp.server.filing.entries import Attached, Check, Entry
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    NoteItem,
    PatientItem,
)
from leyr_mcp.server.filing.reasons import reason_of
from leyr_mcp.server.storage.store import Kind, State
from leyr_mcp.server.text import clean
from leyr_mcp.server.times import clock, day_line

KIND_NAMES: dict[Kind, str] = {
    "note": "Note",
    "appointment": "Booking",
    "change": "Change of an appointment",
    "document": "Document",
    "patient": "New patient",
}
STATE_NAMES: dict[State, str] = {
    "draft": "draft",
    "awaiting_file": "waits for its file",
    "awaiting_approval": "waits for approval",
    "approved": "approved, not yet sent",
    "sending": "being sent",
    "accepted": "accepted by the record system, not yet filed",
    "filed": "filed",
    "unknown": "in doubt, being looked for in the record",
    "needs_human": "needs a person",
    "declined": "declined",
    "withdrawn": "withdrawn",
    "expired": "expired",
}
SENT_BEFORE = "It was sent before. If you approve it, it is sent once more."
BAR = "    | "
# Of these some can be seen all the same, and cleaning leaves them, as it does the two joiners where
# a script needs them.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
_ACTIONS = {"reschedule": "Reschedule", "cancel": "Cancel", "confirm": "Confirm"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a draft: what it is, and its value as it will be sent."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A draft in words; `texts` are its long ones, each byte for byte as sent.

    Everything but these is on one line, and characters that cannot be seen are named.
    """

    draft_id: str
    version: int
    kind: str
    title: str
    patient: str
    facts: tuple[Fact, ...]
    texts: tuple[Fact, ...]
    checks: tuple[Check, ...]
    returned: str | None = None

    def text(self) -> str:
        """Return it as one plain text."""
        lines = [f"Patient: {self.patient}", f"{self.kind}: {self.title}"]
        if self.returned:
            lines.append(f"Sent back: {self.returned}")
        lines += [f"{fact.label}: {fact.value}" for fact in self.facts]
        for fact in self.texts:
            lines += ["", f"{fact.label}:", "", barred(fact.value)]
        if self.checks:
            lines += ["", "Found:"]
            lines += [f"- {MARKS[check.level]}: {check.message}" for check in self.checks]
        lines += ["", f"Patient: {self.patient}", f"({self.draft_id}, version {self.version})"]
        return "\n".join(lines)


def barred(text: str) -> str:
    """Return a text with a bar before each of its lines, and nothing else added or left out."""
    return "\n".join(BAR + seen(line) for line in text.split("\n"))


def seen(text: str) -> str:
    """Return one line of text with every character named that cleaning would have taken out."""
    return "".join(f"⟨U+{ord(sign):04X}⟩" if _hidden(sign) else sign for sign in text)


def _hidden(sign: str) -> bool:
    known = unicodedata.category(sign) in _HIDDEN and sign not in _JOINERS
    return known and clean(sign).text in ("", "\n")


MARKS = {"block": "Look at this", "warn": "Note", "info": "For information"}


def patient_line(entry: Entry) -> str:
    """Return who it concerns, as the record has them."""
    payload, shown = entry.payload, entry.shown
    if isinstance(payload.item, PatientItem):
        return seen(f"{payload.item.first_name} {payload.item.last_name} (new)")
    if payload.patient is None:
        return "not told by the record"
    parts = [payload.patient_name or "name not told by the record"]
    if payload.patient_birth_date:
        parts.append(f"born {payload.patient_birth_date.isoformat()}")
    if shown.number:
        parts.append(f"national number {shown.number}")
    if payload.patient.startswith(("emr_id:", "mrn:")):
        parts.append(payload.patient)
    if shown.expected == "unverified":
        parts.append("could not be verified")
    return seen(", ".join(parts))


def preview(entry: Entry, zone: ZoneInfo) -> Preview:
    """Return a draft in words."""
    title, facts, texts = _parts(entry, zone)
    if entry.shown.key is not None:
        facts.append(Fact("Second copy", f"wanted by the caller, under the key {entry.shown.key}"))
    return Preview(
        draft_id=entry.id,
        version=entry.draft.version,
        kind=KIND_NAMES[entry.draft.kind],
        title=seen(title),
        patient=patient_line(entry),
        facts=tuple(Fact(fact.label, seen(fact.value)) for fact in facts),
        texts=tuple(Fact(seen(text.label), text.value) for text in texts),
        checks=entry.shown.checks,
        returned=_returned(entry),
    )


def for_caller(entry: Entry, zone: ZoneInfo) -> Preview:
    """Return a draft in words as its caller may read it: without what a file from elsewhere says.

    A file is named or chosen by somebody else's hand, and nobody has looked at it yet.
    """
    shown = preview(entry, zone)
    attached = entry.shown.attached
    return replace(shown, texts=()) if attached is not None and not attached.ours else shown


def _returned(entry: Entry) -> str | None:
    """Return why a draft that waits was sent back, if it was, and whether it was sent before."""
    if not entry.waits:
        return None
    reason = reason_of(entry.draft.reason)
    parts = [reason.text, reason.todo] if reason else []
    if entry.draft.attempt:
        parts.append(SENT_BEFORE)
    return " ".join(parts) or None


def _parts(entry: Entry, zone: ZoneInfo) -> tuple[str, list[Fact], list[Fact]]:
    match entry.payload.item:
        case NoteItem() as item:
            facts = [Fact("Template", item.template_id), *_author(entry)]
            return item.title, facts, [Fact(name, text) for name, text in item.content.items()]
        case AppointmentItem() as item:
            return _span(item.start, item.end, zone), _where(entry, item), _comment(item.comment)
        case ChangeItem() as item:
            return _change(entry, item, zone)
        case PatientItem() as item:
            return f"{item.first_name} {item.last_name}", _person(item), []
        case item:
            return (
                item.title,
                [*_file(item, entry.shown.attached), *_author(entry)],
                _text(item, entry.shown.attached),
            )


def _span(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    return f"{day_line(start, zone).split(' (')[0]} {clock(start, zone)}-{clock(end, zone)}"


def _where(entry: Entry, item: AppointmentItem) -> list[Fact]:
    names = entry.shown.names
    found = []
    if item.resource_id:
        found.append(Fact("With", _named(names.get("resource"), item.resource_id)))
    if item.healthcare_service_id:
        service = _named(names.get("healthcare_service"), item.healthcare_service_id)
        found.append(Fact("For", service))
    return found


def _change(entry: Entry, item: ChangeItem, zone: ZoneInfo) -> tuple[str, list[Fact], list[Fact]]:
    was = f"{day_line(item.was.start, zone).split(' (')[0]} {clock(item.was.start, zone)}"
    facts = [Fact("Appointment", f"{item.appointment_id}, {was}, {item.was.status}")]
    if item.start and item.end:
        facts.append(Fact("New time", _span(item.start, item.end, zone)))
    if item.resource_id:
        facts.append(Fact("With", _named(entry.shown.names.get("resource"), item.resource_id)))
    if item.code:
        facts.append(Fact("Code", item.code))
    return f"{_ACTIONS[item.action]} {was}", facts, _comment(item.comment)


def _person(item: PatientItem) -> list[Fact]:
    found = []
    if item.external_id:
        found.append(Fact("National number", item.external_id))
    if item.phones:
        found.append(Fact("Phones", ", ".join(item.phones)))
    if item.emails:
        found.append(Fact("E-mail", ", ".join(item.emails)))
    return found


def _file(item: DocumentItem, attached: Attached | None) -> list[Fact]:
    found = [Fact("Type", item.type)] if item.type else []
    if attached is None or not item.sha256:
        return [*found, Fact("File", "not chosen yet")]
    kind = by_format(item.format)
    pages = f", {attached.pages} {'page' if attached.pages == 1 else 'pages'}"
    told = f"{kind.name if kind else item.format}{pages if attached.pages else ''}"
    found.append(Fact("File", f"{told}, {item.size:,} bytes ({item.format})"))
    if attached.name:
        found.append(Fact("File name", attached.name))
    if attached.made_from:
        found.append(Fact("Made from", f"the note {attached.made_from}"))
    return [*found, Fact("SHA-256", item.sha256)]


def _text(item: DocumentItem, attached: Attached | None) -> list[Fact]:
    """Return the beginning of a file's text, which is read by a person and not sent."""
    if attached is None or not item.sha256 or not attached.text.strip():
        return []
    return [Fact("First page as text" if attached.pages else "Beginning as text", attached.text)]


def _author(entry: Entry) -> list[Fact]:
    author = entry.payload.author
    return [Fact("Author", _named(entry.shown.names.get("author"), author))] if author else []


def _comment(text: str | None) -> list[Fact]:
    return [Fact("Comment", text)] if text else []


def _named(name: str | None, entry_id: str) -> str:
    return f"{name} ({entry_id})" if name else entry_id
