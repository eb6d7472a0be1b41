"""The file of a store: its owner's only, migrated, proven to fit the key; and its second place.

Everything here runs in the store's thread.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage import chain, migrations
from leyr_mcp.server.storage.connection import Connection
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.rows import Work

T = TypeVar("T")
_log = logging.getLogger("leyr_mcp.storage")
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
# A file made here is open for a moment, and closing it drops every lock that this process has taken
# on it meanwhile: that is how POSIX locks are.
_making = threading.Lock()


class Database:
    """One file, or memory, opened at most once."""

    def __init__(self, path: Path | None, keys: Keys, timeout_s: float) -> None:
        self._path = path
        self._keys = keys
        self._timeout_s = timeout_s
        self._connection: Connection | None = None

    def open(self) -> None:
        """Make the file if there is none, migrate it, and prove that the key fits.

        Raises:
            StorageError: The key is wrong, the schema is newer, or the place cannot be written.
        """
        if self._path is not None:
            prepare(self._path)
        place = ":memory:" if self._path is None else str(self._path)
        self._connection = Connection(place, self._timeout_s)
        taken = self.write(migrations.found())
        steps = migrations.missing(taken)
        if taken:  # a wrong key must not change the schema
            self.write(migrations.check_key(self._keys))
        for step in steps:
            self.write(migrations.take(step, datetime.now(UTC)))
        self.write(migrations.check_key(self._keys))

    def close(self) -> None:
        """Close what is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def read(self, work: Work[T]) -> T:
        """Run statements that only read."""
        return self._open().read(work)

    def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Run statements in one transaction."""
        return self._open().write(work, durable=durable)

    def commits(self) -> int:
        """Return a number that changes when any process commits."""
        return self._open().commits()

    def put_head(self) -> None:
        """Write the head of the audit chain to its second place; a failure is only logged.

        Nothing here holds the write lock while it waits or while Python runs, so events go on
        being stored. Processes that do this at once are told apart by the mark in the database:
        whoever finds a newer one after writing writes again, so the newest is what stays.
        """
        path, connection = self._path, self._connection
        if path is None or connection is None:
            return
        try:
            mark, marked = chain.mark_head(chain.ALONE), chain.marked_head
            connection.once(mark, durable=False)  # folds the log, if it is long
            connection.once(mark, durable=False)  # so this begins it anew, and waits
            written = None
            while (head := self.read(marked(chain.ALONE))) != written and head is not None:
                self._write_head(path, head)
                written = head
        except (StorageError, OSError):
            _log.warning("the head of the audit chain could not be written to its second place")

    def _write_head(self, path: Path, head: chain.Head) -> None:
        place = chain.head_path(path)
        before = chain.read_head(place, self._keys)
        if before is not None and not self.read(chain.holds(before, chain.ALONE)):
            # What the chain has lost since must stay provable.
            _log.error("the audit chain does not reach its recorded head; verify it")
            return
        _sync_log(path)  # no power cut may leave a head without its links
        chain.write_head(place, head, self._keys)

    def _open(self) -> Connection:
        if self._connection is None:
            raise StorageError("The local store is not open.")
        return self._connection


def _sync_log(path: Path) -> None:
    # Locks stand on the other files, so closing this one drops none.
    handle = os.open(path.with_name(f"{path.name}-wal"), os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def prepare(path: Path) -> None:
    """Make folder and file for their owner only, or see that they are.

    SQLite gives the files beside a database the modes of the database. An existing file is never
    opened here, see `_making`.

    Raises:
        StorageError: The file is a link or no file, the folder is open to others, or neither can
            be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.name == "posix" and path.parent.stat().st_mode & _OTHERS_WRITE:
            raise StorageError(
                "Others can write to the folder of the local store; make it its owner's only."
            )
        with _making:
            if path.is_symlink():
                raise StorageError("The local store must not be a symbolic link.")
            if not path.exists():
                _make(path)
        _see(path)
    except OSError as exc:
        raise StorageError("The local store cannot be made or opened.") from exc


def _make(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return  # another process was first


def _see(path: Path) -> None:
    for place in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            raise StorageError("The local store is not a regular file.")
        if os.name == "posix" and mode & _OTHERS:
            place.chmod(0o600)
