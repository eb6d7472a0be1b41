"""Drafts on a screen: nothing in a record or a draft can pass for a line of ours, or colour it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from leyr_mcp.server.cli import shown
from leyr_mcp.server.cli.desk import Filed
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.filing.entries import Check, Entry, Shown
from leyr_mcp.server.filing.payloads import AppointmentItem, Item, NoteItem, Payload
from leyr_mcp.server.storage.store import Draft, State

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Stockholm")
HOSTILE = "\x1b[32mfiled\x1b[0m\r\u202eabc\x07"


class Colours(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def entry(item: Item, *, state: State = "awaiting_approval", **fields: Any) -> Entry:
    payload = Payload(
        environment=None,
        care_unit_id="L0_1",
        item=item,
        patient="emr_id:4711",
        patient_name=fields.pop("patient_name", "Tolvan Tolvansson"),
        patient_birth_date=date(1912, 12, 12),
        author="1021",
    )
    about = fields.pop("shown", Shown())
    row: dict[str, Any] = {
        "id": "d_1",
        "version": 1,
        "kind": payload.kind,
        "state": state,
        "principal": "local:anna",
        "care_unit_id": "L0_1",
        "patient_key": "key",
        "digest": payload.digest(),
        "payload": payload.to_bytes(),
        "created_at": NOON,
        "updated_at": NOON,
        **fields,
    }
    return Entry(draft=Draft(**row), payload=payload, shown=about)


def note(text: str | Mapping[str, str] = "Mår bra.", title: str = "Besök") -> NoteItem:
    content = {"unstructured": text} if isinstance(text, str) else dict(text)
    return NoteItem(title=title, template_id="leyr_unstructured", content=content)


def whole(of: Entry, earlier: Payload | None = None, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    shown.whole(Screen(out), of, earlier, ZONE, NOON + timedelta(hours=2))
    return out.getvalue()


def outcome(of: Entry, *, changed: bool = False) -> str:
    out = io.StringIO()
    shown.outcome(Screen(out), Filed(of, changed))
    return " ".join(out.getvalue().split())


def test_hostile_text_is_inert_wherever_it_stands() -> None:
    of = entry(
        note({HOSTILE: f"{HOSTILE}\nPatient   Somebody Else"}, title=HOSTILE),
        patient_name=HOSTILE,
        shown=Shown(
            checks=(Check("c", "warn", HOSTILE),),
            names={"author": HOSTILE},
            key=HOSTILE,
            source=HOSTILE,
            number=HOSTILE,
        ),
    )
    text = whole(of, entry(note(HOSTILE, title="x")).payload)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\r" not in text
    assert "\x07" not in text
    assert "⟨U+001B⟩" in text
    assert "\nPatient   Somebody" not in text
    assert "  | Patient   Somebody Else" in text


def test_queue_and_outcome_are_inert_too() -> None:
    out = io.StringIO()
    of = entry(note(title=HOSTILE), patient_name=HOSTILE, shown=Shown(checks=()))
    shown.patient_heading(Screen(out), of)
    shown.queue_line(Screen(out), of, ZONE, NOON)
    assert "\x1b" not in out.getvalue()
    assert "\x1b" not in outcome(entry(note(), state="filed", remote_id=HOSTILE))


@pytest.mark.parametrize("columns", ["40", "80"])
def test_text_is_shown_to_the_last_space(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = ["  indrag  och   luckor " * 8, "", "slut ", "   ", "å" * 200]
    out = io.StringIO()
    Screen(out).verbatim("\n".join(lines))
    rows = out.getvalue().split("\n")[:-1]
    found: list[str] = []
    for row in rows:
        if row.startswith("  | "):
            found.append(row[4:])
        else:
            assert row.startswith("    ")
            found[-1] += row[4:]
    assert found == lines
    assert max(map(len, rows)) <= int(columns)


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    levels = (Check("a", "block", "One."), Check("b", "warn", "Two."), Check("c", "info", "Three."))
    of = entry(note(), shown=Shown(checks=levels))
    text = whole(of, out=Colours())
    for code, mark in (("31", "Look at this"), ("33", "Note"), ("2", "For information")):
        assert f"\x1b[{code}m{mark}" in text
    assert "\x1b" not in whole(of)


def test_structured_note_names_its_fields() -> None:
    text = whole(entry(note({"status": "Gott.", "ett mycket långt namn på ett fält": "Ja."})))
    assert "status\n  | Gott.\n" in text
    assert "ett mycket långt namn på ett fält\n  | Ja.\n" in text


def test_booking_names_place_and_time() -> None:
    item = AppointmentItem(
        start=NOON,
        end=NOON + timedelta(minutes=30),
        resource_id="1021",
        healthcare_service_id="9",
        comment="Ring först.",
    )
    names = {"resource": "Läkare Ehn", "healthcare_service": "Nybesök"}
    text = whole(entry(item, shown=Shown(names=names)))
    assert "Booking  Mon 2026-03-02 13:00-13:30\n" in text
    assert "Läkare Ehn (1021)" in text
    assert "Comment\n  | Ring först.\n" in text
    assert "d_1, version 1, drafted 2 hours ago\n" in text


def test_equal_versions_say_so() -> None:
    of = entry(note(), version=2)
    assert "Changed since version 1: nothing" in whole(of, of.payload)


def test_draft_that_was_sent_back_says_why() -> None:
    text = " ".join(whole(entry(note(), reason="patient_changed")).split())
    assert "Sent back The patient's name or birth date in the record is no longer" in text


@pytest.mark.parametrize(
    ("state", "reason", "says"),
    [
        ("unknown", "no_answer", "The record system did not answer in time. Do not write it again"),
        ("approved", "upstream_busy", "approved, not yet sent. The record system was too busy."),
        ("awaiting_approval", "patient_changed", "It waits for approval again."),
        ("needs_human", "conflict", "Decide with: leyr-mcp resolve d_1"),
        ("withdrawn", None, "not filed Note d_1: withdrawn."),
        ("declined", None, "not filed Note d_1: declined."),
    ],
)
def test_outcome_says_what_is_next(state: State, reason: str | None, says: str) -> None:
    assert says in outcome(entry(note(), state=state, reason=reason))


def test_answer_that_did_not_count_is_said() -> None:
    assert "your answer did not count" in outcome(entry(note(), version=2), changed=True)
