"""Runs this folder only on request, and then treats a missing tool as a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.outside.programs import Outside, set_up

HERE = Path(__file__).parent
REQUESTED = os.environ.get("CHECK_OUTSIDE") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the checks of this folder as not run, with the reason, unless they were asked for."""
    if REQUESTED:
        return
    not_run = pytest.mark.skip(reason="needs node and a browser; CHECK_OUTSIDE=1 runs it")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(not_run)


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    """What all checks from outside use; fails when a piece is missing."""
    return set_up(tmp_path_factory.mktemp("outside"))
