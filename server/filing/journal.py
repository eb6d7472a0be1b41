"""The audit of a running server, whose store is opened at the first event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

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
        self._store: Store | None = None
        self._trail: AuditTrail | None = None

    async def answered(self, tool: str, who: Who, abouts: Sequence[About]) -> None:
        """Store that an answer is about to go out: one event for each patient it tells of.

        Raises:
            StorageError: It was not stored, so nothing may go out.
        """
        trail = await self._opened()
        for about in abouts or (NOTHING,):
            await trail.read(tool, who, about)

    async def refused(self, tool: str, who: Who, about: About, code: str) -> None:
        """Store that a call ended without an answer.

        Raises:
            StorageError: It was not stored.
        """
        trail = await self._opened()
        await trail.refused(tool, who, about, error=code)

    async def close(self) -> None:
        """Close the store, if it was opened."""
        store, self._store, self._trail = self._store, None, None
        if store is not None:
            await store.close()

    async def _opened(self) -> AuditTrail:
        if self._trail is None:
            async with self._opening:
                if self._trail is None:
                    store = self._make_store()
                    await store.open()
                    self._store = store
                    self._trail = AuditTrail(
                        store, clock=self._clock, device=self._device, origin=self._origin
                    )
        return self._trail
