"""The file and its folder: owner-only, no links, and what happens when it cannot be used."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.connection import Connection
from leyr_mcp.server.storage.database import prepare
from leyr_mcp.server.storage.rows import Work, sql
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import AuditEntry
from tests.server.storage.builders import (
    DRAFTED,
    INTENT,
    KEYS,
    MINUTE,
    NOW,
    READ,
    approved,
    claimed,
    events,
    known,
    new,
    opened,
    staged,
    unbroken,
)

PROJECT = Path(__file__).parents[3]
posix = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


# Fills a store, where a limit stands for the end of the disk.
FILL = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import AuditEntry
from tests.server.storage.builders import KEYS, opened, staged

async def main():
    async with opened(SqliteStore(Path(sys.argv[1]), KEYS)) as store:
        await staged(store)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        done = 1
        try:
            while done < 1000:
                await staged(store, dedupe=str(done), payload=os.urandom(10_000))
                done += 1
        except StorageError:
            print(done, len(await store.drafts(limit=1000)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

asyncio.run(main())
"""


async def said(program: str, path: Path) -> str:
    """Return what a program prints that is given a path."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        str(path),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )
    told, _ = await child.communicate()
    assert child.returncode == 0
    return told.decode()


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def on_connection(store: SqliteStore, job: Callable[[sqlite3.Connection], Any]) -> Any:
    """Do this in the store's thread."""
    database = store._database._connection
    assert database is not None
    assert store._worker is not None
    return await store._worker.run(lambda: job(database._db))


@posix
async def test_every_file_is_its_owners_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "state"
    store = SqliteStore(folder / "leyr.db", KEYS)
    before = os.umask(0)
    try:
        async with opened(store):
            for _ in range(100):
                await store.append(READ, now=NOW, durable=False)
            await store.drafts()
            found = modes(folder)
    finally:
        os.umask(before)
    assert set(found) == {"leyr.db", "leyr.db-wal", "leyr.db-shm", "leyr.db.head"}
    assert set(found.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes(folder) == {"leyr.db": 0o600, "leyr.db.head": 0o600}


@posix
async def test_files_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)):
        path.chmod(0o644)
        wal = tmp_path / "leyr.db-wal"
        wal.chmod(0o666)
        async with opened(SqliteStore(path, KEYS)):
            assert set(modes(tmp_path).values()) == {0o600}


@posix
async def test_a_folder_in_which_others_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StorageError, match="Others can write to the folder"):
        await SqliteStore(folder / "leyr.db", KEYS).open()
    assert modes(folder) == {}


@posix
def test_links_and_folders_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    for target in (tmp_path / "real.db", tmp_path / "nowhere"):
        path.symlink_to(target)
        with pytest.raises(StorageError, match="symbolic link"):
            prepare(path)
        path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match="not a regular file"):
        prepare(path)


def test_a_file_made_meanwhile_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "leyr.db"
    path.touch(mode=0o600)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    prepare(path)
    assert path.read_bytes() == b""


async def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "leyr.db", tmp_path / ("n" * 300)):
        store = SqliteStore(path, KEYS)
        with pytest.raises(StorageError, match="cannot be made") as caught:
            await store.open()
        assert caught.value.code == "audit_unavailable"
        with pytest.raises(StorageError, match="not open"):
            await store.append(READ, now=NOW, durable=True)
        await store.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    path.write_bytes(b"canary " * 1000)
    with pytest.raises(StorageError, match="not a database") as caught:
        await SqliteStore(path, KEYS).open()
    assert "canary" not in str(caught.value)
    assert path.read_bytes() == b"canary " * 1000


async def test_a_full_disk_stores_nothing_and_loses_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    async with opened(store):
        draft = await approved(store)
        before = await events(store)

        def limit(raw: sqlite3.Connection) -> int:
            pages: int = raw.execute("PRAGMA page_count").fetchone()[0]
            raw.execute(f"PRAGMA max_page_count = {pages}")
            return pages

        await on_connection(store, limit)
        with pytest.raises(StorageError) as caught:
            await store.stage(new(dedupe="b", payload=os.urandom(100_000)), now=NOW, audit=DRAFTED)
        assert caught.value.code == "storage_full"
        assert await events(store) == before
        assert await store.drafts() == [draft]
        await on_connection(store, lambda raw: raw.execute("PRAGMA max_page_count = 100000"))
        assert await claimed(store) is not None
        unbroken(await store.audit_rows())


async def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    async with opened(store):
        draft = await approved(store)
        await on_connection(store, lambda raw: raw.execute("PRAGMA query_only = ON"))
        with pytest.raises(StorageError) as caught:
            await claimed(store)
        assert caught.value.code == "audit_unavailable"
        assert await known(store, draft.id) == draft
        await on_connection(store, lambda raw: raw.execute("PRAGMA query_only = OFF"))
        assert await claimed(store) is not None


async def test_a_store_that_is_locked_waits_and_then_says_so(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    store = SqliteStore(path, KEYS, timeout_s=0.05)
    async with opened(store):
        draft = await staged(store)
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked by another process") as caught:
            await store.append(READ, now=NOW, durable=True)
        assert caught.value.code == "audit_unavailable"
        assert await known(store, draft.id) == draft  # reading goes on
        assert await claimed(store) is None
        raw.execute("ROLLBACK")
        raw.close()
        assert await store.append(READ, now=NOW, durable=True) == 2


async def test_an_event_that_meets_a_lock_waits_elsewhere(tmp_path: Path) -> None:
    """On the event loop's thread nothing waits; the store's own thread does."""
    path = tmp_path / "leyr.db"
    store = SqliteStore(path, KEYS, timeout_s=5)
    async with opened(store):
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.append(READ, now=NOW, durable=False))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        raw.execute("COMMIT")
        raw.close()
        assert await waiting == 1
        assert await store.append(READ, now=NOW, durable=False) == 2
        assert unbroken(await store.audit_rows()) == 2


async def test_events_alone_do_not_let_the_log_grow(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        large = AuditEntry(event="read", action="R", outcome=0, fields={"x": "x" * 20_000})
        for number in range(800):
            await store.append(large, now=NOW, durable=False)
            if number % 100 == 0:
                await store.commits()  # lets the store's thread do what it was given
        assert (tmp_path / "leyr.db-wal").stat().st_size < 9_000_000 < path.stat().st_size
        assert unbroken(await store.audit_rows()) == 800


async def test_a_damaged_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        for number in range(50):
            await staged(store, dedupe=str(number), payload=os.urandom(4000))
    content = bytearray(path.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(bytes(content))

    async def read() -> None:
        async with opened(SqliteStore(path, KEYS)) as store:
            await store.drafts()
            await store.audit_rows()

    with pytest.raises(StorageError, match="damaged"):
        await read()


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
async def test_only_what_may_be_lost_is_not_synced(
    tmp_path: Path, *, durable: bool, level: int
) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)

    async def setting(name: str) -> Any:
        return await on_connection(store, lambda raw: raw.execute(f"PRAGMA {name}").fetchone()[0])

    async with opened(store):
        await store.append(READ, now=NOW, durable=durable)
        await approved(store)
        assert await setting("synchronous") == 2
        await store.append(READ, now=NOW, durable=durable)
        if store._beside is not None and not durable:
            found = store._beside._db.execute("PRAGMA synchronous").fetchone()
            assert found == (level,)
        assert await setting("synchronous") == 2
        assert await setting("journal_mode") == "wal"
        assert await setting("foreign_keys") == await setting("secure_delete") == 1


async def test_a_second_store_of_this_process_keeps_the_first_ones_locks(tmp_path: Path) -> None:
    """Closing a handle on the file would drop them, and its log could be folded under it."""
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        draft = await staged(store)
        async with opened(SqliteStore(path, KEYS)):
            pass
        program = (
            "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM drafts')"
        )
        await said(program, path)
        assert (tmp_path / "leyr.db-wal").exists()
        assert await known(store, draft.id) == draft
        assert await store.append(INTENT, now=NOW, durable=True)


class Odd(sqlite3.Connection):
    """A connection whose switch to a shared log ends as told; afterwards it is an ordinary one."""

    ends: ClassVar[list[str | int]] = []

    def execute(self, text: str, *more: Any) -> sqlite3.Cursor:
        if "journal_mode" in text and self.ends:
            end = self.ends.pop(0)
            if isinstance(end, str):
                return super().execute("SELECT ?", (end,))
            failure = sqlite3.OperationalError("as told")
            failure.sqlite_errorcode = end
            raise failure
        return super().execute(text, *more)


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> list[str | int]:
    """What the next connections of this test meet."""
    monkeypatch.setattr(Odd, "ends", [])
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, factory=Odd, **k))
    return Odd.ends


def test_the_log_is_switched_when_the_lock_is_gone(tmp_path: Path, odd: list[str | int]) -> None:
    odd += [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY]
    Connection(str(tmp_path / "leyr.db"), timeout_s=5).close()
    assert odd == []


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (sqlite3.SQLITE_BUSY, "locked by another"),
        (sqlite3.SQLITE_IOERR, "cannot be read or written"),
        ("delete", "local disk"),
    ],
)
def test_a_log_that_cannot_be_shared_is_refused(
    tmp_path: Path, odd: list[str | int], end: str | int, told: str
) -> None:
    odd += [end] * 100
    with pytest.raises(StorageError, match=told):
        Connection(str(tmp_path / "leyr.db"), timeout_s=0.02)


def test_a_connection_says_in_its_own_words_what_failed(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read or written"):
        Connection(str(tmp_path), timeout_s=0.1)
    first, second = (Connection(str(tmp_path / "leyr.db"), timeout_s=0.01) for _ in range(2))

    def both() -> Work[int]:
        yield sql("CREATE TABLE a (b)")
        return second.once(sql("CREATE TABLE c (d)"), durable=False)

    with pytest.raises(StorageError, match="locked"):
        first.write(both())
    first.close()
    second.close()


def test_an_old_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StorageError, match=r"3\.35"):
        Connection(":memory:", timeout_s=0.1)


async def test_a_failure_while_counting_commits_is_one_of_storage(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    async with opened(store):
        database = store._database._connection
        assert database is not None
        await on_connection(store, lambda raw: raw.close())
        for call in (store.commits, store.drafts):
            with pytest.raises(StorageError):
                await call()
        with pytest.raises(StorageError):
            await staged(store)


@posix
async def test_a_limit_on_the_file_stores_nothing_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    done, seen = map(int, (await said(FILL, path)).split())
    assert 1 < done == seen < 100
    async with opened(SqliteStore(path, KEYS)) as store:
        assert len(await store.drafts(limit=1000)) == done
        assert unbroken(await store.audit_rows()) == done
        assert await store.next_due() is None
        lease = NOW + MINUTE
        assert await store.claim("w", now=NOW, lease_until=lease, audit=INTENT) is None
