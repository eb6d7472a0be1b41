"""The state of the Cobalt sandbox in SQLite: JSON documents by kind and id, and files.

A file may be shared by processes and opened again later; without one the state lives in memory.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

Kind = Literal["patient", "appointment", "note", "document", "job", "done", "event", "webhook"]
Body = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS things (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (kind, id)) STRICT;
CREATE TABLE IF NOT EXISTS files (id TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
"""
TABLES = ("files", "things", "meta")
BUSY_MS = 5000


class Store:
    """The only place here that speaks SQL."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.touch(mode=0o600)
        self._db = sqlite3.connect(
            path or ":memory:",
            isolation_level=None,
            timeout=BUSY_MS / 1000,
            check_same_thread=False,
        )
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the connection; the file keeps its data."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the writes inside happen all or not at all, alone among processes."""
        if self._db.in_transaction:  # part of the one around it
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def clear(self) -> None:
        """Forget everything; call inside a transaction."""
        for table in TABLES:
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 -- names from the tuple above

    def meta(self, key: str) -> str | None:
        """Return a stored setting of the state itself."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Store a setting of the state itself."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def next_number(self) -> int:
        """Return 1, 2, 3 … over the life of the state; call inside a transaction."""
        number = int(self.meta("counter") or 0) + 1
        self.set_meta("counter", str(number))
        return number

    def put(self, kind: Kind, thing_id: str, body: Body) -> None:
        """Store a document, new or changed; its place in the order stays."""
        self._db.execute(
            "INSERT INTO things (kind, id, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
            (kind, thing_id, json.dumps(body, ensure_ascii=False)),
        )

    def get(self, kind: Kind, thing_id: str) -> Body | None:
        """Return a document."""
        row = self._db.execute(
            "SELECT body FROM things WHERE kind = ? AND id = ?", (kind, thing_id)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def remove(self, kind: Kind, thing_id: str) -> bool:
        """Delete a document; return whether it was there."""
        found = self._db.execute("DELETE FROM things WHERE kind = ? AND id = ?", (kind, thing_id))
        return found.rowcount > 0

    def all(self, kind: Kind) -> list[Body]:
        """Return all documents of a kind in the order in which they were first stored."""
        rows = self._db.execute("SELECT body FROM things WHERE kind = ? ORDER BY seq", (kind,))
        return [json.loads(row[0]) for row in rows]

    def put_file(self, file_id: str, content: bytes) -> None:
        """Store the bytes of a document."""
        self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (file_id, content))

    def file(self, file_id: str) -> bytes | None:
        """Return them."""
        row = self._db.execute("SELECT content FROM files WHERE id = ?", (file_id,)).fetchone()
        return None if row is None else bytes(row[0])
