"""One SQLite connection: how it is set up, and how transactions run on it."""

from __future__ import annotations

import sqlite3
import time
from typing import TypeVar

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.rows import Row, Statement, Work

T = TypeVar("T")
_OLDEST = (3, 35, 0)  # the first with RETURNING
_BUSY, _FULL, _CORRUPT, _NOTADB = 5, 13, 11, 26
_SENTENCES = {
    _BUSY: "The local store is locked by another process; nothing was stored.",
    _FULL: "The disk is full; nothing was stored.",
    _CORRUPT: "The local store is damaged.",
    _NOTADB: "The local store's file is not a database.",
}
_PAUSE_S = 0.01


class BusyError(StorageError):
    """Another connection is writing at this moment."""


def storage_error(exc: sqlite3.Error) -> StorageError:
    """Return what the caller is told; the text of the exception is not repeated."""
    reason = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    code = "storage_full" if reason == _FULL else None
    kind = BusyError if reason == _BUSY else StorageError
    return kind(_SENTENCES.get(reason, "The local store cannot be read or written."), code=code)


class Connection:
    """A connection in autocommit mode whose transactions are all explicit; one thread only."""

    def __init__(self, place: str, timeout_s: float, *, waits: bool = True) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StorageError("SQLite 3.35 or newer is needed.")
        self._timeout_s = timeout_s
        self._commits = 0
        self._seen = -1
        self._durable = True
        self._waits = waits
        try:
            self._db = sqlite3.connect(place, timeout=timeout_s, isolation_level=None)
        except sqlite3.Error as exc:
            raise storage_error(exc) from exc
        try:
            self._set_up(":memory:" if place == ":memory:" else "wal")
        except BaseException:
            self._db.close()
            raise

    def _set_up(self, journal: str) -> None:
        try:
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA trusted_schema = OFF")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA temp_store = MEMORY")
            if journal == "wal":
                self._use_wal()
            self._db.execute("PRAGMA synchronous = FULL")
            if not self._waits:  # neither for a lock, once open, nor for the disk
                self._db.execute("PRAGMA busy_timeout = 0")
                self._db.execute("PRAGMA wal_autocheckpoint = 0")
        except sqlite3.Error as exc:
            raise storage_error(exc) from exc

    def _use_wal(self) -> None:
        # The switch does not always wait for a lock, so two first starts would clash.
        until = time.monotonic() + self._timeout_s
        while True:
            try:
                mode = self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF != _BUSY or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_S)
        if mode != "wal":
            raise StorageError("The local store needs a local disk; this one cannot share memory.")

    def read(self, work: Work[T]) -> T:
        """Run statements that only read, each by itself.

        Raises:
            StorageError: The database cannot be read.
        """
        try:
            return self._drive(work)
        except sqlite3.Error as exc:
            raise storage_error(exc) from exc

    def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Run the statements in one transaction; any exception leaves nothing of it.

        Not durable, a commit survives the end of the process but not a power cut. That is switched
        by a pragma: a second connection would hold a second cache and read back what the first
        wrote. The next durable commit makes those before it durable, since they share one log.

        Raises:
            StorageError: Nothing was stored.
        """
        try:
            self._sync_as(durable=durable)
            value = self._locked(work)
        except sqlite3.Error as exc:
            raise storage_error(exc) from exc
        self._commits += 1
        return value

    def once(self, statement: Statement, *, durable: bool) -> int:
        """Run one statement, a transaction by itself, and return how many rows it wrote.

        It is the cheapest one, and the lock is held only while SQLite runs.

        Raises:
            StorageError: Nothing was stored.
        """
        try:
            self._sync_as(durable=durable)
            wrote = self._db.execute(*statement).rowcount
        except sqlite3.Error as exc:
            raise storage_error(exc) from exc
        self._commits += 1
        return wrote

    def _sync_as(self, *, durable: bool) -> None:
        if durable is not self._durable:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def _locked(self, work: Work[T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            value = self._drive(work)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite may have rolled back by itself
                self._db.execute("ROLLBACK")
            raise
        return value

    def _drive(self, work: Work[T]) -> T:
        execute = self._db.execute
        try:
            statement = next(work)
            while True:
                rows: list[Row] = execute(*statement).fetchall()
                statement = work.send(rows)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def commits(self) -> int:
        """Return a number that grows when this or any other connection commits."""
        try:
            seen = self._db.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as exc:
            raise storage_error(exc) from exc
        if seen != self._seen:
            self._seen = seen
            self._commits += 1
        return self._commits

    def close(self) -> None:
        """Close; the last one to do so folds the log into the database."""
        self._db.close()
