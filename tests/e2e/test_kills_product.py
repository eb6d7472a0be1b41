"""Each step of filing killed with each fault of the record, for each kind: `make soak` alone.

480 cases and 1,008 processes; with two cores it takes about eleven minutes.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest

from leyr_mcp.sandbox.faults import KINDS
from tests.e2e.clinic import Kind
from tests.e2e.test_kills import STEPS, Case, all_of


@pytest.mark.skipif(os.environ.get("SOAK") != "1", reason="a long run")
@pytest.mark.parametrize("kind", ["note", "appointment", "change"])
async def test_each_step_with_each_fault(kind: Kind, tmp_path: Path) -> None:
    cases = [Case(step, (fault,), kinds=(kind,)) for step, fault in product(STEPS, KINDS)]
    assert await all_of(cases, tmp_path, must_die=False) == 2 * len(cases) + len(KINDS)
