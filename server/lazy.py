"""Parts that are loaded at their first use, since most calls need none of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from leyr_mcp.server.logs import location

if TYPE_CHECKING:
    from leyr_mcp.server.filing.desk import Desk
    from leyr_mcp.server.web.serving import ReviewPage

_log = logging.getLogger("leyr_mcp.app")


class LazyDesk:
    """The desk, loaded at the first draft: what only reads starts without it."""

    def __init__(self, make: Callable[[], Desk]) -> None:
        self._make = make
        self._desk: Desk | None = None

    def __call__(self) -> Desk:
        """Return the desk."""
        if self._desk is None:
            self._desk = self._make()
        return self._desk

    async def close(self, drain_s: float) -> None:
        """Stop its worker after what it has under way, for so long at most."""
        if self._desk is not None:
            await self._desk.close(drain_s)


class LazyPage:
    """The review page, loaded and served at the first draft that waits for a person."""

    def __init__(self, make: Callable[[], ReviewPage]) -> None:
        self._make = make
        self._page: ReviewPage | None = None

    def __call__(self) -> ReviewPage:
        """Return the page."""
        if self._page is None:
            self._page = self._make()
        return self._page

    async def url(self, draft_id: str) -> str | None:
        """Return the address at which a person reviews a draft; None where it has none."""
        try:
            return await self().url(draft_id)
        except OSError as exc:
            _log.warning("the review page is not served: %s", location(exc))
            return None

    async def close(self) -> None:
        """Serve it no more."""
        if self._page is not None:
            await self._page.close()
