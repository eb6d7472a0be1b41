"""The record system that the measured servers ask: one answer from memory, on keep-alive HTTP/1.1.

As thin as asyncio allows, so that it is not what is measured. The first line on stdin is the answer
to the patient search; the first line on stdout is the port. It ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import sys

SEARCH = b"/patients?"
END = b"\r\n\r\n"


class Http(asyncio.Protocol):
    """Answers requests without a body."""

    def __init__(self, found: bytes, missing: bytes) -> None:
        self._found = found
        self._missing = missing
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection's writing end."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._out = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        *requests, self._rest = (self._rest + data).split(END)
        for request in requests:
            line = request.partition(b"\r\n")[0]
            self._out.write(self._found if SEARCH in line else self._missing)


def response(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d" % (
        status,
        len(body),
    )
    return head + END + body


async def main() -> None:
    body = sys.stdin.buffer.readline().strip()
    found, missing = response(b"200 OK", body), response(b"404 Not Found", b"{}")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http(found, missing), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main())
