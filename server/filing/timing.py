"""How long each part of filing may take, and how the parts depend on each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.storage.store import Kind

# How often a job is asked for once it is older than these; before, it is as the timing says.
_JOB_SLOWER_S, _JOB_SLOW_S = 180.0, 3_600.0
_JOB_PAUSE_S, _JOB_LONG_PAUSE_S = 30.0, 300.0


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds, all of them; the grace runs from when a write was last sent.

    Attributes:
        read_lag_s: How much later than it was written an entry may appear in a list.
        round_s: How long one pre-check or look-up may take.
        margin_s: How much longer than its work a lease lasts.
        poll_s: How soon what another process commits is noticed.
        stale_s: How old a claim may be when it is sent; older, the machine has slept.
        ask_s: How often a job is asked for in its first three minutes.
        job_limit_s: After how long a job is overdue of which nothing was told.
        sign_in_s: How often it is tried whether the clinic has signed in again.
    """

    write_deadline_s: float = 60.0
    upload_deadline_s: float = 180.0
    grace_s: float = 120.0
    read_lag_s: float = 10.0
    round_s: float = 30.0
    margin_s: float = 30.0
    poll_s: float = 0.5
    stale_s: float = 15.0
    ask_s: float = 2.0
    job_limit_s: float = 86_400.0
    sign_in_s: float = 30.0

    @staticmethod
    def of(write_deadline_s: float, grace_s: float) -> Timing:
        """Return the timing for these two settings; the rest follows a short deadline down."""
        return Timing(
            write_deadline_s=write_deadline_s,
            upload_deadline_s=3 * write_deadline_s,
            grace_s=grace_s,
            read_lag_s=min(10.0, 2 * write_deadline_s),
            round_s=(round_s := min(30.0, max(2.0, write_deadline_s / 2))),
            margin_s=round_s,
            ask_s=min(2.0, max(0.1, write_deadline_s / 30)),
            sign_in_s=round_s,
        )

    def __post_init__(self) -> None:
        if self.grace_s < self.write_deadline_s + self.read_lag_s:
            raise ConfigError(
                "LEYR_MCP_GRACE_S is too short: a write could still arrive when it is over. It "
                f"must be at least LEYR_MCP_WRITE_DEADLINE_S and {self.read_lag_s:g} more."
            )

    def deadline_s(self, kind: Kind) -> float:
        """Return how long one write may take."""
        return self.upload_deadline_s if kind == "document" else self.write_deadline_s

    def grace(self, kind: Kind) -> timedelta:
        """Return how long after it was sent a write may still arrive."""
        return timedelta(seconds=self.grace_s - self.write_deadline_s + self.deadline_s(kind))

    def job_pause_s(self, age_s: float) -> float:
        """Return how long to wait before a job of this age is asked for again."""
        if age_s < _JOB_SLOWER_S:
            return self.ask_s
        return _JOB_PAUSE_S if age_s < _JOB_SLOW_S else _JOB_LONG_PAUSE_S
