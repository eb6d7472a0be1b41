"""`leyr-mcp demo`: a visit, played by a real MCP client against a real server process."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent

from leyr_mcp.server.cli.terminal import Screen

_SHOWN_LINES = 10


@dataclass(slots=True)
class Tally:
    """What the visit cost the model."""

    calls: int = 0
    sent: int = 0
    received: int = 0
    waited_s: float = 0.0
    unexpected: list[str] = field(default_factory=list)


class Visit:
    """Calls tools one by one and shows each as the model would see it."""

    def __init__(self, client: Client, screen: Screen) -> None:
        self._client = client
        self._screen = screen
        self._step = 0
        self.tally = Tally()

    def says(self, text: str) -> None:
        """Show what the clinician asks for."""
        self._step += 1
        screen = self._screen
        screen.line()
        screen.line(f"{screen.bold(str(self._step))}  {screen.bold(text)}")

    async def call(self, name: str, *, refused: bool = False, **arguments: Any) -> dict[str, Any]:
        """Call a tool, show the answer, and return its structured part."""
        began = time.perf_counter()
        result = await self._client.call_tool(name, arguments)
        took = time.perf_counter() - began
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        self._count(name, arguments, result, text, took, refused=refused)
        self._show(name, arguments, result, text, took)
        return result.structured_content or {}

    def _count(
        self, name: str, arguments: dict[str, Any], result: CallToolResult, text: str, took: float,
        *, refused: bool,
    ) -> None:  # fmt: skip
        tally = self.tally
        tally.calls += 1
        tally.sent += len(json.dumps(arguments))
        tally.received += len(text.encode())
        tally.waited_s += took
        if bool(result.is_error) is not refused:
            tally.unexpected.append(name)

    def _show(
        self, name: str, arguments: dict[str, Any], result: CallToolResult, text: str, took: float
    ) -> None:
        screen = self._screen
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        mark = screen.warn("refused") if result.is_error else screen.good("ok")
        figures = f"{took * 1000:.0f} ms, {len(text.encode()):,} bytes to the model"
        screen.line()
        screen.line(f"   {screen.accent(name)}({given})")
        screen.line(f"   {mark}  {screen.dim(figures)}")
        rows = text.split("\n")
        shown = rows if len(rows) <= _SHOWN_LINES + 1 else rows[:_SHOWN_LINES]
        for row in shown:
            screen.quote(row)
        if len(rows) > len(shown):
            screen.quote(screen.dim(f"... and {len(rows) - len(shown)} more lines"))


def main(argv: list[str]) -> int:
    """Play the visit; exit code 1 if anything went otherwise than it should."""
    parser = argparse.ArgumentParser(prog="leyr-mcp demo", allow_abbrev=False)
    parser.parse_args(argv)
    return asyncio.run(_demo(Screen(sys.stdout)))


async def _demo(screen: Screen) -> int:
    with tempfile.TemporaryDirectory(prefix="leyr-mcp-demo-") as folder:
        env = {
            name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ
        }
        env |= {
            "LEYR_MCP_STATE_DIR": folder,
            "LEYR_MCP_DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "LEYR_MCP_LOG_LEVEL": "WARNING",
        }
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "leyr_mcp.server"], env=env
        )
        screen.line(screen.bold("leyr-mcp: preparing a visit, in the sandbox"))
        screen.line()
        screen.paragraph(
            "A real MCP client talks to a real server process over its pipes. Every patient is "
            "invented. What stands behind the bar is the text that a model would read."
        )
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
            visit = Visit(client, screen)
            await _play(visit)
        return _sum_up(screen, visit.tally)


async def _play(visit: Visit) -> None:
    visit.says("Tolvan Tolvansson is next. Is he in the record?")
    found = await visit.call("find_patient", last_name="Tolvansson")
    patient_id = found["patients"][0]["patient_id"]

    visit.says("A number read out wrongly never reaches the record.")
    await visit.call("find_patient", refused=True, patient_id="se_personal_number:191212121221")

    visit.says("Two patients share a name: the assistant must ask, not choose.")
    await visit.call("find_patient", first_name="Åsa", last_name="Testdotter")

    visit.says("When was he here, and when is he due?")
    await visit.call("list_appointments", patient_id=patient_id)

    visit.says("What did we write last time?")
    notes = await visit.call("list_notes", patient_id=patient_id)
    await visit.call("get_note", patient_id=patient_id, note_id=notes["notes"][0]["note_id"])

    visit.says("Has anything come in?")
    documents = await visit.call("list_documents", patient_id=patient_id)
    await visit.call(
        "get_document",
        patient_id=patient_id,
        document_id=documents["documents"][0]["document_id"],
    )

    visit.says("Find a morning for the follow-up.")
    await visit.call("list_timeslots", part_of_day="morning", limit=6)


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
