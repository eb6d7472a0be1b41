"""Connections to a record system: as many as are used at once, the one used last first.

A pool looks at each of its connections before every request, which under load takes longer than
the request itself. Here each has a pool of its own, of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx2

MOST = 20
_WITHIN_S = 5.0
Lane = httpx2.AsyncBaseTransport


class Lanes(httpx2.AsyncBaseTransport):
    """Makes a request on a connection that nothing else uses now."""

    def __init__(self, make: Callable[[], Lane]) -> None:
        self._make = make
        self._free: list[Lane] = []
        self._all: list[Lane] = []
        self._room = asyncio.Semaphore(MOST)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer; its connection is free again once the answer is closed.

        Raises:
            PoolTimeout: All were in use for too long; nothing was sent.
        """
        await self._enter()
        lane = self._free.pop() if self._free else self._new()
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            self._leave(lane)
            raise
        stream = response.stream
        if not isinstance(stream, httpx2.AsyncByteStream):
            self._leave(lane)
            raise TypeError("an answer without a stream")
        response.stream = _Lent(stream, lambda: self._leave(lane))
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        lanes, self._all, self._free = self._all, [], []
        for lane in lanes:
            await lane.aclose()

    async def _enter(self) -> None:
        if not self._room.locked():
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(_WITHIN_S):
                await self._room.acquire()
        except TimeoutError:
            raise httpx2.PoolTimeout("all connections are in use") from None

    def _new(self) -> Lane:
        lane = self._make()
        self._all.append(lane)
        return lane

    def _leave(self, lane: Lane) -> None:
        self._free.append(lane)
        self._room.release()


class _Lent(httpx2.AsyncByteStream):
    """The body of an answer; closing it gives its connection back, once."""

    def __init__(self, stream: httpx2.AsyncByteStream, leave: Callable[[], None]) -> None:
        self._stream = stream
        self._leave: Callable[[], None] | None = leave

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            leave, self._leave = self._leave, None
            if leave is not None:
                leave()
