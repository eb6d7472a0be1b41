"""Files that wait where all nodes reach them: in the store that they share, sealed as in a folder.

The folder of a node holds a file only while it comes in and is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leyr_mcp.server.errors import StorageError, StoreAwayError
from leyr_mcp.server.files.staging import ALONE_S, KEPT_S, Staging, full, sealed_pieces
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.store import Piece, Store

MOST = 1_000  # files at once, of all users together


class SharedStaging(Staging):
    """The store's files, and a folder of this node's own on the way to them."""

    def __init__(
        self,
        folder: Path,
        keys: Callable[[], Keys],
        open_store: Callable[[], Awaitable[Store]],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(folder, keys)
        self._open_store = open_store
        self._clock = clock

    async def share(self, name: str) -> None:
        """Move a file into the store.

        Raises:
            StorageError: It cannot be stored, or too many wait there.
        """
        store = await self._open_store()
        if await store.shared_files() >= MOST:
            raise full()
        for number, (piece, last) in enumerate(sealed_pieces(self._path(name))):
            await store.put_piece(name, number, piece, last=last, now=self._clock())
        self.drop_here(name)

    async def has(self, name: str) -> bool:
        """Return whether a file can be had."""
        store = await self._open_store()
        return await super().has(name) or await store.has_pieces(name)

    async def drop(self, name: str) -> None:
        """Delete a file; what cannot be deleted now is within a day."""
        self.drop_here(name)
        with suppress(StorageError):
            await (await self._open_store()).drop_pieces(name)

    async def sweep(self, awaited: Collection[str], *, now_s: float) -> int:
        """Delete what has waited for a day, and for an hour what nothing waits for; count it.

        Raises:
            StorageError: The folder or the store cannot be read or changed.
        """
        now = datetime.fromtimestamp(now_s, UTC)
        swept = await (await self._open_store()).sweep_pieces(
            awaited,
            before=now - timedelta(seconds=KEPT_S),
            alone_before=now - timedelta(seconds=ALONE_S),
        )
        return swept + self._swept(awaited, now_s)

    async def _sealed(self, name: str) -> AsyncIterator[tuple[bytes, bool]]:
        if await super().has(name):
            async for piece in super()._sealed(name):
                yield piece
            return
        number = 0
        while found := await self._shared(name, number):
            yield found
            number += 1
            if found.last:
                return
        raise StorageError("The staged file is gone.")

    async def _shared(self, name: str, number: int) -> Piece | None:
        try:
            return await (await self._open_store()).piece(name, number)
        except StorageError as exc:
            raise StoreAwayError("A staged file cannot be read now.") from exc
