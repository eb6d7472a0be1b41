"""How the times of filing follow from two settings, and that they fit together."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest

from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.filing.timing import Timing
from leyr_mcp.server.storage.store import Kind


def test_the_usual_settings_give_the_usual_times() -> None:
    assert Timing.of(60, 120) == Timing()


@pytest.mark.parametrize("deadline_s", [0.5, 1, 2, 5, 20, 60, 600, 3600])
def test_times_fit_together_whatever_the_deadline(deadline_s: float) -> None:
    shortest = deadline_s + min(10, 2 * deadline_s)
    timing = Timing.of(deadline_s, shortest)

    for kind in get_args(Kind):
        late = timedelta(seconds=timing.deadline_s(kind) + timing.read_lag_s)
        assert timing.grace(kind) >= late
    # A look, a question about a job with its read-back, and a pre-check with its look.
    assert timing.round_s + timing.margin_s >= 2 * timing.round_s
    assert timing.margin_s >= 2  # what committing an outcome may take, tried again
    with pytest.raises(ConfigError, match="LEYR_MCP_GRACE_S"):
        Timing.of(deadline_s, shortest - 0.1)
