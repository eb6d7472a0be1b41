"""A seat at a terminal: commands run as a person or a script runs them, over their own record."""

from __future__ import annotations

import asyncio
import getpass
import io
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.sandbox.store import Note
from leyr_mcp.server.cli import approve, audit, drafts, file, resolve
from leyr_mcp.server.filing.passphrase import Passphrase
from tests.support.mcp_session import TOLVAN

NO_SUCH = (
    "leyr-mcp: There is no such draft. Looked among the drafts for the sandbox; the settings "
    "here must be those of the client that drafted it.\n"
)
PHRASE = "canary passphrase"
SECRET = "sandbox-canary"
APPROVER = "Anna Ek"
PATIENT = f"se_personal_number:{TOLVAN}"
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "approve": approve.main,
    "audit": audit.main,
    "drafts": drafts.main,
    "file": file.main,
    "resolve": resolve.main,
}


class Terminal(io.StringIO):
    """A stdin that is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)

    @property
    def words(self) -> str:
        """What it printed for people, as one line."""
        return " ".join(self.out.split())


@dataclass(slots=True, kw_only=True)
class Seat:
    """Where the commands run; `prompts` are those of hidden typing so far."""

    state: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    box: Sandbox | None = None
    prompts: list[str] = field(default_factory=list)

    @property
    def keeper(self) -> Passphrase:
        """The passphrase of this state folder."""
        return Passphrase(self.state, clock=lambda: datetime.now(UTC))

    def set(self, **settings: str) -> None:
        """Set settings."""
        for name, value in settings.items():
            self.monkeypatch.setenv(name, value)

    async def run(self, command: str, *arguments: str, script: str | None = None) -> Ran:
        """Run a command without a terminal; `script` is what its stdin brings."""
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(script or ""))
        return await self._run(command, arguments)

    async def sit(
        self, command: str, *arguments: str, answers: str = "", phrase: str = PHRASE
    ) -> Ran:
        """Run a command at a terminal, where a person types these answers and the passphrase."""

        def hidden(prompt: str) -> str:
            self.prompts.append(prompt)
            return phrase

        self.monkeypatch.setattr(sys, "stdin", Terminal(answers))
        self.monkeypatch.setattr(getpass, "getpass", hidden)
        return await self._run(command, arguments)

    async def _run(self, command: str, arguments: Sequence[str]) -> Ran:
        code = await asyncio.to_thread(COMMANDS[command], list(arguments))
        out, err = self.capsys.readouterr()
        assert PHRASE not in out + err
        assert SECRET not in out + err
        return Ran(code, out, err)

    async def draft(self, text: str = "Mår bra.", *options: str, **arguments: Any) -> str:
        """Draft a note through the command, and return its id."""
        whole = {"patient_id": PATIENT, "title": "Besök", "content": text, **arguments}
        ran = await self.run("file", "-", "--json", *options, script=json.dumps(whole))
        assert ran.code == 0, ran
        found: str = ran.json["draft_id"]
        return found

    async def stuck(self, *, stored: bool = False) -> str:
        """Return a draft that needs a person: the record system refused it, or said so."""
        self.fail(kind="emr_401", commit=stored)
        draft_id = await self.draft()
        ran = await self.run("approve", draft_id, "--passphrase-stdin", "--json", script=PHRASE)
        assert ran.json["results"][0]["status"] == "needs_human", ran
        return draft_id

    def fail(self, **fault: Any) -> None:
        """Let the next write of a note meet a fault."""
        assert self.box
        whole = {"method": "POST", "path": "/medical-notes", **fault}
        self.box.control.faults.add(Fault.model_validate(whole))

    def notes(self, text: str = "Mår bra.") -> list[Note]:
        """Return the notes in the record that hold this text."""
        if self.box is not None:
            return _holding(self.box, text)
        box = Sandbox(state=self.state / "sandbox-webdoc.sqlite3")
        try:
            return _holding(box, text)
        finally:
            box.close()

    async def events(self, event: str) -> list[dict[str, Any]]:
        """Return the audit events of one kind."""
        ran = await self.run("audit", "export", "--with-patients")
        assert ran.code == 0, ran
        found = [json.loads(line) for line in ran.out.splitlines()]
        return [entry for entry in found if entry["event"] == event]


def _holding(box: Sandbox, text: str) -> list[Note]:
    return [note for note in box.control.notes(TOLVAN) if text in str(note)]


@asynccontextmanager
async def clinic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Seat]:
    """Yield a seat at a clinic whose record is reached over a socket, its approver known."""
    box = Sandbox(client_secret=SECRET)
    seat = seat_at(tmp_path, monkeypatch, capsys, box)
    seat.keeper.set(PHRASE, name=APPROVER)
    try:
        async with serving(box) as origin:
            seat.set(
                LEYR_BASE_URL=f"{origin}/api",
                LEYR_EMR="webdoc",
                LEYR_CLIENT_ID=box.client_id,
                LEYR_CLIENT_SECRET=SECRET,
                LEYR_CARE_UNIT_ID="L0_1",
                LEYR_RESOURCE_ID="1021",
            )
            yield seat
    finally:
        box.close()


def seat_at(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    box: Sandbox | None = None,
) -> Seat:
    """Return a seat with a state folder of its own; without a box, the embedded sandbox is used."""
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Seat(state=tmp_path / "state", monkeypatch=monkeypatch, capsys=capsys, box=box)
