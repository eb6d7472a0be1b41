"""Sealed files that nodes share, in pieces as they came; a file is there once its last one is.

What they hold is none of the store's business: whoever sealed them proves them when they are read.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from leyr_mcp.server.storage.rows import Work, micros, sql
from leyr_mcp.server.storage.store import Piece


def put(name: str, number: int, piece: Piece, now: datetime) -> Work[None]:
    """Add a piece to a file."""
    row = (name, number, int(piece.last), piece.sealed, micros(now))
    yield sql("INSERT INTO pieces VALUES ?", row)


def get(name: str, number: int) -> Work[Piece | None]:
    """Return a piece of a file."""
    rows = yield sql("SELECT sealed, last FROM pieces WHERE name = ? AND number = ?", name, number)
    return Piece(rows[0][0], bool(rows[0][1])) if rows else None


def has(name: str) -> Work[bool]:
    """Return whether a file is there, with its last piece."""
    rows = yield sql("SELECT 1 FROM pieces WHERE name = ? AND last = 1", name)
    return bool(rows)


def count() -> Work[int]:
    """Return how many files there are, those that still come included."""
    rows = yield sql("SELECT COUNT(*) FROM pieces WHERE number = 0")
    return int(rows[0][0])


def drop(name: str) -> Work[None]:
    """Delete a file."""
    yield sql("DELETE FROM pieces WHERE name = ?", name)


def sweep(awaited: Collection[str], before: datetime, alone_before: datetime) -> Work[int]:
    """Delete what came before the first time, and before the second what nothing waits for."""
    old = yield sql(
        "SELECT name, came_at FROM pieces WHERE number = 0 AND came_at <= ?", micros(alone_before)
    )
    names = [name for name, came in old if came <= micros(before) or name not in awaited]
    for name in names:
        yield sql("DELETE FROM pieces WHERE name = ?", name)
    return len(names)
