"""What each failure of the database is taken for: run again, or a sentence without a quotation."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.postgres_errors import is_lost, is_taken_back, storage_error
from tests.server.storage.builders import NOW, READ, approved, claimed, links, opened, staged
from tests.server.storage.conftest import Admin, Node

_LOST = "The connection to the database was lost; what was under way is stored whole or not at all."


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (asyncpg.AdminShutdownError("canary"), _LOST),
        (asyncpg.CrashShutdownError("canary"), _LOST),
        (asyncpg.CannotConnectNowError("canary"), _LOST),
        (asyncpg.ConnectionDoesNotExistError("canary"), _LOST),
        (asyncpg.IdleInTransactionSessionTimeoutError("canary"), _LOST),
        (asyncpg.InterfaceError("canary"), _LOST),
        (asyncpg.InternalClientError("canary"), _LOST),
        (ConnectionResetError("canary"), _LOST),
        (TimeoutError("canary"), _LOST),
        (asyncpg.DataError("canary"), "The database cannot be read or written."),
        (
            asyncpg.exceptions.DiskFullError("canary"),
            "The disk of the database is full; nothing was stored.",
        ),
        (asyncpg.TooManyConnectionsError("canary"), "The database takes no more connections."),
        (
            asyncpg.ReadOnlySQLTransactionError("canary"),
            "The database can only be read: it is a copy, or was made so.",
        ),
        (
            asyncpg.InsufficientPrivilegeError("canary"),
            "The database does not let the user of LEYR_MCP_DATABASE_URL do what is needed.",
        ),
        (
            asyncpg.QueryCanceledError("canary"),
            "The database is locked or too slow; nothing was stored.",
        ),
        (asyncpg.UndefinedTableError("canary"), "The database cannot be read or written."),
        (asyncpg.PostgresError("canary"), "The database cannot be read or written."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_failure_has_its_sentence(failure: Exception, says: str) -> None:
    told = storage_error(failure)
    assert told.message == says
    assert is_lost(failure) == (says == _LOST)
    assert told.code == ("storage_full" if "disk" in says else "audit_unavailable")
    assert not is_taken_back(failure)


def failing(monkeypatch: pytest.MonkeyPatch, failure: Exception, times: int) -> list[str]:
    """Have so many commits fail, and return the transactions that were begun."""
    execute = asyncpg.Connection.execute
    begun = list[str]()

    async def run(connection: Any, text: str, *values: Any, **more: Any) -> Any:
        if text.startswith("BEGIN"):
            begun.append(text)
        if text.endswith("COMMIT") and len(begun) <= times:
            raise failure
        return await execute(connection, text, *values, **more)

    monkeypatch.setattr(asyncpg.Connection, "execute", run)
    return begun


@pytest.mark.parametrize(
    "failure", [asyncpg.SerializationError("x"), asyncpg.DeadlockDetectedError("x")]
)
async def test_what_was_taken_back_is_run_again_but_not_for_ever(
    failure: Exception, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(node()) as store:
        with monkeypatch.context() as patch:
            begun = failing(patch, failure, times=3)
            draft = await staged(store)
            assert len(begun) == 4
        assert [found.id for found in await store.drafts()] == [draft.id]
        with monkeypatch.context() as patch:
            begun = failing(patch, failure, times=99)
            with pytest.raises(StorageError):
                await staged(store, dedupe="b")
            assert len(begun) == 6
        assert len(await store.drafts()) == 1
        assert await links(store) == 1


async def test_what_somebody_migrated_meanwhile_is_asked_anew(node: Node, admin: Admin) -> None:
    async with opened(node()) as store:
        await approved(store)
        await approved(store, dedupe="b", digest="b")
        assert await claimed(store)
        await admin.execute("ALTER TABLE drafts ALTER COLUMN kind TYPE VARCHAR(40)")
        await admin.execute("ALTER TABLE drafts ALTER COLUMN attempt TYPE BIGINT")
        sent = await claimed(store)
        assert sent is not None
        assert sent.attempt == 1
        assert await links(store) == 6


async def test_an_event_that_the_database_refuses_is_not_counted(node: Node, admin: Admin) -> None:
    async with opened(node()) as store:
        assert await store.append(READ, now=NOW, durable=False) == 1
        await admin.execute("ALTER TABLE audit ADD CONSTRAINT no_more CHECK (seq < 2)")
        with pytest.raises(StorageError, match=r"^The database cannot be read or written\.$"):
            await store.append(READ, now=NOW, durable=False)
        await admin.execute("ALTER TABLE audit DROP CONSTRAINT no_more")
        assert await store.append(READ, now=NOW, durable=False) == 2
        assert await links(store) == 2
