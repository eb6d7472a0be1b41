"""The bytes below HTTP over real sockets: plain and encrypted, late, broken, large, and closed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpcore2
import pytest

from leyr_mcp.server.ehr.network import Backend, Stream
from leyr_mcp.server.ehr.transport import _lane
from tests.support.certificates import certificate
from tests.support.http_node import free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MIB = 1024 * 1024


@asynccontextmanager
async def served(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks = set[asyncio.Task[None]]()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]  # there is one
        try:
            await serve(reader, writer)
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def whole(stream: Stream, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = await stream.read(65_536, 10)
        assert part
        found += part
    return found


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server shows, and what believes it."""
    made = certificate(folder)
    return made.shown(), ssl.create_default_context(cafile=str(made.public))


@pytest.mark.parametrize("size", [1, 70_000, 3 * MIB])
async def test_what_is_sent_comes_back(size: int) -> None:
    async with served(echo) as port:
        stream = await Backend().connect_tcp("127.0.0.1", port, 5)
        sent = bytes(range(256)) * (size // 256 + 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(stream.write(sent[:size], 10))
            back = group.create_task(whole(stream, size))
        assert back.result() == sent[:size]
        assert not stream.get_extra_info("is_readable")
        await stream.aclose()


async def test_encrypted_with_a_certificate_that_is_believed(tmp_path: Path) -> None:
    shown, believes = contexts(tmp_path)
    async with served(echo, shown) as port:
        stream = await Backend().connect_tcp("127.0.0.1", port, 5)
        stream = await stream.start_tls(believes, "localhost", 5)
        await stream.write(b"x" * MIB, 5)
        assert await whole(stream, MIB) == b"x" * MIB
        assert stream.get_extra_info("ssl_object") is not None
        await stream.aclose()


@pytest.mark.parametrize("name", ["localhost", "other.example.org"])
async def test_a_certificate_that_is_not_is_refused(tmp_path: Path, name: str) -> None:
    shown, believes = contexts(tmp_path)
    if name == "localhost":
        believes = ssl.create_default_context()
    async with served(echo, shown) as port:
        stream = await Backend().connect_tcp("127.0.0.1", port, 5)
        with pytest.raises(httpcore2.ConnectError):
            await stream.start_tls(believes, name, 5)


async def test_who_does_not_listen_or_answer_is_told_apart() -> None:
    with pytest.raises(httpcore2.ConnectError):
        await Backend().connect_tcp("127.0.0.1", free_port(), 5)
    with pytest.raises(httpcore2.ConnectError):
        await Backend().connect_tcp("no.such.host.invalid", 80, 5)
    async with served(silent) as port:
        stream = await Backend().connect_tcp("127.0.0.1", port, 5)
        with pytest.raises(httpcore2.ReadTimeout):
            await stream.read(1, 0.05)
        with pytest.raises(httpcore2.ConnectTimeout):
            await stream.start_tls(ssl.create_default_context(), "localhost", 0.05)
        with pytest.raises((httpcore2.WriteError, httpcore2.ReadError)):
            await stream.write(b"x", 1)


async def test_what_is_not_taken_in_time_is_told() -> None:
    async with served(silent) as port:
        stream = await Backend().connect_tcp("127.0.0.1", port, 5)
        await asyncio.sleep(0)
        with pytest.raises(httpcore2.WriteTimeout):
            await stream.write(b"x" * (64 * MIB), 0.2)
        await stream.aclose()


async def test_a_side_that_closes_is_seen_before_the_next_request() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"yes")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with served(once) as port:
        stream = await Backend().connect_tcp("127.0.0.1", port, 5)
        await stream.write(b"x", 1)
        assert await whole(stream, 3) == b"yes"
        assert await stream.read(1, 5) == b""
        assert stream.get_extra_info("is_readable")
        await stream.aclose()


async def test_one_that_is_reset_is_told() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with served(reset) as port:
        stream = await Backend().connect_tcp("127.0.0.1", port, 5)
        await stream.write(b"xx" * 10, 1)
        with pytest.raises((httpcore2.ReadError, AssertionError)):
            assert await stream.read(1, 5)


def test_the_library_speaks_through_it() -> None:
    assert isinstance(_lane(None)._pool._network_backend, Backend)
