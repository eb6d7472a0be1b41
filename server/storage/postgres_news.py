"""The connection on which a node hears that another one changed something (LISTEN, NOTIFY)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import asyncpg

from leyr_mcp.server.logs import location
from leyr_mcp.server.storage.postgres_errors import FAILURES
from leyr_mcp.server.storage.postgres_pool import connect

_log = logging.getLogger("leyr_mcp.storage")
_SHORTEST_S, _LONGEST_S = 0.05, 5.0
# A connection that was cut off without a word is noticed by asking something on it.
_ASK_S = 15.0


class News:
    """Counts what others committed; while it cannot hear them, it counts each question instead."""

    def __init__(self, settings: dict[str, Any], channel: str, me: str) -> None:
        self._settings = settings
        self._channel = channel
        self._me = me
        self._count = 0
        self._hearing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen from now on, for as long as this is open."""
        connection = await self._connected()
        self._task = asyncio.create_task(self._listen(connection))

    async def close(self) -> None:
        """Listen no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def count(self) -> int:
        """Return a number that has changed if anything was committed since it was asked for."""
        if not self._hearing.is_set():
            self._count += 1
        return self._count

    def mine(self) -> None:
        """Count a commit of this node, which nobody has to tell it."""
        self._count += 1

    def telling(self) -> str:
        """Return the statement that tells the others, with the commit it stands before."""
        return f"NOTIFY \"{self._channel}\", '{self._me}'"

    def _heard(self, *told: object) -> None:
        if told[-1] != self._me:
            self._count += 1

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        connection = await connect(**self._settings)
        try:
            await connection.add_listener(self._channel, self._heard)
        except BaseException:
            connection.terminate()
            raise
        self._count += 1  # whatever was told meanwhile was not heard
        self._hearing.set()
        return connection

    async def _listen(self, connection: asyncpg.Connection[asyncpg.Record] | None) -> None:
        pause = _SHORTEST_S
        while True:
            try:
                connection = connection or await self._connected()
                pause = _SHORTEST_S
                await self._until_lost(connection)
            except FAILURES as exc:
                _log.warning("the database cannot be listened to: %s", location(exc))
            finally:
                self._hearing.clear()
                if connection is not None:
                    connection.terminate()
            connection = None
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_S)

    async def _until_lost(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(_setting(lost))
        while not connection.is_closed():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ASK_S):
                    await lost.wait()
            if not connection.is_closed():
                await connection.execute("SELECT 1")


def _setting(event: asyncio.Event) -> Callable[[object], None]:
    return lambda _connection: event.set()
