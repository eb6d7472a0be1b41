"""When to try again and when to leave an upstream alone: a retry budget, a breaker, a back-off."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from email.utils import parsedate_to_datetime

ATTEMPTS = 3
BACKOFF_CAP_S = 8.0
BACKOFF_BASE_S = 0.25
_MOST_DIGITS = 9


def backoff_s(attempt: int, *, rng: random.Random) -> float:
    """Return a random wait before attempt number `attempt` (the second is 1)."""
    return rng.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt))


def retry_after_s(value: str | None, *, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, given in seconds or as a date."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


class Budget:
    """Keeps retries a fraction of successes, so that a struggling upstream is not buried."""

    FULL = 100
    RETRY = 5
    RETRY_AFTER_TIMEOUT = 10

    def __init__(self) -> None:
        self.tokens = self.FULL

    def success(self) -> None:
        """Earn one token back."""
        self.tokens = min(self.FULL, self.tokens + 1)

    def take(self, *, after_timeout: bool) -> bool:
        """Return whether one more try may be made, and pay for it."""
        price = self.RETRY_AFTER_TIMEOUT if after_timeout else self.RETRY
        if self.tokens < price:
            return False
        self.tokens -= price
        return True


class Breaker:
    """Stops calling an upstream that mostly fails.

    Lets one probe through when the pause is over.
    """

    WINDOW_S = 30.0
    MIN_CALLS = 20
    OPEN_S = 15.0

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False

    def wait_s(self) -> float:
        """Return 0 when a call may go out now, else the seconds left; reserves the probe."""
        if self._open_until is None:
            return 0.0
        left = self._open_until - self._monotonic()
        if left > 0:
            return left
        if self._probing:
            return 1.0
        self._probing = True
        return 0.0

    def record(self, *, ok: bool) -> None:
        """Note how a call ended."""
        now = self._monotonic()
        if self._open_until is not None:
            self._probing = False
            self._open_until = None if ok else now + self.OPEN_S
            self._calls.clear()
            self._failures = 0
            return
        self._calls.append((now, ok))
        self._failures += not ok
        while self._calls and self._calls[0][0] < now - self.WINDOW_S:
            self._failures -= not self._calls.popleft()[1]
        if len(self._calls) >= self.MIN_CALLS and self._failures * 2 >= len(self._calls):
            self._open_until = now + self.OPEN_S

    def release(self) -> None:
        """Give the probe back when its call was cancelled and says nothing."""
        self._probing = False
