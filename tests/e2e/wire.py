"""A real server process behind real pipes, and an upstream that answers when it is told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
COMMAND = (str(Path(sys.executable).parent / "leyr-mcp"),)
WITHIN_S = 15.0
LEGACY, MODERN = ERAS = ("legacy", "modern")
LARGEST = 64 * 1024 * 1024

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "wire", "version": "1"},
}
TOLVAN = {"name": "find_patient", "arguments": {"last_name": "Tolvansson"}}


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return an environment with a home of its own and nothing of the caller's."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LEYR_MCP_STATE_DIR": str(home / "state"),
        **settings,
    }


@dataclass(slots=True)
class Ended:
    """What a process left when it ended."""

    code: int
    messages: list[dict[str, Any]]
    errors: str

    def ids(self) -> list[Any]:
        """Return the ids of the answers, in order."""
        return [message.get("id") for message in self.messages]


@dataclass(slots=True)
class Wire:
    """The client's end of a server process.

    A client of another name than the usual one says that it can ask its person.
    """

    process: asyncio.subprocess.Process
    era: str = LEGACY
    client: str = "wire"
    errors: list[str] = field(default_factory=list)
    _seen: asyncio.Condition = field(default_factory=asyncio.Condition)
    _last_id: int = 0
    _listener: asyncio.Task[None] | None = None

    def write(self, line: bytes) -> None:
        """Send one line as it is."""
        assert self.process.stdin
        self.process.stdin.write(line + b"\n")

    def send(self, method: str, params: dict[str, Any] | None = None, **envelope: Any) -> None:
        """Send a message; without `id` it is a notification."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, **envelope}
        if self.era == MODERN and "id" in envelope:
            params = {**(params or {}), "_meta": self._meta()}
        if params is not None:
            message["params"] = params
        self.write(json.dumps(message).encode())

    def answer(self, request: object, result: dict[str, Any]) -> None:
        """Answer a request of the server's."""
        self.write(json.dumps({"jsonrpc": "2.0", "id": request, "result": result}).encode())

    async def receive(self) -> dict[str, Any]:
        """Return the next message; fails when the process has ended instead."""
        message = await self.message()
        assert message is not None, f"the server ended: {self.errors}"
        return message

    async def message(self, within_s: float = WITHIN_S) -> dict[str, Any] | None:
        """Return the next message, or None when the process has ended instead."""
        assert self.process.stdout
        async with asyncio.timeout(within_s):
            line = await self.process.stdout.readline()
        message: dict[str, Any] | None = json.loads(line) if line else None
        return message

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return the answer to it."""
        self._last_id += 1
        self.send(method, params, id=self._last_id)
        answer = await self.receive()
        assert answer["id"] == self._last_id
        return answer

    async def handshake(self) -> dict[str, Any]:
        """Open the connection in its era."""
        if self.era == MODERN:
            return await self.ask("server/discover")
        answer = await self.ask("initialize", self._opening())
        self.send("notifications/initialized")
        return answer

    def _opening(self) -> dict[str, Any]:
        if self.client == "wire":
            return INITIALIZE
        named = {"name": self.client, "version": "1"}
        return {**INITIALIZE, "capabilities": {"elicitation": {}}, "clientInfo": named}

    def _meta(self) -> dict[str, Any]:
        if self.client == "wire":
            return META
        prefix = "io.modelcontextprotocol/"
        return {
            **META,
            f"{prefix}clientInfo": {"name": self.client, "version": "1"},
            f"{prefix}clientCapabilities": {"elicitation": {}},
        }

    async def find_tolvan(self) -> dict[str, Any]:
        """Call a tool and check that the answer is the usual one."""
        answer = await self.ask("tools/call", TOLVAN)
        assert answer["result"]["structuredContent"]["patients"][0]["last_name"] == "Tolvansson"
        return answer

    async def logged(self, text: str) -> str:
        """Return the first line on stderr that holds a text, waiting for it."""
        async with asyncio.timeout(WITHIN_S), self._seen:
            await self._seen.wait_for(lambda: any(text in line for line in self.errors))
        return next(line for line in self.errors if text in line)

    def close_input(self) -> None:
        """Hang up in the way that MCP wants it."""
        assert self.process.stdin
        self.process.stdin.close()

    async def ended(self, within_s: float = WITHIN_S) -> Ended:
        """Wait for the process to end by itself, and return what it said since the last receive."""
        assert self.process.stdout
        assert self._listener
        async with asyncio.timeout(within_s):
            rest = await self.process.stdout.read()
            code = await self.process.wait()
            await self._listener
        messages = [json.loads(line) for line in rest.splitlines()]
        return Ended(code, messages, "\n".join(self.errors))

    async def hang_up(self) -> Ended:
        """Close the input and wait for the end."""
        self.close_input()
        return await self.ended()

    async def _listen(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            async with self._seen:
                self.errors.append(line.decode().rstrip("\n"))
                self._seen.notify_all()


@asynccontextmanager
async def start(
    home: Path,
    *command: str,
    era: str = LEGACY,
    client: str = "wire",
    **settings: str,
) -> AsyncIterator[Wire]:
    """Start a server and yield its wire; whatever happens, no process is left."""
    process = await asyncio.create_subprocess_exec(
        *(command or COMMAND),
        env=environment(home, **settings),
        cwd=home,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LARGEST,
        start_new_session=True,
    )
    wire = Wire(process, era, client)
    wire._listener = asyncio.create_task(wire._listen())
    try:
        yield wire
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        wire.close_input()
        await process.wait()
        await wire._listener
        transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]
        transport.close()


@asynccontextmanager
async def connected(
    home: Path, *command: str, era: str = LEGACY, client: str = "wire", **settings: str
) -> AsyncIterator[Wire]:
    """Start a server and open the connection."""
    async with start(home, *command, era=era, client=client, **settings) as wire:
        await wire.handshake()
        yield wire


def python(code: str) -> tuple[str, ...]:
    """Return the command that runs some Python in a process of its own."""
    return (sys.executable, "-c", code)


class Upstream:
    """A record system that knows nobody, and answers once it is released."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()
        self.requests: list[str] = []
        self.port = 0
        self.headers: Sequence[str] = ()
        self.answers: dict[str, str] = {}
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def settings(self) -> dict[str, str]:
        """The settings that make a server use it."""
        return {
            "LEYR_BASE_URL": f"http://127.0.0.1:{self.port}/api",
            "LEYR_CLIENT_ID": "client-canary",
            "LEYR_CLIENT_SECRET": "secret-canary",
            "LEYR_EMR": "webdoc",
            "LEYR_CARE_UNIT_ID": "L0_1",
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                target = request.split()[1].decode()
                self.requests.append(target)
                self.arrived.set()
                await self.released.wait()
                body = self.answers.get(target.rpartition("/")[2], "[]").encode()
                head = ["HTTP/1.1 200 OK", "Content-Type: application/json", *self.headers]
                head.append(f"Content-Length: {len(body)}\r\n\r\n")
                writer.write("\r\n".join(head).encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the server closed its connection
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._connections.discard(task)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Upstream]:
        """Serve on a free port of this machine."""
        upstream = cls()
        server = await asyncio.start_server(upstream._serve, "127.0.0.1", 0)
        upstream.port = server.sockets[0].getsockname()[1]
        try:
            yield upstream
        finally:
            server.close()
            connections = set(upstream._connections)
            for connection in connections:
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
            await server.wait_closed()
