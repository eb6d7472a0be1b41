"""A node that is asked too much, or asked badly: it refuses at once, and serves everybody else."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leyr_mcp.server.limits import AT_ONCE, AT_ONCE_IN_ALL, WAITING
from tests.e2e.test_http import serving
from tests.support.http_node import KEY, PUBLIC, Id, free_port, served
from tests.support.tokens import jwk

SOAK = os.environ.get("SOAK") == "1"
MIB = 1024 * 1024
ROOM = AT_ONCE_IN_ALL + WAITING
MORE = 5 * AT_ONCE
PROBES = 2 * ROOM if SOAK else 80
HOST = PUBLIC.removeprefix("https://")
CALL = {"name": "find_patient", "arguments": {"last_name": "Tolvansson"}}
# How soon a refusal comes; on a machine that does nothing else it is a tenth of that.
WITHIN_S = 0.1 if SOAK else 1.0


def body() -> dict[str, Any]:
    """Return a call of the modern protocol."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {**CALL, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


class Caller:
    """Calls as any user."""

    def __init__(self, http: httpx2.AsyncClient, issuer: Id) -> None:
        self._http = http
        self._issuer = issuer
        self._tokens: dict[str, str] = {}

    async def __call__(self, user: str) -> tuple[str, float]:
        """Make a call; return its code and how long it took."""
        token = self._tokens.setdefault(user, self._issuer.token(sub=user))
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "find_patient",
        }
        began = time.perf_counter()
        answer = await self._http.post("/mcp", json=body(), headers=headers)
        took = time.perf_counter() - began
        code = "ok" if answer.status_code == 200 else str(answer.status_code)
        for known in ("busy", "rate_limited"):
            if f'"code":"{known}"' in answer.text.replace(" ", ""):
                assert "retry_after_s" in answer.text or "retry-after" in answer.headers
                code = known
        return code, took


class Record:
    """A record that finds nobody, and answers only while its gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                await self.gate.wait()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: 2\r\n\r\n[]"
                )
                await writer.drain()
        writer.close()


@asynccontextmanager
async def node(
    home: Path, files: str = ""
) -> AsyncIterator[tuple[Caller, Record, asyncio.subprocess.Process]]:
    """Run a node over a record of its own."""
    port, record = free_port(), Record()
    issuer = Id(f"http://127.0.0.1:{port}", port, [jwk()])
    async with await asyncio.start_server(record, "127.0.0.1", 0) as upstream, served(issuer, port):
        settings = {
            "LEYR_BASE_URL": f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}/api",
            "LEYR_CLIENT_ID": "a",
            "LEYR_CLIENT_SECRET": "b",
            "LEYR_EMR": "webdoc",
            "LEYR_CARE_UNIT_ID": "L0_1",
            "LEYR_MCP_DATA_KEY": KEY,
            "LEYR_MCP_PUBLIC_URL": PUBLIC,
            "LEYR_MCP_AUTH_ISSUER": issuer.origin,
        }
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with (
            serving(home, files=files, **settings) as (origin, process),
            httpx2.AsyncClient(
                base_url=origin, trust_env=False, headers={"host": HOST}, timeout=60, limits=limits
            ) as http,
        ):
            yield Caller(http, issuer), record, process


async def test_three_times_what_it_can_is_refused_at_once_and_then_it_goes_on(
    tmp_path: Path,
) -> None:
    async with asyncio.timeout(120), node(tmp_path) as (call, record, process):
        assert (await call("first"))[0] == "ok"
        before = memory(process.pid)
        record.gate.clear()
        users = [f"user{number}" for number in range((ROOM + MORE) // AT_ONCE)]
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(call(user)) for user in users for _ in range(AT_ONCE)]
            # Once one is turned away, all the room is taken.
            await asyncio.wait(held, return_when=asyncio.FIRST_COMPLETED)
            refused = list[tuple[str, float]]()
            # The record does not answer, and who waits for it is not held for ever.
            while len(refused) < PROBES and sum(took for _, took in refused) < 5.0:
                refused.append(await call(f"more{len(refused)}"))
            risen = memory(process.pid) - before
            record.gate.set()
        codes = Counter(task.result()[0] for task in held)
        assert Counter(code for code, _ in refused) == {"busy": len(refused)}
        assert len(refused) >= 40
        times = sorted(took for _, took in refused)
        told = (
            f"refused within {times[len(times) * 99 // 100] * 1000:.0f} ms, {risen / MIB:.1f} MiB"
        )
        sys.stdout.write(f"{told}\n")
        assert times[len(times) * 99 // 100] <= WITHIN_S, told
        assert codes == {"ok": ROOM, "busy": MORE}
        assert risen <= 64 * MIB
        assert (await call("after"))[0] == "ok"


BAD = (
    b"",
    b"GET /mcp HTTP/1.1\r\nHost: a\r\nX-",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"POST /mcp HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (5 * MIB),
    b"POST /mcp HTTP/1.1\r\n" + b"X-Y: z\r\n" * 10_000 + b"\r\n",
    b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n" + bytes(5_000_000),
    b"POST /mcp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    + (b"10000\r\n" + bytes(65_536) + b"\r\n") * 80,
    b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
)


async def test_while_it_is_asked_badly_others_are_served(tmp_path: Path) -> None:
    async with node(tmp_path) as (call, _, process):
        port = port_of(call)
        await call("first")
        before, ended = memory(process.pid), asyncio.Event()

        async def badly(raw: bytes) -> None:
            while not ended.is_set():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(raw)
                    async with asyncio.timeout(0.5):
                        await writer.drain()
                        await reader.read()
                except (TimeoutError, OSError):
                    pass
                finally:
                    writer.transport.abort()

        async with asyncio.TaskGroup() as group:
            for raw in BAD * 3:
                group.create_task(badly(raw))
            found = [await call(f"user{number}") for number in range(200 if SOAK else 20)]
            risen = memory(process.pid) - before
            ended.set()
        assert {code for code, _ in found} == {"ok"}
        assert max(took for _, took in found) <= 5.0
        assert risen <= 64 * MIB
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        assert (await call("beside"))[0] == "ok"
        for _, writer in idle:
            writer.close()


# How many files the node may have open, and how many connections that leaves it.
FILES, PLACES = "400", 200
IDLE = 10_000 if SOAK else 500


async def test_any_number_of_idle_clients_keeps_nobody_out(tmp_path: Path) -> None:
    async with asyncio.timeout(300), node(tmp_path, FILES) as (call, _, process):
        port, most, idle = port_of(call), 0, deque[socket.socket]()
        assert (await call("first"))[0] == "ok"
        before = memory(process.pid)
        for number in range(IDLE):
            idle.append(socket.create_connection(("127.0.0.1", port)))
            if number % 3 == 0:
                idle[-1].send(b"POST /mcp HTTP/1.1\r\nHost: a\r\nX-")
            if len(idle) > 2 * PLACES:
                idle.popleft().close()
            if number % 50 == 0:
                assert (await call(f"user{number}"))[0] == "ok"
                most = max(most, sockets(process.pid))
        risen = memory(process.pid) - before
        for one in idle:
            one.close()
        sys.stdout.write(f"{IDLE} idle: at most {most} sockets, {risen / MIB:.1f} MiB\n")
        assert PLACES <= most <= PLACES + 30
        assert risen <= 64 * MIB
        assert (await call("after"))[0] == "ok"


def sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    found = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(one.readlink()).startswith("socket:")
    return found


def port_of(call: Caller) -> int:
    """Return where its node listens."""
    return int(str(call._http.base_url).rstrip("/").rpartition(":")[2])


def memory(pid: int) -> int:
    """Return how much memory a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
