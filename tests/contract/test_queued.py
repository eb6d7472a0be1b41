"""Writes that are queued: accepted is not filed, and each way it can end leads to its state once.

Everything is real but the vendor: the tools, the store, the worker, HTTP, and webhooks over a
socket. Where polling is off, only a webhook makes the worker look.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.cobalt.options import Delivery, Outcome
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.server.filing import approving
from leyr_mcp.server.filing.checkpoints import hooked
from leyr_mcp.server.filing.timing import Timing
from tests.support.cobalt_desk import cobalt_desk

FAR_S = 100_000.0
polling = pytest.mark.parametrize("polls", [True, False], ids=["polling", "webhooks alone"])


@pytest.fixture
def _no_polling(monkeypatch: pytest.MonkeyPatch, polls: bool) -> None:  # noqa: FBT001 - a parameter
    """Have a job never asked for by itself."""
    if not polls:
        monkeypatch.setattr(Timing, "job_pause_s", lambda *_: FAR_S)


async def test_what_cobalt_cannot_do_is_not_offered() -> None:
    async with cobalt_desk() as at:
        offered = {tool.name for tool in (await at.client.list_tools()).tools}
        lacking = {"list_notes", "get_note", "list_documents", "get_document", "create_patient"}
        assert not offered & lacking
        assert {"find_patient", "list_timeslots", "book_appointment", "write_note"} < offered
        assert {"attach_document", "change_appointment", "file_drafts", "get_draft"} < offered


async def test_accepted_is_told_and_is_not_filed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "WAIT_S", 0.5)
    async with cobalt_desk() as at:
        at.box.control.options.job_seconds = 600
        entry = await at.note()
        await at.approve(entry)
        await at.until(entry, "accepted")
        told = await at.call("get_draft", draft_id=entry.id)
        assert told.structured_content["status"] == "accepted"
        assert "record_id" not in told.structured_content
        assert "queued" in told.content[0].text
        assert at.stored("note") == []
        again = await at.call(
            "write_note", patient_id="mrn:MRN-10005", title="Check", content="Feels well."
        )
        assert again.structured_content["draft_id"] == entry.id
        assert at.writes() == 1


@pytest.mark.usefixtures("_no_polling")
@polling
@pytest.mark.parametrize("kind", ["note", "letter", "booking", "cancellation"])
async def test_each_kind_is_filed_once_and_as_approved(kind: str, *, polls: bool) -> None:
    async with cobalt_desk(webhooks=not polls) as at:
        entry = await getattr(at, kind)()
        await at.approve(entry)
        found = await at.until(entry, "filed", "needs_human")
        assert (found.draft.state, found.draft.verified) == ("filed", "equal")
        assert found.draft.matched_by == "job"
        assert at.writes() == 1


async def test_a_whole_visit_is_filed_in_one_call_with_progress() -> None:
    said: list[str] = []

    async def told(progress: float, total: float | None, message: str | None) -> None:
        said.append(message or "")

    async with cobalt_desk(LEYR_MCP_APPROVAL="trusted") as at:
        at.box.control.options.job_seconds = 2.5
        about = {"patient_id": "mrn:MRN-10005", "expect": "Fixture", "draft": True}
        note = await at.call("write_note", title="Check", content="Feels well.", **about)
        letter = await at.call("attach_document", title="Letter", text="Bring it.", **about)
        ids = [one.structured_content["draft_id"] for one in (letter, note)]
        result = await at.client.call_tool(
            "file_drafts", {"draft_ids": ids}, progress_callback=told
        )
        assert result.structured_content is not None
        assert len(result.structured_content["filed"]) == 2
    assert any("queued by the record system" in line for line in said)


@pytest.mark.usefixtures("_no_polling")
@polling
@pytest.mark.parametrize("result", ["late", "twice", "swap", "older_shape"])
async def test_however_a_webhook_comes_the_state_is_right(result: Any, *, polls: bool) -> None:
    async with cobalt_desk() as at:
        at.box.control.deliveries.append(Delivery(result=result, seconds=0.3))
        entries = [await at.note("One."), await at.note("Two.", title="Another")]
        for entry in entries:
            await at.approve(entry)
        for entry in entries:
            found = await at.until(entry, "filed", "needs_human")
            assert (found.draft.state, found.draft.verified) == ("filed", "equal")
        await at.box.control.deliverer.settled()
        for entry in entries:  # what comes after the end changes nothing
            assert (await at.entry(entry)).draft.state == "filed"
        assert len(at.stored("note")) == at.writes() == 2


@pytest.mark.parametrize("result", ["lose", "wrong_signature"])
async def test_without_its_webhook_a_write_is_found_by_asking(result: Any) -> None:
    async with cobalt_desk() as at:
        at.box.control.deliveries.append(Delivery(result=result))
        entry = await at.note()
        await at.approve(entry)
        found = await at.until(entry, "filed", "needs_human")
        assert (found.draft.state, at.writes()) == ("filed", 1)


@pytest.mark.parametrize("result", ["lose", "wrong_signature"])
async def test_without_webhook_and_polling_it_waits_and_is_never_sent_again(
    monkeypatch: pytest.MonkeyPatch, result: Any
) -> None:
    monkeypatch.setattr(Timing, "job_pause_s", lambda *_: FAR_S)
    async with cobalt_desk() as at:
        at.box.control.deliveries.append(Delivery(result=result))
        entry = await at.note()
        await at.approve(entry)
        await at.until(entry, "accepted")
        async with asyncio.timeout(10):
            while not at.stored("note"):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
        await at.box.control.deliverer.settled()
        assert ((await at.entry(entry)).draft.state, at.writes()) == ("accepted", 1)


@pytest.mark.usefixtures("_no_polling")
@polling
@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(result="fail", reason="Chart is <b>locked</b>."), "job_failed"),
        (Outcome(result="fail", seconds=0.5), "job_failed"),
        (Outcome(result="differently"), "stored_differently"),
    ],
)
async def test_what_goes_wrong_later_is_given_to_a_person(
    outcome: Outcome, reason: str, *, polls: bool
) -> None:
    async with cobalt_desk() as at:
        at.box.control.outcomes.append(outcome.model_copy())
        entry = await at.note()
        await at.approve(entry)
        found = await at.until(entry, "filed", "needs_human")
        assert (found.draft.state, found.draft.reason) == ("needs_human", reason)
        told = await at.call("get_draft", draft_id=entry.id)
        text = told.content[0].text
        assert f"reason {reason}" in text
        assert "locked" not in text + json.dumps(told.structured_content)  # for people alone
        if reason == "job_failed":
            assert found.draft.told == (outcome.reason or "Failed to create patient note")
        assert at.writes() == 1


async def test_the_silent_end_of_a_job_is_overdue_after_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timing = replace(Timing.of(1.5, 4.5), job_limit_s=1.0)
    monkeypatch.setattr(Timing, "of", lambda *_: timing)
    async with cobalt_desk() as at:
        for result in ("never", "silent"):
            at.box.control.outcomes.append(Outcome(result=result))
            entry = await at.note(f"Well, {result}.", title=result)
            await at.approve(entry)
            found = await at.until(entry, "filed", "needs_human")
            assert found.draft.reason == "job_timed_out"
        assert at.writes() == 2


@pytest.mark.parametrize("kind", ["note", "letter", "booking"])
@pytest.mark.parametrize("fault", ["reset_after", "500_after", "cut", "hang"])
async def test_a_lost_acknowledgement_is_found_by_what_was_stored(kind: str, fault: Any) -> None:
    async with cobalt_desk() as at:
        entry = await getattr(at, kind)()
        commit = True if fault == "hang" else None
        at.box.control.faults.add(Fault(kind=fault, method="POST", commit=commit))
        await at.approve(entry)
        found = await at.until(entry, "filed", "needs_human")
        assert found.draft.state == "filed", found.draft.reason
        assert len(at.stored({"note": "note", "letter": "document"}.get(kind, "appointment"))) == 1
        assert at.writes() == 1


async def test_a_lost_acknowledgement_of_a_write_that_failed_is_given_to_a_person() -> None:
    async with cobalt_desk() as at:
        at.box.control.faults.add(Fault(kind="reset_after", method="POST"))
        at.box.control.outcomes.append(Outcome(result="fail"))
        entry = await at.note()
        await at.approve(entry)
        found = await at.until(entry, "filed", "needs_human")
        assert found.draft.reason == "not_found_after_timeout"
        assert at.writes() == 1


async def test_a_booking_whose_acknowledgement_was_lost_is_followed_while_it_is_pending() -> None:
    async with cobalt_desk() as at:
        at.box.control.options.job_seconds = 3
        at.box.control.faults.add(Fault(kind="reset_after", method="POST"))
        entry = await at.booking()
        await at.approve(entry)
        await at.until(entry, "accepted")
        found = await at.until(entry, "filed", "needs_human")
        assert (found.draft.state, found.draft.verified) == ("filed", "equal")
        assert len(at.stored("appointment")) == at.writes() == 1


async def test_two_who_book_the_same_time_get_one_booking() -> None:
    async with cobalt_desk() as at:
        first = await at.booking()
        await at.approve(first)
        await at.until(first, "accepted", "filed")
        found = await at.until(first, "filed", "needs_human")
        assert found.draft.state == "filed"
        again = await at.call(
            "book_appointment",
            patient_id="mrn:MRN-10006",
            start=first.payload.item.start.isoformat(),  # type: ignore[union-attr]  # a booking
            end=first.payload.item.end.isoformat(),  # type: ignore[union-attr]
            resource_id="9001",
            healthcare_service_id="FU",
        )
        assert again.is_error
        assert "slot_taken" in again.content[0].text


async def test_an_ended_sign_in_lets_everything_wait_and_then_go_on() -> None:
    async with cobalt_desk() as at:
        entries = [await at.note(), await at.letter()]
        at.box.control.login_required = True
        for entry in entries:
            await at.approve(entry)
        async with asyncio.timeout(10):
            while not all([(await at.entry(e)).draft.reason for e in entries]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for entry in entries:
            told = await at.call("get_draft", draft_id=entry.id)
            assert told.structured_content["status"] == "approved"
            assert "reason sign_in_needed" in told.content[0].text
            assert "sign" in told.structured_content["next"]
        refused = await at.call("find_patient", last_name="Fixture")
        assert "Link page" in refused.content[0].text
        assert at.writes() == 0
        at.box.control.login_required = False
        for entry in entries:
            assert (await at.until(entry, "filed", "needs_human")).draft.state == "filed"
        assert at.writes() == 2


async def test_a_write_turned_away_for_the_sign_in_keeps_its_approval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timing = replace(Timing.of(0.5, 1.5), sign_in_s=0.05)
    monkeypatch.setattr(Timing, "of", lambda *_: timing)
    left = 5
    boxes: list[CobaltSandbox] = []

    def end_the_sign_in(name: str) -> None:
        """End it between the last reading and the write, again and again."""
        nonlocal left
        if name == "claimed" and left:
            left -= 1
            boxes[0].control.login_required = True
        elif name == "answered":
            boxes[0].control.login_required = False

    with hooked(end_the_sign_in):
        async with cobalt_desk(LEYR_MCP_WRITE_DEADLINE_S="0.5", LEYR_MCP_GRACE_S="1.5") as at:
            boxes.append(at.box)
            entry = await at.note()
            await at.approve(entry)
            found = await at.until(entry, "filed", "needs_human", within_s=60)
            assert found.draft.state == "filed"
            assert found.draft.attempt == 6  # more often than anything else is sent
            assert len(at.stored("note")) == 1


FORGED = (
    "no signature", "empty", "short", "long", "capitals", "prefix", "other secret", "other body",
    "changed byte", "of the timestamp too", "plain hash",
)  # fmt: skip


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_webhook_moves_nothing(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(Timing, "job_pause_s", lambda *_: FAR_S)
    async with cobalt_desk(webhooks=False) as at:
        entry = await at.note()
        await at.approve(entry)
        waits = await at.until(entry, "accepted")
        number, _, ack = (waits.draft.job_id or "").partition(":")
        event = {
            "id": "evt_forged",
            "type": "patient_note.created",
            "job_id": number,
            "data": {"patient_note_id": ack, "emr_note_id": "forged"},
        }
        body = json.dumps(event, separators=(",", ":")).encode()
        secret = (at.box.control.store.meta("secret") or "").encode()
        good = hmac.new(secret, body, hashlib.sha256).hexdigest()
        headers = {
            "no signature": {},
            "empty": {"cobalt-verification": ""},
            "short": {"cobalt-verification": good[:-1]},
            "long": {"cobalt-verification": good + "0"},
            "capitals": {"cobalt-verification": good.upper()},
            "prefix": {"cobalt-verification": f"sha256={good}"},
            "other secret": {"cobalt-verification": _hmac(b"whsec_x", body)},
            "other body": {"cobalt-verification": _hmac(secret, body + b" ")},
            "changed byte": {"cobalt-verification": good},
            "of the timestamp too": {"cobalt-verification": _hmac(secret, b"1." + body)},
            "plain hash": {"cobalt-verification": hashlib.sha256(secret + body).hexdigest()},
        }[how]
        sent = body.replace(b"forged", b"forgex") if how == "changed byte" else body
        assert await at.post(sent, **headers) == 401
        now = await at.entry(entry)
        assert (now.draft.state, now.draft.next_at) == ("accepted", waits.draft.next_at)
        # Even a signed lie only makes the worker look, and what it reads decides.
        assert await at.post(body, **{"cobalt-verification": good}) == 200
        found = await at.until(entry, "filed", "accepted")
        assert found.draft.remote_id != "forged"


async def test_a_replayed_webhook_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timing, "job_pause_s", lambda *_: FAR_S)
    async with cobalt_desk() as at:
        entry = await at.note()
        await at.approve(entry)
        await at.until(entry, "filed")
        before = len(at.box.control.requests.entries)
        (event,) = at.box.control.events()
        from leyr_mcp.sandbox.cobalt.deliver import encoded, signature  # noqa: PLC0415
        from leyr_mcp.sandbox.cobalt.events import pushed  # noqa: PLC0415

        body = encoded(pushed(event))
        secret = at.box.control.store.meta("secret") or ""
        assert await at.post(body, **{"cobalt-verification": signature(body, secret)}) == 200
        assert len(at.box.control.requests.entries) == before
        assert (await at.entry(entry)).draft.state == "filed"


async def test_a_place_that_is_not_there_is_answered_with_those_that_are() -> None:
    async with cobalt_desk() as at:
        answer = await at.call(
            "write_note", patient_id="mrn:MRN-10005", title="x", content="Well.", care_unit_id="no"
        )
        assert answer.is_error
        text = answer.content[0].text
        assert "a1f0c3d2-0001-4b7e-9a11-000000000001" in text
        assert "a1f0c3d2-0002-4b7e-9a11-000000000002" in text
        assert at.writes() == 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Missing required field: subject", "missing_required_field"),
        ("Invalid location_id. Must be one of: x", "invalid_care_unit_id"),
    ],
)
async def test_a_refusal_at_the_door_is_certain_and_told(
    monkeypatch: pytest.MonkeyPatch, message: str, reason: str
) -> None:
    from leyr_mcp.sandbox.cobalt import writes  # noqa: PLC0415 - made to refuse
    from leyr_mcp.sandbox.cobalt.wire import Refused  # noqa: PLC0415

    async with cobalt_desk() as at:
        entry = await at.note()

        def refuse(*_: Any) -> str:
            raise Refused(message)

        monkeypatch.setattr(writes, "_location", refuse)
        await at.approve(entry)
        found = await at.until(entry, "filed", "needs_human")
        assert (found.draft.state, found.draft.reason) == ("needs_human", reason)
        assert at.stored("note") == []


def _hmac(secret: bytes, body: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()
