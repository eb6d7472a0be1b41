"""Drafts, approvals and events for tests of the store; every person and number is made up."""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.store import (
    Approval,
    AuditEntry,
    AuditRow,
    Draft,
    NewDraft,
    State,
    Store,
)

NOW = datetime(2026, 3, 2, 9, 30, 15, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PATIENT = "se_personal_number:198001022386"
TEXT = b'{"content": "canary finding in the left knee"}'
KEYS = Keys(bytes(range(32)))
READ = AuditEntry(event="read", action="R", outcome=0, fields={"tool": "find_patient"})
INTENT = AuditEntry(event="file", action="C", outcome=0, fields={"phase": "intent"})
DONE = AuditEntry(event="file", action="C", outcome=0, fields={"phase": "outcome"})
DRAFTED = AuditEntry(
    event="draft", action="C", outcome=0, fields={"user": "local"}, patient=PATIENT
)


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """Open a store and close it, whatever happens."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def new(**changes: Any) -> NewDraft:
    """Return a note to stage."""
    draft = NewDraft(
        kind="note",
        state="awaiting_approval",
        principal="local",
        care_unit_id="L0_1",
        patient_key="patient-a",
        dedupe="key-a",
        digest="digest-a",
        payload=TEXT,
    )
    return dataclasses.replace(draft, **changes)


def yes(draft: Draft, *, at: datetime = NOW, **changes: Any) -> Approval:
    """Return an approval of this version."""
    approval = Approval(
        id=f"a_{draft.id}_{draft.version}",
        draft_id=draft.id,
        version=draft.version,
        digest=draft.digest,
        approver="dr-berg",
        channel="page",
        created_at=at,
        expires_at=at + DAY,
    )
    return dataclasses.replace(approval, **changes)


async def staged(store: Store, *, at: datetime = NOW, **changes: Any) -> Draft:
    """Return a draft that waits for approval."""
    draft, _ = await store.stage(new(**changes), now=at, audit=DRAFTED)
    return draft


async def approved(store: Store, *, at: datetime = NOW, **changes: Any) -> Draft:
    """Return a draft that a person approved."""
    draft = await staged(store, at=at, **changes)
    assert await store.approve(yes(draft, at=at), now=at, audit=DONE)
    return await known(store, draft.id)


async def claimed(store: Store, *, at: datetime = NOW, owner: str = "w1") -> Draft | None:
    """Return what a worker claimed for a minute."""
    return await store.claim(owner, now=at, lease_until=at + MINUTE, audit=INTENT)


async def sending(store: Store, *, at: datetime = NOW, **changes: Any) -> Draft:
    """Return a draft that is being sent by w1."""
    draft = await approved(store, at=at, **changes)
    found = await store.claim(
        "w1", now=at, lease_until=at + MINUTE, audit=INTENT, draft_id=draft.id
    )
    assert found is not None
    return found


async def moved(store: Store, draft: Draft, state: State, **more: Any) -> bool:
    """Move a draft out of the state in which it was read."""
    more = {"now": NOW} | more
    return await store.move(draft.id, draft.state, state, version=draft.version, **more)


async def known(store: Store, draft_id: str) -> Draft:
    """Return a draft that is there."""
    draft = await store.draft(draft_id)
    assert draft is not None
    return draft


async def events(store: Store) -> list[dict[str, Any]]:
    """Return every event of the chain."""
    return [event(row) for row in await store.audit_rows()]


def event(row: AuditRow) -> dict[str, Any]:
    """Return what a link says."""
    found: dict[str, Any] = json.loads(row.body)
    return found


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Return as soon as this holds; what another process does cannot be waited for otherwise."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.002)


async def links(store: Store) -> int:
    """Fail unless this store's own chain is unbroken; return how many links it has."""
    node = cast("Any", store)._node
    return unbroken(await store.audit_rows(limit=100_000), node=node)


def unbroken(rows: list[AuditRow], node: str = "") -> int:
    """Fail unless these are links 1 to n, each written out once more; return n."""
    key = KEYS.derive(f"audit {node}" if node else "audit")
    prev = bytes(32)
    for number, row in enumerate(rows, start=1):
        assert (row.seq, row.prev) == (number, prev)
        text = number.to_bytes(8, "big") + prev + row.body
        assert row.mac == hmac.new(key, text, "sha256").digest()
        prev = row.mac
    return len(rows)
