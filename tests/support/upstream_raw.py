"""An upstream on a real socket that keeps the very bytes it receives.

It shares no HTTP code with the client, so both cannot be wrong in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qsl, unquote

Behaviour = Callable[["RawUpstream", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RawRequest:
    """The head as it stood on the wire, and the body (or only its measure)."""

    head: bytes
    body: bytes
    body_bytes: int
    body_sha256: str

    @property
    def line(self) -> str:
        """Method, target and version."""
        return self.head.split(b"\r\n", 1)[0].decode("ascii")

    @property
    def method(self) -> str:
        """The method."""
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """Path and query, undecoded."""
        return self.line.split(" ")[1]

    @property
    def segments(self) -> list[str]:
        """The segments of the path, each decoded by itself."""
        return [unquote(part) for part in self.target.partition("?")[0].split("/")[1:]]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query, decoded, in its order."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def headers(self) -> dict[str, str]:
        """The headers by the names as spelled; a repeated one would fail."""
        pairs = [
            line.split(": ", 1) for line in self.head.decode("ascii").split("\r\n")[1:] if line
        ]
        found: dict[str, str] = dict(pairs)
        assert len(found) == len(pairs), "a header came twice"
        return found


@dataclass(slots=True)
class RawUpstream:
    """What arrived, and how it is answered."""

    outcomes: tuple[bytes | Behaviour, ...]
    keep_bodies: bool
    origin: str = ""
    requests: list[RawRequest] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.writers.add(writer)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not self.over.is_set():
                    self.requests.append(await self._request(reader))
                    self.arrived.set()
                    place = min(len(self.requests), len(self.outcomes)) - 1
                    await self._answer(self.outcomes[place], writer)
        finally:
            writer.transport.abort()
            self.tasks.discard(task)

    async def _answer(self, outcome: bytes | Behaviour, writer: asyncio.StreamWriter) -> None:
        if isinstance(outcome, bytes):
            writer.write(outcome)
            await writer.drain()
        else:
            await outcome(self, writer)

    async def _request(self, reader: asyncio.StreamReader) -> RawRequest:
        head = await reader.readuntil(b"\r\n\r\n")
        left, digest, kept = _length(head), sha256(), []
        size = left
        while left:
            part = await reader.read(min(left, 64 * 1024))
            if not part:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(part)
            digest.update(part)
            if self.keep_bodies:
                kept.append(part)
        return RawRequest(head, b"".join(kept), size, digest.hexdigest())


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def answer(
    body: bytes = b"[]", status: int = 200, *headers: str, kind: str = "application/json"
) -> bytes:
    """Return the bytes of a whole answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode("ascii") + body


async def hang(upstream: RawUpstream, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the test ends or the client leaves."""
    await upstream.over.wait()
    raise ConnectionAbortedError


async def hang_up(upstream: RawUpstream, writer: asyncio.StreamWriter) -> None:
    """Close without a word."""
    raise ConnectionAbortedError


def port_of(server: asyncio.Server) -> int:
    """Return the port that a server was given."""
    port: int = server.sockets[0].getsockname()[1]
    return port


@asynccontextmanager
async def raw_upstream(
    *outcomes: bytes | Behaviour, keep_bodies: bool = True
) -> AsyncIterator[RawUpstream]:
    """Serve on a free loopback port; the outcomes are played in turn, then the last one again."""
    upstream = RawUpstream(outcomes or (answer(),), keep_bodies)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.origin = f"http://127.0.0.1:{port_of(server)}"
    try:
        yield upstream
    finally:
        server.close()
        upstream.over.set()
        for writer in upstream.writers:
            writer.transport.abort()
        await asyncio.gather(*upstream.tasks, return_exceptions=True)
        await server.wait_closed()
