"""Drafts as people see them: staged, revised, approved, moved, and expired in the end.

What the store itself promises, whoever asks: a draft is `sending` only by a claim and `approved`
only by an approval, a key is freed only where no write is under way, and a final state is final.
"""

from __future__ import annotations

import base64
import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from leyr_mcp.server.storage.chain import Chain
from leyr_mcp.server.storage.rows import (
    APPROVAL,
    DRAFT,
    Value,
    Work,
    micros,
    sql,
    to_approval,
    to_draft,
)
from leyr_mcp.server.storage.seal import Sealer
from leyr_mcp.server.storage.store import (
    FREED,
    OPEN,
    Approval,
    AuditEntry,
    Change,
    Draft,
    Kind,
    NewDraft,
    State,
)

REPEAT = timedelta(hours=24)  # so long an identical repeat finds the same draft
UNSENT: tuple[State, ...] = ("draft", "awaiting_file", "awaiting_approval")
_FINAL: tuple[State, ...] = ("filed", *sorted(FREED))
# A write is under way or in doubt: the key must not be freed.
_DOUBT: frozenset[State] = frozenset({"sending", "accepted", "unknown"})
# Only these make a new object each time, so only their record ids belong to one filing alone:
# two changes of one appointment share its id, and creating a patient may return one that existed.
_OWNING: frozenset[Kind] = frozenset({"note", "appointment", "document"})
_LATEST = " ORDER BY d.created_at DESC, d.id DESC LIMIT ?"
_IDS = "SELECT d.id FROM drafts d"


class Ledger(NamedTuple):
    """What the transactions need: the seals, and the chain they write to."""

    sealer: Sealer
    chain: Chain


class Text(NamedTuple):
    """What a revision puts in the place of what was there."""

    digest: str
    payload: bytes
    shown: bytes
    state: State
    dedupe: str | None = None


class Move(NamedTuple):
    """A change of state as asked for, with what must hold before it."""

    draft_id: str
    old: State
    new: State
    version: int
    owner: str | None = None
    change: Change = Change()


def get(led: Ledger, draft_id: str) -> Work[Draft | None]:
    """Return a draft."""
    rows = yield sql(DRAFT + " WHERE d.id = ?", draft_id)
    return to_draft(rows[0], led.sealer) if rows else None


def listed(
    led: Ledger,
    states: Sequence[State],
    narrow: Mapping[str, Value | tuple[Value, ...]],
    limit: int,
) -> Work[list[Draft]]:
    """Return drafts, the latest first; `narrow` gives columns the value they must have.

    Each state is cut by itself, so that an index gives the order and no row beyond is read.
    """
    values = list[Value | tuple[Value, ...]]()
    parts = list[str]()
    for state in dict.fromkeys(states) or (None,):
        where = " WHERE 1 = 1"
        if state is not None:
            where += " AND d.state = ?"
            values.append(state)
        for column, value in narrow.items():
            if value is not None:
                where += f" AND d.{column} {'IN' if isinstance(value, tuple) else '='} ?"
                values.append(value)
        part = f"part{len(parts)}"
        parts.append(f"SELECT * FROM ({_IDS}{where}{_LATEST}) {part}")  # noqa: S608 - constants
        values.append(limit)
    chosen = " UNION ALL ".join(parts)
    rows = yield sql(f"{DRAFT} WHERE d.id IN ({chosen}){_LATEST}", *values, limit)
    return [to_draft(row, led.sealer) for row in rows]


def counts() -> Work[dict[State, int]]:
    """Return how many drafts are in each state that has any."""
    rows = yield sql("SELECT state, COUNT(*) FROM drafts GROUP BY state")
    return dict(rows)


def text_of(led: Ledger, draft_id: str, version: int) -> Work[bytes | None]:
    """Return the text of one version; what was dropped is empty."""
    rows = yield sql(
        "SELECT payload FROM versions WHERE draft_id = ? AND version = ?", draft_id, version
    )
    if not rows:
        return None
    return led.sealer.open("payload", rows[0][0], "versions", draft_id, version)


def staged(led: Ledger, dedupe: str, now: datetime) -> Work[Draft | None]:
    """Return the draft that an identical repeat finds; a day later only an open one."""
    rows = yield sql(DRAFT + " WHERE d.dedupe = ?", dedupe)
    if not rows:
        return None
    draft = to_draft(rows[0], led.sealer)
    return draft if draft.state in OPEN or now - draft.updated_at < REPEAT else None


def stage(led: Ledger, new: NewDraft, now: datetime, entry: AuditEntry) -> Work[tuple[Draft, bool]]:
    """Return the draft under this key, made if there is none; the event is of a new one only.

    Raises:
        ValueError: It is staged as something that only approval or filing makes of it.
    """
    if new.state not in UNSENT:
        raise ValueError("a draft is staged unsent")
    found = yield from staged(led, new.dedupe, now)
    if found is not None:
        return found, False
    yield sql("UPDATE drafts SET dedupe = NULL WHERE dedupe = ?", new.dedupe)
    draft = Draft(
        id="d_" + base64.b32encode(secrets.token_bytes(10)).decode().lower(),
        version=1,
        kind=new.kind,
        state=new.state,
        principal=new.principal,
        care_unit_id=new.care_unit_id,
        patient_key=new.patient_key,
        digest=new.digest,
        payload=new.payload,
        shown=new.shown,
        created_at=now,
        updated_at=now,
    )
    about = (draft.kind, draft.state, draft.principal, draft.care_unit_id, draft.patient_key)
    at = micros(now)
    yield sql(
        "INSERT INTO drafts (id, version, kind, state, principal, care_unit_id, patient_key,"
        " dedupe, digest, created_at, updated_at) VALUES ?",
        (draft.id, 1, *about, new.dedupe, draft.digest, at, at),
    )
    yield from _put_text(led, draft, now)
    yield from record(led, entry, draft, now)
    return draft, True


def revise(
    led: Ledger, draft_id: str, version: int, text: Text, now: datetime, entry: AuditEntry
) -> Work[Draft | None]:
    """Make the next version of an unsent draft and void its approval; None if that cannot be.

    Raises:
        ValueError: It is revised to something that only approval or filing makes of it.
    """
    if text.state not in UNSENT:
        raise ValueError("a draft is revised unsent")
    before = yield from get(led, draft_id)
    if before is None or before.version != version or before.state not in (*UNSENT, "approved"):
        return None
    if text.dedupe is not None:
        twin = yield from staged(led, text.dedupe, now)
        if twin is not None and twin.id != draft_id:
            return None
    draft = dataclasses.replace(
        before,
        version=version + 1,
        digest=text.digest,
        payload=text.payload,
        shown=text.shown,
        state=text.state,
        updated_at=now,
        approval_id=None,
        lease_owner=None,
        lease_until=None,
        next_at=None,
        reason=None,
    )
    yield from _put_text(led, draft, now)
    yield sql(
        "UPDATE drafts SET version = ?, digest = ?, state = ?, updated_at = ?,"
        " approval_id = NULL, lease_owner = NULL, lease_until = NULL, next_at = NULL,"
        " reason = NULL WHERE id = ?",
        draft.version,
        draft.digest,
        draft.state,
        micros(now),
        draft_id,
    )
    if text.dedupe is not None:
        yield sql("UPDATE drafts SET dedupe = NULL WHERE dedupe = ?", text.dedupe)
        yield sql("UPDATE drafts SET dedupe = ? WHERE id = ?", text.dedupe, draft_id)
    yield from record(led, entry, draft, now)
    return draft


def approve(led: Ledger, given: Approval, now: datetime, entry: AuditEntry) -> Work[bool]:
    """Approve one version, if that is the one that waits and the approval is new and alive."""
    known = yield sql(APPROVAL + " WHERE id = ?", given.id)
    if known or given.expires_at <= now or given.used_at is not None:
        return False
    rows = yield sql(
        "UPDATE drafts SET state = 'approved', approval_id = ?, updated_at = ?, next_at = NULL"
        " WHERE id = ? AND state = 'awaiting_approval' AND version = ? AND digest = ?"
        " RETURNING id",
        given.id,
        micros(now),
        given.draft_id,
        given.version,
        given.digest,
    )
    if not rows:
        return False
    about = (given.id, given.draft_id, given.version, given.digest, given.approver, given.channel)
    yield sql(
        "INSERT INTO approvals (id, draft_id, version, digest, approver, channel, created_at,"
        " expires_at) VALUES ?",
        (*about, micros(given.created_at), micros(given.expires_at)),
    )
    yield from record_of(led, entry, given.draft_id, now)
    return True


def approval(approval_id: str) -> Work[Approval | None]:
    """Return an approval."""
    rows = yield sql(APPROVAL + " WHERE id = ?", approval_id)
    return to_approval(rows[0]) if rows else None


def move(led: Ledger, asked: Move, now: datetime, entry: AuditEntry | None) -> Work[bool]:
    """Compare and set; a lease ends with every move.

    Raises:
        ValueError: The move would break a promise of the store.
    """
    check_move(asked.old, asked.new)
    rows = yield sql(
        "SELECT kind, patient_key, lease_owner, approval_id FROM drafts"
        " WHERE id = ? AND state = ? AND version = ?",
        asked.draft_id,
        asked.old,
        asked.version,
    )
    if not rows or asked.owner not in {None, rows[0][2]}:
        return False
    kind, patient_key, _, approval_id = rows[0]
    sets = _sets(led, asked, now)
    if asked.change.remote_id is not None and kind in _OWNING:
        key = led.sealer.remote_key(kind, patient_key, asked.change.remote_id)
        taken = yield sql(
            "SELECT 1 FROM drafts WHERE remote_key = ? AND id <> ?", key, asked.draft_id
        )
        if taken:
            return False
        sets["remote_key"] = key
    named = ", ".join(f"{name} = ?" for name in sets)
    yield sql(
        f"UPDATE drafts SET {named} WHERE id = ?",  # noqa: S608 - names of columns from `_sets`
        *sets.values(),
        asked.draft_id,
    )
    if asked.change.unspend:
        yield sql("UPDATE approvals SET used_at = NULL WHERE id = ?", approval_id)
    if entry is not None:
        yield from record_of(led, entry, asked.draft_id, now)
    return True


def check_move(old: State, new: State) -> None:
    """Refuse what no caller may ask for.

    Raises:
        ValueError: The move would break a promise of the store.
    """
    if new == "sending":
        raise ValueError("only a claim makes a draft sending")
    if new == "approved" and old not in {"approved", "sending", "unknown"}:
        raise ValueError("only an approval makes a draft approved")
    if old in _FINAL and new != old:
        raise ValueError("a final state is final")
    if old in _DOUBT and new in FREED:
        raise ValueError("a write is under way or in doubt")


def owned_remote_ids(led: Ledger, patient_key: str, kind: Kind | None) -> Work[frozenset[str]]:
    """Return the record ids that filings of this patient already own."""
    rows = yield sql(
        "SELECT id, kind, remote_id FROM drafts WHERE patient_key = ? AND remote_key IS NOT NULL",
        patient_key,
    )
    return frozenset(
        led.sealer.open("ledger", remote_id, "drafts", draft_id, "remote_id").decode()
        for draft_id, found, remote_id in rows
        if kind in {None, found}
    )


def expire(led: Ledger, now: datetime, before: datetime) -> Work[int]:
    """Expire unsent drafts, and drop the text of all that are final; count the first."""
    limit = micros(before)
    gone = yield sql(
        "UPDATE drafts SET state = 'expired', dedupe = NULL, approval_id = NULL, next_at = NULL"
        " WHERE state IN ? AND updated_at < ? RETURNING id",
        UNSENT,
        limit,
    )
    texts = yield sql(
        "SELECT v.draft_id, v.version FROM drafts d JOIN versions v ON v.draft_id = d.id"
        " WHERE d.dropped = 0 AND d.state IN ? AND d.updated_at < ?",
        _FINAL,
        limit,
    )
    for draft_id, version in texts:
        yield sql(
            "UPDATE versions SET payload = ?, shown = NULL WHERE draft_id = ? AND version = ?",
            led.sealer.seal("payload", b"", "versions", draft_id, version),
            draft_id,
            version,
        )
    for draft_id in {row[0] for row in texts}:
        yield sql("UPDATE drafts SET dropped = 1, told = NULL WHERE id = ?", draft_id)
    yield sql("DELETE FROM events WHERE came_at < ?", limit)
    for (draft_id,) in gone:
        yield sql("UPDATE drafts SET updated_at = ? WHERE id = ?", micros(now), draft_id)
    return len(gone)


def record(led: Ledger, entry: AuditEntry, draft: Draft, now: datetime) -> Work[int]:
    """Append an event about this draft; what the caller names itself stands as given."""
    about = {
        "draft_id": draft.id,
        "kind": draft.kind,
        "version": draft.version,
        "digest": draft.digest,
        "state": draft.state,
        "attempt": draft.attempt,
        "approval_id": draft.approval_id,
    }
    known = {name: value for name, value in about.items() if value is not None}
    full = dataclasses.replace(entry, fields=known | entry.fields)
    return (yield from led.chain.append(full, now=now, patient_key=draft.patient_key))


def record_of(led: Ledger, entry: AuditEntry, draft_id: str, now: datetime) -> Work[Draft]:
    """Append an event about a draft that is there, as it is now, and return it."""
    rows = yield sql(DRAFT + " WHERE d.id = ?", draft_id)
    draft = to_draft(rows[0], led.sealer)
    yield from record(led, entry, draft, now)
    return draft


def _sets(led: Ledger, asked: Move, now: datetime) -> dict[str, Value]:
    change = asked.change
    given: dict[str, Value] = {
        "matched_by": change.matched_by,
        "verified": change.verified,
        "job_id": change.job_id,
        "next_at": None if change.next_at is None else micros(change.next_at),
        "looked": change.looked,
    }
    sealed = {"reason": change.reason, "told": change.told, "remote_id": change.remote_id}
    for name, value in sealed.items():
        if value is not None:
            place = ("drafts", asked.draft_id, name)
            given[name] = led.sealer.seal("ledger", value.encode(), *place)
    sets: dict[str, Value] = {name: value for name, value in given.items() if value is not None}
    sets |= {
        "state": asked.new,
        "updated_at": micros(now),
        "lease_owner": None,
        "lease_until": None,
    }
    if asked.new in FREED:
        sets["dedupe"] = None
    if asked.new in UNSENT:
        sets["approval_id"] = None
    if asked.new not in OPEN:
        sets.setdefault("next_at", None)
    return sets


def _put_text(led: Ledger, draft: Draft, now: datetime) -> Work[None]:
    place = ("versions", draft.id, draft.version)
    sealed = led.sealer.seal("payload", draft.payload, *place)
    shown = led.sealer.seal("payload", draft.shown, *place, "shown") if draft.shown else None
    yield sql(
        "INSERT INTO versions (draft_id, version, digest, payload, shown, created_at) VALUES ?",
        (draft.id, draft.version, draft.digest, sealed, shown, micros(now)),
    )
