"""Builders for the tests of filing: payloads, approved drafts, a store and a worker."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec

from leyr_mcp.server.ehr.models import Appointment, Patient
from leyr_mcp.server.ehr.port import Job
from leyr_mcp.server.filing.audit import AuditTrail
from leyr_mcp.server.filing.entries import Attached, Shown
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    Item,
    NoteItem,
    PatientItem,
    Payload,
    Was,
)
from leyr_mcp.server.filing.timing import Timing
from leyr_mcp.server.filing.worker import Worker
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Approval, AuditEntry, Change, Draft, NewDraft, State
from tests.server.filing.simulator import InlineStore
from tests.server.filing.world import EPOCH, SimEhr, World, clock, run, seeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

P = ParamSpec("P")
NUMBER = "198001022386"
START = EPOCH + timedelta(days=1)
BYTES = b"a whole document"
ANNA = Patient.model_validate(
    {"emr_id": NUMBER, "first_name": "Anna", "last_name": "Berg", "birth_date": "1980-01-02"}
)
AUDIT = AuditEntry(event="draft", action="C", outcome=0)


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in virtual time."""

    @functools.wraps(test)
    def inner(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return inner


def note(title: str = "Visit", text: str = "Well.", **more: str) -> NoteItem:
    """Return a note."""
    content = {"unstructured": text, **more}
    return NoteItem(title=title, template_id="leyr_unstructured", content=content)


def booking(**more: Any) -> AppointmentItem:
    """Return a booking of half an hour."""
    fields = {"start": START, "end": START + timedelta(minutes=30), **more}
    return AppointmentItem(**fields)


def change(action: Any = "cancel", **more: Any) -> ChangeItem:
    """Return a change of appointment b1, which stands at START."""
    was = Was(start=START, status="booked")
    return ChangeItem(appointment_id="b1", action=action, **{"was": was, **more})


def person(external_id: str | None = "199006022397") -> PatientItem:
    """Return a patient to be created."""
    return PatientItem(first_name="Ola", last_name="Nord", external_id=external_id)


def document(**more: Any) -> DocumentItem:
    """Return a document whose bytes are BYTES."""
    fields = {
        "title": "Letter",
        "format": "text/plain",
        "size": len(BYTES),
        "sha256": hashlib.sha256(BYTES).hexdigest(),
        **more,
    }
    return DocumentItem(**fields)


def payload(item: Item, **more: Any) -> Payload:
    """Return what is approved, for the one patient of these tests."""
    fields = {
        "environment": None,
        "care_unit_id": "u1",
        "patient": f"se_personal_number:{NUMBER}",
        "patient_name": "Anna Berg",
        "patient_birth_date": date(1980, 1, 2),
        "author": "a1",
        **more,
    }
    if isinstance(item, PatientItem):
        fields |= {"patient": None, "patient_name": None, "patient_birth_date": None}
    return Payload(item=item, **fields)


def world(**more: Any) -> World:
    """Return a record with that patient in it."""
    made = World(rng=seeded(1), **more)
    made.people[NUMBER] = ANNA
    made.files["f1"] = BYTES
    return made


@dataclass
class Desk:
    """A store, a record and what works between them."""

    store: SqliteStore
    world: World
    timing: Timing = field(default_factory=Timing)
    approvals: int = 0

    def worker(self, owner: str = "w1", ehr: Any = None, store: Any = None) -> Worker:
        """Return a worker."""
        return Worker(
            store or self.store,
            ehr or SimEhr(self.world),
            owner=owner,
            trail=AuditTrail(store or self.store, clock=clock, device="d", origin="o"),
            files=self.world,
            timing=self.timing,
            clock=clock,
            rng=seeded(1),
        )

    async def stage(
        self, what: Payload, *, dedupe: str = "", raw: bytes | None = None, shown: bytes = b""
    ) -> Draft:
        """Return a draft that waits for approval; a document's bytes are staged as f1."""
        if isinstance(what.item, DocumentItem) and not shown:
            shown = Shown(attached=Attached(staged="f1")).to_bytes()
        new = NewDraft(
            kind=what.kind,
            state="awaiting_approval",
            principal="p",
            care_unit_id=what.care_unit_id,
            patient_key="k",
            dedupe=f"{what.digest()}{dedupe}",
            digest=what.digest(),
            payload=what.to_bytes() if raw is None else raw,
            shown=shown,
        )
        return (await self.store.stage(new, now=clock(), audit=AUDIT))[0]

    async def approve(self, draft: Draft) -> Draft:
        """Approve it."""
        self.approvals += 1
        given = Approval(
            id=f"a{self.approvals}",
            draft_id=draft.id,
            version=draft.version,
            digest=draft.digest,
            approver="d",
            channel="page",
            created_at=clock(),
            expires_at=clock() + timedelta(hours=24),
        )
        assert await self.store.approve(given, now=clock(), audit=AUDIT)
        return await self.now(draft)

    async def approved(self, what: Payload, **more: Any) -> Draft:
        """Return an approved draft."""
        return await self.approve(await self.stage(what, **more))

    async def now(self, draft: Draft) -> Draft:
        """Return it as it stands."""
        found = await self.store.draft(draft.id)
        assert found is not None
        return found

    async def move(self, draft: Draft, new: State, **known: Any) -> Draft:
        """Move it, by nobody."""
        now = await self.now(draft)
        assert await self.store.move(
            now.id, now.state, new, version=now.version, now=clock(), change=Change(**known)
        )
        return await self.now(draft)


@asynccontextmanager
async def desk(**more: Any) -> AsyncIterator[Desk]:
    """Open a store over a fresh record."""
    store = InlineStore(None, Keys(bytes(32)))
    await store.open()
    settings = {k: more.pop(k) for k in ("timing",) if k in more}
    try:
        yield Desk(store, world(**more), **settings)
    finally:
        await store.close()


async def settled(at: Desk, draft: Draft, worker: Worker, wait_s: float = 1_000) -> Draft:
    """Return the draft after the worker had all the time it needs."""
    found = await worker.outcome(draft.id, wait_s)
    assert found is not None
    return await at.now(draft)


async def accepted(at: Desk) -> Draft:
    """Return a draft that the record system has queued as job j1."""

    class Queueing(SimEhr):
        async def write_note(self, *_: Any) -> Any:
            return Job("j1")

    draft = await at.approved(payload(note()))
    await at.worker(ehr=Queueing(at.world))._steps.send_one()
    found = await at.now(draft)
    assert (found.state, found.job_id) == ("accepted", "j1")
    return found


def by_hand(at: Desk, **more: Any) -> Appointment:
    """Put the appointment that is changed."""
    fields = {"id": "b1", "start": START, "end": START + timedelta(hours=1), "status": "booked"}
    stored = Appointment(**{**fields, **more})
    at.world.put("by hand", stored, ours=False)
    return stored


async def filed(at: Desk, item: Item, **more: Any) -> Draft:
    """Have one thing filed by one worker, and return what became of it."""
    if isinstance(item, ChangeItem) and "b1" not in at.world.entries:
        by_hand(at)
    draft = await at.approved(payload(item, **more))
    worker = at.worker()
    running = asyncio.create_task(worker.run())
    found = await settled(at, draft, worker)
    assert await worker.drain(1)
    await running
    return found


class Late:
    """A store that is slow to say that a claim was made."""

    def __init__(self, at: Desk, seconds: float) -> None:
        self._at = at
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._at.store, name)

    async def claim(self, *args: Any, **known: Any) -> Draft | None:
        found = await self._at.store.claim(*args, **known)
        await asyncio.sleep(self._seconds)
        return found
