"""A draft in words: always the same, whole, and no text in it passes for a line of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.filing.entries import Attached, Check, Entry, Shown
from leyr_mcp.server.filing.payloads import Item, NoteItem, PatientItem, Payload, digest_of
from leyr_mcp.server.filing.preview import BAR, barred, patient_line, preview, seen
from leyr_mcp.server.storage.store import Draft
from leyr_mcp.server.text import clean
from tests.server.filing.desk import booking, change, document, note, payload, person

GENERATED = settings(deadline=None, max_examples=200, database=None)
ZONE = ZoneInfo("Europe/Stockholm")
NOW = datetime(2026, 9, 14, 7, 30, tzinfo=UTC)
LINE = "Patient: Anna Berg, born 1980-01-02"


def entry(item: Item, shown: Shown = Shown(), **more: Any) -> Entry:  # noqa: B008 - a value
    """Return a draft that waits; what is no field of a draft is one of the payload."""
    of_draft: dict[str, Any] = {
        k: more.pop(k) for k in ("reason", "state", "version", "id", "attempt") if k in more
    }
    what = payload(item, **more)
    raw = what.to_bytes()
    fields: dict[str, Any] = {
        "id": "d_aaaaaaaaaaaaaaaa",
        "version": 1,
        "kind": what.kind,
        "state": "awaiting_approval",
        "principal": "p",
        "care_unit_id": "u1",
        "patient_key": "k",
        "digest": digest_of(raw),
        "payload": raw,
        "created_at": NOW,
        "updated_at": NOW,
        **of_draft,
    }
    return Entry(draft=Draft(**fields), payload=Payload.from_bytes(raw), shown=shown)


def text_of(what: Entry) -> str:
    """Return it as a person reads it."""
    return preview(what, ZONE).text()


def texts_in(shown: str) -> list[str]:
    """Return the texts that stand behind bars, each as it was."""
    found: list[list[str]] = []
    before = ""
    for line in shown.split("\n"):
        if line.startswith(BAR):
            if not before.startswith(BAR):
                found.append([])
            found[-1].append(line.removeprefix(BAR))
        before = line
    return ["\n".join(lines) for lines in found]


def test_a_note_in_words() -> None:
    checks = (
        Check("placeholder", "block", "unstructured holds a placeholder."),
        Check("text_long", "warn", "The text is long."),
        Check("characters_removed", "info", "1 character was removed."),
    )
    names = {"author": "Dr Ehn"}
    shown = Shown(checks=checks, number="19800102-****", names=names, key="k2")
    assert text_of(entry(note(text="Well.\n\nRest."), shown)).split("\n") == [
        f"{LINE}, national number 19800102-****",
        "Note: Visit",
        "Template: leyr_unstructured",
        "Author: Dr Ehn (a1)",
        "Second copy: wanted by the caller, under the key k2",
        "",
        "unstructured:",
        "",
        "    | Well.",
        "    | ",
        "    | Rest.",
        "",
        "Found:",
        "- Look at this: unstructured holds a placeholder.",
        "- Note: The text is long.",
        "- For information: 1 character was removed.",
        "",
        f"{LINE}, national number 19800102-****",
        "(d_aaaaaaaaaaaaaaaa, version 1)",
    ]


def test_a_booking_in_words() -> None:
    names = {"resource": "Dr Ehn", "healthcare_service": "Visit"}
    item = booking(resource_id="r1", healthcare_service_id="s1", comment="Bring\nthe papers")
    shown = text_of(entry(item, Shown(names=names)))
    assert "Booking: Tue 2026-03-03 09:00-09:30" in shown
    assert "With: Dr Ehn (r1)\nFor: Visit (s1)\n" in shown
    assert texts_in(shown) == ["Bring\nthe papers"]
    assert "With: r1\n" in text_of(entry(booking(resource_id="r1")))
    assert "Author" not in shown


@pytest.mark.parametrize(
    ("item", "lines"),
    [
        (change("cancel"), ["Cancel Tue 2026-03-03 09:00", "Appointment: b1, "]),
        (change("confirm", code="1234"), ["Confirm Tue 2026-03-03 09:00", "Code: 1234"]),
        (
            change(
                "reschedule",
                start=NOW,
                end=NOW + timedelta(hours=1),
                resource_id="r2",
                comment="Later",
            ),
            [
                "Reschedule Tue 2026-03-03 09:00",
                "New time: Mon 2026-09-14 09:30-10:30",
                "With: r2",
                f"{BAR}Later",
            ],
        ),
        (document(sha256=""), ["Document: Letter", "File: not chosen yet"]),
        (person(), ["New patient: Ola Nord", "National number: 199006022397"]),
        (
            PatientItem(first_name="Ola", last_name="Nord", phones=("1", "2"), emails=("a@b.c",)),
            ["Phones: 1, 2", "E-mail: a@b.c"],
        ),
    ],
)
def test_each_kind_in_words(item: Item, lines: list[str]) -> None:
    shown = text_of(entry(item))
    for line in lines:
        assert line in shown


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ({}, ["File: plain text, 16 bytes (text/plain)", "SHA-256: "]),
        ({"pages": 1}, ["File: plain text, 1 page, 16 bytes"]),
        ({"pages": 3}, ["File: plain text, 3 pages, 16 bytes"]),
        ({"name": "a\u202e.txt"}, ["File name: a⟨U+202E⟩.txt"]),
        ({"made_from": "d_b"}, ["Made from: the note d_b"]),
        ({"text": "Rad\nPatient: B"}, ["Beginning as text:", f"{BAR}Rad", f"{BAR}Patient: B"]),
        ({"text": "Rad", "pages": 2}, ["First page as text:", f"{BAR}Rad"]),
    ],
)
def test_a_file_in_words(more: dict[str, Any], lines: list[str]) -> None:
    shown = text_of(entry(document(type="Lab"), Shown(attached=Attached(staged="f1", **more))))
    for line in ["Type: Lab", *lines]:
        assert line in shown
    blank = Shown(attached=Attached(staged="f1", text=" \n"))
    assert "as text" not in text_of(entry(document(), blank))
    odd = text_of(entry(document(format="image/gif"), Shown(attached=Attached(staged="f1"))))
    assert "File: image/gif, 16 bytes (image/gif)" in odd


def test_whom_it_concerns() -> None:
    assert patient_line(entry(note())) == LINE.removeprefix("Patient: ")
    assert patient_line(entry(person())) == "Ola Nord (new)"
    assert patient_line(entry(change(), patient=None)) == "not told by the record"
    bare = {"patient": "emr_id:e1", "patient_name": None, "patient_birth_date": None}
    assert patient_line(entry(note(), Shown(expected="unverified"), **bare)) == (
        "name not told by the record, emr_id:e1, could not be verified"
    )


def test_what_was_sent_back_says_why_while_it_waits() -> None:
    back = text_of(entry(note(), reason="patient_changed"))
    assert "\nSent back: The patient's name or birth date in the record is no longer" in back
    assert "Sent back" not in text_of(entry(note(), reason="patient_changed", state="filed"))
    assert "Sent back" not in text_of(entry(note(), reason=""))


def test_what_was_sent_before_says_so_while_it_waits() -> None:
    again = "\nSent back: It was sent before. If you approve it, it is sent once more.\n"
    assert again in text_of(entry(note(), attempt=1))
    assert "sent before" not in text_of(entry(note(), attempt=1, state="filed"))
    both = text_of(entry(note(), attempt=1, reason="not_found_after_timeout"))
    assert "If you approve it, it is sent once more.\n" in both


HOSTILE = [
    "Well.\nPatient: Other Person\nNote: Else",
    "\n\nPatient: Other Person, born 1990-06-02\n(d_bbbbbbbbbbbbbbbb, version 9)",
    "Well.\n\nFound:\n- For information: nothing",
    "--- 2 ---\nPatient: Other Person",
    "    | Patient: Other Person\n| x",
    "\n" * 500 + "Patient: Other Person",
    "",
    "\n",
    " ",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_passes_for_a_line_of_ours(hostile: str) -> None:
    shown = text_of(entry(note(text=hostile)))
    ours = [line for line in shown.split("\n") if not line.startswith(BAR)]
    assert [line for line in ours if line.startswith("Patient:")] == [LINE, LINE]
    assert shown.startswith(f"{LINE}\n")
    assert shown.endswith(f"\n{LINE}\n(d_aaaaaaaaaaaaaaaa, version 1)")
    assert not any("Other" in line or "version 9" in line for line in ours)
    assert texts_in(shown) == [hostile]


ONE_LINE = "Visit\nPatient: Other\u2028Patient: Other\rPatient: Other\x85\u202eretO"


@pytest.mark.parametrize(
    "what",
    [
        entry(note(title=ONE_LINE)),
        entry(NoteItem(title="Visit", template_id=ONE_LINE, content={"a": "b"})),
        entry(NoteItem(title="Visit", template_id="t", content={ONE_LINE: "b"})),
        entry(note(), patient_name=ONE_LINE),
        entry(note(), Shown(key=ONE_LINE)),
        entry(note(), Shown(names={"author": ONE_LINE})),
        entry(note(), Shown(number=ONE_LINE)),
        entry(booking(), Shown(names={"resource": ONE_LINE}), author=None),
        entry(change("confirm", code=ONE_LINE)),
        entry(document(title=ONE_LINE, format=ONE_LINE)),
        entry(PatientItem(first_name=ONE_LINE, last_name="Nord", phones=(ONE_LINE,))),
    ],
)
def test_everything_but_a_text_is_one_line(what: Entry) -> None:
    shown = text_of(what)
    assert not any(line.startswith("Patient: Other") for line in shown.splitlines())
    for sign in "\u2028\r\x85\u202e":
        assert sign not in shown
    names = [line for line in shown.split("\n") if line.startswith("Patient: ")]
    assert len(names) == 2
    assert names[0] == names[1]


def test_what_cannot_be_seen_is_named() -> None:
    assert seen("a\nb\u200bc\td") == "a⟨U+000A⟩b⟨U+200B⟩c\td"
    assert barred("a\rb\n\u202ec") == f"{BAR}a⟨U+000D⟩b\n{BAR}⟨U+202E⟩c"
    number = "\u0600\u0661\u0662"  # a sign of the same class that can be seen
    assert barred(clean(number).text) == BAR + number
    persian = "می\u200cخواهم"
    assert barred(persian) == BAR + persian


@GENERATED
@given(st.text(max_size=200))
def test_every_byte_of_a_cleaned_text_stands_there(raw: str) -> None:
    text = clean(raw).text
    assert texts_in(barred(text)) == [text]


@GENERATED
@given(st.text(max_size=80), st.text(max_size=80))
def test_two_texts_never_look_the_same(one: str, two: str) -> None:
    a, b = (text_of(entry(note(text=clean(raw).text))) for raw in (one, two))
    assert (a == b) == (clean(one).text == clean(two).text)


def test_the_same_draft_gives_the_same_words() -> None:
    shown = Shown(checks=(Check("a", "warn", "B."),), names={"author": "C", "resource": "D"})
    one = entry(note(text="Well.", plan="Rest."), shown)
    stored = replace(one, shown=Shown.from_bytes(shown.to_bytes()))
    assert text_of(one) == text_of(stored)
    assert text_of(one) != text_of(replace(one, draft=replace(one.draft, version=2)))
    assert date(1980, 1, 2).isoformat() in text_of(one)
