"""The ledger against a small model of it: calls in any order, right and wrong, at any time."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import secrets
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar, get_args
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from leyr_mcp.server.storage.postgres import PostgresStore
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import FREED, OPEN, Approval, Change, State, Store
from tests.server.storage.builders import (
    DAY,
    DONE,
    DRAFTED,
    HOUR,
    INTENT,
    KEYS,
    MINUTE,
    NOW,
    events,
    links,
    new,
)
from tests.server.storage.test_moves import allowed
from tests.support import postgres

T = TypeVar("T")
STATES: tuple[State, ...] = get_args(State)
UNSENT = ("draft", "awaiting_file", "awaiting_approval")
DOUBT = ("sending", "accepted", "unknown")
OWNERS = ("w1", "w2")


@dataclasses.dataclass
class Known:
    """What the model holds of a draft."""

    id: str
    key: str | None
    digest: str
    state: State
    created: datetime
    touched: datetime
    version: int = 1
    approval: str | None = None
    attempt: int = 0
    owner: str | None = None
    until: datetime | None = None
    next_at: datetime | None = None
    remote: str | None = None
    text: bytes = b""

    def release(self, state: State, at: datetime) -> None:
        self.state, self.touched, self.owner, self.until = state, at, None, None


@dataclasses.dataclass
class Yes:
    """What the model holds of an approval."""

    draft: str
    version: int
    digest: str
    expires: datetime
    used: bool = False


class LedgerMachine(RuleBasedStateMachine):
    """Does the same to the store and to the model, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = self.make_store()
        self.drafts: dict[str, Known] = {}
        self.approvals: dict[str, Yes] = {}
        self.now = NOW
        self.count = 0
        self.written = 0
        # What is drawn may depend on ids, so they are the same in every run.
        self.ids = patch.object(secrets, "token_bytes", random.Random(1).randbytes)  # noqa: S311
        self.ids.start()

    def make_store(self) -> Store:
        """Return a new store."""
        return SqliteStore(None, KEYS)

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(call)

    def teardown(self) -> None:
        self.do(self.store.close())
        self.loop.close()
        self.ids.stop()

    @initialize()
    def begin(self) -> None:
        self.do(self.store.open())

    def pick(self, data: st.DataObject) -> Known:
        return self.drafts[data.draw(st.sampled_from(list(self.drafts)))]

    @rule(step=st.sampled_from([MINUTE / 2, MINUTE, HOUR, DAY, 31 * DAY]))
    def wait(self, step: timedelta) -> None:
        self.now += step

    @rule(key=st.sampled_from("abcd"), same=st.booleans(), state=st.sampled_from(UNSENT))
    def stage(self, key: str, same: bool, state: State) -> None:  # noqa: FBT001 - drawn
        digest = "same" if same else key
        text = f"{digest} 1".encode()
        there = next((d for d in self.drafts.values() if d.key == key), None)
        if there and there.state not in OPEN and self.now - there.touched >= DAY:
            there.key, there = None, None
        ask = new(dedupe=key, digest=digest, state=state, payload=text)
        draft, is_new = self.do(self.store.stage(ask, now=self.now, audit=DRAFTED))
        assert is_new == (there is None)
        if there is None:
            assert draft.id not in self.drafts
            self.drafts[draft.id] = Known(
                draft.id, key, digest, state, self.now, self.now, text=text
            )
            self.written += 1
        else:
            assert draft.id == there.id

    @precondition(lambda self: self.drafts)
    @rule(data=st.data(), right=st.booleans(), state=st.sampled_from(UNSENT))
    def revise(self, data: st.DataObject, right: bool, state: State) -> None:  # noqa: FBT001 - drawn
        mine = self.pick(data)
        version = mine.version + (not right)
        text = f"{mine.digest} {version + 1}".encode()
        found = self.do(
            self.store.revise(
                mine.id,
                version,
                digest=mine.digest,
                payload=text,
                state=state,
                now=self.now,
                audit=DRAFTED,
            )
        )
        assert (found is not None) == (right and mine.state in (*UNSENT, "approved"))
        if found:
            mine.release(state, self.now)
            mine.version, mine.text, mine.approval, mine.next_at = version + 1, text, None, None
            self.written += 1

    @precondition(lambda self: self.drafts)
    @rule(data=st.data(), off=st.sampled_from([0, 0, 0, 1]), hours=st.sampled_from([1, 24]))
    def approve(self, data: st.DataObject, off: int, hours: int) -> None:
        mine = self.pick(data)
        self.count += 1
        given = Approval(
            id=f"a{self.count}",
            draft_id=mine.id,
            version=mine.version + off,
            digest=mine.digest,
            approver="dr",
            channel="page",
            created_at=self.now,
            expires_at=self.now + hours * HOUR,
        )
        done = self.do(self.store.approve(given, now=self.now, audit=DONE))
        assert done == (mine.state == "awaiting_approval" and not off)
        if done:
            mine.release("approved", self.now)
            mine.approval, mine.next_at = given.id, None
            self.approvals[given.id] = Yes(mine.id, mine.version, mine.digest, given.expires_at)
            self.written += 1
            assert not self.do(self.store.approve(given, now=self.now, audit=DONE))

    @precondition(lambda self: self.drafts)
    @rule(
        data=st.data(),
        to=st.sampled_from(STATES),
        owner=st.sampled_from([None, *OWNERS]),
        remote=st.sampled_from([None, "r1", "r2"]),
        later=st.sampled_from([None, MINUTE, HOUR]),
        unspend=st.booleans(),
    )
    def move(
        self,
        data: st.DataObject,
        to: State,
        owner: str | None,
        remote: str | None,
        later: timedelta | None,
        unspend: bool,  # noqa: FBT001 - drawn
    ) -> None:
        mine = self.pick(data)
        next_at = None if later is None else self.now + later
        change = Change(remote_id=remote, next_at=next_at, unspend=unspend)
        ask = self.store.move(
            mine.id,
            mine.state,
            to,
            version=mine.version,
            now=self.now,
            change=change,
            owner=owner,
            audit=DONE,
        )
        if not allowed(mine.state, to):
            try:
                self.do(ask)
            except ValueError:
                return
            raise AssertionError("a promise was broken")
        taken = remote is not None and any(
            other.remote == remote and other is not mine for other in self.drafts.values()
        )
        done = self.do(ask)
        assert done == (owner in {None, mine.owner} and not taken)
        if done:
            self.settle(mine, to, change)

    def settle(self, mine: Known, target: State, change: Change) -> None:
        self.written += 1
        if change.unspend and mine.approval:
            self.approvals[mine.approval].used = False
        mine.release(target, self.now)
        mine.remote = change.remote_id or mine.remote
        if change.next_at or target not in OPEN:
            mine.next_at = change.next_at
        if target in UNSENT:
            mine.approval = None
        if target in FREED:
            mine.key = None

    @rule(data=st.data(), owner=st.sampled_from(OWNERS), named=st.booleans())
    def claim(self, data: st.DataObject, owner: str, named: bool) -> None:  # noqa: FBT001 - drawn
        name = self.pick(data).id if named and self.drafts else None
        expected = self.expected(owner, name)
        found = self.do(
            self.store.claim(
                owner,
                now=self.now,
                lease_until=self.now + MINUTE,
                audit=INTENT,
                draft_id=name,
            )
        )
        assert (found and found.id) == (expected and expected.id)
        if found and expected:
            assert (found.payload, found.version) == (expected.text, expected.version)
            assert found.last_sent_at == self.now

    def expected(self, owner: str, name: str | None) -> Known | None:
        """Return what a claim must find, as the model is after it."""
        for mine in sorted(self.drafts.values(), key=lambda d: (d.touched, d.created, d.id)):
            twin = any(
                o.digest == mine.digest and o.state in DOUBT
                for o in self.drafts.values()
                if o is not mine
            )
            free = mine.owner in {None, owner} or (mine.until and mine.until <= self.now)
            due = mine.next_at is None or mine.next_at <= self.now
            if mine.state != "approved" or name not in {None, mine.id} or twin:
                continue
            if not (free and due):
                continue
            mine.next_at = None
            given = self.approvals[mine.approval or ""]
            if not given.used and given.expires > self.now:
                assert (given.draft, given.version, given.digest) == (
                    mine.id,
                    mine.version,
                    mine.digest,
                )
                given.used = True
                mine.release("sending", self.now)
                mine.owner, mine.until = owner, self.now + MINUTE
                mine.attempt += 1
                self.written += 1
                return mine
            mine.release("awaiting_approval", self.now)
            mine.approval = None
        return None

    @rule(owner=st.sampled_from(OWNERS), states=st.sets(st.sampled_from(sorted(OPEN)), min_size=1))
    def take_due(self, owner: str, states: set[State]) -> None:
        ready = [
            d
            for d in self.drafts.values()
            if d.state in states
            and (d.next_at is None or d.next_at <= self.now)
            and (d.until is None or d.until <= self.now)
        ]
        until = self.now + MINUTE
        found = self.do(self.store.take_due(owner, sorted(states), now=self.now, lease_until=until))

        def due(mine: Known) -> tuple[datetime, datetime, datetime, str]:
            return mine.next_at or NOW - DAY, mine.touched, mine.created, mine.id

        first = min(ready, key=due, default=None)
        assert (found and found.id) == (first and first.id)
        if first:
            first.owner, first.until = owner, until

    @rule()
    def expire_leases(self) -> None:
        dead = [
            d
            for d in self.drafts.values()
            if d.state == "sending" and d.until and d.until <= self.now
        ]
        assert self.do(self.store.expire_leases(now=self.now)) == len(dead)
        for mine in dead:
            mine.release("unknown", self.now)
            mine.next_at = self.now

    @rule()
    def expire(self) -> None:
        before = self.now - 30 * DAY
        old = [d for d in self.drafts.values() if d.touched < before]
        gone = [d for d in old if d.state in UNSENT]
        assert self.do(self.store.expire(now=self.now, drafts_before=before)) == len(gone)
        for mine in gone:
            mine.release("expired", self.now)
            mine.key = mine.approval = mine.next_at = None
        for mine in old:
            if mine.state in (*FREED, "filed"):
                mine.text = b""

    @invariant()
    def agrees(self) -> None:
        found = {d.id: d for d in self.do(self.store.drafts(limit=1000))}
        assert set(found) == set(self.drafts)
        for mine in self.drafts.values():
            draft = found[mine.id]
            assert draft.state == mine.state
            assert (draft.version, draft.payload) == (mine.version, mine.text)
            assert (draft.updated_at, draft.next_at) == (mine.touched, mine.next_at)
            assert (draft.lease_owner, draft.lease_until) == (mine.owner, mine.until)
            assert (draft.attempt, draft.approval_id) == (mine.attempt, mine.approval)
            assert draft.remote_id == mine.remote
        for name, given in self.approvals.items():
            approval = self.do(self.store.approval(name))
            assert approval is not None
            assert (approval.used_at is not None) == given.used

    @invariant()
    def keeps_its_word(self) -> None:
        keys = [d.key for d in self.drafts.values() if d.key]
        assert len(keys) == len(set(keys))
        remotes = [d.remote for d in self.drafts.values() if d.remote]
        assert len(remotes) == len(set(remotes))
        owned = self.do(self.store.owned_remote_ids("patient-a"))
        assert owned == set(remotes)
        assert self.do(links(self.store)) == self.written
        sent = [e for e in self.do(events(self.store)) if e.get("phase") == "intent"]
        assert len(sent) == sum(d.attempt for d in self.drafts.values())
        due = self.do(self.store.next_due())
        if any(d.state in DOUBT for d in self.drafts.values()):
            assert due is not None


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_ledger_in_a_database(server: postgres.Server) -> None:
    """Fewer than above: each step asks over a socket what is asked in memory there."""

    class InDatabase(LedgerMachine):
        def make_store(self) -> Store:
            return PostgresStore(server.url, KEYS, schema=postgres.new_schema(), node="n1")

    run_state_machine_as_test(
        InDatabase,
        settings=settings(
            TestLedger.settings,
            max_examples=100 if os.environ.get("SOAK") == "1" else 40,
            stateful_step_count=30,
        ),
    )
