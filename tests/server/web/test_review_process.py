"""The review page of real processes: a server over stdio, and the command on its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leyr_mcp.server.cli import review as command
from tests.e2e.wire import COMMAND, WITHIN_S, Wire, connected, start
from tests.support.review_page import Browser

NOTE = {
    "name": "write_note",
    "arguments": {
        "patient_id": "se_personal_number:191212121212",
        "title": "Besök",
        "content": "Mår bra.",
    },
}
SANDBOX = {"LEYR_MCP_BACKEND": "sandbox", "LEYR_MCP_LOG_LEVEL": "DEBUG"}
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]{32}/")


async def approve(url: str) -> dict[str, Any]:
    """Approve the first draft of the queue, as a person does on the page, and see it filed."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        web = Browser(url, http)
        assert (await http.get(web.base)).status_code == 200
        status = (await web.ask("queue"))["patients"][0]["drafts"][0]
        named = {name: status[name] for name in ("draft_id", "version", "digest")}
        found = await web.ask("decide", {"decisions": [{**named, "approve": True}]})
        assert found["results"][0]["done"]
        return named


async def drafted(wire: Wire) -> dict[str, Any]:
    """Draft a note through a client that cannot ask its person."""
    answer = await wire.ask("tools/call", NOTE)
    found = answer["result"]["structuredContent"]
    assert found["status"] == "awaiting_approval"
    return dict(found)


async def test_answer_names_the_page_and_what_is_approved_there_is_filed(tmp_path: Path) -> None:
    async with connected(tmp_path, **SANDBOX) as wire:
        found = await drafted(wire)
        url = found["approval"]["url"]
        assert ADDRESS.match(url)
        await approve(url)
        arguments = {"draft_id": found["draft_id"]}
        async with asyncio.timeout(WITHIN_S):
            while found["status"] != "filed":
                answer = await wire.ask("tools/call", {"name": "get_draft", "arguments": arguments})
                found = answer["result"]["structuredContent"]
        end = await wire.hang_up()
    assert end.code == 0
    assert end.messages == []  # nothing on stdout but answers
    token = url.split("/")[3]
    assert token not in end.errors
    assert "Tolvan" not in end.errors
    assert "Mår bra" not in end.errors


async def test_command_serves_what_a_server_left_and_files_it(tmp_path: Path) -> None:
    async with connected(tmp_path, **SANDBOX) as wire:
        found = await drafted(wire)
        await wire.hang_up()
    async with start(tmp_path, *COMMAND, "review", "--no-open", **SANDBOX) as page:
        assert page.process.stdout
        async with asyncio.timeout(WITHIN_S):
            first = (await page.process.stdout.readline()).decode()
            await approve(ADDRESS.findall(first)[0])
            os.kill(page.process.pid, signal.SIGINT)
            said = (await page.process.stdout.read()).decode()
            code = await page.process.wait()
    assert code == 0
    assert "approving needs no passphrase" in said
    assert "Tolvan" not in said + "\n".join(page.errors)
    async with connected(tmp_path, **SANDBOX) as wire:
        arguments = {"draft_id": found["draft_id"]}
        async with asyncio.timeout(WITHIN_S):
            while found["status"] != "filed":
                answer = await wire.ask("tools/call", {"name": "get_draft", "arguments": arguments})
                found = answer["result"]["structuredContent"]
        await wire.hang_up()


def test_an_unknown_draft_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    assert command.main(["d_unknown"]) == 1
    assert capsys.readouterr().err == "leyr-mcp: There is no such draft.\n"


def test_a_taken_port_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert command.main(["--port", port]) == 1
    assert "the port is taken" in capsys.readouterr().err


def test_a_wrong_setting_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_MCP_TIMEZONE", "Nowhere")
    assert command.main([]) == 2
    assert "LEYR_MCP_TIMEZONE" in capsys.readouterr().err


def test_read_only_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LEYR_MCP_READ_ONLY", "true")
    assert command.main([]) == 2
    assert "LEYR_MCP_READ_ONLY" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_a_port_is_a_number_of_a_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([f"--port={port}"])
    assert ended.value.code == 2
    assert "--port" in capsys.readouterr().err
