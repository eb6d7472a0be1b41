"""How each fault is inflicted, over a socket and in process alike.

Over a socket the server lends its transport through the scope, so that a reset is a real TCP
reset. In process a reset or refusal is raised as the exception a client's socket would raise.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from leyr_mcp.sandbox.faults import DEFAULT_SECONDS, MIB, Fault
from leyr_mcp.sandbox.wire import Incoming, Receive, Reply, Scope, Send

TRANSPORT = "leyr_mcp.sandbox.transport"
PAGE = (
    b"<!doctype html><html><head><title>Sign in</title></head>"
    b"<body><h1>Network sign-in required</h1></body></html>"
)
# SO_LINGER with a time of zero: closing sends RST instead of FIN.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Exchange:
    """One request under way, and the means to answer it or not to."""

    request: Incoming
    scope: Scope
    receive: Receive
    send: Send
    act: Callable[[], Reply]
    later: Callable[[float, Callable[[], object]], None]
    released: "asyncio.Future[None]"
    refuse: Callable[[Fault], Reply]

    @property
    def transport(self) -> asyncio.WriteTransport | None:
        """The connection under the request; none in process."""
        extensions: dict[str, Any] = self.scope.get("extensions") or {}
        transport = extensions.get(TRANSPORT)
        return transport if isinstance(transport, asyncio.WriteTransport) else None

    async def answer(self, reply: Reply) -> int:
        """Send an answer and return its status."""
        await reply.send(self.send)
        return reply.status


@dataclass(frozen=True)
class Hit:
    """A fault, the request it hits, and the answer it keeps from arriving as it is."""

    fault: Fault
    exchange: Exchange
    reply: Reply


async def inflict(fault: Fault, exchange: Exchange) -> int | None:
    """Let a fault happen to a request; return the status sent, or none."""
    reply = exchange.act() if fault.carries_out else Reply(HTTPStatus.OK)
    special = _SPECIAL.get(fault.kind)
    if special is not None:
        return await special(Hit(fault, exchange, reply))
    return await exchange.answer(_page(fault, exchange))


def _page(fault: Fault, exchange: Exchange) -> Reply:
    """Return the complete answer of the faults that are no more than a strange answer."""
    if fault.kind == "redirect":
        request = exchange.request
        query = f"?{request.raw_query}" if request.raw_query else ""
        target = fault.location or f"https://elsewhere.invalid{request.raw_path}{query}"
        return Reply(fault.status, headers=(("location", target),))
    if fault.kind == "html":
        return Reply(HTTPStatus.OK, PAGE, content_type="text/html; charset=utf-8")
    return exchange.refuse(fault)


async def _refuse(hit: Hit) -> int | None:
    if hit.exchange.transport is None:
        raise ConnectionRefusedError("The sandbox refuses the connection")
    return await _reset(hit.exchange)


async def _reset_now(hit: Hit) -> int | None:
    return await _reset(hit.exchange)


async def _hang(hit: Hit) -> int | None:
    await _pause(hit.exchange, hit.fault.wait)
    return await _reset(hit.exchange)


async def _late_commit(hit: Hit) -> int | None:
    hit.exchange.later(hit.fault.wait, hit.exchange.act)
    if hit.fault.then == "hang":
        await _pause(hit.exchange, DEFAULT_SECONDS["hang"])
    return await _reset(hit.exchange)


async def _latency(hit: Hit) -> int | None:
    await _pause(hit.exchange, hit.fault.wait)
    return await hit.exchange.answer(hit.reply)


async def _cut(hit: Hit) -> int | None:
    half = hit.reply.body[: len(hit.reply.body) // 2]
    await hit.exchange.send(hit.reply.start())
    transport = hit.exchange.transport
    await hit.exchange.send(
        {"type": "http.response.body", "body": half, "more_body": transport is not None}
    )
    if transport is not None:
        transport.close()
        await _until_gone(hit.exchange.receive)
    return hit.reply.status


async def _drip(hit: Hit) -> int | None:
    await hit.exchange.send(hit.reply.start())
    for place in range(len(hit.reply.body)):
        piece = hit.reply.body[place : place + 1]
        await hit.exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        if await _pause(hit.exchange, hit.fault.wait):
            return await _reset(hit.exchange)
    await hit.exchange.send({"type": "http.response.body", "body": b""})
    return hit.reply.status


async def _gzip_bomb(hit: Hit) -> int | None:
    headers = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
    await hit.exchange.send(
        {"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers}
    )
    for piece in gzip_pieces(hit.fault.unpacked_bytes):
        await hit.exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        if hit.exchange.released.done():
            return await _reset(hit.exchange)
        await asyncio.sleep(0)
    await hit.exchange.send({"type": "http.response.body", "body": b""})
    return int(HTTPStatus.OK)


_SPECIAL: dict[str, Callable[[Hit], Awaitable[int | None]]] = {
    "refuse": _refuse,
    "reset_before": _reset_now,
    "reset_after": _reset_now,
    "hang": _hang,
    "late_commit": _late_commit,
    "latency": _latency,
    "cut": _cut,
    "drip": _drip,
    "gzip_bomb": _gzip_bomb,
}


def gzip_pieces(unpacked_bytes: int) -> Iterator[bytes]:
    """Yield a gzip stream that unpacks to an empty JSON list padded with blanks to a size.

    One packed mebibyte of blanks is repeated, so the stream costs next to nothing to make.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    blanks = b" " * MIB
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    whole, rest = divmod(unpacked_bytes - 2, MIB)
    opening = b"[" + b" " * rest
    checksum = zlib.crc32(opening)
    yield packer.compress(opening) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(blanks) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(whole):
        checksum = zlib.crc32(blanks, checksum)
        yield block
    checksum = zlib.crc32(b"]", checksum)
    yield packer.compress(b"]") + packer.flush(zlib.Z_FINISH)
    yield struct.pack("<II", checksum, unpacked_bytes & 0xFFFFFFFF)


async def _reset(exchange: Exchange) -> int | None:
    transport = exchange.transport
    if transport is None:
        raise ConnectionResetError("The sandbox reset the connection")
    sock = transport.get_extra_info("socket")
    with suppress(OSError):  # the client may have closed it first
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
    await _until_gone(exchange.receive)
    return None


async def _pause(exchange: Exchange, seconds: float) -> bool:
    """Wait; return whether the client went away, or the sandbox closes, before the time was up."""
    gone = asyncio.ensure_future(_until_gone(exchange.receive))
    try:
        done, _ = await asyncio.wait(
            {gone, exchange.released}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
    return bool(done)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
