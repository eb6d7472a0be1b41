"""Staging, revising and approving, on every backend."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from leyr_mcp.server.storage.store import FREED, OPEN, Change, Draft, Kind, State, Store
from tests.server.storage.builders import (
    DAY,
    DONE,
    DRAFTED,
    HOUR,
    NOW,
    PATIENT,
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


async def test_what_is_staged_is_read_back(store: Store) -> None:
    async with opened(store):
        draft, is_new = await store.stage(new(), now=NOW, audit=DRAFTED)
        assert is_new
        assert re.fullmatch("d_[a-z2-7]{16}", draft.id)
        assert await store.draft(draft.id) == draft
        assert (draft.version, draft.state, draft.payload) == (1, "awaiting_approval", TEXT)
        assert draft.created_at == draft.updated_at == NOW
        assert (draft.attempt, draft.looked, draft.lease_owner) == (0, 0, None)
        assert await store.draft("d_none") is None


async def test_a_repeat_finds_the_same_draft_and_writes_no_second_event(store: Store) -> None:
    async with opened(store):
        first = await staged(store)
        again, is_new = await store.stage(new(payload=b"other"), now=NOW + HOUR, audit=DRAFTED)
        assert not is_new
        assert again == first
        (drafted,) = await events(store)
        assert drafted["draft_id"] == first.id


async def test_another_key_is_another_draft(store: Store) -> None:
    async with opened(store):
        first, second = await staged(store), await staged(store, dedupe="key-b")
        assert first.id != second.id


@pytest.mark.parametrize("state", sorted(FREED))
async def test_what_will_not_be_filed_frees_its_key(store: Store, state: State) -> None:
    async with opened(store):
        first = await staged(store)
        assert await moved(store, first, state)
        again, is_new = await store.stage(new(), now=NOW, audit=DRAFTED)
        assert is_new
        assert again.id != first.id
        assert (await known(store, first.id)).state == state


@pytest.mark.parametrize("state", ["awaiting_approval", "filed", "needs_human"])
async def test_a_day_frees_the_key_of_what_is_not_under_way(store: Store, state: State) -> None:
    async with opened(store):
        draft = await sending(store)
        assert await moved(store, draft, state)
        _, soon = await store.stage(new(), now=NOW + DAY - HOUR, audit=DRAFTED)
        later, is_new = await store.stage(new(), now=NOW + DAY, audit=DRAFTED)
        assert (soon, is_new) == (False, True)
        assert later.id != draft.id


@pytest.mark.parametrize("state", sorted(OPEN))
async def test_no_time_frees_the_key_of_what_is_under_way(store: Store, state: State) -> None:
    async with opened(store):
        draft = await sending(store)
        if state != "sending":
            assert await moved(store, draft, state)
        again, is_new = await store.stage(new(), now=NOW + 400 * DAY, audit=DRAFTED)
        assert (again.id, is_new) == (draft.id, False)


async def test_only_what_is_unsent_can_be_staged_or_revised_to(store: Store) -> None:
    async with opened(store):
        draft = await staged(store)
        for state in ("approved", "sending", "filed", "withdrawn"):
            with pytest.raises(ValueError, match="unsent"):
                await store.stage(new(state=state, dedupe="x"), now=NOW, audit=DRAFTED)
            with pytest.raises(ValueError, match="unsent"):
                await store.revise(
                    draft.id,
                    1,
                    digest="d",
                    payload=b"",
                    state=state,
                    now=NOW,
                    audit=DRAFTED,
                )
        assert len(await store.drafts()) == len(await events(store)) == 1


async def test_lists_are_filtered_bounded_and_latest_first(store: Store) -> None:
    async with opened(store):
        ids = [
            (await staged(store, at=NOW + n * HOUR, dedupe=str(n), patient_key=f"p{n % 2}")).id
            for n in range(5)
        ]
        await moved(store, await known(store, ids[4]), "withdrawn")
        assert [d.id for d in await store.drafts()] == ids[::-1]
        assert [d.id for d in await store.drafts(limit=2)] == [ids[4], ids[3]]
        assert [d.id for d in await store.drafts(states=["withdrawn"])] == [ids[4]]
        waiting = await store.drafts(states=["awaiting_approval", "draft"], patient_key="p0")
        assert [d.id for d in waiting] == [ids[2], ids[0]]
        assert await store.drafts(patient_key="nobody") == []


async def test_lists_are_narrowed_before_they_are_cut(store: Store) -> None:
    async with opened(store):
        mine = await staged(store, dedupe="a", principal="local:ann", care_unit_id="L0_2")
        for n in range(3):
            other: Kind = "document" if n else "patient"
            await staged(store, at=NOW + HOUR, dedupe=str(n), principal="local:bo", kind=other)
        narrow: list[dict[str, Any]] = [
            {"principal": "local:ann"},
            {"care_unit_id": "L0_2", "states": ["awaiting_approval"]},
            {"kinds": ["note", "change"]},
            {"principal": "local:ann", "care_unit_id": "L0_2", "kinds": ["note"]},
        ]
        for wanted in narrow:
            assert [d.id for d in await store.drafts(limit=1, **wanted)] == [mine.id], wanted
        assert await store.drafts(principal="local:ann", kinds=["document"]) == []


async def test_a_revision_keeps_what_was_before(store: Store) -> None:
    async with opened(store):
        draft = await staged(store, state="awaiting_file")
        revised = await store.revise(
            draft.id,
            1,
            digest="digest-2",
            payload=b"second",
            state="awaiting_approval",
            now=NOW + HOUR,
            audit=DRAFTED,
        )
        assert revised is not None
        assert revised == await store.draft(draft.id)
        assert (revised.version, revised.digest, revised.payload) == (2, "digest-2", b"second")
        assert (revised.state, revised.updated_at) == ("awaiting_approval", NOW + HOUR)
        assert await store.version(draft.id, 1) == TEXT
        assert await store.version(draft.id, 2) == b"second"
        assert await store.version(draft.id, 3) is None
        assert [(e["version"], e["digest"]) for e in await events(store)] == [
            (1, "digest-a"),
            (2, "digest-2"),
        ]


async def test_no_revision_takes_the_key_of_another_draft(store: Store) -> None:
    async with opened(store):
        first, second = await staged(store), await staged(store, dedupe="key-b")

        async def revised(draft: Draft, version: int, at: datetime, dedupe: str) -> Draft | None:
            return await store.revise(
                draft.id,
                version,
                digest="digest-2",
                payload=b"second",
                state="draft",
                now=at,
                audit=DRAFTED,
                dedupe=dedupe,
            )

        assert await revised(second, 1, NOW, "key-a") is None
        assert await revised(second, 1, NOW, "key-b")
        assert await revised(second, 2, NOW + DAY, "key-a")
        again, is_new = await store.stage(new(), now=NOW + DAY, audit=DRAFTED)
        assert (again.id, is_new) == (second.id, False)
        assert (await known(store, first.id)).version == 1


async def test_a_revision_voids_the_approval(store: Store) -> None:
    async with opened(store):
        draft = await approved(store)
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
        assert revised.approval_id is None
        assert await claimed(store) is None
        assert not await store.approve(yes(draft, id="old version"), now=NOW, audit=DONE)
        assert await store.approve(yes(revised), now=NOW, audit=DONE)
        sent = await claimed(store)
        assert sent is not None
        assert (sent.payload, sent.version) == (b"second", 2)


@pytest.mark.parametrize("state", ["sending", "accepted", "unknown", "filed", "needs_human"])
async def test_what_was_sent_cannot_be_revised(store: Store, state: State) -> None:
    async with opened(store):
        draft = await sending(store)
        if state != "sending":
            assert await moved(store, draft, state)
        before = await known(store, draft.id)
        for draft_id, version in ((draft.id, 1), (draft.id, 2), ("d_none", 1)):
            assert not await store.revise(
                draft_id,
                version,
                digest="x",
                payload=b"x",
                state="draft",
                now=NOW,
                audit=DRAFTED,
            )
        assert await store.draft(draft.id) == before


async def test_an_approval_is_bound_to_version_digest_and_time(store: Store) -> None:
    async with opened(store):
        draft = await staged(store)
        good = yes(draft)
        for wrong in (
            yes(draft, version=2),
            yes(draft, digest="other"),
            yes(draft, draft_id="d_none"),
            yes(draft, expires_at=NOW),
            yes(draft, used_at=NOW),
        ):
            assert not await store.approve(wrong, now=NOW, audit=DONE)
            assert await store.approval(good.id) is None
        assert (await known(store, draft.id)).state == "awaiting_approval"
        assert await store.approve(good, now=NOW, audit=DONE)
        found = await known(store, draft.id)
        assert (found.state, found.approval_id) == ("approved", good.id)
        assert await store.approval(good.id) == good
        assert [e["event"] for e in await events(store)] == ["draft", "file"]


async def test_an_approval_is_given_once(store: Store) -> None:
    async with opened(store):
        draft = await approved(store)
        assert not await store.approve(yes(draft), now=NOW, audit=DONE)
        assert await moved(store, draft, "awaiting_approval")
        assert (await known(store, draft.id)).approval_id is None
        assert not await store.approve(yes(draft), now=NOW, audit=DONE)
        assert await store.approve(yes(draft, id="another"), now=NOW, audit=DONE)


@pytest.mark.parametrize("kind", ["note", "appointment", "document"])
async def test_a_record_belongs_to_one_filing(store: Store, kind: Kind) -> None:
    async with opened(store):
        first = await sending(store, kind=kind)
        second = await sending(store, kind=kind, dedupe="b", digest="b")
        stranger = await sending(store, kind=kind, dedupe="c", digest="c", patient_key="p-c")
        change = Change(remote_id="R-1")
        assert await moved(store, first, "filed", change=change)
        before = await events(store)
        assert not await moved(store, second, "filed", change=change, audit=DONE)
        assert await known(store, second.id) == second
        assert await events(store) == before
        assert await moved(store, second, "filed", change=Change(remote_id="R-2"))
        assert await moved(store, stranger, "filed", change=change)
        assert await store.owned_remote_ids("patient-a") == {"R-1", "R-2"}
        assert await store.owned_remote_ids("patient-a", kind) == {"R-1", "R-2"}
        assert await store.owned_remote_ids("p-c", "patient") == frozenset()


@pytest.mark.parametrize("kind", ["change", "patient"])
async def test_what_names_an_existing_record_may_share_it(store: Store, kind: Kind) -> None:
    async with opened(store):
        for n in range(2):
            draft = await sending(store, kind=kind, dedupe=str(n), digest=str(n))
            assert await moved(store, draft, "filed", change=Change(remote_id="R-1"))
            assert (await known(store, draft.id)).remote_id == "R-1"
        assert await store.owned_remote_ids("patient-a") == frozenset()


async def test_patients_are_named_by_a_key_that_stays(store: Store) -> None:
    async with opened(store):
        key = store.patient_key(PATIENT)
        assert re.fullmatch("[0-9a-f]{64}", key)
        assert store.patient_key(PATIENT) == key != store.patient_key(PATIENT + " ")
        draft = await staged(store)  # kept under another key than its event names
        assert (await events(store))[0]["patient_key"] == draft.patient_key
        await store.append(replace(DRAFTED, patient=PATIENT), now=NOW, durable=False)
        assert (await events(store))[-1]["patient_key"] == key
