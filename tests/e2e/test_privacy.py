"""Nothing personal and no secret on stderr, whatever is called and at the most talkative level."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.people import ELSEWHERE, SWEDISH
from leyr_mcp.sandbox.serve import serving
from tests.e2e.wire import Wire, connected

SECRET = "Kanariefagel-9f3b"
FAULTS = ("emr_401", "html", "cut", "reset_before", "redirect", "unauthorized", "gzip_bomb")

CALLS: list[dict[str, Any]] = [
    {"name": "find_patient", "arguments": {"last_name": "Tolvansson"}},
    {"name": "find_patient", "arguments": {"last_name": "Testdotter", "first_name": "Åsa"}},
    {"name": "find_patient", "arguments": {"patient_id": "se_personal_number:191212121212"}},
    {"name": "find_patient", "arguments": {"patient_id": "191212121212"}},
    {"name": "find_patient", "arguments": {"patient_id": "se_personal_number:191212121213"}},
    {"name": "find_patient", "arguments": {"last_name": ["Tolvansson"], "Tolvan": "191212121212"}},
    {"name": "find_patient", "arguments": {"birth_date": "1912-12-12"}},
    {"name": "list_notes", "arguments": {"patient_id": "se_personal_number:191212121212"}},
    {"name": "list_documents", "arguments": {"patient_id": "se_personal_number:191212121212"}},
    {"name": "list_appointments", "arguments": {"patient_id": "emr_id:nobody"}},
    {"name": "Tolvansson", "arguments": {}},
]


@pytest.fixture
async def sandbox() -> AsyncIterator[tuple[Sandbox, dict[str, str]]]:
    """A sandbox on a socket, and the settings that reach it."""
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
                "LEYR_MCP_LOG_LEVEL": "DEBUG",
            },
        )
    box.close()


async def test_calls_good_and_failing_leave_nothing_personal_on_stderr(
    tmp_path: Path, sandbox: tuple[Sandbox, dict[str, str]]
) -> None:
    box, settings = sandbox
    async with connected(tmp_path, **settings) as wire:
        assert (await wire.find_tolvan())["result"]["isError"] is False
        for call in CALLS:
            await wire.ask("tools/call", call)
        for kind in FAULTS:
            box.control.faults.add(Fault.model_validate({"kind": kind, "times": 1}))
            await wire.ask("tools/call", CALLS[0])
            box.control.faults.clear()
        await malformed(wire)
        ended = await wire.hang_up()
    assert ended.code == 0
    assert "ref=" in ended.errors
    check_nothing_personal(ended.errors)


async def malformed(wire: Wire) -> None:
    """Send what the libraries, not this server, refuse and might complain about."""
    wire.write(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"Tolvansson 191212121212"')
    wire.send("notifications/cancelled", {"requestId": {"Tolvansson": "191212121212"}})
    wire.send("notifications/progress", {"Tolvansson": "191212121212"})
    await wire.ask("tools/call", {"name": ["Tolvansson"], "arguments": "191212121212"})
    await wire.ask(
        "prompts/get", {"name": "pre_visit_brief", "arguments": {"Tolvan": "Tolvansson"}}
    )
    await wire.ask("resources/read", {"uri": "ehr://care-units/L0_1/patients/191212121212"})


def check_nothing_personal(errors: str) -> None:
    names = {part for person in SWEDISH + ELSEWHERE for part in person[:2] if len(part) > 3}
    numbers = {person.number for person in SWEDISH + ELSEWHERE if person.number}
    for value in {*names, *numbers, SECRET, "client-canary", "191212121213", "1912-12-12"}:
        assert value not in errors, value
    assert not re.search(r"example\.invalid|Traceback|huvudvärk", errors)
