"""A few PostgreSQL connections: how they are set up, and how statements run on them.

Nothing here knows what the statements are about.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from ssl import SSLCertVerificationError
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.postgres_errors import FAILURES, is_lost
from leyr_mcp.server.storage.rows import Row, Work

T = TypeVar("T")
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
# The server gives up first, and says why; only where it cannot be heard does this side.
_MARGIN_S = 1.0
_IDLE_S = 300.0


def options(url: str, schema: str, timeout_s: float, *, durable: bool = True) -> dict[str, Any]:
    """Return how every connection is made: all that is named stands in one schema.

    A transaction whose process hangs or is cut off is ended by the server, and its locks with it.
    """
    limit = f"{timeout_s * 1000:.0f}"
    return {
        "dsn": url,
        "timeout": timeout_s,
        "command_timeout": timeout_s + _MARGIN_S,
        "server_settings": {
            "application_name": "leyr-mcp",
            "search_path": schema,
            "statement_timeout": limit,
            "lock_timeout": limit,
            "idle_in_transaction_session_timeout": limit,
            "synchronous_commit": "on" if durable else "off",
        },
    }


async def connect(dsn: str | None = None, **settings: Any) -> asyncpg.Connection[asyncpg.Record]:
    """Return a new connection.

    Raises:
        StorageError: The address is none, or the server shows a wrong certificate.
    """
    try:
        made: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(dsn, **settings)
    except SSLCertVerificationError as exc:
        raise StorageError(
            "The certificate that the database shows is not believed: see sslrootcert in "
            "LEYR_MCP_DATABASE_URL."
        ) from exc
    except ValueError as exc:  # it quotes what it cannot read
        raise StorageError("LEYR_MCP_DATABASE_URL is no address that can be used.") from exc
    return made


class Pool:
    """Connections that are made when they are needed, and again when they were lost."""

    def __init__(self, settings: dict[str, Any], size: int) -> None:
        self._settings = settings
        self._size = size
        self._timeout_s: float = settings["timeout"]
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Be ready to connect; whether that can be done shows at the first statement."""
        self._pool = await asyncpg.create_pool(
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=_IDLE_S,
            reset=_leave,
            connect=connect,
            **self._settings,
        )

    async def close(self) -> None:
        """Close all of them, whether they answer or not."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await pool.close()
        except FAILURES:
            pool.terminate()

    async def read(self, make: Callable[[], Work[T]]) -> T:
        """Run statements that only read, each by itself; all of them again if they were lost."""
        try:
            return await self._read(make())
        except FAILURES as exc:
            if not is_lost(exc):
                raise
        await self._open().expire_connections()
        with _reached():
            return await self._read(make())

    async def _read(self, work: Work[T]) -> T:
        async with self._open().acquire(timeout=self._timeout_s) as connection:
            return await drive(connection, work)

    @asynccontextmanager
    async def begun(self, begin: str) -> AsyncIterator[Connection]:
        """Yield a connection on which `begin` was run; whatever fails is rolled back.

        One that turns out to be lost at that is replaced once: nothing was asked of it before.
        """
        connection = await self._first(begin)
        pool = self._open()
        try:
            yield connection
        except BaseException as exc:
            await _undo(connection, exc)
            raise
        finally:
            await pool.release(connection)

    async def _first(self, begin: str) -> Connection:
        try:
            return await self._try(begin)
        except FAILURES as exc:
            if not is_lost(exc):
                raise
        await self._open().expire_connections()
        with _reached():
            return await self._try(begin)

    async def _try(self, begin: str) -> Connection:
        pool = self._open()
        connection: Connection = await pool.acquire(timeout=self._timeout_s)
        try:
            await connection.execute(begin)
        except BaseException:
            _cut(connection)
            await pool.release(connection)
            raise
        return connection

    async def once(self, text: str, *values: Any) -> int:
        """Run one statement, a transaction by itself, and return how many rows it wrote.

        Unlike elsewhere a value may be a list.
        """
        async with self._open().acquire(timeout=self._timeout_s) as connection:
            told: str = await connection.execute(numbered(text), *values)
        return int(told.rsplit(" ", 1)[-1])

    def _open(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise StorageError("The store is not open.")
        return self._pool


async def drive(connection: Connection, work: Work[T], *, timeout_s: float | None = None) -> T:
    """Run statements one after the other and return what comes of them."""
    try:
        text, values = next(work)
        while True:
            if timeout_s is None:
                found = await connection.fetch(numbered(text), *values)
            else:
                found = await connection.fetch(numbered(text), *values, timeout=timeout_s)
            rows: list[Row] = [tuple(row) for row in found]
            text, values = work.send(rows)
    except StopIteration as stop:
        value: T = stop.value
        return value


@lru_cache(maxsize=512)
def numbered(text: str) -> str:
    """Return a statement with its places for values numbered, as PostgreSQL wants them."""
    first, *parts = text.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(parts, start=1))


@contextmanager
def _reached() -> Iterator[None]:
    """Say of a connection that is lost a second time that none can be had."""
    try:
        yield
    except FAILURES as exc:
        if is_lost(exc):
            raise StorageError("The database cannot be reached; nothing was stored.") from exc
        raise


async def _leave(_connection: object) -> None:
    """Leave a connection as it is: every transaction is ended, and nothing else was set."""


async def _undo(connection: Connection, exc: BaseException) -> None:
    """Roll back; a connection of which it is not certain that it hears is cut off."""
    if isinstance(exc, Exception) and not is_lost(exc) and not connection.is_closed():
        with contextlib.suppress(*FAILURES):
            await connection.execute("ROLLBACK")
            return
    _cut(connection)


def _cut(connection: Connection) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):  # the pool has noticed first
        connection.terminate()
