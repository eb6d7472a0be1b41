"""What every test shares: a clean environment, and a word on what was not run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support import postgres

_SPARED = ("LEYR_", "COBALT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

# Run in the background, as CI may, Ctrl-C is ignored, and so it would be by all that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Measured, they take three times as long, and what they run is run by other tests too.
_UNMEASURED = (
    "tests/e2e/",
    "tests/contract/test_generated_calls.py",
    "tests/contract/test_hostile_files.py",
    "tests/contract/test_never_unapproved.py",
    "tests/server/files/test_bounds.py",
    "tests/server/files/test_mutations.py",
    "tests/server/filing/test_simulator.py",
    "tests/server/storage/test_model.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spare the long tests the cost of measuring what they cover."""
    for item in items:
        if item.nodeid.startswith(_UNMEASURED):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the settings, the home or the state of whoever runs it."""
    for name in list(os.environ):
        if name.upper().startswith(_SPARED):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud what this run left out."""
    if os.environ.get("CHECK_OUTSIDE") != "1":
        terminalreporter.write_line(
            "Not run here: the Inspector, the TypeScript client and the browser (make check)."
        )
    if postgres.programs() is None:
        terminalreporter.write_line("Not run here: the store in PostgreSQL (make check).")
    if os.environ.get("SOAK") != "1":
        terminalreporter.write_line("Not run here: the long runs (make soak).")
