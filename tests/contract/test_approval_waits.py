"""Questions that are answered late or never, clients that go away, and a record that is slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.types import ElicitResult

from leyr_mcp.server import elicitation
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing import approving
from leyr_mcp.server.filing.asking import Caller
from leyr_mcp.server.filing.audit import Who, local_user
from tests.e2e.wire import INITIALIZE, Wire, python, start
from tests.support.mcp_asking import (
    ANNA,
    NOTE,
    Asking,
    Clock,
    Form,
    Way,
    asking,
    connected,
    decline,
    dismiss,
    serving_app,
    user,
    yes,
)

SLOW: dict[str, Any] = {"kind": "latency", "method": "POST", "seconds": 0.4}


class Hesitant:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.decided: asyncio.Future[ElicitResult] = asyncio.get_running_loop().create_future()
        self.form: Form | None = None

    async def __call__(self, form: Form) -> ElicitResult:
        self.form = form
        self.asked.set()
        return await asyncio.shield(self.decided)

    def decide(self, way: Way) -> None:
        """Answer now."""
        assert self.form is not None
        said = way(self.form)
        assert isinstance(said, ElicitResult)
        self.decided.set_result(said)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is waited for no longer than it takes to ask it."""
    monkeypatch.setattr(elicitation, "LEGACY_WAIT_S", 0.05)


async def late_questions() -> None:
    """Return when every late answer was dealt with."""
    async with asyncio.timeout(10):
        while elicitation._open:
            await asyncio.wait(set(elicitation._open))


async def settled(it: Asking, draft_id: str) -> str:
    """Return the state of a draft once nothing moves it."""
    return (await it.desk.outcome(await it.desk.entry(draft_id), 10)).draft.state


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("way", "state"), [(yes, "filed"), (decline, "declined"), (dismiss, "awaiting_approval")]
)
async def test_late_answer_counts_while_the_version_is_the_same(way: Way, state: str) -> None:
    person = Hesitant()
    async with asking("legacy", user(person)) as it:
        _, data = await it.ask("write_note", **NOTE)
        assert (data["status"], it.writes()) == ("awaiting_approval", [])
        person.decide(way)
        await late_questions()
        assert await settled(it, data["draft_id"]) == state
        assert len(it.writes()) == len(await it.approvals()) == (state == "filed")


@pytest.mark.usefixtures("_impatient")
async def test_late_yes_to_a_revised_draft_counts_for_nothing() -> None:
    person = Hesitant()
    async with asking("legacy", user(person, dismiss)) as it:
        _, data = await it.ask("write_note", **NOTE)
        better = NOTE | {"content": "Mår bättre.", "draft_id": data["draft_id"]}
        await it.ask("write_note", **better)
        person.decide(yes)
        await late_questions()
        assert await settled(it, data["draft_id"]) == "awaiting_approval"
        assert (it.writes(), await it.approvals()) == ([], [])


@pytest.mark.usefixtures("_impatient")
async def test_late_yes_to_an_earlier_wait_counts_for_nothing() -> None:
    person = Hesitant()
    async with asking("legacy", user(person)) as it:
        _, data = await it.ask("write_note", **NOTE)
        store = await it.stored()
        it.clock.later(minutes=1)
        await store.move(
            data["draft_id"], "awaiting_approval", "needs_human", version=1, now=it.clock()
        )
        await it.desk.send_again(await it.desk.entry(data["draft_id"]), ANNA)
        person.decide(yes)
        await late_questions()
        assert await settled(it, data["draft_id"]) == "awaiting_approval"
        assert it.writes() == []


@pytest.mark.usefixtures("_impatient")
async def test_late_yes_to_a_withdrawn_draft_counts_for_nothing() -> None:
    person = Hesitant()
    async with asking("legacy", user(person)) as it:
        _, data = await it.ask("write_note", **NOTE)
        await it.desk.withdraw(data["draft_id"], Who(subject=local_user()))
        person.decide(yes)
        await late_questions()
        assert await settled(it, data["draft_id"]) == "withdrawn"
        assert it.writes() == []


@pytest.mark.usefixtures("_impatient")
async def test_late_answer_that_cannot_be_stored_leaves_the_draft_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    person = Hesitant()
    async with asking("legacy", user(person)) as it:
        _, data = await it.ask("write_note", **NOTE)

        async def full(*_: Any, **__: Any) -> bool:
            raise StorageError("The disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr(await it.stored(), "approve", full)
            person.decide(yes)
            await late_questions()
        assert await settled(it, data["draft_id"]) == "awaiting_approval"
        assert it.writes() == []
    assert "a late answer was not used" in caplog.text


@pytest.mark.usefixtures("_impatient")
async def test_question_is_not_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "leyr_mcp.elicitation")
    monkeypatch.setattr(elicitation, "LATE_S", 0.01)
    person = Hesitant()
    async with asking("legacy", user(person)) as it:
        _, data = await it.ask("write_note", **NOTE)
        await late_questions()
        person.decide(yes)
        assert await settled(it, data["draft_id"]) == "awaiting_approval"
    assert "never answered" in caplog.text


@pytest.mark.usefixtures("_impatient")
async def test_client_that_leaves_without_an_answer_leaves_the_draft_waiting() -> None:
    person = Hesitant()
    async with serving_app(clock := Clock()) as app:
        async with connected(app, "legacy", user(person), clock=clock) as it:
            _, data = await it.ask("write_note", **NOTE)
        await late_questions()
        assert (await app.desk().entry(data["draft_id"])).waits
        async with connected(app, "legacy", user(yes), clock=clock) as it:
            _, same = await it.ask("write_note", **NOTE)
        assert (same["draft_id"], same["status"]) == (data["draft_id"], "filed")


async def test_call_given_up_while_asked_leaves_the_draft_waiting() -> None:
    person = Hesitant()
    async with asking("legacy", user(person, yes)) as it:
        call = asyncio.create_task(it.call("write_note", **NOTE))
        await person.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        person.decide(yes)
        (waiting,) = await it.desk.entries()
        assert waiting.waits
        assert it.writes() == []
        _, data = await it.ask("write_note", **NOTE)
        assert (data["draft_id"], data["status"]) == (waiting.id, "filed")
    assert not elicitation._open


async def test_hang_up_while_asked_in_the_modern_era_leaves_the_draft_waiting() -> None:
    async with asking("auto", user(yes)) as it:
        await it.first("write_note", **NOTE)  # and never heard of again
        (waiting,) = await it.desk.entries()
        assert waiting.waits
        _, data = await it.ask("write_note", **NOTE)
        assert (data["draft_id"], data["status"]) == (waiting.id, "filed")


async def test_slow_record_is_not_waited_for_and_files_later(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "WAIT_S", 0.05)
    async with asking(mode, user(yes)) as it:
        it.fail(**SLOW)
        text, data = await it.ask("write_note", **NOTE)
        assert data["status"] in ("approved", "sending")
        assert "call get_draft" in text
        assert "record_id" not in data
        assert await settled(it, data["draft_id"]) == "filed"
        _, again = await it.ask("write_note", **NOTE)
        assert (again["status"], again["already_filed"]) == ("filed", True)
        assert len(it.writes()) == 1


async def test_drafts_of_one_call_are_waited_for_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(approving, "WAIT_S", 0.2)
    async with asking("legacy") as it:
        entries = []
        for number in range(4):
            _, data = await it.ask("write_note", **NOTE | {"title": f"Besök {number}"})
            entries.append(await it.desk.entry(data["draft_id"]))
        it.fail("hang", method="POST")
        for entry in entries:
            assert await it.desk.approve(entry, ANNA)
        began = asyncio.get_running_loop().time()
        caller = Caller(who=ANNA.who)
        found = await approving.settle(it.desk, caller, entries, it.app.context.zone)
        assert asyncio.get_running_loop().time() - began < 0.6
        assert {entry.draft.state for entry in found} <= {"approved", "sending"}


async def test_long_question_leaves_little_time_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "CALL_S", 0.0)
    async with asking("legacy", user(yes)) as it:
        it.fail(**SLOW)
        _, data = await it.ask("write_note", **NOTE)
        assert data["status"] in ("approved", "sending")
        assert await settled(it, data["draft_id"]) == "filed"


async def test_call_that_comes_again_while_it_is_sent_waits_for_the_same(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(mode, person := user(yes)) as it:
        it.fail(**SLOW)
        with monkeypatch.context() as patch:
            patch.setattr(approving, "WAIT_S", 0.0)
            _, data = await it.ask("write_note", **NOTE)
        _, again = await it.ask("write_note", **NOTE)
        assert (again["draft_id"], again["status"]) == (data["draft_id"], "filed")
        assert len(it.writes()) == len(person.asked) == 1


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each era in turn."""
    era: str = request.param
    return era


# A real process, whose question is waited for no longer than it takes to ask it.
HASTY = """
import asyncio
from leyr_mcp.server import elicitation, logs
from leyr_mcp.server.app import build
from leyr_mcp.server.cli.serve import serve
from leyr_mcp.server.settings import load
elicitation.LEGACY_WAIT_S = 0.05
settings = load()
logs.configure(settings.log_level)
asyncio.run(serve(build(settings)))
"""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Wire]:
    """A host of the legacy era that can ask, at a process of its own."""
    async with start(tmp_path, *python(HASTY)) as wire:
        hello = INITIALIZE | {
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "claude-code", "version": "1"},
        }
        await wire.ask("initialize", hello)
        wire.send("notifications/initialized")
        yield wire


async def question_of(wire: Wire) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call a tool; return the question, and the answer that came before one to it."""
    wire.send("tools/call", {"name": "write_note", "arguments": NOTE}, id="write")
    question = await wire.receive()
    assert question["method"] == "elicitation/create"
    answer = await wire.receive()
    assert answer["id"] == "write"
    return question, answer["result"]["structuredContent"]


async def state_of(wire: Wire, number: int) -> dict[str, Any]:
    """Return what a repeat of the call answers, dismissing its question if there is one."""
    wire.send("tools/call", {"name": "write_note", "arguments": NOTE}, id=f"again {number}")
    message = await wire.receive()
    if message.get("method") == "elicitation/create":
        reply = {"jsonrpc": "2.0", "id": message["id"], "result": {"action": "cancel"}}
        wire.write(json.dumps(reply).encode())
        message = await wire.receive()
    found: dict[str, Any] = message["result"]["structuredContent"]
    return found


async def test_late_yes_over_real_pipes_files_the_draft(host: Wire) -> None:
    question, data = await question_of(host)
    assert data["status"] == "awaiting_approval"
    content = dict.fromkeys(question["params"]["requestedSchema"]["properties"], True)
    reply = {"action": "accept", "content": content}
    host.write(json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": reply}).encode())
    for number in range(100):
        again = await state_of(host, number)
        if again["status"] == "filed":
            break
    assert (again["draft_id"], again["status"]) == (data["draft_id"], "filed")
    ended = await host.hang_up()
    assert (ended.code, "Traceback" in ended.errors) == (0, False)


async def test_question_left_open_does_not_hold_the_end_up(host: Wire) -> None:
    _, data = await question_of(host)
    assert data["status"] == "awaiting_approval"
    ended = await host.hang_up()
    assert ended.code == 0
    assert "Traceback" not in ended.errors
