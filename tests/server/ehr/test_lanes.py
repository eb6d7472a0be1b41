"""Connections: one that was used comes first, as many as there may be, each given back once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from leyr_mcp.server.ehr import lanes
from leyr_mcp.server.ehr.lanes import Lanes


class Record:
    """A server that counts its connections, and answers only while its gate is open."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.cut = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await self.gate.wait()
                if self.cut:
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def recorded() -> AsyncIterator[tuple[Record, Lanes, str]]:
    record = Record()
    async with await asyncio.start_server(record, "127.0.0.1", 0) as server:
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        made = Lanes(
            lambda: httpx2.AsyncHTTPTransport(
                trust_env=False, limits=httpx2.Limits(max_connections=1)
            )
        )
        try:
            yield record, made, origin
        finally:
            record.gate.set()
            await made.aclose()


async def ask(made: Lanes, origin: str) -> bytes:
    response = await made.handle_async_request(httpx2.Request("GET", f"{origin}/"))
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    try:
        return b"".join([part async for part in stream])
    finally:
        await response.aclose()
        await stream.aclose()  # a second time gives nothing back


async def test_one_after_the_other_needs_one_connection() -> None:
    async with recorded() as (record, made, origin):
        for _ in range(5):
            assert await ask(made, origin) == b"{}"
        assert record.connections == 1


async def test_as_many_at_once_as_there_may_be_and_the_others_wait() -> None:
    async with recorded() as (record, made, origin):
        record.gate.clear()
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(made, origin)) for _ in range(lanes.MOST + 5)]
            while record.open < lanes.MOST:  # noqa: ASYNC110 - it tells by nothing else
                await asyncio.sleep(0.01)
            record.gate.set()
        assert {task.result() for task in asked} == {b"{}"}
        assert record.connections == lanes.MOST


async def test_who_waits_too_long_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MOST", 1)
    monkeypatch.setattr(lanes, "_WITHIN_S", 0.05)
    async with recorded() as (record, made, origin):
        record.gate.clear()
        first = asyncio.create_task(ask(made, origin))
        while not record.open:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        with pytest.raises(httpx2.PoolTimeout):
            await ask(made, origin)
        assert record.connections == 1
        record.gate.set()
        assert await first == b"{}"
        assert await ask(made, origin) == b"{}"


@pytest.mark.parametrize("how", ["cancelled", "cut"])
async def test_what_breaks_gives_its_place_back(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MOST", 1)
    async with recorded() as (record, made, origin):
        record.gate.clear()
        first = asyncio.create_task(ask(made, origin))
        while not record.open:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        if how == "cancelled":
            first.cancel()
        record.cut = how == "cut"
        record.gate.set()
        with pytest.raises((asyncio.CancelledError, httpx2.TransportError)):
            await first
        record.cut = False
        async with asyncio.timeout(5):
            assert await ask(made, origin) == b"{}"
