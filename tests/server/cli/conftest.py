"""What the tests of the command line share."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from leyr_mcp.server import logs
from leyr_mcp.server.filing import passphrase
from tests.support.terminal_seat import Seat, clinic, seat_at


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command configures logging for its process; here the process lives on."""
    names = ("leyr_mcp", *logs._QUIET)
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in names}
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("COLUMNS", "80")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


@pytest.fixture
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a passphrase cost little to set and to try."""
    monkeypatch.setattr(passphrase, "_N", 2**4)


@pytest.fixture
def sandbox(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    _cheap_hashes: None,
) -> Seat:
    """The embedded sandbox."""
    return seat_at(tmp_path, monkeypatch, capsys)


@pytest.fixture
async def seat(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    _cheap_hashes: None,
) -> AsyncIterator[Seat]:
    """A clinic whose record is reached over a socket."""
    async with clinic(tmp_path, monkeypatch, capsys) as seat:
        yield seat
