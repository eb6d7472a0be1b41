"""`leyr-mcp file`: the way of a tool call without a chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.cli import file as command
from tests.support.terminal_seat import APPROVER, PATIENT, PHRASE, Seat

NOTE = {"patient_id": PATIENT, "title": "Besök", "content": "Mår bra.", "expect": "Tolvansson"}


async def test_note_is_drafted_as_by_a_call(seat: Seat, tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text(json.dumps(NOTE), encoding="utf-8")
    ran = await seat.run("file", str(path))
    assert (ran.code, ran.err) == (0, "")
    assert ": awaiting_approval" in ran.out
    assert "with the command: leyr-mcp approve d_" in ran.out
    assert "http" not in ran.out  # no page outlives the command
    assert seat.notes() == []
    again = await seat.run("file", str(path), "--json")
    assert (await seat.run("drafts", "--json")).json["drafts"][0]["draft_id"] == (
        again.json["draft_id"]
    )
    event = (await seat.events("draft"))[0]
    assert event["client"] == {"name": "leyr-mcp file"}


async def test_scribe_system_files_at_once_with_the_passphrase(seat: Seat) -> None:
    script = f"{PHRASE}\n{json.dumps(NOTE)}"
    ran = await seat.run("file", "-", "--passphrase-stdin", "--json", script=script)
    assert (ran.code, ran.err) == (0, "")
    (note,) = seat.notes()
    assert (ran.json["status"], ran.json["record_id"]) == ("filed", note.id)
    assert (ran.json["already_filed"], ran.json["checks"]) == (False, [])
    (event,) = await seat.events("approve")
    assert event["user"]["name"] == APPROVER
    again = await seat.run("file", "-", "--passphrase-stdin", "--json", script=script)
    assert (again.code, again.json["already_filed"]) == (0, True)
    assert len(seat.notes()) == 1


async def test_wrong_passphrase_leaves_the_draft_waiting(seat: Seat) -> None:
    script = f"a guess\n{json.dumps(NOTE)}"
    ran = await seat.run("file", "-", "--passphrase-stdin", script=script)
    assert ran.code == 1
    assert "That is not the passphrase. 4 guesses left. The draft d_" in ran.err
    assert seat.notes() == []
    (found,) = (await seat.run("drafts", "--json")).json["drafts"]
    assert found["status"] == "awaiting_approval"


async def test_what_a_person_must_look_at_is_not_filed_unseen(seat: Seat) -> None:
    script = f"{PHRASE}\n{json.dumps({**NOTE, 'content': 'Ring [namn].'})}"
    ran = await seat.run("file", "-", "--passphrase-stdin", script=script)
    assert ran.code == 1
    assert "a person must look at it" in ran.err
    assert "block placeholder" in ran.out
    assert seat.notes("[namn]") == []
    assert await seat.events("approve") == []


async def test_refused_by_the_record_system_is_code_1(seat: Seat) -> None:
    seat.fail(kind="emr_401")
    script = f"{PHRASE}\n{json.dumps(NOTE)}"
    ran = await seat.run("file", "-", "--passphrase-stdin", script=script)
    assert ran.code == 1
    assert "needs you" in ran.out


async def test_yes_counts_in_the_sandbox_alone(seat: Seat) -> None:
    ran = await seat.run("file", "-", "--yes", script=json.dumps(NOTE))
    assert ran.code == 2
    assert "--yes approves in the sandbox alone" in ran.err
    assert (await seat.run("drafts", "--json")).json["drafts"] == []


async def test_sandbox_files_at_once(sandbox: Seat) -> None:
    ran = await sandbox.run("file", "-", "--yes", script=json.dumps(NOTE))
    assert ran.code == 0
    assert ran.out.startswith("filed ")
    assert len(sandbox.notes()) == 1


async def test_kept_as_a_draft(sandbox: Seat) -> None:
    ran = await sandbox.run("file", "-", "--draft", "--json", script=json.dumps(NOTE))
    assert (ran.code, ran.json["status"]) == (0, "draft")
    ran = await sandbox.run("file", "-", "--draft", "--yes", script=json.dumps(NOTE))
    assert ran.code == 2


@pytest.mark.parametrize("as_json", [True, False])
async def test_refusal_is_that_of_the_tool_and_code_1(sandbox: Seat, *, as_json: bool) -> None:
    wrong = {**NOTE, "expect": "Annansson"}
    options = ["--json"] if as_json else []
    ran = await sandbox.run("file", "-", *options, script=json.dumps(wrong))
    assert ran.code == 1
    if as_json:
        assert ran.json["error"]["code"] == "patient_mismatch"
    else:
        assert "leyr-mcp: patient_mismatch: " in ran.err
        assert ran.out == ""


async def test_file_may_name_its_tool(sandbox: Seat) -> None:
    whole: dict[str, Any] = {"tool": "write_note", "arguments": NOTE}
    ran = await sandbox.run("file", "-", "--json", script=json.dumps(whole))
    assert (ran.code, ran.json["status"]) == (0, "awaiting_approval")
    ran = await sandbox.run("file", "-", "--tool", "create_patient", script=json.dumps(whole))
    assert ran.code == 2
    assert "names another tool" in ran.err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not JSON"),
        ("canary", "is not JSON"),
        ("[]", "must hold one JSON object"),
        ('{"tool": "find_patient", "arguments": {}}', "no such tool that drafts"),
        ('{"tool": "discard_draft", "arguments": {}}', "no such tool that drafts"),
        ('{"tool": 1, "arguments": {}}', "must be a name"),
        ('{"tool": "write_note", "arguments": []}', "must be a name"),
        ('"' + "x" * (4 * 1024 * 1024) + '"', "too long"),
    ],
)
async def test_wrong_file_is_code_2_and_is_not_repeated(
    sandbox: Seat, content: str, says: str
) -> None:
    ran = await sandbox.run("file", "-", script=content)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "canary" not in ran.err


async def test_file_that_is_not_there_is_code_2(sandbox: Seat, tmp_path: Path) -> None:
    ran = await sandbox.run("file", str(tmp_path / "canary.json"))
    assert (ran.code, ran.err) == (2, "leyr-mcp: The file cannot be read.\n")


async def test_tool_that_the_settings_do_not_offer_is_refused(sandbox: Seat) -> None:
    sandbox.set(LEYR_MCP_READ_ONLY="1")
    ran = await sandbox.run("file", "-", script=json.dumps(NOTE))
    assert ran.code == 2
    assert "do not offer this tool" in ran.err


def test_only_tools_that_draft_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["-", "--tool", "find_patient"])
    assert caught.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
