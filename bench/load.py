"""Calls over HTTP on many connections at once, with as little of its own as asyncio allows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from bench.contestants import BenchError

PROTOCOL = "2026-07-28"
_WITHIN_S = 60.0


def requests(host: str, arguments: dict[str, str], tokens: Sequence[str]) -> Iterator[bytes]:
    """Return, again and again, the whole request of a call: one for each token, in turn."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": PROTOCOL,
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "find_patient", "arguments": arguments, "_meta": meta}
    call: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(call).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"accept: application/json, text/event-stream\r\nmcp-protocol-version: {PROTOCOL}\r\n"
        f"mcp-method: tools/call\r\nmcp-name: find_patient\r\ncontent-length: {len(body)}\r\n"
    )
    shown = [f"authorization: Bearer {token}\r\n" for token in tokens] or [""]
    return cycle([f"{head}{one}\r\n".encode() + body for one in shown])


class _Connection(asyncio.Protocol):
    """Sends a request, waits for the whole answer, sends the next."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._got = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._out = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, rest = self._got.partition(b"\r\n\r\n")
        if not end:
            return
        lowered = head.lower()
        if b"transfer-encoding: chunked" in lowered:
            if not rest.endswith(b"0\r\n\r\n"):
                return
        elif len(rest) < int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return
        self._load.took.append(time.perf_counter() - self._began)
        if (
            not head.startswith(b"HTTP/1.1 200")
            or b'"result"' not in rest
            or b'isError":true' in rest
        ):
            self._load.fail(BenchError(f"a call was not answered: {self._got[:300]!r}"))
        self._got = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.fail(BenchError(f"a connection was lost: {exc}"))

    def _next(self) -> None:
        if not self._load.left:
            self._load.over(self._out)
            return
        self._load.left -= 1
        self._began = time.perf_counter()
        self._out.write(next(self._load.requests))


class Load:
    """So many calls on so many connections; how long each took."""

    def __init__(self, made: Iterator[bytes], calls: int) -> None:
        self.requests = made
        self.left = calls
        self.took: list[float] = []
        self._idle: list[asyncio.Transport] = []
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, port: int, connections: int) -> float:
        """Make the calls, and return how many there were in a second."""
        calls = self.left
        loop = asyncio.get_running_loop()
        self._connections = connections
        began = time.perf_counter()
        for _ in range(connections):
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
        async with asyncio.timeout(_WITHIN_S):
            await self._done
        return calls / (time.perf_counter() - began)

    def over(self, connection: asyncio.Transport) -> None:
        """Take note that a connection has nothing more to do."""
        self._idle.append(connection)
        if len(self._idle) == self._connections and not self._done.done():
            self._done.set_result(None)
            for one in self._idle:
                one.abort()

    def fail(self, exc: BenchError) -> None:
        """End with this, unless all is done."""
        if not self._done.done():
            self._done.set_exception(exc)
