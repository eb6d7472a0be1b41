"""The audit of a running server, whose store is opened at the first event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing.audit import NOTHING, About, AuditTrail, Who
from leyr_mcp.server.storage.store import Store


class Journal:
    """Stores what every call amounted to, before its answer goes out."""

    def __init__(
        self,
        make_store: Callable[[], Store],
        *,
        clock: Callable[[], datetime],
        device: str,
        origin: str,
    ) -> None:
        self._make_store = make_store
        self._clock = clock
        self._device = device
        self._origin = origin
        self._opening = asyncio.Lock()
        self._open: tuple[Store, AuditTrail] | None = None
        self._closed = False

    async def answered(self, tool: str, who: Who, abouts: Sequence[About]) -> None:
        """Store that an answer is about to go out: one event for each patient it tells of.

        Raises:
            StorageError: It was not stored, so nothing may go out.
        """
        _, trail = await self.opened()
        for about in abouts or (NOTHING,):
            await trail.read(tool, who, about)

    async def refused(self, tool: str, who: Who, about: About, code: str) -> None:
        """Store that a call ended without an answer.

        Raises:
            StorageError: It was not stored.
        """
        _, trail = await self.opened()
        await trail.refused(tool, who, about, error=code)

    async def close(self) -> None:
        """Close the store, if it was opened, for good."""
        self._closed = True
        async with self._opening:  # what is being opened is open before it is closed
            opened, self._open = self._open, None
        if opened is not None:
            await opened[0].close()

    async def opened(self) -> tuple[Store, AuditTrail]:
        """Return the store and the audit trail in it, opened now if nothing did so before.

        Raises:
            StorageError: It cannot be opened, or was closed.
        """
        if self._open is not None:
            return self._open
        async with self._opening:
            if self._closed:
                raise StorageError("The local store is closed.")
            if self._open is None:
                self._open = await self._opened_now()
            return self._open

    async def _opened_now(self) -> tuple[Store, AuditTrail]:
        store = self._make_store()
        await store.open()
        trail = AuditTrail(store, clock=self._clock, device=self._device, origin=self._origin)
        return store, trail
