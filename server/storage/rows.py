"""Rows of the ledger: which columns there are and what becomes of them.

Transactions here are generators: they yield statements and receive rows, and know no driver. So
SQLite runs them in its thread, and another engine can run the very same ones its own way.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from leyr_mcp.server.storage.seal import Sealer
from leyr_mcp.server.storage.store import Approval, Draft

T = TypeVar("T")
Value: TypeAlias = str | int | bytes | None
Row: TypeAlias = tuple[Any, ...]
Statement: TypeAlias = tuple[str, tuple[Value, ...]]
Work: TypeAlias = Generator[Statement, list[Row], T]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_COLUMNS = (
    "id, version, kind, state, principal, care_unit_id, patient_key, digest, created_at,"
    " updated_at, approval_id, attempt, first_sent_at, last_sent_at, lease_owner, lease_until,"
    " next_at, looked, job_id, remote_id, matched_by, verified, reason, told"
)
_NAMES = tuple(_COLUMNS.split(", "))
_TIMES = frozenset(name for name in _NAMES if name.endswith(("_at", "_until")))
_SEALED = frozenset({"remote_id", "reason", "told"})
# The text stands in `versions` alone; a draft is its row and the text of its present version.
DRAFT = (
    f"SELECT d.{', d.'.join(_NAMES)}, v.payload, v.shown"  # noqa: S608 - the columns named above
    " FROM drafts d JOIN versions v ON v.draft_id = d.id AND v.version = d.version"
)
APPROVAL = (
    "SELECT id, draft_id, version, digest, approver, channel, created_at, expires_at, used_at"
    " FROM approvals"
)


def micros(when: datetime) -> int:
    """Return an aware time as it is stored: microseconds since 1970, UTC."""
    return (when - _EPOCH) // _MICROSECOND


def moment(stored: int) -> datetime:
    """Return a stored time."""
    return _EPOCH + timedelta(microseconds=stored)


def sql(text: str, *values: Value | tuple[Value, ...]) -> Statement:
    """Return a statement; each `?` stands for a value, or for a list in brackets."""
    first, *parts = text.split("?")
    flat: list[Value] = []
    for value, part in zip(values, parts, strict=True):
        if isinstance(value, tuple):
            flat += value
            first += f"({', '.join('?' * len(value))}){part}"
        else:
            flat.append(value)
            first += f"?{part}"
    return first, tuple(flat)


def to_draft(row: Row, sealer: Sealer) -> Draft:
    """Return a row of `DRAFT` with its sealed parts opened."""
    found = dict(zip(_NAMES, row, strict=False))
    draft_id, version = row[0], row[1]
    for name in _TIMES:
        if found[name] is not None:
            found[name] = moment(found[name])
    for name in _SEALED:
        if found[name] is not None:
            # An empty one was put over another, since a move leaves what it does not name.
            text = sealer.open("ledger", found[name], "drafts", draft_id, name).decode()
            found[name] = text or None
    *_, sealed, extra = row
    place = ("versions", draft_id, version)
    shown = sealer.open("payload", extra, *place, "shown") if extra is not None else b""
    return Draft(payload=sealer.open("payload", sealed, *place), shown=shown, **found)


def to_approval(row: Row) -> Approval:
    """Return a row of `APPROVAL`."""
    first, (created, expires, used) = row[:6], row[6:]
    return Approval(
        id=first[0],
        draft_id=first[1],
        version=first[2],
        digest=first[3],
        approver=first[4],
        channel=first[5],
        created_at=moment(created),
        expires_at=moment(expires),
        used_at=None if used is None else moment(used),
    )
