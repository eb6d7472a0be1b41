"""discard_draft: taken back for good, as often as one likes, and never what was sent."""

from __future__ import annotations

from typing import Any

import pytest

from leyr_mcp.tools.toolsets import Choice
from tests.support.mcp_asking import ANNA, NOTE, asking, no, user, yes
from tests.support.mcp_session import both_eras, session
from tests.support.mcp_snapshots import check_snapshot


@both_eras
async def test_whole_answer(mode: str) -> None:
    async with asking(mode) as it:
        _, data = await it.ask("write_note", **NOTE, draft=True)
        draft_id = data["draft_id"]
        text, data = await it.ask("discard_draft", draft_id=draft_id)
    text = text.replace(draft_id, "d_0")
    data["draft_id"] = "d_0"
    check_snapshot("answers/discard_draft", {"text": text.splitlines(), "data": data})


@both_eras
@pytest.mark.parametrize("kept", [True, False])
async def test_it_is_withdrawn_once_and_a_second_call_says_so(mode: str, kept: Any) -> None:
    async with asking(mode) as it:
        _, data = await it.ask("write_note", **NOTE, draft=kept)
        for _ in range(2):
            _, data = await it.ask("discard_draft", draft_id=data["draft_id"])
            assert data["status"] == "withdrawn"
        entry = await it.desk.entry(data["draft_id"])
        assert not await it.desk.approve(entry, ANNA)
        assert it.writes() == []


@both_eras
async def test_declined_one_stays_declined(mode: str) -> None:
    async with asking(mode, user(no)) as it:
        _, data = await it.ask("write_note", **NOTE)
        _, data = await it.ask("discard_draft", draft_id=data["draft_id"])
    assert data["status"] == "declined"


@both_eras
async def test_what_was_filed_cannot_be_taken_back(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        refused = await it.refused("discard_draft", draft_id=data["draft_id"])
        assert len(it.notes()) == 1
    assert refused.code == "in_progress"
    assert refused.message == "The draft can no longer be changed: it is filed."


@both_eras
async def test_unknown_draft_is_not_found(mode: str) -> None:
    async with session(mode) as it:
        refused = await it.refused("discard_draft", draft_id="d_aaaaaaaaaaaaaaaa")
    assert (refused.code, refused.field) == ("not_found", "draft_id")


@both_eras
async def test_role_cannot_take_back_what_it_never_sees(mode: str) -> None:
    async with asking(mode) as it:
        _, data = await it.ask("write_note", **NOTE, draft=True)
        object.__setattr__(it.app.server._context, "role", "front-desk")
        refused = await it.refused("discard_draft", draft_id=data["draft_id"])
        assert refused.message == "There is no such draft."
        calls: dict[str, Any] = {
            "get_draft": {"draft_id": data["draft_id"]},
            "file_drafts": {"draft_ids": [data["draft_id"]]},
        }
        for tool, call in calls.items():
            assert (await it.refused(tool, **call)).message == refused.message


@both_eras
async def test_it_is_not_offered_where_only_reading_is(mode: str) -> None:
    async with session(mode, choice=Choice(read_only=True)) as it:
        offered = {tool.name for tool in (await it.client.list_tools()).tools}
    assert offered & {"discard_draft", "file_drafts", "write_note"} == set()
    assert {"list_drafts", "get_draft"} <= offered
