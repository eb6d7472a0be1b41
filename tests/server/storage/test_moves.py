"""Moves and the end of a draft, on every backend."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from leyr_mcp.server.storage.store import FREED, Change, State, Store
from tests.server.storage.builders import (
    DAY,
    DONE,
    DRAFTED,
    HOUR,
    NOW,
    TEXT,
    approved,
    claimed,
    events,
    known,
    moved,
    new,
    opened,
    sending,
    staged,
    yes,
)

STATES: tuple[State, ...] = get_args(State)
DOUBT = {"sending", "accepted", "unknown"}


def allowed(old: State, new_state: State) -> bool:
    """The promises of the store, written a second time."""
    if new_state == "sending" or (old in {*FREED, "filed"} and new_state != old):
        return False
    if new_state == "approved":
        return old in {"approved", "sending", "unknown"}
    return not (old in DOUBT and new_state in FREED)


async def test_a_move_compares_before_it_sets(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        ask = store.move
        later = NOW + HOUR
        assert not await ask("d_none", "sending", "filed", version=1, now=later)
        assert not await ask(draft.id, "approved", "unknown", version=1, now=later)
        assert not await ask(draft.id, "sending", "filed", version=2, now=later)
        assert not await ask(draft.id, "sending", "filed", version=1, now=later, owner="w2")
        assert await known(store, draft.id) == draft
        assert await ask(draft.id, "sending", "filed", version=1, now=later, owner="w1")
        assert not await ask(draft.id, "sending", "filed", version=1, now=later, owner="w1")
        found = await known(store, draft.id)
        assert (found.state, found.updated_at) == ("filed", later)
        assert (found.lease_owner, found.lease_until) == (None, None)


async def test_a_move_sets_what_it_is_given_and_leaves_the_rest(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        change = Change(job_id="job", next_at=NOW + HOUR, looked=3, reason="vendor_500")
        assert await moved(store, draft, "accepted", change=change)
        waiting = await known(store, draft.id)
        assert (waiting.job_id, waiting.next_at, waiting.looked) == ("job", NOW + HOUR, 3)
        assert waiting.reason == "vendor_500"
        change = Change(remote_id="R", matched_by="text", verified="equal")
        assert await moved(store, waiting, "filed", change=change)
        found = await known(store, draft.id)
        assert (found.remote_id, found.matched_by, found.verified) == ("R", "text", "equal")
        assert (found.job_id, found.looked, found.reason) == ("job", 3, "vendor_500")
        assert found.next_at is None
        assert found.payload == TEXT


async def test_a_move_and_its_event_are_one(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        before = len(await events(store))
        assert await moved(store, draft, "unknown", audit=DONE)
        assert not await moved(store, draft, "filed", audit=DONE)
        (outcome,) = (await events(store))[before:]
        assert outcome["phase"] == "outcome"
        assert outcome["state"] == "unknown"
        assert (outcome["draft_id"], outcome["attempt"]) == (draft.id, 1)
        assert (outcome["patient_key"], outcome["approval_id"]) == (
            "patient-a",
            draft.approval_id,
        )


async def test_no_move_breaks_a_promise_of_the_store(store: Store) -> None:
    async with opened(store):
        draft = await staged(store)
        for old, target in itertools.product(STATES, STATES):
            if allowed(old, target):
                continue
            with pytest.raises(ValueError, match=r"."):
                await store.move(draft.id, old, target, version=1, now=NOW)
        assert await known(store, draft.id) == draft


async def test_a_filed_draft_can_still_be_verified(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        assert await moved(store, draft, "filed", change=Change(remote_id="R"))
        filed = await known(store, draft.id)
        assert await moved(store, filed, "filed", change=Change(verified="equal"))
        found = await known(store, draft.id)
        assert (found.remote_id, found.verified) == ("R", "equal")


async def test_what_never_arrived_may_spend_its_approval_again(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        change = Change(next_at=NOW + HOUR, unspend=True)
        assert await moved(store, draft, "approved", change=change)
        assert await claimed(store) is None  # not yet due
        assert await store.next_due() == NOW + HOUR
        again = await claimed(store, at=NOW + HOUR)
        assert again is not None
        assert (again.id, again.attempt, again.next_at) == (draft.id, 2, None)
        assert (again.first_sent_at, again.last_sent_at) == (NOW, NOW + HOUR)


async def test_a_spent_approval_sends_nothing_again(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        assert await moved(store, draft, "approved")
        assert await claimed(store) is None
        found = await known(store, draft.id)
        assert (found.state, found.approval_id) == ("awaiting_approval", None)


async def test_a_person_may_order_to_send_again(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        assert await moved(store, draft, "needs_human", change=Change(reason="timeout"))
        assert await moved(store, await known(store, draft.id), "awaiting_approval")
        assert await store.approve(yes(draft, id="second"), now=NOW, audit=DONE)
        again = await claimed(store)
        assert again is not None
        assert (again.attempt, again.reason) == (2, None)


async def test_untouched_drafts_expire_and_lose_their_text(store: Store) -> None:
    async with opened(store):
        old = [
            await staged(store, dedupe=state, state=state)
            for state in ("draft", "awaiting_file", "awaiting_approval")
        ]
        young = await staged(store, at=NOW + 2 * DAY, dedupe="young")
        now = NOW + 31 * DAY
        assert await store.expire(now=now, drafts_before=NOW + DAY) == 3
        for draft in old:
            found = await known(store, draft.id)
            assert (found.state, found.payload, found.updated_at) == ("expired", b"", now)
            assert await store.version(draft.id, 1) == b""
        assert await known(store, young.id) == young
        _, is_new = await store.stage(new(dedupe="draft"), now=now, audit=DRAFTED)
        assert is_new
        assert await store.expire(now=now, drafts_before=NOW + DAY) == 0


async def test_filed_drafts_lose_every_version_of_their_text_but_stay(store: Store) -> None:
    async with opened(store):
        draft = await staged(store)
        revised = await store.revise(
            draft.id,
            1,
            digest="digest-2",
            payload=b"second",
            state="awaiting_approval",
            now=NOW,
            audit=DRAFTED,
        )
        assert revised is not None
        assert await store.approve(yes(revised), now=NOW, audit=DONE)
        sent = await claimed(store)
        assert sent is not None
        assert await moved(store, sent, "filed", change=Change(remote_id="R"))
        assert await store.expire(now=NOW, drafts_before=NOW) == 0
        assert await store.version(draft.id, 1) == TEXT
        for _ in range(2):
            assert await store.expire(now=NOW + DAY, drafts_before=NOW + DAY) == 0
            found = await known(store, draft.id)
            assert (found.state, found.remote_id, found.payload) == ("filed", "R", b"")
            assert await store.version(draft.id, 1) == await store.version(draft.id, 2) == b""
            assert found.updated_at == NOW


@pytest.mark.parametrize("state", ["approved", "sending", "unknown", "accepted", "needs_human"])
async def test_what_is_under_way_or_in_doubt_never_expires(store: Store, state: State) -> None:
    async with opened(store):
        draft = await approved(store) if state == "approved" else await sending(store)
        if draft.state != state:
            assert await moved(store, draft, state)
        before = await known(store, draft.id)
        assert await store.expire(now=NOW + 99 * DAY, drafts_before=NOW + 98 * DAY) == 0
        assert await known(store, draft.id) == before
