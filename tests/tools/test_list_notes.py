"""list_notes: a patient's notes without their text, and what each failure tells."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.mcp_answers import check_answer
from tests.support.mcp_session import TOLVAN, both_eras, session
from tests.support.mcp_snapshots import check_snapshot
from tests.support.mcp_upstream import Canned, client_over

SE = "se_personal_number:"


async def notes_of(*notes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    async with client_over(Canned({"/medical-notes": {"data": list(notes)}}), "auto") as client:
        return check_answer(await client.call_tool("list_notes", {"patient_id": "p"}))


@both_eras
async def test_whole_answer(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("list_notes", patient_id=SE + TOLVAN)
    check_snapshot("answers/list_notes", {"text": text.splitlines(), "data": data})


@both_eras
async def test_text_of_notes_is_left_out_even_when_the_record_gives_it(mode: str) -> None:
    async with session(mode) as it:
        it.control.options.note_list_content = True
        text, data = await it.ask("list_notes", patient_id=SE + TOLVAN)
    assert "huvudvärk" not in text + str(data)


@both_eras
async def test_no_notes_says_so(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("list_notes", patient_id=f"{SE}194912062306")
        assert data["total"] == len(it.control.notes("194912062306"))
        new = await it.store("patients", first_name="Ny", last_name="Person")
        text, data = await it.ask("list_notes", patient_id=f"emr_id:{new['emr_id']}")
    assert (data["notes"], data["total"], data["truncated"]) == ([], 0, False)
    assert text == "The record holds no note of this patient here. Next: tell the user."


async def test_newest_first_and_undated_last() -> None:
    _, data = await notes_of(
        {"id": "old", "created_at": "2026-01-01T10:00:00Z"},
        {"id": "undated"},
        {"id": "naive", "created_at": "2026-03-01T10:00:00"},
        {"id": "new", "created_at": "2026-05-01T10:00:00+02:00"},
    )
    assert [note["note_id"] for note in data["notes"]] == ["new", "naive", "old", "undated"]
    assert data["notes"][1]["created_at"] == "2026-03-01T10:00+01:00"


async def test_order_holds_through_the_hour_that_comes_twice() -> None:
    _, data = await notes_of(
        {"id": "first", "created_at": "2026-10-25T00:50:00Z"},
        {"id": "second", "created_at": "2026-10-25T01:10:00Z"},
    )
    assert [note["created_at"] for note in data["notes"]] == [
        "2026-10-25T02:10+01:00", "2026-10-25T02:50+02:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "never", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00"]
)
async def test_date_at_the_end_of_the_calendar_is_no_failure(never: str) -> None:
    _, data = await notes_of({"id": "a", "created_at": never}, {"id": "b"})
    assert len(data["notes"]) == 2


async def test_more_than_fifty_are_cut_and_counted() -> None:
    text, data = await notes_of(*({"id": f"n{number}"} for number in range(51)))
    assert len(data["notes"]) == 50
    assert (data["total"], data["truncated"]) == (51, True)
    assert "51 in all, the newest 50 are shown." in text


async def test_title_is_cleaned_and_cut() -> None:
    text, data = await notes_of({"id": "n", "title": "A\u202e\nB <img src=x> " + "t" * 200})
    title = data["notes"][0]["title"]
    assert title.startswith("A B &lt;img src=x> ttt")
    assert len(title) <= 110
    assert title in text


@both_eras
@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({}, "invalid_argument"),
        ({"patient_id": ""}, "invalid_argument"),
        ({"patient_id": TOLVAN}, "identifier_ambiguous"),
        ({"patient_id": f"{SE}191212121213"}, "identifier_checksum"),
        ({"patient_id": "emr_id:x/y"}, "invalid_argument"),
    ],
)
async def test_wrong_call_is_refused_before_anything_is_sent(
    mode: str, call: dict[str, str], code: str
) -> None:
    async with session(mode) as it:
        refused = await it.refused("list_notes", **call)
        assert (refused.code, refused.field) == (code, "patient_id")
        assert it.requests() == []


@both_eras
@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"patient_id": "emr_id:nobody"}, "patient_not_found"),
        ({"patient_id": f"{SE}{TOLVAN}", "care_unit_id": "nowhere"}, "not_found"),
        ({"patient_id": "nhs_number:9990000018"}, "not_supported"),
    ],
)
async def test_what_the_record_does_not_have(mode: str, call: dict[str, str], code: str) -> None:
    async with session(mode) as it:
        assert (await it.refused("list_notes", **call)).code == code
