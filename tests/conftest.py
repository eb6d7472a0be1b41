"""What every test shares: a clean environment, and a word on what was not run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SPARED = ("LEYR_", "COBALT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


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
    if os.environ.get("SOAK") != "1":
        terminalreporter.write_line("Not run here: the long runs (make soak).")
