"""`leyr-mcp resolve`: what is known of a draft in doubt, and what a person makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from leyr_mcp.server.app import make_store
from leyr_mcp.server.cli import resolve as command
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.settings import load
from leyr_mcp.server.storage.store import Change
from tests.support.terminal_seat import APPROVER, NO_SUCH, PHRASE, Seat, seat_at


async def status(seat: Seat, draft_id: str) -> str:
    listed = (await seat.run("drafts", "--all", "--json")).json["drafts"]
    found: str = next(one["status"] for one in listed if one["draft_id"] == draft_id)
    return found


async def test_without_an_option_it_tells_what_is_known_and_asks_nothing(seat: Seat) -> None:
    draft_id = await seat.stuck()
    ran = await seat.run("resolve", draft_id)
    assert (ran.code, ran.err) == (0, "")
    assert "The record system refused it" in ran.words
    assert "Sent once, at 2" in ran.words
    assert "The record was not searched for it" in ran.words
    for option in ("--found RECORD_ID", "--send-again", "--drop"):
        assert f"leyr-mcp resolve {draft_id} {option}" in ran.out
    known = (await seat.run("resolve", draft_id, "--json")).json
    assert (known["status"], known["attempts"], known["looks"]) == ("needs_human", 1, 0)
    assert known["reason"]
    assert known["first_sent_at"] == known["last_sent_at"]
    assert await status(seat, draft_id) == "needs_human"


async def test_found_in_the_record_closes_it_as_filed(seat: Seat) -> None:
    draft_id = await seat.stuck(stored=True)
    (note,) = seat.notes()
    ran = await seat.sit("resolve", draft_id, "--found", note.id)
    assert (ran.code, ran.err) == (0, "")
    assert seat.prompts == [f"Passphrase of {APPROVER}: "]
    assert f"id {note.id}. A person found it there. It was read back" in ran.words
    assert await status(seat, draft_id) == "filed"
    assert len(seat.notes()) == 1
    (event,) = [event for event in await seat.events("amend") if event["draft_id"] == draft_id]
    assert event["user"]["name"] == APPROVER


async def test_found_under_an_id_that_is_not_there_changes_nothing(seat: Seat) -> None:
    draft_id = await seat.stuck()
    ran = await seat.run(
        "resolve", draft_id, "--found", "unknown-id", "--passphrase-stdin", script=PHRASE
    )
    assert (ran.code, ran.err) == (1, "leyr-mcp: The record has no such entry.\n")
    assert await status(seat, draft_id) == "needs_human"
    ran = await seat.run("resolve", draft_id, "--found", "../x", "--passphrase-stdin")
    assert ran.code == 2
    assert "RECORD_ID must be an id" in ran.err


async def test_send_again_files_it_with_the_same_passphrase(seat: Seat) -> None:
    draft_id = await seat.stuck()
    ran = await seat.run(
        "resolve", draft_id, "--send-again", "--passphrase-stdin", "--json", script=PHRASE
    )
    assert (ran.code, ran.err) == (0, "")
    (note,) = seat.notes()
    assert (ran.json["status"], ran.json["record_id"]) == ("filed", note.id)
    assert len(await seat.events("approve")) == 2


async def test_send_again_finds_what_an_earlier_attempt_left(seat: Seat) -> None:
    draft_id = await seat.stuck(stored=True)
    ran = await seat.sit("resolve", draft_id, "--send-again")
    assert ran.code == 0
    assert len(seat.notes()) == 1


async def test_read_only_sends_nothing_again(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    draft_id = await seat.stuck()
    monkeypatch.setenv("LEYR_MCP_READ_ONLY", "true")
    ran = await seat.run("resolve", draft_id, "--send-again")
    assert (ran.code, "LEYR_MCP_READ_ONLY" in ran.err) == (2, True)
    assert await status(seat, draft_id) == "needs_human"
    assert seat.notes() == []


async def test_drop_gives_it_up(seat: Seat) -> None:
    draft_id = await seat.stuck()
    ran = await seat.sit("resolve", draft_id, "--drop")
    assert (ran.code, ran.err) == (0, "")
    assert await status(seat, draft_id) == "withdrawn"
    ran = await seat.sit("resolve", draft_id, "--drop")
    assert (ran.code, ran.err) == (1, "leyr-mcp: That draft needs nobody: withdrawn.\n")


@pytest.mark.parametrize("option", ["--send-again", "--drop"])
async def test_wrong_passphrase_changes_nothing_and_is_an_event(seat: Seat, option: str) -> None:
    draft_id = await seat.stuck()
    ran = await seat.sit("resolve", draft_id, option, phrase="a guess")
    assert ran.code == 1
    assert "That is not the passphrase." in ran.err
    assert await status(seat, draft_id) == "needs_human"
    assert seat.notes() == []
    (*_, event) = await seat.events("approve")
    assert (event["cause"], event["draft_id"]) == ("passphrase_wrong", draft_id)


async def test_deciding_without_a_terminal_or_a_passphrase_is_refused(seat: Seat) -> None:
    draft_id = await seat.stuck()
    ran = await seat.run("resolve", draft_id, "--drop")
    assert ran.code == 2
    assert "scripts use --passphrase-stdin" in ran.err
    assert await status(seat, draft_id) == "needs_human"


async def test_draft_that_needs_nobody_and_unknown_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seat = seat_at(tmp_path, monkeypatch, capsys)
    ran = await seat.run("resolve", "d_unknown")
    assert (ran.code, ran.err) == (1, NO_SUCH)
    draft_id = await seat.draft()
    ran = await seat.run("resolve", draft_id, "--drop")
    assert (ran.code, ran.err) == (1, "leyr-mcp: That draft needs nobody: waits for approval.\n")


async def test_no_passphrase_set_is_said(seat: Seat) -> None:
    draft_id = await seat.stuck()
    (seat.state / "approver.json").unlink()
    ran = await seat.sit("resolve", draft_id, "--drop")
    assert ran.code == 1
    assert "Set one with: leyr-mcp passphrase" in ran.err
    assert seat.prompts == []
    assert await status(seat, draft_id) == "needs_human"


@pytest.mark.parametrize("way", ["--send-again", "--drop"])
async def test_sandbox_asks_for_no_passphrase_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    seat = seat_at(tmp_path, monkeypatch, capsys)
    draft_id = await seat.draft()
    store = make_store(load())
    await store.open()
    stuck = Change(reason="stored_differently", remote_id="r_1")
    now = utc_now()
    assert await store.move(
        draft_id, "awaiting_approval", "needs_human", version=1, now=now, change=stuck
    )
    await store.close()
    ran = await seat.run("resolve", draft_id, way)
    assert (ran.code, ran.err) == (0, "")
    assert "This is the sandbox" in ran.out
    assert "Record id r_1" in ran.words
    assert "Sent never" in ran.words
    assert len(seat.notes()) == (way == "--send-again")


def test_only_one_way_can_be_chosen() -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["d_1", "--drop", "--send-again"])
    assert caught.value.code == 2
