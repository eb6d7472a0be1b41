"""Claims, leases and look-ups, on every backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from leyr_mcp.server.storage import leases
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Change, State, Store
from tests.server.storage.builders import (
    DAY,
    DONE,
    HOUR,
    INTENT,
    KEYS,
    MINUTE,
    NOW,
    READ,
    approved,
    claimed,
    events,
    known,
    moved,
    opened,
    sending,
    staged,
    yes,
)


async def test_a_claim_does_everything_at_once(store: Store) -> None:
    async with opened(store):
        assert await claimed(store) is None
        await staged(store, dedupe="waits")
        draft = await approved(store)
        sent = await claimed(store, at=NOW + HOUR)
        assert sent == await store.draft(draft.id)
        assert sent is not None
        assert (sent.state, sent.attempt, sent.looked) == ("sending", 1, 0)
        assert sent.first_sent_at == sent.last_sent_at == NOW + HOUR
        assert (sent.lease_owner, sent.lease_until) == ("w1", NOW + HOUR + MINUTE)
        assert sent.approval_id is not None
        approval = await store.approval(sent.approval_id)
        assert approval is not None
        assert approval.used_at == NOW + HOUR
        intent = (await events(store))[-1]
        assert intent["phase"] == "intent"
        assert (intent["draft_id"], intent["state"]) == (draft.id, "sending")
        assert (intent["attempt"], intent["version"]) == (1, 1)
        assert intent["patient_key"] == "patient-a"
        assert await claimed(store) is None


async def test_what_was_approved_first_goes_first(store: Store) -> None:
    async with opened(store):
        drafts = [await staged(store, dedupe=str(n), digest=str(n)) for n in range(3)]
        order = [drafts[2], drafts[0], drafts[1]]
        for n, draft in enumerate(order):
            at = NOW + n * MINUTE
            assert await store.approve(yes(draft, at=at), now=at, audit=DONE)
        for draft in order:
            sent = await claimed(store, at=NOW + HOUR)
            assert sent is not None
            assert sent.id == draft.id


async def test_a_named_draft_is_claimed_alone(store: Store) -> None:
    async with opened(store):
        await approved(store, dedupe="first", digest="first")
        named = await approved(store, at=NOW + MINUTE)
        waiting = await staged(store, dedupe="c")

        async def claim(draft_id: str) -> str | None:
            lease = NOW + 2 * HOUR
            found = await store.claim(
                "w1", now=NOW + HOUR, lease_until=lease, audit=INTENT, draft_id=draft_id
            )
            return found.id if found else None

        assert await claim(waiting.id) is None
        assert await claim("d_none") is None
        assert await claim(named.id) == named.id
        assert await claim(named.id) is None


async def test_a_lapsed_approval_asks_again(store: Store) -> None:
    async with opened(store):
        draft = await approved(store)
        fresh = await approved(store, at=NOW + HOUR, dedupe="b", digest="b")
        before = len(await events(store))
        sent = await claimed(store, at=NOW + DAY)
        assert sent is not None
        assert sent.id == fresh.id
        back = await known(store, draft.id)
        assert (back.state, back.approval_id, back.attempt) == ("awaiting_approval", None, 0)
        assert len(await events(store)) == before + 1
        assert await store.approve(yes(draft, at=NOW + DAY, id="b"), now=NOW + DAY, audit=DONE)


@pytest.mark.parametrize("state", ["sending", "accepted", "unknown"])
async def test_a_twin_waits_until_the_other_is_settled(store: Store, state: State) -> None:
    async with opened(store):
        first = await sending(store)
        twin = await approved(store, dedupe="again on purpose")
        other = await approved(store, dedupe="b", digest="b", at=NOW + MINUTE)
        if state != "sending":
            assert await moved(store, first, state)
        sent = await claimed(store, at=NOW + HOUR)
        assert sent is not None
        assert sent.id == other.id
        assert await claimed(store, at=NOW + HOUR) is None
        assert await moved(store, await known(store, first.id), "filed")
        sent = await claimed(store, at=NOW + HOUR)
        assert sent is not None
        assert sent.id == twin.id


async def test_what_another_holds_is_not_claimed(store: Store) -> None:
    async with opened(store):
        draft = await approved(store)
        held = await store.take_due("w2", ["approved"], now=NOW, lease_until=NOW + MINUTE)
        assert held is not None
        assert (held.id, held.state, held.lease_owner) == (draft.id, "approved", "w2")
        assert await store.next_due() == NOW + MINUTE
        assert await claimed(store) is None
        sent = await claimed(store, owner="w2")
        assert sent is not None
        assert sent.attempt == 1
        await approved(store, dedupe="b", digest="b")
        assert await store.take_due("w2", ["approved"], now=NOW, lease_until=NOW + MINUTE)
        assert await claimed(store, at=NOW + MINUTE)  # the other one died


async def test_a_look_up_is_leased_to_one(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        assert await moved(store, draft, "unknown", change=Change(next_at=NOW + MINUTE))

        async def take(owner: str, minutes: int) -> bool:
            now = NOW + minutes * MINUTE
            lease = now + 2 * MINUTE
            states: list[State] = ["unknown", "accepted"]
            found = await store.take_due(owner, states, now=now, lease_until=lease)
            return found is not None and found.lease_owner == owner

        assert await store.take_due("w1", ["accepted"], now=NOW + HOUR, lease_until=NOW) is None
        assert [await take("w1", 0), await take("w1", 1), await take("w2", 2)] == [
            False,
            True,
            False,
        ]
        assert await store.next_due() == NOW + 3 * MINUTE
        assert await take("w2", 3)  # the first one died
        found = await known(store, draft.id)
        assert not await moved(store, found, "filed", owner="w1")
        change = Change(next_at=NOW + HOUR, looked=1)
        assert await moved(store, found, "unknown", owner="w2", change=change)
        assert await store.next_due() == NOW + HOUR
        assert (await known(store, draft.id)).looked == 1


async def test_the_longest_due_is_taken_first(store: Store) -> None:
    async with opened(store):
        for n, minutes in enumerate((5, 1, 3)):
            draft = await sending(store, dedupe=str(n), digest=str(n))
            change = Change(next_at=NOW + minutes * MINUTE)
            assert await moved(store, draft, "accepted", change=change)
        found = [
            await store.take_due("w", ["accepted"], now=NOW + HOUR, lease_until=NOW + DAY)
            for _ in range(4)
        ]
        assert [d and d.digest for d in found] == ["1", "2", "0", None]


async def test_a_dead_owner_leaves_a_draft_in_doubt(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        assert await store.expire_leases(now=NOW + MINUTE / 2) == 0
        assert await store.next_due() == NOW + MINUTE
        assert await store.expire_leases(now=NOW + MINUTE) == 1
        found = await known(store, draft.id)
        assert (found.state, found.lease_owner, found.lease_until) == ("unknown", None, None)
        assert found.next_at == NOW + MINUTE
        assert not await moved(store, draft, "filed", owner="w1")
        assert await store.expire_leases(now=NOW + HOUR) == 0
        assert await store.take_due("w2", ["unknown"], now=NOW + MINUTE, lease_until=NOW + DAY)


async def test_nothing_is_due_where_nothing_is_under_way(store: Store) -> None:
    async with opened(store):
        assert await store.next_due() is None
        await staged(store, dedupe="b")
        draft = await approved(store)
        assert await store.next_due() is None
        assert await claimed(store) is not None
        assert await store.next_due() == NOW + MINUTE
        assert await moved(store, await known(store, draft.id), "unknown")
        assert await store.next_due() == NOW  # a look-up without a time is due at once
        assert await moved(store, await known(store, draft.id), "needs_human")
        assert await store.next_due() is None


async def test_what_is_taken_meanwhile_is_not_taken_again(tmp_path: Path) -> None:
    """Whether there is anything is asked without the lock, so it may be gone once that is held."""
    store = SqliteStore(tmp_path / "leyr.db", KEYS)
    async with opened(store):
        work = leases.take_due(store._ledger, leases.Lease("w", NOW), ["unknown"], NOW)
        assert store._worker is not None
        assert await store._worker.run(lambda: store._database.write(work)) is None


async def test_commits_are_noticed(store: Store) -> None:
    async with opened(store):
        before = await store.commits()
        assert await store.commits() == before
        await store.append(READ, now=NOW, durable=False)
        after = await store.commits()
        assert after != before
        await store.drafts()
        await claimed(store)
        assert await store.commits() == after
