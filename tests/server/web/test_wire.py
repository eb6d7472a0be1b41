"""Connections of a node: what is begun must come, and what is answered must be read, in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from leyr_mcp.server.web import wire
from tests.support.http_node import free_port, served

WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 1024 * 1024


class Talk:
    """A connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def until_closed(self) -> bytes:
        """Return all that comes until the server closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def answered(self) -> bytes:
        """Return one answer, which is short."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            return head + await self.reader.readexactly(2)


async def fine(scope: Any, receive: Any, send: Any) -> None:
    """Answer with two bytes."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    head = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def talking(app: Any = fine) -> AsyncIterator[Talk]:
    port = free_port()
    async with served(app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield Talk(reader, writer)
        finally:
            writer.close()


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEADERS_WITHIN_S", 0.3)
    monkeypatch.setattr(wire, "READ_WITHIN_S", 0.3)


hurried = pytest.mark.usefixtures("_hurried")


@hurried
@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
async def test_headers_that_do_not_come_end_the_connection(begun: bytes) -> None:
    async with talking() as at:
        at.writer.write(begun)
        assert await at.until_closed() == b""


@hurried
async def test_headers_that_come_drop_by_drop_win_no_time() -> None:
    async with talking() as at:
        at.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        closed = asyncio.create_task(at.until_closed())
        while not closed.done():
            at.writer.write(b"X-Y: z\r\n")
            await asyncio.wait({closed}, timeout=0.05)
        assert closed.result() == b""


@hurried
async def test_the_second_request_has_its_own_time() -> None:
    async with talking() as at:
        at.writer.write(WHOLE)
        assert (await at.answered()).endswith(b"ok")
        at.writer.write(WHOLE + b"GET / HT")  # and half of a third
        assert (await at.answered()).endswith(b"ok")
        assert await at.until_closed() == b""


@hurried
async def test_an_answer_that_takes_its_time_is_not_cut() -> None:
    gone = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.wait({asyncio.create_task(gone.wait())}, timeout=1.0)
            await fine(scope, receive, send)

    async with talking(slow) as at:
        at.writer.write(WHOLE)
        assert (await at.answered()).endswith(b"ok")


@hurried
async def test_whoever_does_not_read_is_given_up() -> None:
    ended = asyncio.get_running_loop().create_future()

    async def large(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(64):
                await send({"type": "http.response.body", "body": bytes(MIB), "more_body": True})
        except TimeoutError:
            ended.set_result(True)

    async with talking(large) as at:
        at.writer.write(WHOLE)
        async with asyncio.timeout(10):
            assert await ended


async def test_what_strangers_send_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with talking() as at:
        at.writer.write(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        assert (await at.until_closed()).startswith(b"HTTP/1.1 400")
    assert caplog.text == ""


Come = Callable[[], Awaitable[Talk]]


@asynccontextmanager
async def crowded(most: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Come]:
    """Serve so many clients at once; yield how one comes."""
    monkeypatch.setattr(wire.PatientProtocol, "most", most)
    port, talks = free_port(), list[Talk]()

    async def come() -> Talk:
        talks.append(Talk(*await asyncio.open_connection("127.0.0.1", port)))
        return talks[-1]

    async with served(fine, port):
        yield come
        for talk in talks:
            talk.writer.close()
            with contextlib.suppress(ConnectionError):
                await talk.writer.wait_closed()


async def test_whoever_comes_takes_the_place_of_who_asked_nothing_for_the_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with crowded(3, monkeypatch) as come:
        talks = [await come() for _ in range(3)]
        for talk in (talks[1], talks[2], talks[0]):
            talk.writer.write(WHOLE)
            await talk.answered()
        talks += [await come() for _ in range(2)]
        for talk in talks[1:3]:
            with contextlib.suppress(ConnectionResetError):
                assert await talk.until_closed() == b""
        for talk in (talks[0], *talks[3:]):
            talk.writer.write(WHOLE)
            assert (await talk.answered()).endswith(b"ok")


async def test_where_everybody_asks_whoever_comes_is_told_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with crowded(2, monkeypatch) as come:
        asking = [await come() for _ in range(2)]
        for talk in asking:
            # Their bodies are still to come.
            talk.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n")
            talk.writer.write(b"Expect: 100-continue\r\n\r\n")
            assert b"100" in await talk.reader.readuntil(b"\r\n\r\n")
        head, _, body = (await (await come()).until_closed()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 2\r\n" in head
        assert json.loads(body)["error"]["code"] == "busy"
        for talk in asking:
            talk.writer.write(b"ab")
            assert (await talk.answered()).endswith(b"ok")


@pytest.mark.parametrize(
    ("has", "most", "set_to"),
    [
        ((1_024, 100_000), wire.MOST_CONNECTIONS, 2_256),
        ((1_024, resource.RLIM_INFINITY), wire.MOST_CONNECTIONS, 2_256),
        ((50_000, 100_000), wire.MOST_CONNECTIONS, None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), wire.MOST_CONNECTIONS, None),
        ((256, 400), 200, 400),
        ((1_024, 1_024), 768, 1_024),
    ],
)
def test_a_node_takes_as_many_connections_as_it_may_have_files(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has: tuple[int, int],
    most: int,
    set_to: int | None,
) -> None:
    done: list[tuple[int, int]] = []
    monkeypatch.setattr(wire.PatientProtocol, "most", wire.MOST_CONNECTIONS)
    monkeypatch.setattr(resource, "getrlimit", lambda _: has)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: done.append(limits))
    wire.make_room()
    assert wire.PatientProtocol.most == most
    assert done == ([(set_to, has[1])] if set_to else [])
    assert ("ulimit" in caplog.text) == (most < wire.MOST_CONNECTIONS)
