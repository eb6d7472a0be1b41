"""The HTTP library's failures: each has a meaning here, or a reason why it cannot come up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import httpx2
import pytest

from leyr_mcp.server.ehr.transport import MAYBE_SENT, NOT_SENT
from leyr_mcp.server.errors import UpstreamUnavailableError
from tests.support.leyr_client import Naps, connected, quick, record_over, transport_of
from tests.support.upstream_app import app_of
from tests.support.upstream_raw import RawUpstream, answer, hang_up, port_of, raw_upstream

CANARY = "Tolvan Canarysson"

# Not raised below the library's client, or only stand for others.
IMPOSSIBLE = {
    httpx2.RequestError: "a base class; its members are listed",
    httpx2.TransportError: "a base class; its members are listed",
    httpx2.TimeoutException: "a base class; its members are listed",
    httpx2.NetworkError: "a base class; its members are listed",
    httpx2.ProtocolError: "a base class; its members are listed",
    httpx2.DecodingError: "raised where an encoded body is decoded; the raw stream is read here",
    httpx2.TooManyRedirects: "raised by the client, which alone follows redirects; none is used",
    httpx2.SSEError: "raised by the reader of event streams; none is used",
}


def below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    """Yield a class and all classes derived from it."""
    yield kind
    for derived in kind.__subclasses__():
        yield from below(derived)


def test_every_failure_of_the_library_has_a_meaning_or_a_reason() -> None:
    failures = {kind for kind in below(httpx2.RequestError) if kind.__module__ == "httpx2"}
    assert len(failures) > len(IMPOSSIBLE)
    assert failures == {*NOT_SENT, *MAYBE_SENT, *IMPOSSIBLE}


def test_no_failure_has_two_meanings() -> None:
    assert len({*NOT_SENT, *MAYBE_SENT, *IMPOSSIBLE}) == sum(
        map(len, (NOT_SENT, MAYBE_SENT, IMPOSSIBLE))
    )


TIMEOUTS = (httpx2.ReadTimeout, httpx2.WriteTimeout)
BY_THE_SYSTEM: dict[type[Exception], tuple[bool, str]] = {
    ConnectionRefusedError: (True, "upstream_unreachable"),
    ConnectionResetError: (False, "upstream_unreachable"),
    BrokenPipeError: (False, "upstream_unreachable"),
    ssl.SSLError: (False, "upstream_unreachable"),
    OSError: (False, "upstream_unreachable"),
}
BY_THE_LIBRARY: dict[type[Exception], tuple[bool, str]] = {
    **dict.fromkeys(NOT_SENT, (True, "upstream_unreachable")),
    **{
        kind: (False, "upstream_busy" if kind in TIMEOUTS else "upstream_unreachable")
        for kind in MAYBE_SENT
    },
}


@pytest.mark.parametrize(
    ("kind", "not_received", "code"),
    [(kind, *meaning) for kind, meaning in {**BY_THE_SYSTEM, **BY_THE_LIBRARY}.items()],
)
async def test_a_failure_tells_whether_the_request_can_have_arrived(
    kind: type[Exception], *, not_received: bool, code: str
) -> None:
    async with quick(app=app_of(kind(CANARY))) as ehr:
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
    error = caught.value
    assert (error.not_received, error.code, error.status) == (not_received, code, None)
    assert CANARY not in f"{error} {error.message} {error.next_step}"


async def test_a_port_that_nobody_listens_on_was_not_reached() -> None:
    async with raw_upstream() as upstream:
        origin = upstream.origin
    async with quick(origin=origin) as ehr:
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
    assert (caught.value.not_received, caught.value.code) == (True, "upstream_unreachable")


async def test_a_name_that_does_not_exist_was_not_reached() -> None:
    async with quick(origin="http://does-not-exist.invalid") as ehr:
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
    assert caught.value.not_received


async def test_a_connection_closed_without_a_word_may_have_been_heard() -> None:
    naps = Naps()
    async with (
        raw_upstream(hang_up) as upstream,
        quick(origin=upstream.origin, naps=naps) as ehr,
    ):
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
        assert len(upstream.requests) == 3
    assert not caught.value.not_received
    assert len(naps.taken) == 2


async def test_an_upstream_that_speaks_no_tls_was_not_reached() -> None:
    async def speak_first(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer())
        writer.close()

    server = await asyncio.start_server(speak_first, "127.0.0.1", 0)
    async with server, quick(origin=f"https://127.0.0.1:{port_of(server)}") as ehr:
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
    assert caught.value.not_received


GARBAGE = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.0\r\n\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "cut body": b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[{",
    "two lengths": b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
    "bad chunk": b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]",
    "endless head": b"HTTP/1.1 200 X\r\nX-Long: " + b"x" * 200_000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_an_answer_that_is_no_http_is_an_outage(garbage: bytes) -> None:
    async def send_and_close(_upstream: RawUpstream, writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        raise ConnectionAbortedError

    async with raw_upstream(send_and_close) as upstream, quick(origin=upstream.origin) as ehr:
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
    assert (caught.value.code, caught.value.not_received) == ("upstream_unreachable", False)


async def test_a_closed_record_opens_again_when_it_is_used() -> None:
    async with raw_upstream() as upstream, connected(origin=upstream.origin) as ehr:
        await ehr.care_units()
        await ehr.close()
        await ehr.close()
        assert await ehr.care_units() == []
        assert upstream.connections == 2


async def test_nothing_is_opened_before_the_first_call() -> None:
    async with raw_upstream() as upstream:
        await record_over(transport_of(origin=upstream.origin)).close()
        assert upstream.connections == 0
