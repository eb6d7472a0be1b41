"""The modern era: a call comes again with its answer, and may come again after that."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import CallToolResult, ElicitResult, InputRequiredResult

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.app import App, build
from leyr_mcp.server.settings import load
from tests.support.mcp_answers import check_answer
from tests.support.mcp_asking import (
    ANNA,
    NOTE,
    Asking,
    Form,
    asking,
    connected,
    fields,
    user,
    yes,
)

INVALID = -32602


def answered(question: InputRequiredResult, action: str = "accept") -> dict[str, Any]:
    """Return what a client sends with the second round of its call."""
    assert question.input_requests is not None
    ((key, request),) = question.input_requests.items()
    form = request.params
    assert isinstance(form, Form)
    answer = yes(form) if action == "accept" else ElicitResult.model_validate({"action": action})
    return {"input_responses": {key: answer}, "request_state": question.request_state}


def asked_about(question: InputRequiredResult) -> str:
    """Return the draft that a question is about."""
    assert question.input_requests is not None
    (request,) = question.input_requests.values()
    assert isinstance(request.params, Form)
    (draft_id,) = fields(request.params)
    return draft_id


def data_of(result: CallToolResult | InputRequiredResult) -> dict[str, Any]:
    """Return the structured content of a call that came to its end."""
    assert isinstance(result, CallToolResult)
    return check_answer(result)[1]


async def test_replay_after_filing_makes_no_second_copy() -> None:
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        first = data_of(await it.again("write_note", NOTE, **answered(question)))
        again = data_of(await it.again("write_note", NOTE, **answered(question)))
        assert (first["status"], first["already_filed"]) == ("filed", False)
        assert again == first | {"already_filed": True}
        assert len(it.writes()) == len(await it.approvals()) == 1


async def test_replay_of_a_yes_after_a_decline_asks_anew() -> None:
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        declined = data_of(await it.again("write_note", NOTE, **answered(question, "decline")))
        assert declined["status"] == "declined"
        anew = await it.again("write_note", NOTE, **answered(question))
        assert isinstance(anew, InputRequiredResult)
        assert asked_about(anew) != asked_about(question)
        assert (it.writes(), await it.approvals()) == ([], [])


async def test_replay_of_a_revision_after_its_decline_files_nothing() -> None:
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        call = NOTE | {"content": "Mår bättre.", "draft_id": asked_about(question)}
        second = await it.first("write_note", **call)
        data_of(await it.again("write_note", call, **answered(second, "decline")))
        assert data_of(await it.again("write_note", call, **answered(second)))["status"] == (
            "declined"
        )
        assert it.writes() == []


async def test_yes_to_an_earlier_version_counts_for_nothing() -> None:
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        entry = await it.desk.entry(asked_about(question))
        item: Any = entry.payload.item
        edited = type(item)(
            title=item.title, template_id=item.template_id, content={"unstructured": "Annat."}
        )
        await it.desk.edit(entry, edited, ANNA)
        anew = await it.again("write_note", NOTE, **answered(question))
        assert isinstance(anew, InputRequiredResult)
        assert asked_about(anew) == asked_about(question)
        assert anew.input_requests != question.input_requests
        assert it.writes() == []


async def test_yes_counts_for_one_wait_only() -> None:
    """A draft that came back to be approved again, unchanged, is another question."""
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        store = await it.stored()
        draft_id = asked_about(question)
        it.clock.later(minutes=1)
        for old, new in (
            ("awaiting_approval", "needs_human"),
            ("needs_human", "awaiting_approval"),
        ):
            assert await store.move(draft_id, old, new, version=1, now=it.clock())  # type: ignore[arg-type]  # states
        anew = await it.again("write_note", NOTE, **answered(question))
        assert isinstance(anew, InputRequiredResult)
        assert anew.input_requests == question.input_requests
        assert it.writes() == []
        filed = data_of(await it.again("write_note", NOTE, **answered(anew)))
        assert filed["status"] == "filed"


CHANGED: list[tuple[str, dict[str, Any]]] = [
    ("write_note", NOTE | {"content": "Mår bra!"}),
    ("write_note", NOTE | {"title": "Besök 2"}),
    ("write_note", NOTE | {"patient_id": "se_personal_number:198001022386"}),
    ("write_note", NOTE | {"draft": True}),
    ("find_patient", {"last_name": "Tolvansson"}),
]


@pytest.mark.parametrize(("tool", "arguments"), CHANGED)
async def test_answer_sent_with_other_arguments_is_refused(
    tool: str, arguments: dict[str, Any]
) -> None:
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        with pytest.raises(MCPError) as refused:
            await it.again(tool, arguments, **answered(question))
        assert refused.value.error.code == INVALID
        assert it.writes() == []


@pytest.mark.parametrize("state", ["", "forged", '{"asked": "x"}', "cut"])
async def test_forged_state_is_refused(state: str) -> None:
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        assert question.request_state is not None
        forged = question.request_state[:-4] if state == "cut" else state
        with pytest.raises(MCPError) as refused:
            await it.again("write_note", NOTE, **answered(question) | {"request_state": forged})
        assert refused.value.error.code == INVALID
        assert it.writes() == []


async def test_state_of_another_server_is_refused() -> None:
    async with asking("auto", user(yes)) as one, asking("auto", user(yes)) as other:
        question = await one.first("write_note", **NOTE)
        with pytest.raises(MCPError) as refused:
            await other.again("write_note", NOTE, **answered(question))
        assert refused.value.error.code == INVALID


@pytest.mark.parametrize("left_out", ["request_state", "input_responses"])
async def test_half_of_an_answer_asks_again(left_out: str) -> None:
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        half = {k: v for k, v in answered(question).items() if k != left_out}
        again = await it.again("write_note", NOTE, **half)
        assert isinstance(again, InputRequiredResult)
        assert again.input_requests == question.input_requests
        assert it.writes() == []


async def test_answer_under_another_key_asks_again() -> None:
    async with asking("auto", user(yes)) as it:
        question = await it.first("write_note", **NOTE)
        given = answered(question)
        (answer,) = given["input_responses"].values()
        again = await it.again("write_note", NOTE, **given | {"input_responses": {"other": answer}})
        assert isinstance(again, InputRequiredResult)


async def test_answers_are_told_apart_by_their_draft() -> None:
    """The state of one question and the form of another make no approval of either."""
    other = NOTE | {"content": "Något annat."}
    async with asking("auto", user(yes)) as it:
        one = answered(await it.first("write_note", **NOTE))
        two = answered(await it.first("write_note", **other))
        mixed = {**one, "input_responses": two["input_responses"]}
        data = data_of(await it.again("write_note", NOTE, **mixed))
        assert data["status"] == "awaiting_approval"
        assert it.writes() == []


async def test_five_equal_calls_at_once_make_one_entry(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        found = await asyncio.gather(*(it.ask("write_note", **NOTE) for _ in range(5)))
        assert {data["draft_id"] for _, data in found} == {found[0][1]["draft_id"]}
        assert {data["status"] for _, data in found} == {"filed"}
        assert it.notes() == ["Mår bra."]
        assert len(it.writes()) == len(await it.approvals()) == 1


def built(origin: str, folder: Path) -> App:
    """Return a server over a record on a socket and a state folder that others share."""
    return build(
        load(
            {
                "LEYR_BASE_URL": f"{origin}/api",
                "LEYR_CLIENT_ID": "client",
                "LEYR_CLIENT_SECRET": "secret",
                "LEYR_EMR": "webdoc",
                "LEYR_CARE_UNIT_ID": "L0_1",
                "LEYR_RESOURCE_ID": "1021",
                "LEYR_MCP_STATE_DIR": str(folder),
            }
        )
    )


async def test_two_servers_over_one_store_make_one_entry(tmp_path: Path, mode: str) -> None:
    box = Sandbox(client_id="client", client_secret="secret")
    async with AsyncExitStack() as stack:
        stack.callback(box.close)
        origin = await stack.enter_async_context(serving(box))
        people = [user(yes), user(yes)]
        sides = list[Asking]()
        for person in people:
            app = built(origin, tmp_path / "state")
            stack.push_async_callback(app.close)
            side = connected(app, mode, person, sandbox=box)
            sides.append(await stack.enter_async_context(side))
        found = await asyncio.gather(*(side.ask("write_note", **NOTE) for side in sides))
        assert len({data["draft_id"] for _, data in found}) == 1
        assert {data["status"] for _, data in found} == {"filed"}
        texts = [note.content for note in box.control.notes("191212121212")]
        assert texts.count({"unstructured": "Mår bra."}) == 1
        assert len(await sides[0].approvals()) == 1


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each era in turn."""
    era: str = request.param
    return era
