"""The server as a client meets it: a process, two pipes, both eras of the protocol."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.e2e.wire import (
    COMMAND,
    ERAS,
    INITIALIZE,
    META,
    MODERN,
    PROJECT,
    TOLVAN,
    connected,
    environment,
    python,
    start,
)

MEGABYTE = 1024 * 1024
INVALID_PARAMS = -32602
UNSUPPORTED_VERSION = -32022
METHOD_NOT_FOUND = -32601

# Serves as the command does, once a line of its own has run.
SERVE = "import sys; from leyr_mcp.server.__main__ import main; sys.argv[1:] = ['serve']; main()"


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_sdk_client_lists_and_calls(tmp_path: Path, mode: Any) -> None:
    server = StdioServerParameters(command=COMMAND[0], env=environment(tmp_path), cwd=tmp_path)
    with (tmp_path / "errors").open("w") as errors:
        async with Client(stdio_client(server, errlog=errors), mode=mode) as client:
            assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
            assert "find_patient" in [tool.name for tool in (await client.list_tools()).tools]
            found = await client.call_tool(TOLVAN["name"], TOLVAN["arguments"])  # type: ignore[arg-type]
            assert found.structured_content
            assert found.structured_content["total"] == 1
            wrong = await client.call_tool("find_patient", {})
            assert wrong.is_error
            assert wrong.structured_content is None
            prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
            assert "pre_visit_brief" in prompts


async def test_call_over_the_pipe_uses_the_state_folder_alone(tmp_path: Path, era: str) -> None:
    async with connected(tmp_path, era=era) as wire:
        await wire.find_tolvan()
        ended = await wire.hang_up()
    assert (ended.code, ended.messages) == (0, [])
    check_state(tmp_path)


def check_state(home: Path) -> None:
    assert sorted(path.name for path in home.iterdir()) == [".config", "state"]
    key = home / ".config" / "leyr-mcp" / "data.key"
    assert key.stat().st_mode & 0o777 == 0o600
    kept = sorted(path.name for path in (home / "state").iterdir())
    assert kept == [
        "leyr-mcp-sandbox-webdoc.sqlite3",
        "leyr-mcp-sandbox-webdoc.sqlite3.head",
        "sandbox-webdoc.sqlite3",
    ]
    assert (home / "state").stat().st_mode & 0o777 == 0o700


async def test_discover_opens_a_modern_connection_for_good(tmp_path: Path) -> None:
    async with start(tmp_path, era=MODERN) as wire:
        found = (await wire.handshake())["result"]
        assert "2026-07-28" in found["supportedVersions"]
        assert "SANDBOX" in found["instructions"]
        wire.send("initialize", INITIALIZE, id="late")
        answer = await wire.receive()
        assert (answer["id"], answer["error"]["code"]) == ("late", UNSUPPORTED_VERSION)
        assert (await wire.ask("tools/list"))["result"]["tools"]
        await wire.find_tolvan()


async def test_legacy_connection_wants_the_handshake_first_and_no_other_era(tmp_path: Path) -> None:
    async with start(tmp_path) as wire:
        assert (await wire.ask("tools/call", TOLVAN))["error"]["code"] == INVALID_PARAMS
        await wire.handshake()
        assert "error" in await wire.ask("tools/list", {"_meta": META})
        await wire.find_tolvan()


UNKNOWN: list[tuple[str, dict[str, Any]]] = [
    ("tools/call", {"name": "no_such_tool", "arguments": {}}),
    ("prompts/get", {"name": "no_such_prompt"}),
    ("resources/read", {"uri": "ehr://nowhere"}),
    ("tools/call", {"arguments": {}}),
    ("tools/call", {"name": 7, "arguments": []}),
]


async def test_unknown_name_is_a_protocol_error(tmp_path: Path, era: str) -> None:
    async with connected(tmp_path, era=era) as wire:
        for method, params in UNKNOWN:
            answer = await wire.ask(method, params)
            assert answer["error"]["code"] == INVALID_PARAMS, (method, params)
        assert (await wire.ask("no/such/method"))["error"]["code"] == METHOD_NOT_FOUND


STRANGE = {
    "no JSON": b"{not json",
    "no UTF-8": b"\xff\xfe\x00\xc3(",
    "empty": b"",
    "blank": b"  \t ",
    "null": b"null",
    "deep": b"[" * 100_000,
    "old JSON-RPC": b'{"jsonrpc":"1.0","id":9,"method":"ping"}',
    "odd id": b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
    "batch": b'[{"jsonrpc":"2.0","id":8,"method":"ping"}]',
    "unknown notification": b'{"jsonrpc":"2.0","method":"notifications/nonsense"}',
    "answer to nothing": b'{"jsonrpc":"2.0","id":4711,"result":{}}',
    "nothing cancelled": b'{"jsonrpc":"2.0","method":"notifications/cancelled",'
    b'"params":{"requestId":4711}}',
}


async def test_strange_lines_leave_the_server_usable(tmp_path: Path, era: str) -> None:
    async with connected(tmp_path, era=era) as wire:
        for line in STRANGE.values():
            wire.write(line)
            wire.write(line)
            await wire.find_tolvan()  # fails on any answer that is not its own
        ended = await wire.hang_up()
    assert (ended.code, ended.messages) == (0, [])


async def test_strange_lines_before_the_first_request_do_no_harm(tmp_path: Path) -> None:
    async with start(tmp_path) as wire:
        for line in (
            b"",
            b"{",
            b"[]",
            b"\xff",
            b'{"jsonrpc":"2.0","method":"notifications/x"}',
        ) * 5:
            wire.write(line)
        await wire.handshake()
        await wire.find_tolvan()


async def test_large_line_is_answered_and_a_too_large_one_dropped(tmp_path: Path) -> None:
    arguments = {"last_name": "x" * (5 * MEGABYTE)}
    async with connected(tmp_path) as wire:
        answer = await wire.ask("tools/call", {"name": "find_patient", "arguments": arguments})
        assert answer["result"]["isError"] is True
        assert len(str(answer)) < 2_000
        wire.send("tools/call", {"name": "x" * (40 * MEGABYTE)}, id="too large")
        await wire.find_tolvan()
        await wire.logged("was dropped")
        ended = await wire.hang_up()
    assert (ended.code, ended.messages) == (0, [])
    assert "xxx" not in ended.errors


async def test_requests_at_once_are_each_answered(tmp_path: Path, era: str) -> None:
    ids = [f"call-{number}" for number in range(20)] + ["same"] * 3
    async with connected(tmp_path, era=era) as wire:
        for given in ids:
            wire.send("tools/call", TOLVAN, id=given)
        answers = [await wire.receive() for _ in ids]
        assert (await wire.hang_up()).code == 0
    assert sorted(answer["id"] for answer in answers) == sorted(ids)
    assert all(answer["result"]["structuredContent"]["total"] == 1 for answer in answers)


async def test_stray_output_lands_on_stderr(tmp_path: Path) -> None:
    # Python's buffer, the descriptor itself and a child, while tools are called.
    strays = (
        "import os, sys, subprocess; print('stray-early');"
        "from leyr_mcp.tools import find_patient as tool; found = tool._reply\n"
        "def noisy(*given):\n"
        "    print('stray-late'); os.write(1, b'stray-raw\\n')\n"
        "    subprocess.run(['echo', 'stray-child']); return found(*given)\n"
        "tool._reply = noisy\n"
    )
    async with connected(tmp_path, *python(strays + SERVE)) as wire:
        for _ in range(3):
            await wire.find_tolvan()
        ended = await wire.hang_up()
    assert ended.messages == []
    for stray in ("stray-early", "stray-late", "stray-raw", "stray-child"):
        assert stray in ended.errors


SESSION: list[dict[str, Any]] = [
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": TOLVAN},
]


@pytest.mark.parametrize("redirect", ["< requests > answers", "< requests"])
async def test_requests_from_a_file_are_all_answered(tmp_path: Path, redirect: str) -> None:
    (tmp_path / "requests").write_text("\n".join(json.dumps(message) for message in SESSION) + "\n")
    async with start(tmp_path, "/bin/sh", "-c", f"exec {COMMAND[0]} {redirect}") as wire:
        ended = await wire.hang_up()
    answers = ended.messages
    if (tmp_path / "answers").exists():
        answers = [json.loads(line) for line in (tmp_path / "answers").read_text().splitlines()]
    assert ended.code == 0
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[1]["result"]["structuredContent"]["total"] == 1


async def test_module_runs_as_the_command_does(tmp_path: Path) -> None:
    async with connected(tmp_path, sys.executable, "-m", "leyr_mcp.server") as wire:
        await wire.find_tolvan()
        assert (await wire.hang_up()).code == 0


async def test_pasted_configuration_starts_the_server(tmp_path: Path) -> None:
    (entry,) = json.loads((PROJECT / "mcp.json").read_text())["mcpServers"].values()
    command = str(PROJECT / entry["command"])
    async with connected(tmp_path, command, *entry.get("args", [])) as wire:
        await wire.find_tolvan()
