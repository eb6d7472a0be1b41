"""No audit, no write: whichever transaction fails, nothing is sent without a committed intent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing import approving
from tests.support.mcp_asking import (
    NOTE,
    Asking,
    Clock,
    approvals,
    connected,
    serving_app,
    user,
    yes,
)

ONCE, FROM_THEN_ON, AFTER_COMMIT = MODES = ("once", "from then on", "after it was committed")


class Faulty:
    """A store of which one transaction fails, or all from one on."""

    def __init__(self, store: Any, at: int = 0, mode: str = ONCE) -> None:
        self._store = store
        self._at = at
        self._mode = mode
        self.count = 0

    def heal(self) -> None:
        """Let nothing fail any more."""
        self._at = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in TRANSACTIONS:
            return found

        async def counted(*args: Any, **known: Any) -> Any:
            self.count += name not in ("commits", "next_due")
            due = self.count >= self._at if self._mode == FROM_THEN_ON else self.count == self._at
            if not self._at or not due or name in ("commits", "next_due"):
                return await found(*args, **known)
            if self._mode == AFTER_COMMIT:
                await found(*args, **known)
            raise StorageError("The disk is full.", code="storage_full")

        return counted


TRANSACTIONS = frozenset(
    (
        *("stage", "staged", "draft", "drafts", "revise", "approve", "approval", "move", "claim"),
        *("take_due", "expire_leases", "owned_remote_ids", "expire", "append"),
        *("commits", "next_due"),
    )
)


@asynccontextmanager
async def faulty(at: int = 0, mode: str = ONCE) -> AsyncIterator[tuple[Asking, Faulty, Any]]:
    """Yield a session over such a store, the store, and the sound one beneath."""
    clock = Clock()
    async with serving_app(clock) as app:
        sound = app.journal._make_store()
        store = Faulty(sound, at, mode)
        app.journal._make_store = lambda: store
        async with connected(app, "auto", user(yes), clock=clock) as it:
            yield it, store, sound


async def intents(store: Any) -> list[dict[str, Any]]:
    """Return the committed intents to write."""
    events = [json.loads(row.body) for row in await store.audit_rows()]
    return [event for event in events if event.get("phase") == "intent"]


def witness(it: Asking, sound: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Check at the moment of each write that it is in the trail and was approved."""
    written = list[str]()
    send = it.app.ehr.write_note

    async def write_note(*args: Any) -> Any:
        stored = await intents(sound)
        written.append("note")
        assert len(stored) == len(written)
        draft = await sound.draft(stored[-1]["draft_id"])
        assert draft.state == "sending"
        (approval,) = [a for a in await approvals(sound) if a.id == stored[-1]["approval_id"]]
        assert (approval.version, approval.digest) == (draft.version, draft.digest)
        assert approval.used_at is not None
        return await send(*args)

    monkeypatch.setattr(it.app.ehr, "write_note", write_note)
    return written


async def count() -> int:
    """Return how many transactions the filing of one note takes."""
    async with faulty() as (it, store, _):
        await it.ask("write_note", **NOTE)
        return store.count


async def test_whichever_transaction_fails_nothing_is_sent_unrecorded_or_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("leyr_mcp.server.filing.steps._STORE_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(approving, "WAIT_S", 0.02)
    total = await count()
    assert total > 10
    ends = {mode: [await end(at, mode, monkeypatch) for at in range(1, total)] for mode in MODES}
    assert {end for found in ends.values() for end in found} <= {"filed", "needs_human"}
    for mode in MODES:
        assert ends[mode].count("filed") > len(ends[mode]) / 2
    assert "Mår bra" not in caplog.text


async def end(at: int, mode: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the state in which a note ends whose n-th transaction failed."""
    async with faulty(at, mode) as (it, store, sound):
        with monkeypatch.context() as patch:
            written = witness(it, sound, patch)
            first = await it.call("write_note", **NOTE)
            if first.is_error:
                refused = first.meta["leyr-mcp/error"] if first.meta else {}
                assert refused["code"] == "storage_full"
            store.heal()
            # What is in doubt is decided when the lease and then the grace is over.
            for seconds in (0, 1, 100, 200, 200):
                it.clock.later(seconds=seconds)
                (await it.desk.start()).wake()
                _, data = await it.ask("write_note", **NOTE)
                entry = await it.desk.outcome(await it.desk.entry(data["draft_id"]), 0.05)
                if entry.draft.state in ("filed", "needs_human"):
                    break
            assert len(await it.desk.entries(states=())) == 1
            assert len(it.notes()) == len(written) <= 1
            assert len(written) == len(await intents(sound)) or entry.draft.state != "filed"
            if entry.draft.state == "filed":
                assert it.notes() == ["Mår bra."]
            return entry.draft.state


async def test_where_the_trail_cannot_be_written_nothing_is_sent() -> None:
    async with faulty() as (it, store, _):
        await it.ask("list_care_units")
        store._at, store._mode, store.count = 1, FROM_THEN_ON, 0
        refused = await it.refused("write_note", **NOTE)
        assert refused.code == "storage_full"
        assert it.writes() == []
