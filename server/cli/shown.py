"""Drafts on a screen: in full before a decision, and in a line or two after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from leyr_mcp.server.cli.desk import Filed
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.filing.entries import UNSENT, Check, Entry, Shown
from leyr_mcp.server.filing.payloads import Payload
from leyr_mcp.server.filing.preview import (
    KIND_NAMES,
    MARKS,
    STATE_NAMES,
    Preview,
    patient_line,
    preview,
    seen,
)
from leyr_mcp.server.filing.reasons import reason_of, words_of
from leyr_mcp.server.storage.store import FREED, OPEN, State
from leyr_mcp.server.web.changes import Part, changes
from leyr_mcp.server.web.words import told

Paint = Callable[[str], str]

_LABEL_MOST = 18
_MARKS = {"same": " ", "gap": " ", "removed": "-", "added": "+"}


def whole(
    screen: Screen, entry: Entry, earlier: Payload | None, zone: ZoneInfo, now: datetime
) -> None:
    """Write a draft in full: the patient first and last, every text exactly as it will be sent."""
    found = preview(entry, zone)
    facts: list[tuple[str, str, Paint]] = [
        ("Patient", found.patient, screen.bold),
        (found.kind, found.title, screen.bold),
    ]
    if found.returned:
        facts.append(("Sent back", found.returned, screen.warn))
    _rows(screen, [*facts, *((fact.label, fact.value, str) for fact in found.facts)])
    for text in found.texts:
        screen.line()
        screen.line("Text" if text.label == "unstructured" else text.label)
        screen.verbatim("\n".join(map(seen, text.value.split("\n"))))
    _checks(screen, found.checks)
    if earlier is not None:
        _changes(screen, _differences(entry, earlier, zone), entry.draft.version - 1)
    screen.line()
    _rows(screen, [("Patient", found.patient, screen.bold)])
    screen.paragraph(screen.dim(_origin(entry, found, now)))


def outcome(screen: Screen, filed: Filed) -> None:
    """Write what became of a draft, and what is next."""
    draft = filed.entry.draft
    mark, text = _outcome(screen, filed)
    name = f"{KIND_NAMES[draft.kind]} {draft.id}"
    screen.columns(f"{mark}  ", f"{name}: {text}", indent=15)


def age(since: datetime, now: datetime) -> str:
    """Return how long something has been there, roughly."""
    passed = max(now - since, timedelta())
    for unit, name in ((timedelta(days=1), "day"), (timedelta(hours=1), "hour")):
        if passed >= unit:
            count = passed // unit
            return f"{count} {name}{'' if count == 1 else 's'}"
    minutes = passed // timedelta(minutes=1)
    return f"{minutes} min" if minutes else "less than a minute"


def _outcome(screen: Screen, filed: Filed) -> tuple[str, str]:
    draft = filed.entry.draft
    if filed.changed:
        return screen.warn("changed      "), (
            f"it was changed or decided on after you read it, so your answer did not count. It is "
            f"now: {STATE_NAMES[draft.state]}, version {draft.version}."
        )
    reason = reason_of(draft.reason)
    why = f"{reason.text} " if reason else ""
    if draft.state == "filed":
        return screen.good("filed        "), " ".join(told(filed.entry))
    if draft.state == "needs_human":
        return screen.bad("needs you    "), f"{why}Decide with: leyr-mcp resolve {draft.id}"
    if draft.state in OPEN:
        return screen.warn("under way    "), (
            f"{STATE_NAMES[draft.state]}. {why}Do not write it again. It goes on wherever "
            "leyr-mcp runs; leyr-mcp drafts shows what becomes of it."
        )
    if filed.entry.waits:
        return screen.warn("not filed    "), f"{why}It waits for approval again."
    return screen.dim("not filed    "), f"{STATE_NAMES[draft.state]}."


def rows(screen: Screen, labelled: Iterable[tuple[str, str]]) -> None:
    """Write labels and values in two columns."""
    _rows(screen, [(label, value, str) for label, value in labelled])


def _rows(screen: Screen, painted: list[tuple[str, str, Paint]]) -> None:
    width = min(_LABEL_MOST, max(len(label) for label, _, _ in painted))
    for label, value, paint in painted:
        if len(label) > width:
            screen.line(screen.dim(label))
        lead = screen.dim(label.ljust(width)) if len(label) <= width else " " * width
        screen.columns(f"{lead}  ", value, indent=width + 2, paint=paint)


def _checks(screen: Screen, checks: Iterable[Check]) -> None:
    colours = {"block": screen.bad, "warn": screen.warn, "info": screen.dim}
    width = max(map(len, MARKS.values()))
    lines = [
        (colours[check.level](MARKS[check.level].ljust(width)), seen(check.message))
        for check in checks
    ]
    if lines:
        screen.line()
        screen.line("Found")
    for mark, message in lines:
        screen.columns(f"  {mark}  ", message, indent=width + 4)


def _differences(entry: Entry, earlier: Payload, zone: ZoneInfo) -> list[Part]:
    """Return what the version before held otherwise; both by ids, as names are of this one."""
    return changes(*(_bare(entry, payload, zone) for payload in (earlier, entry.payload)))


def _bare(entry: Entry, payload: Payload, zone: ZoneInfo) -> Preview:
    return preview(Entry(draft=entry.draft, payload=payload, shown=Shown()), zone)


def _changes(screen: Screen, parts: list[Part], version: int) -> None:
    colours: dict[str, Paint] = {
        "same": str,
        "gap": screen.dim,
        "removed": screen.bad,
        "added": screen.good,
    }
    screen.line()
    screen.line(f"Changed since version {version}{'' if parts else ': nothing'}")
    for part in parts:
        label = "Text" if part["label"] == "unstructured" else part["label"]
        screen.line(f"  {screen.dim(seen(label))}")
        for line in part["lines"]:
            mark, colour = _MARKS[line["mark"]], colours[line["mark"]]
            screen.columns(f"  {colour(mark)} ", seen(line["text"]), indent=4, paint=colour)


def _origin(entry: Entry, found: Preview, now: datetime) -> str:
    source = f" by {seen(entry.shown.source)}" if entry.shown.source else ""
    since = age(entry.draft.created_at, now)
    return f"{found.draft_id}, version {found.version}, drafted {since} ago{source}"


def queue_line(screen: Screen, entry: Entry, zone: ZoneInfo, now: datetime) -> None:
    """Write a draft in the queue: what it is, where it stands, and what was found."""
    draft, found = entry.draft, preview(entry, zone)
    indent = len(draft.id) + 4
    screen.columns(f"  {screen.accent(draft.id)}  ", f"{found.kind}: {found.title}", indent=indent)
    facts = f"{age(draft.created_at, now)} old"
    if draft.version > 1:
        facts += f", version {draft.version}"
    screen.columns(
        " " * indent,
        f"{STATE_NAMES[draft.state]}, {facts}",
        indent=indent,
        paint=_state_paint(screen, draft.state),
    )
    reason = reason_of(draft.reason) if draft.state not in FREED else None
    if reason:
        said = " ".join(filter(None, (reason.text, words_of(draft))))
        screen.columns(" " * indent, said, indent=indent)
    if entry.shown.blocked and draft.state in UNSENT:
        text = "A check says: look at this before approving."
        screen.columns(" " * indent, text, indent=indent, paint=screen.bad)


def patient_heading(screen: Screen, entry: Entry) -> None:
    """Write whose drafts follow."""
    screen.line()
    screen.columns("", patient_line(entry), indent=2, paint=screen.bold)


def _state_paint(screen: Screen, state: State) -> Paint:
    """Return the colour of what a state asks of a person."""
    if state in FREED:
        return screen.dim
    paints: dict[State, Paint] = {
        "filed": screen.good,
        "needs_human": screen.bad,
        "unknown": screen.warn,
    }
    return paints.get(state, screen.accent)
