"""One draft, step by step: what each answer makes of it."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from leyr_mcp.server.ehr.models import Note
from leyr_mcp.server.ehr.port import Failed, Stored
from leyr_mcp.server.errors import (
    ConfigError,
    StorageError,
)
from leyr_mcp.server.filing.payloads import Item
from leyr_mcp.server.filing.timing import Timing
from tests.server.filing.desk import (
    BYTES,
    NUMBER,
    START,
    Desk,
    Late,
    accepted,
    booking,
    change,
    desk,
    document,
    filed,
    note,
    payload,
    person,
    settled,
    virtual,
)
from tests.server.filing.world import (
    CONFLICT,
    CUT,
    FAILED_AFTER,
    GOOD,
    HANG,
    HANG_LOST,
    REFUSED,
    RESET_AFTER,
    RESET_BEFORE,
    SAID_NO,
    SLOW_DOWN,
    STRANGE,
    Fault,
    SimEhr,
    late,
)

MOVED = change(
    "reschedule", start=START + timedelta(days=1), end=START + timedelta(days=1, hours=1)
)
ITEMS: tuple[Item, ...] = (note(), booking(), change(), MOVED, person(), document())


async def _events(at: Desk) -> list[tuple[str, str, str, int]]:
    found = [json.loads(row.body) for row in await at.store.audit_rows()]
    return [
        (event["event"], event["action"], event["phase"], event["outcome"])
        for event in found
        if "phase" in event
    ]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
@virtual
async def test_what_is_approved_is_filed_and_read_back(item: Item) -> None:
    async with desk() as at:
        draft = await filed(at, item)

        assert (draft.state, draft.verified, draft.attempt) == ("filed", "equal", 1)
        assert draft.remote_id in {"r1", "b1", "199006022397"}
        name = {"note": "file", "patient": "file", "document": "attach"}.get(draft.kind, "book")
        action = "U" if draft.kind == "change" else "C"
        assert await _events(at) == [
            (name, action, "intent", 0),
            (name, action, "outcome", 0),
            ("verify", "R", "read_back", 0),
        ]


@virtual
async def test_a_document_is_sent_as_it_was_staged() -> None:
    async with desk() as at:
        await filed(at, document())

        assert at.world.stored == {f"document {BYTES!r}": 1}


@pytest.mark.parametrize(
    ("fault", "state", "reason"),
    [
        (RESET_AFTER, "filed", None),
        (FAILED_AFTER, "filed", None),
        (CUT, "filed", None),
        (HANG, "filed", None),
        (CONFLICT, "filed", None),
        (STRANGE, "filed", None),
        (late(90), "filed", None),
        (late(500), "needs_human", "not_found_after_timeout"),
        (RESET_BEFORE, "needs_human", "not_found_after_timeout"),
        (HANG_LOST, "needs_human", "not_found_after_timeout"),
        (SLOW_DOWN, "needs_human", "not_found_after_timeout"),
        (SAID_NO, "needs_human", "invalid_note_content"),
        (REFUSED, "needs_human", "upstream_unreachable"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
@virtual
async def test_each_fault_of_a_write_ends_in_one_place(
    fault: Fault, state: str, reason: str | None
) -> None:
    async with desk(faults=lambda: fault) as at:
        draft = await filed(at, note())
        took = asyncio.get_running_loop().time()

        assert draft.state == state
        if state == "filed":
            assert (draft.matched_by, draft.verified, draft.reason) == ("content", "equal", None)
        else:
            assert draft.reason == reason
        assert at.world.received.total() == (fault is not REFUSED)
        assert draft.attempt == (3 if fault is REFUSED else 1)
        if reason == "not_found_after_timeout":
            assert 120 <= took < 130


@virtual
async def test_what_was_not_received_is_sent_again_with_the_same_approval() -> None:
    faults = iter((REFUSED, REFUSED, GOOD))
    async with desk(faults=lambda: next(faults)) as at:
        draft = await filed(at, note())

        assert (draft.state, draft.attempt) == ("filed", 3)
        assert at.approvals == 1
        assert at.world.received.total() == 1


@virtual
async def test_a_change_is_never_sent_again_by_itself() -> None:
    async with desk(faults=lambda: REFUSED) as at:
        draft = await filed(at, change("confirm", code="123"))

        assert (draft.state, draft.reason) == ("needs_human", "upstream_unreachable")
        assert draft.attempt == 1


@virtual
async def test_a_patient_is_created_again_for_the_record_system_finds_what_exists() -> None:
    faults = iter((RESET_BEFORE, RESET_AFTER))
    async with desk(faults=lambda: next(faults)) as at:
        draft = await filed(at, person())

        assert (draft.state, draft.attempt, draft.matched_by) == ("filed", 2, "external_id")


@virtual
async def test_a_patient_is_not_created_again_for_ever() -> None:
    async with desk(faults=lambda: RESET_BEFORE) as at:
        draft = await filed(at, person())

        assert (draft.state, draft.reason) == ("needs_human", "not_found_after_timeout")
        assert draft.attempt == 3


@pytest.mark.parametrize(
    ("stored", "verified"),
    [
        ({}, "equal"),
        ({"content": None}, "unreadable"),
        ({"content": {"unstructured": "We"}}, "differs:truncated"),
        ({"content": {"unstructured": "Ill."}}, "differs:content"),
        ({"content": {"text": "Well."}}, "differs:content"),
        ({"title": "Besök"}, "differs:title"),
        ({"created_by_id": "a2"}, "differs:author"),
    ],
)
@virtual
async def test_a_difference_is_told_and_unfiles_nothing(
    stored: dict[str, Any], verified: str
) -> None:
    class Changing(SimEhr):
        async def note(self, *args: Any) -> Note:
            return (await super().note(*args)).model_copy(update=stored)

    async with desk() as at:
        draft = await at.approved(payload(note()))
        await at.worker(ehr=Changing(at.world))._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.verified) == ("filed", verified)


@virtual
async def test_a_document_without_bytes_and_a_patient_under_another_name() -> None:
    class Changing(SimEhr):
        async def document_digest(self, *args: Any) -> Any:
            told = {"size": None, "sha256": None}
            return (await super().document_digest(*args)).model_copy(update=told)

        async def patient(self, *args: Any) -> Any:
            read = await super().patient(*args)
            return read if read.emr_id == NUMBER else read.model_copy(update={"last_name": "Syd"})

    async with desk() as at:
        drafts = [await at.approved(payload(item)) for item in (document(), person())]
        steps = at.worker(ehr=Changing(at.world))._steps
        await steps.send_one()
        await steps.send_one()

        assert [(await at.now(d)).verified for d in drafts] == ["unreadable", "differs:name"]


@pytest.mark.parametrize("exc", [ZeroDivisionError("Berg"), StorageError("x")])
@virtual
async def test_a_read_back_that_fails_is_unreadable(
    exc: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(SimEhr):
        async def note(self, *_: Any) -> Note:
            raise exc

    async with desk() as at:
        draft = await at.approved(payload(note()))
        await at.worker(ehr=Failing(at.world))._steps.send_one()

        assert (await at.now(draft)).verified == "unreadable"
        assert "Berg" not in caplog.text


@virtual
async def test_a_look_that_fails_to_the_end_is_for_a_person() -> None:
    reads = {"fault": GOOD}
    async with desk(faults=lambda: RESET_AFTER, read_faults=lambda: reads["fault"]) as at:
        draft = await at.approved(payload(note()))
        worker = at.worker()
        await worker._steps.send_one()
        reads["fault"] = STRANGE
        running = asyncio.create_task(worker.run())
        found = await settled(at, draft, worker)
        assert await worker.drain(1)
        await running

        assert (found.state, found.reason) == ("needs_human", "lookup_failed")
        assert asyncio.get_running_loop().time() > 120


@virtual
async def test_the_last_look_falls_on_the_end_of_the_grace() -> None:
    async with desk(faults=lambda: RESET_BEFORE) as at:
        draft = await at.approved(payload(document()))
        worker = at.worker()
        running = asyncio.create_task(worker.run())
        found = await settled(at, draft, worker)
        assert await worker.drain(1)
        await running

        assert found.last_sent_at is not None
        # An upload may take longer, so its grace is longer too.
        assert found.updated_at - found.last_sent_at >= timedelta(seconds=240)
        assert found.updated_at - found.last_sent_at < timedelta(seconds=242)


@virtual
async def test_a_job_that_names_the_entry_of_another_draft_ends_with_a_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Telling(SimEhr):
        async def job(self, *_: Any, **__: Any) -> Stored:
            return Stored(record_id="r2")

    async def owned(*_: Any) -> list[str]:
        return ["r2"]

    async with desk(timing=Timing(poll_s=300)) as at:
        draft = await accepted(at)
        at.world.put_note(note().new("a1"))
        at.world.put_note(note(text="other").new("a1"))
        monkeypatch.setattr(at.store, "owned_remote_ids", owned)
        worker = at.worker(ehr=Telling(at.world))
        running = asyncio.create_task(worker.run())
        found = await settled(at, draft, worker, 100_000)
        assert await worker.drain(1)
        await running

        assert (found.state, found.reason) == ("needs_human", "duplicate_upstream")
        assert found.remote_id is None


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        (Stored(record_id="r1"), "filed", None),
        (Stored(record_id="r2"), "needs_human", "stored_differently"),
        (Stored(record_id="r9"), "filed", None),
        (Failed("No such folder."), "needs_human", "job_failed"),
        (None, "needs_human", "job_timed_out"),
        (ZeroDivisionError(), "needs_human", "job_timed_out"),
    ],
)
@virtual
async def test_a_queued_write_is_followed_to_its_end(
    told: Stored | Failed | Exception | None, state: str, reason: str | None
) -> None:
    asked = list[float]()

    class Telling(SimEhr):
        async def job(self, care_unit_id: str, job_id: str, **__: Any) -> Stored | Failed | None:
            assert job_id == "j1"
            asked.append(asyncio.get_running_loop().time())
            if isinstance(told, Exception):
                if len(asked) < 4:
                    raise told
                return None
            return told if len(asked) > 1 else None

    async with desk(timing=Timing(poll_s=300)) as at:
        draft = await accepted(at)
        at.world.put_note(note().new("a1"))
        at.world.put_note(note(text="other").new("a1"))
        worker = at.worker(ehr=Telling(at.world))
        running = asyncio.create_task(worker.run())
        found = await settled(at, draft, worker, 100_000)
        assert await worker.drain(1)
        await running

        assert (found.state, found.reason) == (state, reason)
        verified = {"r1": "equal", "r2": "differs:content", "r9": "unreadable"}
        if isinstance(told, Stored):
            assert found.verified == verified[told.record_id]
            assert found.remote_id == told.record_id
        if isinstance(told, Failed):
            assert found.told == told.told
        if reason == "job_timed_out":
            gaps = [round(b - a) for a, b in pairwise(asked)]
            assert gaps[0] == 2
            assert set(gaps) <= {2, 30, 300}
            assert 86_000 < asked[-1] < 87_000


@virtual
async def test_without_anyone_to_ask_a_queued_write_waits() -> None:
    async with desk() as at:
        draft = await accepted(at)
        await asyncio.sleep(2)
        assert await at.worker()._steps.look_one()

        assert (await at.now(draft)).state == "accepted"


@virtual
async def test_an_outcome_that_cannot_be_stored_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk() as at:
        failures = [StorageError("full"), StorageError("full")]

        class Full(Late):
            async def move(self, *args: Any, **known: Any) -> bool:
                if args[2] == "filed" and failures:
                    raise failures.pop()
                return await at.store.move(*args, **known)

        draft = await at.approved(payload(note()))
        await at.worker(store=Full(at, 0))._steps.send_one()

        assert (await at.now(draft)).state == "filed"
        assert caplog.text.count("StorageError at ") == 2


@virtual
async def test_an_outcome_that_cannot_be_stored_at_all_is_found_again() -> None:
    async with desk() as at:
        broken = {"store": True}

        class Full(Late):
            async def move(self, *args: Any, **known: Any) -> bool:
                if broken["store"]:
                    raise StorageError("full")
                return await at.store.move(*args, **known)

        draft = await at.approved(payload(note()))
        worker = at.worker(store=Full(at, 0))
        with pytest.raises(StorageError):
            await worker._steps.send_one()
        assert (await at.now(draft)).state == "sending"

        broken["store"] = False
        running = asyncio.create_task(worker.run())
        found = await settled(at, draft, worker)
        assert await worker.drain(1)
        await running
        assert (found.state, found.matched_by) == ("filed", "content")
        assert at.world.received.total() == 1


@virtual
async def test_nothing_of_a_patient_is_logged_or_in_the_chain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with desk(faults=lambda: STRANGE) as at:
        await filed(at, note(text="SECRET"))
        rows = b"".join(row.body for row in await at.store.audit_rows()).decode()

        for value in ("SECRET", NUMBER, "Berg", "secret"):
            assert value not in caplog.text
            assert value not in rows


def test_a_change_of_the_grace_is_refused_when_a_write_could_outlast_it() -> None:
    assert Timing(write_deadline_s=1, read_lag_s=2, grace_s=3).grace("note") == timedelta(seconds=3)
    with pytest.raises(ConfigError, match="LEYR_MCP_GRACE_S"):
        replace(Timing(), grace_s=69.9)
