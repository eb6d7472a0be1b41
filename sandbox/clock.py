"""The sandbox's clock: real time by default, or a time that stands still where it was set."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def real_time() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


class Clock:
    """A clock that can be set and moved; once set, it stands still."""

    def __init__(self, source: Callable[[], datetime] | None = None) -> None:
        self._source = source or real_time
        self._fixed: datetime | None = None

    def now(self) -> datetime:
        """Return the sandbox's time, aware, in UTC."""
        current = self._fixed or self._source()
        return current.astimezone(UTC)

    def set(self, moment: datetime) -> None:
        """Stop the clock at a moment.

        Raises:
            ValueError: the moment has no UTC offset.
        """
        if moment.tzinfo is None:
            raise ValueError("The time needs an offset, such as 2026-03-01T08:00:00+01:00.")
        self._fixed = moment.astimezone(UTC)

    def advance(self, seconds: float) -> datetime:
        """Move the clock and stop it there; return the new time."""
        self._fixed = self.now() + timedelta(seconds=seconds)
        return self._fixed

    def run(self) -> None:
        """Let the clock follow its source again."""
        self._fixed = None
