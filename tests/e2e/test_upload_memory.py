"""Many files of 20 MB that arrive at one node at once: its memory holds no more than their pieces.

`SOAK=1` has fifty of them, over a store in a file and over one in PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leyr_mcp.server.files.kinds import MAX_BYTES
from tests.e2e.test_attach_memory import text
from tests.e2e.test_http import serving
from tests.support import postgres
from tests.support.http_node import KEY, PUBLIC, Id, free_port, served
from tests.support.tokens import jwk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MIB = 1024 * 1024
SOAK = os.environ.get("SOAK") == "1"
FILES = 50 if SOAK else 6
USERS = 10
HOST = {"host": PUBLIC.removeprefix("https://")}
TOLVAN = "se_personal_number:191212121212"


@pytest.mark.parametrize("store", ["file", "postgres"])
async def test_many_large_files_at_once(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    port = free_port()
    issuer = Id(f"http://127.0.0.1:{port}", port, [jwk()])
    settings = {
        "LEYR_MCP_DATA_KEY": KEY,
        "LEYR_MCP_PUBLIC_URL": PUBLIC,
        "LEYR_MCP_AUTH_ISSUER": issuer.origin,
        "LEYR_MCP_WRITE_DEADLINE_S": "60",
    }
    if store == "postgres":
        server: postgres.Server = request.getfixturevalue("database")
        settings["LEYR_MCP_DATABASE_URL"] = server.new_database()
    async with (
        served(issuer, port),
        serving(tmp_path, **settings) as (origin, process),
        httpx2.AsyncClient(base_url=origin, trust_env=False, timeout=240, headers=HOST) as http,
    ):
        await _brought(http, await _link(http, issuer, 0), text(100_000))
        links = [await _link(http, issuer, number) for number in range(1, FILES + 1)]
        before = _forgotten_peak(process.pid)
        file = text(MAX_BYTES)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_brought(http, link, file)) for link in links]
        risen = _memory(process.pid, "VmHWM") - before
    assert {task.result() for task in tasks} == {MAX_BYTES}
    sys.stdout.write(f"{FILES} files, {store}: {risen / MIB:.1f} MiB more at most\n")
    assert risen <= 64 * MIB


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The PostgreSQL server of this run."""
    postgres.see_installed()
    with postgres.running(postgres.of_this_run(tmp_path_factory)) as found:
        yield found


async def _link(http: httpx2.AsyncClient, issuer: Id, number: int) -> str:
    """Have a document drafted by one of the users, and return where its file is brought."""
    token = issuer.token(sub=f"user{number % USERS}")
    given = {"patient_id": TOLVAN, "title": f"Svar {number}"}
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "attach_document", "arguments": given, "_meta": meta}
    answer = await http.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={
            "authorization": f"Bearer {token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "attach_document",
        },
    )
    url = answer.text.partition('"url":"')[2].partition('"')[0]
    assert url.startswith(f"{PUBLIC}/uploads/"), answer.text
    return url.removeprefix(PUBLIC)


async def _brought(http: httpx2.AsyncClient, path: str, file: bytes) -> int:
    """Bring a file, and return how large the node says it is."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(file), 64 * 1024):
            yield file[at : at + 64 * 1024]

    headers = {"content-type": "text/plain", "content-length": str(len(file))}
    while True:
        answer = await http.put(path, content=pieces(), headers=headers)
        if answer.status_code != 503:
            assert answer.status_code == 200, answer.text
            return int(answer.json()["size"])
        await asyncio.sleep(float(answer.headers["retry-after"]))


def _memory(pid: int, field: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def _forgotten_peak(pid: int) -> int:
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return _memory(pid, "VmRSS")
