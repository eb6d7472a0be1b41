"""Filing under thousands of seeds; `SOAK=1` runs fifty thousand."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from leyr_mcp.server.filing import reconcile, steps
from leyr_mcp.server.filing.reconcile import Again, Conclusion, Doubt, Filed, Found
from tests.server.filing.simulator import REASONS, Report, simulate

SEEDS = 50_000 if os.environ.get("SOAK") == "1" else 2_000
CHUNK = 50


def run_some(first: int) -> list[Report]:
    """Run a few seeds, in a process of its own."""
    logging.disable(logging.CRITICAL)
    return [simulate(seed) for seed in range(first, first + CHUNK)]


@pytest.fixture
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_whatever_happens_nothing_is_filed_twice_or_lost() -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        reports = [r for some in pool.map(run_some, range(0, SEEDS, CHUNK)) for r in some]

    wrong = {report.seed: report.wrong for report in reports if report.wrong}
    assert not wrong, f"run one alone with simulate(seed): {dict(list(wrong.items())[:5])}"
    ends = Counter(state for report in reports for state, _ in report.states)
    reasons = {reason for report in reports for _, reason in report.states}
    assert len(reports) == SEEDS
    assert set(ends) == {"filed", "needs_human"}
    assert ends["filed"] > 2 * ends["needs_human"]
    # Every way out was taken, or the simulation has become too kind.
    assert reasons == {None, *REASONS}


@pytest.mark.usefixtures("_quiet")
def test_a_job_that_names_the_entry_of_another_draft_comes_to_an_end() -> None:
    report = simulate(34_651)
    assert report.wrong == ()
    assert ("needs_human", "duplicate_upstream") in report.states


def _impatient(found: Found, doubt: Doubt, *, grace_over: bool) -> Conclusion:
    """Send again as soon as a look finds nothing: what must never be done."""
    return Filed(found.hits[0]) if found.hits else Again()


@pytest.mark.usefixtures("_quiet")
def test_a_worker_that_sends_again_by_itself_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "conclude", _impatient)
    monkeypatch.setattr(steps, "_MOST_SENDS", 9)

    reports = [simulate(seed) for seed in range(200)]

    assert sum(report.duplicates for report in reports) > 20
    assert sum(bool(report.wrong) for report in reports) > 20


@pytest.mark.usefixtures("_quiet")
def test_a_seed_is_the_same_each_time() -> None:
    assert [simulate(seed) for seed in range(10)] == [simulate(seed) for seed in range(10)]
