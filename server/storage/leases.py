"""Drafts as the worker sees them: claimed, leased, looked after, and taken over from the dead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from leyr_mcp.server.storage.ledger import Ledger, get, record_of
from leyr_mcp.server.storage.rows import Work, micros, moment, sql
from leyr_mcp.server.storage.store import AuditEntry, Draft, State

# While one filing of this content is on its way or in doubt, its twin waits.
_FREE = (
    " NOT EXISTS (SELECT 1 FROM drafts o WHERE o.patient_key = d.patient_key AND o.kind = d.kind"
    " AND o.digest = d.digest AND o.id <> d.id AND o.state IN ('sending', 'accepted', 'unknown'))"
)
_CLAIMABLE = (
    "SELECT d.id, d.version, d.digest, d.approval_id FROM drafts d"  # noqa: S608 - constants alone
    " WHERE d.state = 'approved' AND (d.next_at IS NULL OR d.next_at <= ?)"
    " AND (d.lease_owner IS NULL OR d.lease_owner = ? OR d.lease_until <= ?)"
    " AND d.id = COALESCE(?, d.id) AND" + _FREE + " ORDER BY d.updated_at, d.created_at, d.id"
    " LIMIT 1"
)
_NEXT = (
    "SELECT MIN(CASE WHEN d.lease_owner IS NOT NULL THEN d.lease_until"  # noqa: S608 - as above
    " ELSE COALESCE(d.next_at, d.updated_at) END) FROM drafts d"
    " WHERE d.state IN ('sending', 'accepted', 'unknown')"
    " OR (d.state = 'approved' AND COALESCE(d.lease_until, d.next_at) IS NOT NULL AND" + _FREE + ")"
)


class Lease(NamedTuple):
    """Whose a draft is, and for how long."""

    owner: str
    until: datetime


def claimable(owner: str, now: datetime, named: str | None) -> Work[bool]:
    """Return whether a claim would find something; asked first, it spares the write lock."""
    rows = yield sql(_CLAIMABLE, micros(now), owner, micros(now), named)
    return bool(rows)


def claim(
    led: Ledger, lease: Lease, named: str | None, now: datetime, entry: AuditEntry
) -> Work[Draft | None]:
    """Move the draft that was approved first, or the one named, to `sending`, and all with it."""
    at = micros(now)
    while rows := (yield sql(_CLAIMABLE, at, lease.owner, at, named)):
        draft_id, version, digest, approval_id = rows[0]
        spent = yield sql(
            "UPDATE approvals SET used_at = ? WHERE id = ? AND draft_id = ? AND version = ?"
            " AND digest = ? AND used_at IS NULL AND expires_at > ? RETURNING id",
            at,
            approval_id,
            draft_id,
            version,
            digest,
            at,
        )
        if spent:
            yield sql(
                "UPDATE drafts SET state = 'sending', attempt = attempt + 1,"
                " first_sent_at = COALESCE(first_sent_at, ?), last_sent_at = ?, updated_at = ?,"
                " lease_owner = ?, lease_until = ?, next_at = NULL, looked = 0, reason = NULL,"
                " told = NULL"
                " WHERE id = ?",
                at,
                at,
                at,
                lease.owner,
                micros(lease.until),
                draft_id,
            )
            return (yield from record_of(led, entry, draft_id, now))
        yield sql(
            "UPDATE drafts SET state = 'awaiting_approval', approval_id = NULL, next_at = NULL,"
            " lease_owner = NULL, lease_until = NULL, updated_at = ? WHERE id = ?",
            at,
            draft_id,
        )
    return None


def due(states: Sequence[State], now: datetime) -> Work[str | None]:
    """Return the draft whose look-up has been due for longest and which nobody holds."""
    at = micros(now)
    rows = yield sql(
        "SELECT id FROM drafts WHERE state IN ?"
        " AND (next_at IS NULL OR next_at <= ?) AND (lease_owner IS NULL OR lease_until <= ?)"
        " ORDER BY COALESCE(next_at, 0), updated_at, created_at, id LIMIT 1",
        tuple(states),
        at,
        at,
    )
    return rows[0][0] if rows else None


def take_due(
    led: Ledger, lease: Lease, states: Sequence[State], now: datetime
) -> Work[Draft | None]:
    """Lease that draft."""
    draft_id = yield from due(states, now)
    if draft_id is None:
        return None
    yield sql(
        "UPDATE drafts SET lease_owner = ?, lease_until = ? WHERE id = ?",
        lease.owner,
        micros(lease.until),
        draft_id,
    )
    return (yield from get(led, draft_id))


def orphaned(now: datetime) -> Work[bool]:
    """Return whether a lease on a draft being sent has run out."""
    rows = yield sql(
        "SELECT 1 FROM drafts WHERE state = 'sending' AND lease_until <= ? LIMIT 1",
        micros(now),
    )
    return bool(rows)


def expire_leases(now: datetime) -> Work[int]:
    """Move those to `unknown`, to be looked for at once; count them."""
    at = micros(now)
    rows = yield sql(
        "UPDATE drafts SET state = 'unknown', lease_owner = NULL, lease_until = NULL,"
        " next_at = ?, looked = 0, updated_at = ?"
        " WHERE state = 'sending' AND lease_until <= ? RETURNING id",
        at,
        at,
        at,
    )
    return len(rows)


def notice(event_id: str, jobs: Sequence[str], now: datetime) -> Work[bool]:
    """Store that an event came, and have what may have waited for it looked after at once."""
    at = micros(now)
    new = yield sql(
        "INSERT INTO events (id, came_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING RETURNING id",
        event_id,
        at,
    )
    if not new:
        return False
    yield sql(
        "UPDATE drafts SET next_at = ? WHERE state = 'unknown'"
        " OR (state = 'accepted' AND job_id IN ?)",
        at,
        tuple(jobs) or ("",),
    )
    return True


def next_due() -> Work[datetime | None]:
    """Return when something must be done though nobody calls; what waits for its twin does not."""
    rows = yield sql(_NEXT)
    found: int | None = rows[0][0]
    return None if found is None else moment(found)
