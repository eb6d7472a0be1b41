"""Every backend that has to pass the contract of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from leyr_mcp.server.storage.postgres import PostgresStore
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Store
from tests.server.storage.builders import KEYS
from tests.support import postgres

Node: TypeAlias = Callable[..., PostgresStore]
Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def node(server: postgres.Server) -> Node:
    """Make stores of one schema, each as a node of that name."""
    schema = postgres.new_schema()

    def make(name: str = "n1", **more: Any) -> PostgresStore:
        given: dict[str, Any] = {"keys": KEYS, "schema": schema, "node": name} | more
        return PostgresStore(server.url, **given)

    return make


@pytest.fixture
async def admin(server: postgres.Server, node: Node) -> AsyncIterator[Admin]:
    """A connection of the tests' own to the same schema."""
    found = await asyncpg.connect(server.url, server_settings={"search_path": node()._schema})
    yield found
    await found.close()


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A new store, not yet open."""
    if request.param == "postgres":
        server: postgres.Server = request.getfixturevalue("server")
        return PostgresStore(server.url, KEYS, schema=postgres.new_schema(), node="n1")
    path = None if request.param == "memory" else tmp_path / "state" / "leyr.db"
    return SqliteStore(path, KEYS)
