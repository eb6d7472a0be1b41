"""Two processes on one store: a server drafts, a person approves at a terminal, once is filed."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.filing.passphrase import Passphrase
from leyr_mcp.server.filing.timing import utc_now
from tests.e2e.wire import COMMAND, WITHIN_S, connected, environment
from tests.support.mcp_session import TOLVAN

PHRASE = "canary passphrase"
SECRET = "sandbox-canary"
TEXT = "Uppföljning efter behandling."
NOTE = {
    "name": "write_note",
    "arguments": {
        "patient_id": f"se_personal_number:{TOLVAN}",
        "title": "Besök",
        "content": TEXT,
        "expect": "Tolvansson",
    },
}
# Makes the terminal on stdin its own, so that a passphrase is asked for there, and becomes that.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def filed(box: Sandbox) -> list[Any]:
    return [note for note in box.control.notes(TOLVAN) if TEXT in str(note)]


async def command(home: Path, *arguments: str, script: str = "", **settings: str) -> Any:
    """Return what a command printed as JSON; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=environment(home, **settings),
        cwd=home,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate(script.encode())
    assert process.returncode == 0, (out, err)
    return json.loads(out)


async def test_draft_of_a_server_is_approved_in_another_process(tmp_path: Path) -> None:
    async with connected(tmp_path) as wire:
        answer = (await wire.ask("tools/call", NOTE))["result"]["structuredContent"]
        assert answer["status"] == "awaiting_approval"
        _, *approve = answer["approval"]["command"].split()
        found = await command(tmp_path, *approve, "--yes", "--json")
        assert found["results"][0]["status"] == "filed"
        again = (await wire.ask("tools/call", NOTE))["result"]["structuredContent"]
        assert (again["status"], again["already_filed"]) == ("filed", True)
        assert again["record_id"] == found["results"][0]["record_id"]
    box = Sandbox(state=tmp_path / "state" / "sandbox-webdoc.sqlite3")
    try:
        (note,) = filed(box)
        assert note.id == again["record_id"]
    finally:
        box.close()


async def test_person_types_the_passphrase_which_no_screen_shows(tmp_path: Path) -> None:
    Passphrase(tmp_path / "state", clock=utc_now).set(PHRASE, name="Anna Ek")
    box = Sandbox(client_secret=SECRET)
    async with serving(box) as origin:
        settings = {
            "LEYR_BASE_URL": f"{origin}/api",
            "LEYR_EMR": "webdoc",
            "LEYR_CLIENT_ID": box.client_id,
            "LEYR_CLIENT_SECRET": SECRET,
            "LEYR_CARE_UNIT_ID": "L0_1",
            "LEYR_RESOURCE_ID": "1021",
        }
        async with connected(tmp_path, **settings) as wire:
            answer = (await wire.ask("tools/call", NOTE))["result"]["structuredContent"]
            assert filed(box) == []
            answers = {b"quit: ": "yes", b"Anna Ek: ": PHRASE}
            code, shown = await typed(tmp_path, answer["draft_id"], answers, settings)
            assert code == 0, shown
            assert "\x1b[1mTolvan Tolvansson" in shown
            assert "\x1b[32mfiled" in shown
            assert PHRASE not in shown
            assert len(filed(box)) == 1
    assert len(filed(box)) == 1
    box.close()


async def typed(
    home: Path, draft_id: str, answers: dict[bytes, str], settings: dict[str, str]
) -> tuple[int | None, str]:
    """Approve at a terminal of its own; return the exit code and all that it showed."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        TAKE_TERMINAL,
        *COMMAND,
        "approve",
        draft_id,
        env=environment(home, TERM="xterm", COLUMNS="80", **settings),
        cwd=home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        async with asyncio.timeout(WITHIN_S):
            shown = await asyncio.to_thread(dialogue, ours, answers)
            await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(ours)
    return process.returncode, shown


def dialogue(terminal: int, answers: dict[bytes, str]) -> str:
    """Type each answer at its question, and return all that the terminal shows."""
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            part = b""
        if not part:
            return shown.decode()
        shown += part
        for prompt in [prompt for prompt in answers if shown.endswith(prompt)]:
            os.write(terminal, answers.pop(prompt).encode() + b"\n")
