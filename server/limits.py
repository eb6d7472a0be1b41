"""How much one user, and all of them together, may ask of a node; what is too much is said at once.

Buckets fill evenly, so a burst is allowed and a flood is not. They are a node's own: several nodes
allow several times as much, which is what their record system is then asked at most.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from leyr_mcp.server.errors import LeyrMcpError

What = Literal["calls", "searches", "writes"]
PER_MINUTE: dict[What, int] = {"calls": 60, "searches": 20, "writes": 10}
AT_ONCE = 8
AT_ONCE_IN_ALL = 64
WAITING = 256
_USERS = 10_000
_MINUTE_S = 60.0
_BUSY_S = 2.0


@dataclass(slots=True)
class _Use:
    """What a user has left of each bucket at a moment, and how many calls are under way."""

    at: float
    left: dict[What, float] = field(
        default_factory=lambda: {k: float(v) for k, v in PER_MINUTE.items()}
    )
    under_way: int = 0


class Limits:
    """Counts per user and in all."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._uses: OrderedDict[str, _Use] = OrderedDict()
        self._room = asyncio.Semaphore(AT_ONCE_IN_ALL)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, user: str, *what: What) -> AsyncIterator[None]:
        """Have a call's turn within, if there is room for it.

        Raises:
            LeyrMcpError: `rate_limited` or `busy`, each with when to come again.
        """
        use = self._use(user)
        if use.under_way >= AT_ONCE:
            raise _busy(f"Only {AT_ONCE} calls of one user are answered at once.")
        if self._room.locked() and self._waiting >= WAITING:
            raise _busy("The server has more to do than it can.")
        self._spend(use, what)  # last: who is turned away for another reason has spent nothing
        use.under_way += 1
        self._waiting += 1
        try:
            await self._room.acquire()
        except BaseException:
            use.under_way -= 1
            raise
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._room.release()
            use.under_way -= 1

    def _use(self, user: str) -> _Use:
        now = self._monotonic()
        use = self._uses.setdefault(user, _Use(now))
        self._uses.move_to_end(user)
        if len(self._uses) > _USERS:
            self._forget()
        passed, use.at = now - use.at, now
        for what, most in PER_MINUTE.items():
            use.left[what] = min(float(most), use.left[what] + passed * most / _MINUTE_S)
        return use

    def _forget(self) -> None:
        """Forget whoever was here longest ago and has nothing under way."""
        for user, use in self._uses.items():
            if not use.under_way:
                del self._uses[user]
                return

    def _spend(self, use: _Use, what: tuple[What, ...]) -> None:
        for one in what:
            if use.left[one] < 1.0:
                wait_s = (1.0 - use.left[one]) * _MINUTE_S / PER_MINUTE[one]
                raise LeyrMcpError(
                    f"Only {PER_MINUTE[one]} {one} a minute are answered.",
                    code="rate_limited",
                    retry_after_s=round(wait_s, 1),
                )
        for one in what:
            use.left[one] -= 1.0


def _busy(message: str) -> LeyrMcpError:
    return LeyrMcpError(message, code="busy", retry_after_s=_BUSY_S)
