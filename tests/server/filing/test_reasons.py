"""Every code that filing leaves with a draft has a sentence, and no sentence is about nothing."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from leyr_mcp.server.errors import CODES, UpstreamError
from leyr_mcp.server.filing.classify import REFUSING
from leyr_mcp.server.filing.reasons import REASONS, SEARCHED, reason_of, search_of
from leyr_mcp.server.storage.store import Draft, Kind

SENT = datetime(2026, 3, 2, 12, tzinfo=UTC)
DRAFT = Draft(
    id="d_1",
    version=1,
    kind="note",
    state="needs_human",
    principal="local:anna",
    care_unit_id="L0_1",
    patient_key="key",
    digest="digest",
    payload=b"sealed",
    created_at=SENT,
    updated_at=SENT,
)
FILING = Path(__file__).parents[3] / "server" / "filing"
# Which argument of a call is a reason, besides those of these names.
MAKERS = {
    **dict.fromkeys(("Human", "InDoubt", "NotReceived", "Refused", "Review", "Stop"), 0),
    **dict.fromkeys(("_doubt", "_upstream"), 0),
    **dict.fromkeys(("_human", "_later"), 1),
}
NAMED = {"reason", "unclear"}


def classes(of: type[UpstreamError]) -> Iterator[type[UpstreamError]]:
    yield of
    for below in of.__subclasses__():
        yield from classes(below)


def reasons_of(call: ast.Call) -> Iterator[ast.expr]:
    """Yield those arguments of a call that are reasons."""
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name in MAKERS:
        yield from call.args[MAKERS[name] : MAKERS[name] + 1]
    yield from (keyword.value for keyword in call.keywords if keyword.arg in NAMED)


def written() -> set[str]:
    """Return every code that stands in the modules of filing as a reason."""
    given = [
        argument
        for file in FILING.glob("*.py")
        if file.name != "passphrase.py"  # its reasons are of another thing
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for argument in reasons_of(node)
    ]
    return {
        node.value
        for node in given
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
    }


def test_every_code_of_filing_has_a_sentence() -> None:
    codes = {one.default_code for one in classes(UpstreamError)}
    refused = {code.lower() for code in REFUSING}
    found = written()
    assert {"patient_changed", "no_answer", "lookup_failed", "job_timed_out"} <= found
    assert (found | codes | refused) - REASONS.keys() == set()


@pytest.mark.parametrize("code", sorted(REASONS))
def test_sentences_are_whole_and_hold_no_data(code: str) -> None:
    text, todo = REASONS[code]
    for sentence in (text, todo):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert sentence.isascii()


def test_unknown_code_gets_a_general_sentence() -> None:
    known = reason_of("of_tomorrow")
    assert known
    assert known.text == "It could not be filed as it is (code of_tomorrow)."
    strange = reason_of("Not A Code \x1b[31m")
    assert strange
    assert strange.text == "It could not be filed as it is."


@pytest.mark.parametrize("code", [None, ""])
def test_no_code_is_no_reason(code: str | None) -> None:
    assert reason_of(code) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": "patient_changed"}, "It was never sent"),
        ({"reason": "upstream_refused", "first_sent_at": SENT}, "The record was not searched"),
        ({"reason": "conflict", "first_sent_at": SENT}, "The patient's notes were searched"),
        ({"state": "unknown", "looked": 2, "first_sent_at": SENT}, "The patient's notes were"),
        ({"state": "unknown", "looked": 0, "first_sent_at": SENT}, "The record was not searched"),
    ],
)
def test_a_search_is_told_only_where_there_was_one(fields: dict[str, Any], said: str) -> None:
    assert search_of(dataclasses.replace(DRAFT, **fields)).startswith(said)


def test_search_of_every_kind_is_told() -> None:
    assert SEARCHED.keys() == set(get_args(Kind))
    assert CODES.keys() >= {"patient_changed", "slot_taken", "upstream_refused"}
