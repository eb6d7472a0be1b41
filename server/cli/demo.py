"""`leyr-mcp demo`: a visit, played by a real MCP client against a real server process."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent

from leyr_mcp.server.cli.parsing import Parser, write
from leyr_mcp.server.cli.terminal import Screen

_SHOWN_LINES = 10
_BAR = 6
_SUMMARY = (
    "Kontaktorsak: kontroll av blodtryck.\n"
    "Aktuellt: mår bra, inga biverkningar av medicinen.\n"
    "Status: blodtryck 134/82, puls 68, regelbunden.\n"
    "Bedömning: välreglerad hypertoni.\n"
    "Plan: oförändrad medicinering, återbesök enligt bokning."
)


@dataclass(slots=True)
class Tally:
    """What the visit cost the model."""

    calls: int = 0
    sent: int = 0
    received: int = 0
    waited_s: float = 0.0
    unexpected: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "ok": not self.unexpected,
            "calls": self.calls,
            "bytes_to_tools": self.sent,
            "bytes_from_tools": self.received,
            "unexpected": self.unexpected,
            "steps": self.steps,
        }


class Terminal:
    """Plays the person: runs commands of this program as they would, and shows what they see."""

    def __init__(self, screen: Screen, env: dict[str, str]) -> None:
        self._screen = screen
        self._env = env

    async def run(self, *command: str, typed: str = "") -> bool:
        """Run a command and show its output; tell whether it did what was asked.

        `typed` is what the person types, and is not shown.
        """
        screen = self._screen
        screen.line()
        screen.line(f"   {screen.accent('$ leyr-mcp')} {' '.join(command)}")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "leyr_mcp.server",
            *command,
            env={**self._env, "COLUMNS": str(screen.width - _BAR)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(typed.encode())
        for row in output.decode().rstrip().splitlines():
            screen.quote(row)
        return process.returncode == 0


class Visit:
    """Calls tools one by one and shows each as the model would see it."""

    def __init__(self, client: Client, screen: Screen, terminal: Terminal) -> None:
        self._client = client
        self._screen = screen
        self._terminal = terminal
        self._step = 0
        self.tally = Tally()

    def says(self, text: str) -> None:
        """Show what the clinician asks for."""
        self._step += 1
        screen = self._screen
        screen.line()
        screen.line(f"{screen.bold(str(self._step))}  {screen.bold(text)}")

    def note(self, text: str) -> None:
        """Show a line that neither the model nor the person reads."""
        self._screen.line()
        self._screen.line(f"   {self._screen.dim(text)}")

    async def call(self, name: str, *, refused: bool = False, **arguments: Any) -> dict[str, Any]:
        """Call a tool, show the answer, and return its structured part."""
        began = time.perf_counter()
        result = await self._client.call_tool(name, arguments)
        took = time.perf_counter() - began
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        self._count(name, arguments, result, text, took, refused=refused)
        self._show(name, arguments, result, text, took)
        return result.structured_content or {}

    async def terminal(self, *command: str, typed: str = "") -> None:
        """Have the person run a command."""
        if not await self._terminal.run(*command, typed=typed):
            self.tally.unexpected.append(f"leyr-mcp {command[0]}")

    def _count(
        self, name: str, arguments: dict[str, Any], result: CallToolResult, text: str, took: float,
        *, refused: bool,
    ) -> None:  # fmt: skip
        tally = self.tally
        tally.calls += 1
        tally.sent += len(json.dumps(arguments))
        tally.received += len(text.encode())
        tally.waited_s += took
        step = {"tool": name, "refused": bool(result.is_error), "bytes": len(text.encode())}
        tally.steps.append({**step, "ms": round(took * 1000)})
        if bool(result.is_error) is not refused:
            tally.unexpected.append(name)

    def _show(
        self, name: str, arguments: dict[str, Any], result: CallToolResult, text: str, took: float
    ) -> None:
        screen = self._screen
        given = ", ".join(f"{key}={_brief(value)}" for key, value in arguments.items())
        mark = screen.warn("refused") if result.is_error else screen.good("ok")
        figures = f"{took * 1000:.0f} ms, {len(text.encode()):,} bytes to the model"
        screen.line()
        lead, rest = f"   {screen.accent(name)}(", f"{given})"
        screen.columns(lead, rest, indent=len(name) + 4)
        screen.line(f"   {mark}  {screen.dim(figures)}")
        rows = text.split("\n")
        shown = rows if len(rows) <= _SHOWN_LINES + 1 else rows[:_SHOWN_LINES]
        for row in shown:
            screen.quote(row)
        if len(rows) > len(shown):
            screen.quote(screen.dim(f"... and {len(rows) - len(shown)} more lines"))


def _brief(value: Any) -> str:
    """Return an argument on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    first, _, more = str(value).partition("\n")
    return f"{first} ..." if more else first


def main(argv: list[str]) -> int:
    """Play the visit; exit code 1 if anything went otherwise than it should."""
    parser = Parser("demo", "Show a visit, as a real client against the sandbox.")
    parser.add_argument(
        "--backend",
        choices=("leyr", "cobalt"),
        default="leyr",
        help="whose sandbox: leyr (as without it), or cobalt, which queues what is written",
    )
    parser.add_json("each call and the sum")
    options = parser.parse_args(argv)
    screen = Screen(sys.stderr if options.json else sys.stdout)
    if options.backend == "cobalt":
        from leyr_mcp.server.cli.demo_cobalt import demo_cobalt  # noqa: PLC0415 - each loads its own

        return asyncio.run(demo_cobalt(screen, as_json=options.json))
    return asyncio.run(_demo(screen, as_json=options.json))


def bare_environment(folder: str) -> dict[str, str]:
    """Return an environment in which nothing of the person's own settings counts."""
    kept = ("PATH", "HOME", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "LEYR_MCP_STATE_DIR": folder,
        "LEYR_MCP_DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "LEYR_MCP_LOG_LEVEL": "WARNING",
    }


async def _demo(screen: Screen, *, as_json: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="leyr-mcp-demo-") as folder:
        screen.line(screen.bold("leyr-mcp: a visit, in the sandbox"))
        screen.line()
        screen.paragraph(
            "A real MCP client talks to a real server process over its pipes. Every patient is "
            "invented. What stands behind the bar is the text that a model would read."
        )
        return await played(screen, bare_environment(folder), _play, as_json=as_json)


async def played(
    screen: Screen,
    env: dict[str, str],
    play: Callable[[Visit], Awaitable[None]],
    *,
    as_json: bool,
) -> int:
    """Play a visit against a server of its own; return the exit code."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "leyr_mcp.server"], env=env)
    began = time.perf_counter()
    async with Client(stdio_client(server)) as client:
        tools = (await client.list_tools()).tools
        took = time.perf_counter() - began
        listed = [
            {"name": t.name, "description": t.description, "inputSchema": t.input_schema}
            for t in tools
        ]
        size = len(json.dumps(listed, separators=(",", ":")).encode())
        screen.line()
        screen.line(
            screen.dim(
                f"Server started, {len(tools)} tools listed: {took * 1000:.0f} ms, "
                f"{size:,} bytes to the model, protocol {client.protocol_version}"
            )
        )
        visit = Visit(client, screen, Terminal(screen, env))
        await play(visit)
    if as_json:
        write(visit.tally.as_dict())
    return _sum_up(screen, visit.tally)


async def _play(visit: Visit) -> None:
    patient_id = await _prepare(visit)
    drafts = await _draft(visit, patient_id)
    await _approve(visit, drafts)

    visit.says("Read it back: is it in the record, once?")
    notes = await visit.call("list_notes", patient_id=patient_id)
    await visit.call("get_note", patient_id=patient_id, note_id=notes["notes"][0]["note_id"])
    await visit.call("list_appointments", patient_id=patient_id)
    await visit.call("list_documents", patient_id=patient_id)

    visit.says("And who did all this? The trail proves itself.")
    await visit.terminal("audit", "verify")


async def _prepare(visit: Visit) -> str:
    visit.says("Tolvan Tolvansson is next. Is he in the record?")
    found = await visit.call("find_patient", last_name="Tolvansson")
    patient_id: str = found["patients"][0]["patient_id"]

    visit.says("A number read out wrongly never reaches the record.")
    await visit.call("find_patient", refused=True, patient_id="se_personal_number:191212121221")

    visit.says("Two patients share a name: the assistant must ask, not choose.")
    await visit.call("find_patient", first_name="Åsa", last_name="Testdotter")

    visit.says("What did we write last time?")
    notes = await visit.call("list_notes", patient_id=patient_id)
    await visit.call("get_note", patient_id=patient_id, note_id=notes["notes"][0]["note_id"])
    return patient_id


async def _draft(visit: Visit, patient_id: str) -> list[str]:
    visit.says("Find a morning for the follow-up, and book the first.")
    slots = await visit.call("list_timeslots", part_of_day="morning", limit=6)
    slot = slots["timeslots"][0]
    wanted = {
        key: slot[key]
        for key in ("start", "end", "resource_id", "healthcare_service_id")
        if key in slot
    }
    booking = await visit.call(
        "book_appointment", patient_id=patient_id, **wanted, expect="Tolvansson", draft=True
    )

    visit.says("Draft the summary of today's visit.")
    note = await visit.call(
        "write_note",
        patient_id=patient_id,
        title="Återbesök",
        content=_SUMMARY,
        expect="Tolvansson",
        draft=True,
    )

    visit.says("For the wrong patient it does not even become a draft.")
    await visit.call(
        "write_note",
        refused=True,
        patient_id=patient_id,
        title="Återbesök",
        content=_SUMMARY,
        expect="Testdotter",
    )

    visit.says("And attach the laboratory's report, a file of this machine.")
    report = await visit.call(
        "attach_document",
        patient_id=patient_id,
        title="Laboratoriesvar",
        path="lab-report.pdf",
        type="Lab Result",
        expect="Tolvansson",
        draft=True,
    )

    visit.says("A file from anywhere else on it stays where it is.")
    await visit.call(
        "attach_document",
        refused=True,
        patient_id=patient_id,
        title="Laboratoriesvar",
        path="../../etc/passwd",
    )
    return [booking["draft_id"], report["draft_id"], note["draft_id"]]


async def _approve(visit: Visit, drafts: list[str]) -> None:
    visit.says("File all three. No tool can approve, so the person does, at the terminal.")
    await visit.call("file_drafts", draft_ids=drafts)
    await visit.terminal("drafts")
    await visit.terminal("approve", *drafts, "--yes")
    await visit.call("get_draft", draft_id=drafts[-1])

    visit.says("The assistant tries again: nothing is filed twice.")
    await visit.call("file_drafts", draft_ids=drafts)


def _sum_up(screen: Screen, tally: Tally) -> int:
    screen.line()
    screen.line(
        screen.bold(f"{tally.calls} calls, {tally.received:,} bytes of answers")
        + screen.dim(f", {tally.sent:,} bytes of arguments, {tally.waited_s * 1000:.0f} ms waited")
    )
    if tally.unexpected:
        screen.line(screen.bad(f"Went otherwise than it should: {', '.join(tally.unexpected)}"))
        return 1
    screen.paragraph(
        "Connect it: leyr-mcp install claude-desktop. With credentials (see README.md) the same "
        "tools reach your record system."
    )
    return 0
