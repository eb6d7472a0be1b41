"""Each step of filing killed with each fault of the record, for each kind: `make soak` alone.

Over Cobalt with each way in which a queued write may end as well, and with the faults that its own
answers can meet.

704 cases and about 1,470 processes; with two cores it takes about twenty minutes. A document goes
through steps of its own besides those of all kinds.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest

from leyr_mcp.sandbox.faults import KINDS
from leyr_mcp.server.filing.checkpoints import NAMES, STAGING
from tests.e2e.clinic import Kind
from tests.e2e.test_kills import STEPS, Case, all_of

QUEUED_FAULTS = ("latency", "refuse", "503", "reset_after", "500_after", "late_commit", "hang")
OF_FILES = (*STAGING, "given", "dropped")


@pytest.mark.skipif(os.environ.get("SOAK") != "1", reason="a long run")
@pytest.mark.parametrize("kind", ["note", "appointment", "change", "document"])
async def test_each_step_with_each_fault(kind: Kind, tmp_path: Path) -> None:
    steps = STEPS if kind == "document" else [step for step in STEPS if step not in OF_FILES]
    cases = [
        Case(step, (fault,), kinds=(kind,), again=step in STAGING)
        for step, fault in product(steps, KINDS)
    ]
    assert await all_of(cases, tmp_path, must_die=False) == 2 * len(cases) + len(KINDS)


@pytest.mark.skipif(os.environ.get("SOAK") != "1", reason="a long run")
@pytest.mark.parametrize("kind", ["note", "appointment", "change", "document"])
async def test_each_step_of_a_queued_write(kind: Kind, tmp_path: Path) -> None:
    steps = NAMES if kind == "document" else [step for step in NAMES if step not in OF_FILES]
    cases = [
        Case(step, (fault,), kinds=(kind,), again=step in STAGING, vendor="cobalt", fate=fate)
        for step, fault, fate in product(steps, QUEUED_FAULTS, ("good", "fail"))
    ]
    expired = sum(case.step == "expired" for case in cases)
    assert await all_of(cases, tmp_path, must_die=False) == 2 * len(cases) + expired
