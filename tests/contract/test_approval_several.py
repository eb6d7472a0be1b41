"""One question for several drafts: a yes or no for each, and each goes its own way."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.types import ElicitResult

from tests.support.mcp_asking import NOTE, Asking, Form, asking, decline, fields, user, yes


async def three(it: Asking) -> list[str]:
    """Return three drafts that nobody was asked about yet."""
    made = []
    for number in range(3):
        _, data = await it.ask("write_note", **NOTE | {"title": f"Besök {number}"}, draft=True)
        made.append(data["draft_id"])
    return made


def first_only(form: Form) -> ElicitResult:
    """Say yes to the first, no to the second, and nothing of the third."""
    one, two, _ = fields(form)
    return ElicitResult(action="accept", content={one: True, two: False})


async def test_all_are_shown_in_one_question(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        made = await three(it)
        _, data = await it.ask("file_drafts", draft_ids=made)
        assert data["filed"] == made
        assert len(it.writes()) == 3
        approvals = {approval.draft_id for approval in await it.approvals()}
        assert approvals == set(made)
    (form,) = person.asked
    assert fields(form) == made
    properties: Any = form.requested_schema["properties"]
    assert [one["title"] for one in properties.values()] == [
        "File 1: Besök 0?",
        "File 2: Besök 1?",
        "File 3: Besök 2?",
    ]
    assert form.message.startswith("Shall these 3 be filed in the health record?")
    assert [line for line in form.message.splitlines() if line.startswith("---")] == [
        "--- 1 ---",
        "--- 2 ---",
        "--- 3 ---",
    ]
    assert form.message.count("Patient: Tolvan Tolvansson") == 6


async def test_each_goes_its_own_way(mode: str) -> None:
    async with asking(mode, user(first_only)) as it:
        one, two, three_ = made = await three(it)
        _, data = await it.ask("file_drafts", draft_ids=made)
        assert (data["filed"], data["waiting"], data["failed"]) == ([one], [three_], [two])
        assert len(it.writes()) == 1


async def test_no_to_all(mode: str) -> None:
    async with asking(mode, user(decline)) as it:
        made = await three(it)
        _, data = await it.ask("file_drafts", draft_ids=made)
        assert data["failed"] == made
        assert it.writes() == []


async def test_what_is_filed_is_not_asked_about_again(mode: str) -> None:
    async with asking(mode, person := user(first_only, yes)) as it:
        one, two, last = made = await three(it)
        await it.ask("file_drafts", draft_ids=made)
        _, data = await it.ask("file_drafts", draft_ids=made)
        assert (data["filed"], data["failed"]) == ([one, last], [two])
        assert [found["already_filed"] for found in data["results"]] == [True, False, False]
        assert len(it.writes()) == 2
    assert fields(person.asked[1]) == [last]


async def test_revision_of_one_makes_another_question_of_all() -> None:
    async with asking("auto", user(yes)) as it:
        made = await three(it)
        question = await it.first("file_drafts", draft_ids=made)
        await it.ask("write_note", **NOTE | {"draft_id": made[1], "content": "Annat."}, draft=True)
        assert question.input_requests is not None
        (request,) = question.input_requests.values()
        assert isinstance(request.params, Form)
        answer = {"input_responses": {"approval": yes(request.params)}}
        anew = await it.again(
            "file_drafts", {"draft_ids": made}, **answer, request_state=question.request_state
        )
        assert anew.result_type == "input_required"
        assert it.writes() == []


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each era in turn."""
    era: str = request.param
    return era
