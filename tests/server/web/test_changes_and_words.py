"""What changed between versions, and the sentences for every state."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.filing.entries import Entry, Shown
from leyr_mcp.server.filing.payloads import NoteItem, Payload
from leyr_mcp.server.storage.store import Draft, State
from leyr_mcp.server.web import words
from leyr_mcp.server.web.changes import compared

NOW = datetime(2026, 9, 14, 7, 30, tzinfo=UTC)
PAYLOAD = Payload(
    environment=None,
    care_unit_id="L0_1",
    item=NoteItem(title="Besök", template_id="leyr_unstructured", content={"unstructured": "x"}),
)
DRAFT = Draft(
    id="d_x",
    version=1,
    kind="note",
    state="awaiting_approval",
    principal="local:tester",
    care_unit_id="L0_1",
    patient_key="k",
    digest=PAYLOAD.digest(),
    payload=PAYLOAD.to_bytes(),
    created_at=NOW,
    updated_at=NOW,
)
TEXTS = st.lists(st.sampled_from("abc"), max_size=12).map("\n".join)


def entry(**draft: object) -> Entry:
    """Return a draft as it stands in the ledger."""
    return Entry(draft=dataclasses.replace(DRAFT, **draft), payload=PAYLOAD, shown=Shown())  # type: ignore[arg-type]  # the fields of a draft


def sides(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return old and new lines as the comparison holds them; gaps are not to be in it."""
    found = compared(before, after)
    assert all(line["mark"] != "gap" for line in found)
    old = [line["text"] for line in found if line["mark"] != "added"]
    new = [line["text"] for line in found if line["mark"] != "removed"]
    return old, new


@given(TEXTS, TEXTS)
def test_a_comparison_holds_both_texts(before: str, after: str) -> None:
    found = compared(before, after)
    for text, other in ((before, "added"), (after, "removed")):
        told = 0
        for line in found:
            if line["mark"] == "gap":
                told += int(line["text"].split()[0])
            elif line["mark"] != other:
                told += 1
        assert told == (len(text.split("\n")) if text else 0)


def test_lines_far_from_a_change_are_counted() -> None:
    lines = [f"rad {number}" for number in range(10)]
    found = compared("\n".join(lines), "\n".join([*lines[:5], "ny", *lines[6:]]))
    assert [(line["mark"], line["text"]) for line in found] == [
        ("gap", "3 equal lines"),
        ("same", "rad 3"),
        ("same", "rad 4"),
        ("removed", "rad 5"),
        ("added", "ny"),
        ("same", "rad 6"),
        ("same", "rad 7"),
        ("gap", "2 equal lines"),
    ]


def test_a_single_line_is_shown_rather_than_counted() -> None:
    assert sides("1\n2\n3\n4", "1\n2\n3\n5") == (["1", "2", "3", "4"], ["1", "2", "3", "5"])


def test_what_is_too_long_to_compare_is_shown_whole() -> None:
    before, after = ("\n".join(f"{way} {n}" for n in range(401)) for way in ("gammal", "ny"))
    assert sides(before, after) == (before.split("\n"), after.split("\n"))


@pytest.mark.parametrize("state", get_args(State))
def test_every_state_has_a_sentence_and_a_tone(state: State) -> None:
    (first, *_) = words.told(entry(state=state))
    assert first.endswith(".")
    assert words.tone(entry(state=state)) in ("ask", "wait", "good", "bad", "off")


def test_a_draft_sent_back_says_why_and_that_it_was_sent() -> None:
    told = words.told(entry(reason="patient_changed", attempt=1))
    assert "birth date in the record is no longer" in told[1]
    assert told[-1] == "It was sent before. If you approve it, it is sent once more."


@pytest.mark.parametrize(
    ("verified", "said"),
    [
        ("equal", "It was read back, and it is as approved."),
        ("unreadable", "This record system does not let it be read back."),
        ("strange", "This record system does not let it be read back."),
        (
            "differs:title",
            "Look at it in the record: read back, its title is not what was approved.",
        ),
        (
            "differs:Canary<1>",
            "Look at it in the record: read back, its content is not what was approved.",
        ),
    ],
)
def test_filed_says_what_reading_it_back_said(verified: str, said: str) -> None:
    assert said in words.told(entry(state="filed", remote_id="n1", verified=verified))


def test_what_was_never_sent_was_not_searched() -> None:
    assert words.searched(entry(state="needs_human")) == (
        "It was never sent, so the record was not searched for it."
    )
    assert words.searched(entry(state="needs_human", first_sent_at=NOW)).startswith(
        "The patient's notes were searched"
    )
