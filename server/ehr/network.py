"""The bytes below HTTP, on asyncio's own transports: nothing is set up for what is there already.

The HTTP library's usual way through another library costs a sixth of a call under load, and asks
the system before each request whether the other side went away. Here that is known when it happens.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2

_FULL = 256 * 1024


class Backend(httpcore2.AsyncNetworkBackend):
    """Opens connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
        local_address: str | None = None,  # noqa: ARG002 - as above
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - as above
    ) -> Stream:
        """Return a connection.

        Raises:
            ConnectError: There is none, or not in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(
                    Stream, host, port, happy_eyeballs_delay=0.25
                )
        except TimeoutError as exc:
            raise httpcore2.ConnectTimeout from exc
        except OSError as exc:
            raise httpcore2.ConnectError from exc
        return stream

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Stream(httpcore2.AsyncNetworkStream, asyncio.Protocol):
    """One connection, encrypted or not."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._got = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._paused = False

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came, up to a limit, until it is read."""
        self._got += data
        if len(self._got) > _FULL and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """Take note that nothing more comes."""
        self._ended = True
        _wake(self._reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that it is over."""
        self._ended, self._error = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """Have whoever writes wait."""
        self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Have whoever writes go on."""
        _wake(self._writer)
        self._writer = None

    # What the HTTP library asks

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return what came, or nothing at the end.

        Raises:
            ReadError: The connection broke, or nothing came in time.
        """
        if not self._got and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            await _until(self._reader, timeout, httpcore2.ReadTimeout)
        if not self._got and self._error is not None:
            raise httpcore2.ReadError from self._error
        data = bytes(self._got[:max_bytes])
        del self._got[:max_bytes]
        if self._paused and not self._ended and len(self._got) <= _FULL:
            self._paused = False
            self._open().resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send.

        Raises:
            WriteError: The connection broke, or does not take it in time.
        """
        if not buffer:
            return
        transport = self._open()
        if transport.is_closing():
            raise httpcore2.WriteError
        transport.write(buffer)
        if self._writer is not None:
            await _until(self._writer, timeout, httpcore2.WriteTimeout)
            if self._error is not None or self._open().is_closing():
                raise httpcore2.WriteError from self._error

    async def aclose(self) -> None:
        """Close; what was not sent yet, and the end of an encryption, are not waited for."""
        transport = self._transport
        if transport is None:
            return
        if transport.get_extra_info("ssl_object") or transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()
        await asyncio.sleep(0)  # lets it say so

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> Stream:
        """Encrypt from now on.

        Raises:
            ConnectError: It cannot be, the certificate is not good, or not in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                self._transport = await loop.start_tls(
                    self._open(), self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as exc:
            await self.aclose()
            raise httpcore2.ConnectTimeout from exc
        except (OSError, ssl.SSLError) as exc:
            await self.aclose()
            raise httpcore2.ConnectError from exc
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return whether the other side has said anything unasked, or closed; and the rest."""
        if info == "is_readable":
            return bool(self._got) or self._ended
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._open().get_extra_info(names.get(info, info))

    def _open(self) -> asyncio.Transport:
        if self._transport is None:
            raise httpcore2.ReadError
        return self._transport


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def _until(
    waiting: asyncio.Future[None], within_s: float | None, late: Callable[[], Exception]
) -> None:
    try:
        async with asyncio.timeout(within_s):
            await waiting
    except TimeoutError as exc:
        raise late() from exc
