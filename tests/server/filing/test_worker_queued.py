"""The worker over a record that queues: what is pending, and what waits for a sign-in."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from leyr_mcp.server.ehr.models import Appointment, Note
from leyr_mcp.server.ehr.port import Stored
from leyr_mcp.server.errors import UpstreamAuthError, UpstreamError
from leyr_mcp.server.filing.approving import _tell
from leyr_mcp.server.filing.sending import told_difference
from leyr_mcp.server.storage.store import State
from tests.server.filing.desk import AUDIT, START, booking, desk, note, payload, virtual
from tests.server.filing.world import SimEhr

PENDING = Appointment(
    id="r7", start=START, end=START + timedelta(minutes=30), status="pending", job_id="j7"
)


def signed_out() -> UpstreamError:
    return UpstreamAuthError("Sign in again.", status=403, vendor_code="LOGIN_REQUIRED")


@virtual
async def test_what_is_pending_from_before_is_not_sent_again() -> None:
    async with desk() as at:
        draft = await at.approved(payload(booking()))
        worker = at.worker()
        await at.store.claim(
            "dead",
            now=draft.updated_at,
            lease_until=draft.updated_at,
            audit=AUDIT,
            draft_id=draft.id,
        )
        await at.move(draft, "needs_human", reason="not_found_after_timeout")
        await at.approve(await at.move(draft, "awaiting_approval"))
        at.world.pending["j7"] = PENDING

        await worker._steps.send_one()

        found = await at.now(draft)
        assert (found.state, found.reason) == ("approved", "twin_open")
        assert not at.world.received


@virtual
async def test_a_write_in_doubt_that_is_pending_is_followed_as_its_job() -> None:
    async with desk() as at:
        draft = await at.approved(payload(booking()))
        await at.store.claim(
            "dead",
            now=draft.updated_at,
            lease_until=draft.updated_at,
            audit=AUDIT,
            draft_id=draft.id,
        )
        await at.move(draft, "unknown", reason="no_answer")
        at.world.pending["j7"] = PENDING

        await at.worker()._steps.look_one()

        found = await at.now(draft)
        assert (found.state, found.job_id) == ("accepted", "j7")


@virtual
async def test_while_nobody_is_signed_in_nothing_in_doubt_is_given_up() -> None:
    async with desk() as at:

        class SignedOut(SimEhr):
            async def notes(self, *_: Any, **__: Any) -> list[Note]:
                raise signed_out()

        draft = await at.approved(payload(note()))
        await at.store.claim(
            "dead",
            now=draft.updated_at,
            lease_until=draft.updated_at,
            audit=AUDIT,
            draft_id=draft.id,
        )
        await at.move(draft, "unknown", reason="no_answer")
        worker = at.worker(ehr=SignedOut(at.world))
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(3_000)
        assert (await at.now(draft)).state == "unknown"
        await worker.drain(1)
        await running


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (Stored(record_id="n1", patient_id="mrn:other"), "differs:patient"),
        (Stored(record_id="n1", patient_id="198001022386"), "unreadable"),
        (Stored(record_id="n1", entry=Note(id="n1", title="Visit")), "unreadable"),
        (Stored(record_id="n1", entry=Note(id="n1", title="Other", content={})), "differs:title"),
        (
            Stored(record_id="n1", entry=Note(id="n1", content={"unstructured": "Well."})),
            "equal",
        ),
        (Stored(record_id="n1", entry=PENDING), "unreadable"),
    ],
)
def test_what_is_told_of_a_finished_job_is_compared(stored: Stored, said: str) -> None:
    assert told_difference(payload(note()), stored) == said


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("filed", "accepted"), "1 of 2 filed, 1 queued by the record system."),
        (("filed", "sending"), "1 of 2 filed."),
    ],
)
@virtual
async def test_how_far_a_call_has_come_is_told(states: tuple[State, ...], said: str) -> None:
    heard: list[tuple[float, str]] = []

    class Told(Exception):  # noqa: N818 - the end of the telling
        pass

    async def tell(seconds: float, sentence: str) -> None:
        heard.append((seconds, sentence))
        if len(heard) == 2:
            raise Told

    class Entries:
        async def entry(self, draft_id: str) -> Any:
            state = states[int(draft_id)]
            return type("E", (), {"draft": type("D", (), {"state": state})})

    with pytest.raises(Told):
        await _tell(Entries(), tell, ["0", "1"])  # type: ignore[arg-type]  # all that it asks for
    assert heard == [(2.0, said), (4.0, said)]
