"""Every backend that has to pass the contract of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Store
from tests.server.storage.builders import KEYS


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A new store, not yet open."""
    path = None if request.param == "memory" else tmp_path / "state" / "leyr.db"
    return SqliteStore(path, KEYS)
