"""Every backend that has to pass the contract of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Store
from tests.server.storage.builders import KEYS
from tests.support import postgres


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """The PostgreSQL server of this run."""
    postgres.see_installed()
    with postgres.running(postgres.of_this_run(tmp_path_factory)) as found:
        yield found


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A new store, not yet open."""
    if request.param == "postgres":
        server: postgres.Server = request.getfixturevalue("server")
        # Imported here: the driver is an extra.
        from leyr_mcp.server.storage.postgres import PostgresStore  # noqa: PLC0415

        return PostgresStore(server.url, KEYS, schema=postgres.new_schema(), node="n1")
    path = None if request.param == "memory" else tmp_path / "state" / "leyr.db"
    return SqliteStore(path, KEYS)
