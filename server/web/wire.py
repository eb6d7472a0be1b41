"""A node's connections: whoever does not send what they began, or does not read, is cut off.

Uvicorn waits for headers as long as they take. A proxy in front waits less long, but a node must
stand without one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_WITHIN_S = 10.0
READ_WITHIN_S = 30.0
MOST_CONNECTIONS = 2_000


# What strangers send shall fill no log, and what an exception says stands in none.
_quiet = logging.getLogger("leyr_mcp.web.wire")
_quiet.setLevel(logging.CRITICAL + 1)


class _PatientFlow(FlowControl):
    """Lets an answer wait for whoever reads it, and no longer than that may take."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._connection = transport

    async def drain(self) -> None:
        """Wait until more can be sent; whoever does not read is cut off."""
        if not self.write_paused:
            return
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await super().drain()
        except TimeoutError:
            self._connection.abort()
            raise


class PatientProtocol(H11Protocol):
    """Speaks HTTP, waits for headers no longer than they may take, and writes no log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _quiet
        self.access_log = False
        self._waiting: asyncio.TimerHandle | None = None
        self._asked = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.flow = _PatientFlow(transport)
        # Workers take a socket whose protocol number is 0, and asyncio leaves Nagle's wait on then.
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Go on waiting, or stop where a request is there."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for what was sent of the next request before this one was answered."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._asked = True
            self._wait_no_more()
        elif self._waiting is None and (not self._asked or self.conn.trailing_data[0]):
            # Between two requests uvicorn itself counts, as long as nothing of the next one came.
            self._waiting = self.loop.call_later(HEADERS_WITHIN_S, self._cut)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _cut(self) -> None:
        self._waiting = None
        self.transport.close()
