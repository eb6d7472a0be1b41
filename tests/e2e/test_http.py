"""`leyr-mcp serve --http` as a process: both eras, one worker and several, and its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client

from tests.e2e.wire import environment
from tests.support.http_node import free_port

WITHIN_S = 30.0


@asynccontextmanager
async def serving(
    home: Path, *options: str, files: str = "", **settings: str
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Serve from a process of its own, which may have so many files open."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(("prlimit", f"--nofile={files}:{files}") if files else ()),
        *(sys.executable, "-m", "leyr_mcp.server", "serve", "--http", f"127.0.0.1:{port}"),
        *options,
        env=environment(home, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    origin = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(WITHIN_S), httpx2.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    if (await http.get(f"{origin}/healthz")).is_success:
                        break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        yield origin, process
    finally:
        if process.returncode is None:
            process.terminate()  # killed, it would leave its workers
            await process.communicate()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_serves_both_eras_and_ends_when_told(tmp_path: Path, workers: str) -> None:
    async with serving(tmp_path, "--workers", workers) as (origin, process):
        modes: tuple[Any, ...] = ("auto", "legacy")
        for mode in modes:
            for _ in range(3):  # whichever worker takes it
                async with Client(f"{origin}/mcp", mode=mode) as client:
                    found = await client.call_tool("find_patient", {"last_name": "Tolvansson"})
                    assert not found.is_error
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S):
            _, errors = await process.communicate()
        assert process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in errors.decode()
        assert "Tolvansson" not in errors.decode()


async def test_a_draft_of_one_worker_is_there_for_the_other(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2") as (origin, _):
        given = {
            "patient_id": "se_personal_number:191212121212",
            "title": "Besök",
            "content": "Mår bra.",
            "draft": True,
        }
        async with Client(f"{origin}/mcp") as client:
            drafted = await client.call_tool("write_note", given)
        assert drafted.structured_content is not None
        for _ in range(6):
            async with Client(f"{origin}/mcp") as client:
                known = {"draft_id": drafted.structured_content["draft_id"]}
                read = await client.call_tool("get_draft", known)
                assert not read.is_error


@pytest.mark.parametrize(
    ("options", "settings", "said"),
    [
        (("--http", "0.0.0.0:1"), {}, "LEYR_MCP_AUTH_ISSUER is missing"),
        (("--http", "nowhere"), {}, "invalid address"),
        (("--http", "127.0.0.1:1", "--workers", "0"), {}, "workers"),
        (("--http", "127.0.0.1:1", "--workers", "2", "--read-only"), {}, "Several workers"),
        (
            ("--http", "127.0.0.1:1"),
            {"LEYR_MCP_USERS_FILE": "/nowhere/users.json"},
            "LEYR_MCP_USERS_FILE cannot be read",
        ),
    ],
)
async def test_what_cannot_be_served_is_said(
    tmp_path: Path, options: tuple[str, ...], settings: dict[str, str], said: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leyr_mcp.server", "serve", *options),
        env=environment(tmp_path, **settings),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert said in errors.decode()
