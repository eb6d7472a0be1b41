"""A node's connections: whoever does not send what they began, or does not read, is cut off.

Uvicorn waits for headers as long as they take, and for any number of clients. A proxy in front
waits less long, but a node must stand without one. Where all places are taken, whoever comes takes
that of the client that has asked nothing for the longest; if all are asking, it shall come again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections import OrderedDict
from contextlib import suppress
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_WITHIN_S = 10.0
READ_WITHIN_S = 30.0
MOST_CONNECTIONS = 2_000
# Files that a node has open besides: the store, the record, uploads, programs it runs.
_OTHER_FILES = 256


# What strangers send shall fill no log, and what an exception says stands in none.
_quiet = logging.getLogger("leyr_mcp.web.wire")
_quiet.setLevel(logging.CRITICAL + 1)
_log = logging.getLogger("leyr_mcp.http")

_full = json.dumps(
    {"error": {"code": "busy", "message": "The server has as many connections as it can."}}
).encode()
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 2\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_full), _full)
)


def make_room() -> None:
    """Let this process have as many connections as a node takes, or as the system allows."""
    with suppress(ImportError):  # only where a process has a limit of open files
        import resource  # noqa: PLC0415

        wanted = MOST_CONNECTIONS + _OTHER_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            if soft < wanted:
                PatientProtocol.most = max(soft - _OTHER_FILES, soft // 2)
                _log.warning(
                    "at most %d connections: a process may have %d files open (ulimit -n)",
                    *(PatientProtocol.most, soft),
                )


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

    most: ClassVar[int] = MOST_CONNECTIONS
    # Who has asked nothing, longest first.
    _idle: ClassVar[OrderedDict[PatientProtocol, None]] = OrderedDict()

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
        if len(self.connections) > self.most and not self._made_room():
            transport.write(_FULL)
            transport.close()
            return
        self._idle[self] = None
        self._look()

    def data_received(self, data: bytes) -> None:
        """Go on waiting, or stop where a request is there."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for what was sent of the next request before this one was answered."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE:
            self._idle[self] = None
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._idle.pop(self, None)
        self._wait_no_more()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._asked = True
            self._idle.pop(self, None)
            self._wait_no_more()
        elif self._waiting is None and (not self._asked or self.conn.trailing_data[0]):
            # Between two requests uvicorn itself counts, as long as nothing of the next one came.
            self._waiting = self.loop.call_later(HEADERS_WITHIN_S, self._cut)

    def _made_room(self) -> bool:
        """Cut off whoever has asked nothing for the longest, if there is anybody."""
        if not self._idle:
            return False
        other, _ = self._idle.popitem(last=False)
        self.connections.discard(other)  # the end of it comes later
        other.transport.abort()
        return True

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _cut(self) -> None:
        self._waiting = None
        self.transport.close()
