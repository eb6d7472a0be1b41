"""Nothing of a patient and no secret in the clear: in no file, log line or error answer."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.faults import KINDS, Fault
from leyr_mcp.sandbox.people import ELSEWHERE, SWEDISH
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.filing.passphrase import Passphrase
from leyr_mcp.server.filing.timing import utc_now
from tests.e2e.wire import INITIALIZE, Wire, python, start

SECRET = "Kanariefagel-9f3b"
PASSPHRASE = "kanariefågelns lösen"
NUMBER = "191212121212"
WORDS = "blåfotad sula i vänster knä"
TITLE = "Sulans besök"
KEY = "sulans nyckel"
OTHER = "19900602-2397"  # another person's, which a check finds

# The usual server, but its calls wait for no outcome, so that every fault is met quickly.
HASTY = """
import asyncio
from leyr_mcp.server import logs
from leyr_mcp.server.app import build
from leyr_mcp.server.cli.serve import serve
from leyr_mcp.server.filing import approving
from leyr_mcp.server.settings import load
approving.WAIT_S = 0.1
settings = load()
logs.configure(settings.log_level)
asyncio.run(serve(build(settings)))
"""


def canaries() -> set[str]:
    """Return everything that must stand nowhere."""
    names = {part for person in SWEDISH + ELSEWHERE for part in person[:2] if len(part) > 3}
    numbers = {person.number for person in SWEDISH + ELSEWHERE if person.number}
    return {
        *names,
        *numbers,
        SECRET,
        "client-canary",
        PASSPHRASE,
        *(word for word in WORDS.split() if word != "i"),
        TITLE,
        KEY,
        OTHER,
    }


def spelled(text: str) -> list[bytes]:
    """Return the ways in which this text could stand in a file."""
    raw = text.encode()
    inner = [base64.b64encode(b"x" * skip + raw)[4:-4] for skip in range(3)]
    ways = [raw, text.encode("utf-16-le"), raw.hex().encode(), ascii(text)[1:-1].encode(), *inner]
    return [way for way in ways if len(way) >= LEAST]


LEAST = 6  # shorter ones stand in random bytes by chance
LONG = [canary for canary in canaries() if len(canary) >= LEAST]


@pytest.fixture
async def record() -> AsyncIterator[tuple[Sandbox, dict[str, str]]]:
    """A record on a socket, and the settings that reach it."""
    box = Sandbox(client_id="client-canary", client_secret=SECRET)
    async with serving(box) as origin:
        yield (
            box,
            {
                "LEYR_BASE_URL": f"{origin}/api",
                "LEYR_CLIENT_ID": "client-canary",
                "LEYR_CLIENT_SECRET": SECRET,
                "LEYR_EMR": "webdoc",
                "LEYR_CARE_UNIT_ID": "L0_1",
                "LEYR_RESOURCE_ID": "1021",
                "LEYR_MCP_LOG_LEVEL": "DEBUG",
                "LEYR_MCP_WRITE_DEADLINE_S": "0.5",
                "LEYR_MCP_GRACE_S": "2",
            },
        )
    box.close()


class Host:
    """A host of the legacy era whose person says yes to everything."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.answers = list[str]()
        self._last = 100

    async def hello(self) -> None:
        """Open the connection."""
        info = {"name": "claude-code", "version": "1"}
        await self.wire.ask(
            "initialize", INITIALIZE | {"capabilities": {"elicitation": {}}, "clientInfo": info}
        )
        self.wire.send("notifications/initialized")

    async def write(self, **arguments: Any) -> dict[str, Any]:
        """Call the tool, say yes where it asks, and return its answer."""
        self._last += 1
        self.wire.send("tools/call", {"name": "write_note", "arguments": arguments}, id=self._last)
        while (message := await self.wire.receive()).get("id") != self._last:
            assert message["method"] == "elicitation/create"
            fields = message["params"]["requestedSchema"]["properties"]
            said = {"action": "accept", "content": dict.fromkeys(fields, True)}
            reply = {"jsonrpc": "2.0", "id": message["id"], "result": said}
            self.wire.write(json.dumps(reply).encode())
        self.answers.append(json.dumps(message, ensure_ascii=False))
        found: dict[str, Any] = message["result"]
        return found


def fault_of(kind: str, method: str) -> Fault:
    """Return a fault that does not hold the test up."""
    return Fault.model_validate(
        {
            "kind": kind,
            "method": method,
            "times": None,
            "seconds": 0.001 if kind == "drip" else 0.05,
        }
    )


def in_files(folder: Path) -> list[str]:
    """Return which canaries stand in any file of a folder, or in a name, however spelled."""
    seen = b"".join(
        path.name.encode() + b"\n" + path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    )
    seen = re.sub(rb"\0{9,}", b"\0" * 9, seen)
    return [canary for canary in LONG if any(way in seen for way in spelled(canary))]


NOTE = {"patient_id": f"se_personal_number:{NUMBER}", "expect": "Tolvansson"}


async def met(host: Host, box: Sandbox, kind: str, method: str) -> str:
    """Return how far a note comes that meets a fault."""
    box.control.faults.add(fault_of(kind, method))
    text = f"{WORDS} {kind} {method} {OTHER}"
    found = await host.write(**NOTE, title=TITLE, content=text, idempotency_key=f"{KEY} {text}")
    box.control.faults.clear()
    status: str = (found.get("structuredContent") or {"status": "error"})["status"]
    return status


async def test_nothing_personal_is_left_anywhere_whatever_goes_wrong_while_filing(
    tmp_path: Path, record: tuple[Sandbox, dict[str, str]]
) -> None:
    box, settings = record
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    Passphrase(state, clock=utc_now).set(PASSPHRASE, name="Anna")
    async with start(tmp_path, *python(HASTY), **settings) as wire:
        host = Host(wire)
        await host.hello()
        faults = [(kind, "POST") for kind in KINDS]
        states = {await met(host, box, *fault) for fault in faults}
        refusals = (
            {"patient_id": NUMBER},
            {"patient_id": "se_personal_number:191212121213"},
            {"expect": "Testdotter"},
            {"title": WORDS * 20},
            {"content": None, "fields": None},
            {WORDS: WORDS},
            {"draft_id": WORDS},
        )
        for wrong in refusals:
            call = {**NOTE, "title": TITLE, "content": WORDS, **wrong}
            assert (await host.write(**call))["isError"]
        done = await host.write(**NOTE, title=TITLE, content=WORDS)
        assert done["structuredContent"]["status"] == "filed"
        states |= {await met(host, box, kind, "GET") for kind in ("html", "emr_401", "cut")}
        errors = list(wire.errors)
        wire.process.kill()
    assert {"filed", "error"} < states
    assert in_files(tmp_path) == []
    for said in (*errors, *host.answers):
        assert [canary for canary in canaries() if canary in said] == [], said
        assert not re.search(r"example\.invalid|Traceback", said), said
    assert any("ref=" in line for line in errors)
    texts = [note.content for note in box.control.notes(NUMBER)]
    assert texts.count({"unstructured": WORDS}) == 1


async def test_the_search_would_find_them(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\0" + WORDS.encode() + b"\0" + NUMBER.encode("utf-16-le"))
    assert set(in_files(tmp_path)) >= {"blåfotad", "vänster", NUMBER}
