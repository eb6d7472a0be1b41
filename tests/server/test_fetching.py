"""The reader of an issuer's documents, against servers that are not what they should be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from leyr_mcp.server import fetching
from leyr_mcp.server.fetching import LARGEST, FetchError, fetch_json, is_safe
from tests.support.certificates import certificate

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def fetched(answer: bytes, *, hangs: bool = False) -> dict[str, object]:
    """Return what is read of a server that answers so."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if hangs:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await fetch_json(f"http://127.0.0.1:{port}/x")
    finally:
        done.set()
        server.close()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


async def test_an_object_is_read() -> None:
    assert await fetched(http(b'{"issuer": "x"}')) == {"issuer": "x"}
    assert await fetched(http(b"{}", "200 OK", "Content-Encoding: identity")) == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"", "404 Not Found"), "status 404"),
        (http(b"", "302 Found", "Location: http://127.0.0.1:1/"), "status 302"),
        (http(b"x", "200 OK", "Content-Encoding: gzip"), "compressed"),
        (http(b"[]"), "no JSON object"),
        (http(b"{"), "no JSON"),
        (http(b"\xff"), "no JSON"),
        (http(json.dumps({"x": "y" * LARGEST}).encode()), "too large"),
        (b"rubbish\r\n\r\n", "not reached"),
        (b"", "not reached"),
        (http(b"{}")[:-1], "not reached"),
    ],
)
async def test_anything_else_is_nothing(answer: bytes, said: str) -> None:
    with pytest.raises(FetchError, match=said) as caught:
        await fetched(answer)
    assert caught.value.away is (said == "not reached")


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_WITHIN_S", 0.1)
    with pytest.raises(FetchError, match="in time"):
        await fetched(b"HTTP/1.1 200 OK\r\n", hangs=True)


async def test_who_is_not_there_is_not_reached() -> None:
    with pytest.raises(FetchError, match="not reached") as caught:
        await fetch_json("http://127.0.0.1:9/")
    assert caught.value.away


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example.org/x?p=a", True),
        ("http://127.0.0.1:9/x", True),
        ("http://[::1]:9/x", True),
        ("http://id.example.org", False),
        ("http://127.0.0.1.example.org/", False),
        ("http://127.0.0.1\\@id.example.org/", False),
        ("https://user@id.example.org", False),
        ("https://@id.example.org", False),
        ("https://id.example.org:99999/", False),
        ("https://id.example.org/a\nb", False),
        ("https://id.exämple.org/", False),
        ("https://", False),
        ("https://[x", False),
        ("ftp://id.example.org", False),
        ("HTTPS://id.example.org", False),
        ("https://id.example.org/#x", False),
        ("https://id.example.org/" + "x" * 2_000, False),
    ],
)
def test_which_addresses_are_safe(url: str, *, safe: bool) -> None:
    assert is_safe(url) is safe
    assert is_safe(url, local=False) is (safe and url.startswith("https"))


@pytest.mark.parametrize("url", ["http://id.example.org/", "file:///etc/passwd", "x"])
async def test_an_address_that_is_not_safe_is_not_asked(url: str) -> None:
    with pytest.raises(FetchError, match="not https"):
        await fetch_json(url)


async def test_an_issuer_is_believed_by_its_certificate_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b'{"issuer": "x"}'))
        await writer.drain()
        writer.close()

    made = certificate(tmp_path)
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=made.shown()) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        try:
            fetching._verified.cache_clear()
            with pytest.raises(FetchError, match="not reached"):
                await fetch_json(url)
            monkeypatch.setenv("SSL_CERT_FILE", str(made.public))
            fetching._verified.cache_clear()
            assert await fetch_json(url) == {"issuer": "x"}
        finally:
            fetching._verified.cache_clear()
