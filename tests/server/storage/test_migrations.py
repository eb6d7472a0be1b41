"""The schema's steps: from nothing, from the oldest, interrupted, twice, from a newer program."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage import migrations
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.migrations import MIGRATIONS, Migration
from leyr_mcp.server.storage.sqlite import SqliteStore
from tests.server.storage.builders import KEYS, NOW, TEXT, known, opened, staged

OLDEST = Path(__file__).with_name("version_1.sql")


def schema(path: Path) -> list[tuple[str, str]]:
    """Return what is defined in this file, spaces aside."""
    with sqlite3.connect(path) as raw:
        rows = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1")
        found = [(name, " ".join(sql.split())) for name, sql in rows]
    raw.close()
    return found


def run(path: Path, script: str) -> None:
    raw = sqlite3.connect(path)
    raw.executescript(script)
    raw.close()


async def test_the_numbers_are_in_order_and_the_tables_are_there(tmp_path: Path) -> None:
    assert [step.number for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)):
        pass
    tables = {name for name, sql in schema(path) if sql.startswith("CREATE TABLE")}
    assert tables == {
        "approvals",
        "audit",
        "audit_head",
        "drafts",
        "events",
        "key_check",
        "migrations",
        "pieces",
        "versions",
    }


async def test_the_oldest_store_becomes_what_a_new_one_is(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.db", tmp_path / "new.db"
    run(old, OLDEST.read_text(encoding="utf-8"))
    for path in (old, fresh):
        async with opened(SqliteStore(path, KEYS)) as store:
            draft = await staged(store)
            assert (await known(store, draft.id)).payload == TEXT
    assert schema(old) == schema(fresh)


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    store = SqliteStore(path, KEYS)
    async with opened(store):
        await store.open()  # a second time while open
        draft = await staged(store)
    before = schema(path)
    async with opened(store):
        assert await known(store, draft.id) == draft
    assert schema(path) == before


async def test_first_starts_at_once_agree(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "leyr.db", KEYS) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    drafts = await asyncio.gather(*(staged(store) for store in stores))
    assert len({draft.id for draft in drafts}) == 1
    for store in stores:
        await store.close()


async def test_an_interrupted_step_leaves_the_schema_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        draft = await staged(store)
    before = schema(path)
    good = "ALTER TABLE drafts ADD COLUMN colour TEXT"
    number = MIGRATIONS[-1].number + 1
    for statements in ((good, "CREATE NONSENSE"), (good,)):
        step = Migration(number, "colour", statements)
        monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, step))
        if len(statements) > 1:
            with pytest.raises(StorageError):
                await SqliteStore(path, KEYS).open()
            assert schema(path) == before
    async with opened(SqliteStore(path, KEYS)) as store:
        assert await known(store, draft.id) == draft
    assert "colour" in dict(schema(path))["drafts"]


async def test_a_step_that_another_process_took_is_not_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    store = SqliteStore(path, KEYS)
    async with opened(store):
        assert store._worker is not None
        again = migrations.take(MIGRATIONS[0], NOW)
        assert not await store._worker.run(lambda: store._database.write(again))


async def test_a_newer_store_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)):
        pass
    run(path, "INSERT INTO migrations VALUES (999, 'later', 0)")
    with pytest.raises(StorageError, match=r"^[^.]*newer leyr-mcp; update this one\.$"):
        await SqliteStore(path, KEYS).open()


async def test_another_key_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        draft = await staged(store)
    wrong = SqliteStore(path, Keys(bytes(32)))
    with pytest.raises(StorageError, match=r"^The data key is not the one [^.]*\.$"):
        await wrong.open()
    with pytest.raises(StorageError, match="not open"):
        await wrong.drafts()
    async with opened(SqliteStore(path, KEYS)) as store:
        assert await known(store, draft.id) == draft


async def test_a_wrong_key_does_not_change_the_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)):
        pass
    before = schema(path)
    step = Migration(MIGRATIONS[-1].number + 1, "more", ("CREATE TABLE more (id TEXT)",))
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, step))
    with pytest.raises(StorageError, match="data key"):
        await SqliteStore(path, Keys(bytes(32))).open()
    assert schema(path) == before
