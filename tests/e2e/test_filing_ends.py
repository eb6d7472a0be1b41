"""Servers that end, or begin, while something is being filed; and two of them at the same work."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.storage.store import Draft
from tests.e2e.clinic import Clinic, clinic, say_yes
from tests.e2e.test_drain import IMPATIENT, as_hosts_do, hang_up, terminate
from tests.e2e.test_kills import killed
from tests.e2e.wire import Wire, python

LIMIT_S = 10.0
# Deadlines that a slow record keeps, where a test wants it to be waited for.
PATIENT = {"LEYR_MCP_WRITE_DEADLINE_S": "20", "LEYR_MCP_GRACE_S": "60"}
OTHER_KEY = "f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f38="


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Clinic]:
    async with clinic(tmp_path / "home") as at:
        yield at


async def begun(at: Clinic, wire: Wire) -> asyncio.Task[list[dict[str, Any]]]:
    """Have a note approved, and return when the record has received it."""
    saying = asyncio.create_task(say_yes(wire, [at.call("note")]))
    await at.received()
    return saying


async def left(at: Clinic) -> Draft:
    """Return the one draft as the ended processes left it."""
    (draft,) = await at.until(lambda _: True, 0)
    return draft


@pytest.mark.parametrize("end", [hang_up, terminate, as_hosts_do])
async def test_write_under_way_is_filed_before_the_end(
    at: Clinic, end: Callable[[Wire], None]
) -> None:
    at.fail("latency", seconds=0.5)
    async with at.server(**PATIENT) as wire:
        saying = await begun(at, wire)
        end(wire)
        (answer,) = await saying
        ended = await wire.ended(LIMIT_S)
    draft = await left(at)
    assert answer["result"]["structuredContent"]["status"] == "filed"
    assert (ended.code, draft.state, draft.verified) == (0, "filed", "equal")
    assert await at.wrong([draft], 1) == []


async def test_what_no_call_waits_for_is_filed_before_the_end(at: Clinic) -> None:
    at.fail("latency", seconds=0.5)
    async with at.server(**PATIENT) as wire:
        saying = await begun(at, wire)
        wire.send("notifications/cancelled", {"requestId": 1_000})
        wire.close_input()
        assert await saying == []
        ended = await wire.ended(LIMIT_S)
    draft = await left(at)
    assert (ended.code, draft.state, draft.verified) == (0, "filed", "equal")
    assert await at.wrong([draft], 1) == []


async def test_client_that_hangs_up_right_after_the_yes_has_it_filed(at: Clinic) -> None:
    async with at.server(**PATIENT) as wire:
        call = at.call("note")
        wire.send("tools/call", call, id=7)
        question = await wire.receive()
        names = question["params"]["requestedSchema"]["properties"]
        wire.answer(question["id"], {"action": "accept", "content": dict.fromkeys(names, True)})
        ended = await wire.hang_up()
    draft = await left(at)
    assert (ended.code, ended.ids(), draft.state) == (0, [7], "filed")
    assert await at.wrong([draft], 1) == []


@pytest.mark.parametrize("end", [hang_up, terminate])
async def test_question_that_nobody_answers_any_more_holds_nothing_up(
    at: Clinic, end: Callable[[Wire], None]
) -> None:
    async with at.server() as wire:
        wire.send("tools/call", at.call("note"), id=7)
        assert "method" in await wire.receive()
        end(wire)
        ended = await wire.ended(5)
    assert (ended.code, ended.ids()) == (0, [7])
    assert ended.messages[0]["result"]["structuredContent"]["status"] == "awaiting_approval"
    assert (await left(at)).state == "awaiting_approval"
    assert at.writes() == []


async def second_signal(wire: Wire) -> None:
    wire.process.terminate()
    await wire.logged("calls to finish: 1")
    wire.process.terminate()


async def kill(wire: Wire) -> None:
    wire.process.kill()


async def test_what_a_forced_end_leaves_is_found_out_by_the_next(tmp_path: Path) -> None:
    cases = ((second_signal, True), (second_signal, False), (kill, True), (kill, False))
    await asyncio.gather(
        *(_forced(tmp_path / f"{n}", end, stored=stored) for n, (end, stored) in enumerate(cases))
    )


async def _forced(home: Path, end: Callable[[Wire], Awaitable[None]], *, stored: bool) -> None:
    async with clinic(home) as at:
        at.fail("hang", commit=stored)
        async with at.server() as wire:
            saying = await begun(at, wire)
            await end(wire)
            assert await saying == []
            ended = await wire.ended(3)
        assert ended.code in (-signal.SIGTERM, -signal.SIGKILL)
        assert (await left(at)).state == "sending"
        async with at.server() as wire:
            drafts = await at.settled()
            assert (await wire.hang_up()).code == 0
        assert [draft.state for draft in drafts] == ["filed" if stored else "needs_human"]
        assert await at.wrong(drafts, 1) == []


async def test_record_slower_than_the_limit_leaves_a_doubt_and_an_end_in_time(
    at: Clinic,
) -> None:
    at.fail("hang", commit=True)
    async with at.server(*python(IMPATIENT.format(before="")), **PATIENT) as wire:
        saying = await begun(at, wire)
        wire.close_input()
        await saying
        ended = await wire.ended(5)
    draft = await left(at)
    assert (ended.code, draft.state, draft.reason) == (1, "unknown", "cancelled")
    async with at.server() as wire:
        drafts = await at.settled()
        assert (await wire.hang_up()).code == 0
    assert await at.wrong(drafts, 1) == []
    assert drafts[0].state == "filed"


async def test_two_servers_over_one_store_file_each_draft_once(tmp_path: Path) -> None:
    await asyncio.gather(*(_two(tmp_path / step, step) for step in ("due", "claimed", "answered")))


async def _two(home: Path, step: str) -> None:
    async with clinic(home) as at:
        calls = [at.call("note") for _ in range(4)]
        at.fail("latency", seconds=1)  # so that all are approved before the death
        async with at.server(*killed(step, 2), **PATIENT) as wire:
            await say_yes(wire, calls)
            assert (await wire.ended()).code == -signal.SIGKILL
        async with at.server() as one, at.server() as other:
            drafts = await at.settled(len(calls))
            ends = await asyncio.gather(one.hang_up(), other.hang_up())
        assert [end.code for end in ends] == [0, 0]
        assert await at.wrong(drafts, len(calls)) == []
        assert len(at.writes()) <= len(calls)


async def test_store_that_cannot_be_used_at_the_start_is_told_in_a_sentence(at: Clinic) -> None:
    async with at.server() as wire:
        await say_yes(wire, [at.call("note")])
        await wire.hang_up()
    assert "key" in await _wrong_key(at)
    locked = await _locked(at)
    assert locked.endswith("The local store is locked by another process; nothing was stored.")


async def _locked(at: Clinic) -> str:
    with closing(sqlite3.connect(at.database, isolation_level=None)) as locking:
        locking.execute("BEGIN IMMEDIATE")
        async with at.server() as wire:
            told = await wire.logged("filing does not run")
            assert "tools" in (await wire.ask("tools/list"))["result"]
            locking.execute("ROLLBACK")
            await wire.find_tolvan()
            ended = await wire.hang_up()
    assert ended.code == 0
    assert "Traceback" not in ended.errors
    return told


async def _wrong_key(at: Clinic) -> str:
    async with at.server(LEYR_MCP_DATA_KEY=OTHER_KEY) as wire:
        told = await wire.logged("filing does not run")
        assert "tools" in (await wire.ask("tools/list"))["result"]
        ended = await wire.hang_up()
    assert ended.code == 0
    assert "Traceback" not in ended.errors
    return told
