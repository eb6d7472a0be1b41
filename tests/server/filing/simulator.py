"""Filing under every kind of bad luck, from one seed: the real worker and store, a virtual rest.

Several processes share one ledger and one record. Their writes fail in every way, their reads fail
and lag, they crash at any step and start again, and people do what people do meanwhile. What must
hold whatever happens stands in `Simulation.judge`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar, cast

from leyr_mcp.server.ehr.capabilities import UNKNOWN, Capabilities
from leyr_mcp.server.ehr.models import Appointment, Patient
from leyr_mcp.server.ehr.port import NewNote
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing.audit import AuditTrail
from leyr_mcp.server.filing.checkpoints import hooked
from leyr_mcp.server.filing.entries import Attached, Shown
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    NoteItem,
    PatientItem,
    Payload,
    Was,
)
from leyr_mcp.server.filing.timing import Timing
from leyr_mcp.server.filing.worker import Worker
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.ledger import get
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Approval, AuditEntry, Draft, NewDraft, Store
from tests.server.filing.world import (
    EPOCH,
    FATES,
    FAULTS,
    FOREVER,
    GOOD,
    Fate,
    Fault,
    SimEhr,
    World,
    clock,
    late,
    note_key,
    run,
    seeded,
    unavailable,
)

T = TypeVar("T")
PATIENT = "198001022386"
CALM_AFTER_S = 400.0
LIMIT_S = 4_500.0
SETTLED = frozenset({"filed", "needs_human", "declined", "withdrawn"})
# What may be told where these faults alone are made.
REASONS = frozenset(
    {
        "conflict",
        "duplicate_upstream",
        "invalid_note_content",
        "job_failed",
        "job_timed_out",
        "lookup_failed",
        "lookup_inconclusive",
        "lookup_unsupported",
        "not_found_after_timeout",
        "slot_taken",
        "stale_claim",
        "stored_differently",
        "upstream_unreachable",
    }
)
TIMES: tuple[Callable[[datetime], datetime | None], ...] = (
    lambda when: when,
    lambda when: when.replace(microsecond=0),
    lambda when: when.replace(second=0, microsecond=0),
    lambda when: when.replace(tzinfo=None),
    lambda when: (when + timedelta(hours=1)).replace(tzinfo=None),
    lambda _: None,
)
_LOST = Fault("failed read", error=unavailable)
_STUCK = Fault("stuck read", told_after=FOREVER)


class Crash(BaseException):
    """The process is gone; nothing of it runs any more."""


class InlineStore(SqliteStore):
    """The real store without its thread, which virtual time could not wait for."""

    async def open(self) -> None:
        self._database.open()

    async def close(self) -> None:
        self._database.close()

    async def _run(self, job: Callable[[], T]) -> T:
        return job()


@dataclass(slots=True)
class Luck:
    """How bad it is: chances for each write, read, commit and step."""

    fault: float
    read_fault: float
    crash: float
    storage: float
    pause: float

    @classmethod
    def draw(cls, rng: random.Random) -> Luck:
        """Return one world's luck; every part is often none at all."""

        def chance(*values: float) -> float:
            return rng.choice((0.0, *values))

        return cls(
            fault=rng.choice((0.2, 0.6, 1.0)),
            read_fault=chance(0.2, 0.6),
            crash=chance(0.03, 0.15),
            storage=chance(0.02),
            pause=chance(0.1),
        )


@dataclass(slots=True)
class Process:
    """One process: a worker that lives until it crashes, and then another."""

    sim: Simulation
    name: str
    worker: Worker | None = None
    alive: bool = True
    ending: asyncio.Task[bool] | None = None
    strange: list[BaseException] = field(default_factory=list)

    async def live(self) -> None:
        sim, life = self.sim, 0
        while not sim.over:
            life += 1
            self.alive = True
            self.worker = Worker(
                cast("Store", Ledger(self, sim.store)),
                SimEhr(sim.world),
                owner=f"{self.name}.{life}",
                trail=AuditTrail(sim.store, clock=clock, device="d", origin="o"),
                files=sim.world,
                timing=sim.timing,
                clock=clock,
                rng=seeded(sim.rng.random()),
            )
            with hooked(self.step):
                task = asyncio.create_task(self.worker.run())
            loop = asyncio.get_running_loop()
            if sim.rng.random() < sim.luck.crash:
                loop.call_later(sim.rng.uniform(0, 60), self.kill, task)
            elif sim.rng.random() < 2 * sim.luck.crash:
                loop.call_later(sim.rng.uniform(0, 60), self.end_politely)
            await asyncio.wait({task})
            if self.ending is not None:
                await asyncio.wait({self.ending})
                self.ending = None
            if not task.cancelled() and (exc := task.exception()) is not None:
                self.strange += [e for e in _leaves(exc) if not isinstance(e, Crash)]
            await asyncio.sleep(sim.rng.choice((0.0, 1.0, 100.0)) * sim.rng.random())

    def end_politely(self) -> None:
        """Stop it as a host does: what is under way has a few seconds."""
        if self.worker is not None and not self.sim.over:
            self.ending = asyncio.create_task(self.worker.drain(self.sim.rng.uniform(0, 10)))

    def step(self, _name: str) -> None:
        """Perhaps crash at a checkpoint."""
        self.breathe(self.sim.chance("crash"))

    def breathe(self, dies: bool) -> None:  # noqa: FBT001 - reads as a sentence
        """Go on only while alive."""
        if dies:
            self.alive = False
        if not self.alive:
            raise Crash

    def kill(self, task: asyncio.Task[None]) -> None:
        """End it wherever it is."""
        self.alive = False
        task.cancel()


def _leaves(exc: BaseException) -> list[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        return [leaf for part in exc.exceptions for leaf in _leaves(part)]
    return [exc]


class Ledger:
    """The store as one process reaches it: others come in between, and the process may die."""

    def __init__(self, process: Process, store: SqliteStore) -> None:
        self._process = process
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Any]:
        process, real = self._process, getattr(self._store, name)
        sim = process.sim

        async def called(*args: Any, **kwargs: Any) -> Any:
            process.breathe(dies=False)
            if (turn := sim.rng.random()) < 0.3:
                await asyncio.sleep(0.0 if turn < 0.2 else 0.005)
                process.breathe(dies=False)
            if sim.chance("storage"):
                raise StorageError("The disk is full; nothing was stored.")
            value = await real(*args, **kwargs)
            if name == "claim" and sim.chance("pause"):
                await asyncio.sleep(sim.rng.uniform(0, 200))  # the machine sleeps
            process.breathe(
                dies=name != "commits" and sim.chance("crash") and sim.rng.random() < 0.1
            )
            return value

        return called


@dataclass(slots=True)
class Wish:
    """One thing that a person wants filed."""

    key: str
    payload: Payload
    idempotency: str = ""
    staged: str = ""
    draft_id: str = ""
    orders: int = 0


class Simulation:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = seeded(seed)
        self.luck = Luck.draw(self.rng)
        poll_s = self.rng.choice((10.0, 30.0, 30.0, 60.0))
        self.queues = self.rng.random() < 0.4
        self.timing = Timing(poll_s=poll_s)
        if self.queues:
            self.timing = Timing(poll_s=poll_s, grace_s=600.0, job_limit_s=1_200.0)
        self.over = False
        self.strange: list[str] = []
        self.intents = 0
        self.store = InlineStore(None, Keys(bytes(32)))
        self.world = self._world()
        self.wishes = self._wishes()
        self.final: list[Draft] = []
        self.processes = [Process(self, f"p{n}") for n in range(self.rng.choice((1, 2, 2, 3)))]

    def chance(self, of: str) -> bool:
        """Return whether this bad luck strikes; after a while nothing does."""
        asyncio_time = asyncio.get_running_loop().time()
        return asyncio_time < CALM_AFTER_S and self.rng.random() < getattr(self.luck, of)

    def _world(self) -> World:
        rng = self.rng
        world = World(
            rng=rng,
            capabilities=rng.choice(
                (UNKNOWN, UNKNOWN, Capabilities(name="Blind", list_appointments=False))
            ),
            lag_s=rng.choice((0.0, 0.0, 8.0)),
            spell_time=rng.choice(TIMES),
            list_has_content=rng.random() < 0.3,
            faults=self._write_fault,
            fates=self._fate,
            read_faults=self._read_fault,
            witness=self._witness,
        )
        anna = {"emr_id": PATIENT, "first_name": "Anna", "last_name": "Berg"}
        world.people[PATIENT] = Patient.model_validate({**anna, "birth_date": "1980-01-02"})
        return world

    def _witness(self, key: str) -> None:
        """See that what arrives is, at that very moment, on its way by the ledger."""
        read = self.store._database.read
        led = self.store._ledger
        drafts = [read(get(led, wish.draft_id)) for wish in self.wishes if wish.key == key]
        if not any(draft is not None and draft.state == "sending" for draft in drafts):
            states = [draft.state for draft in drafts if draft is not None]
            self.strange.append(f"{key}: arrived while {states}")

    def _write_fault(self) -> Fault:
        if not self.chance("fault"):
            return GOOD
        kind = self.rng.randrange(len(FAULTS) + 3)
        if kind < len(FAULTS):
            return FAULTS[kind]
        # Sent at most 15 s after the claim and seen at most 8 s later, it is seen within the grace.
        far = self.rng.random() < 0.1
        return late(self.rng.uniform(130, 300) if far else self.rng.uniform(0, 90))

    def _fate(self) -> Fate | None:
        """Return what becomes of a queued write; None where nothing is queued."""
        if not self.queues:
            return None
        return self.rng.choice(FATES) if self.chance("fault") else FATES[0]

    def _read_fault(self) -> Fault:
        if not self.chance("read_fault"):
            return GOOD
        return self.rng.choice((_LOST, _LOST, _STUCK))

    def _wishes(self) -> list[Wish]:
        rng, wishes = self.rng, list[Wish]()
        for number in range(rng.choice((1, 1, 2, 3))):
            wish = rng.choice(
                (self._note, self._note, self._note, self._booking, self._file, self._change)
                if rng.random() < 0.9
                else (self._person,)
            )(number)
            wishes.append(wish)
            if rng.random() < 0.15 and wish.payload.kind == "note":
                wishes.append(Wish(wish.key, wish.payload, idempotency="a second copy"))
        return wishes

    def _payload(self, item: Any) -> Payload:
        return Payload(
            environment=None,
            care_unit_id="u1",
            item=item,
            patient=f"se_personal_number:{PATIENT}",
            patient_name="anna  BERG",
            patient_birth_date=date(1980, 1, 2),
            author="a1",
        )

    def _note(self, number: int) -> Wish:
        content = {"unstructured": f"text {number}\nof seed {self.seed}"}
        title = self.rng.choice(("Visit", "Visit", f"Visit {number}"))
        item = NoteItem(title=title, template_id="leyr_unstructured", content=content)
        return Wish(note_key(title, content), self._payload(item))

    def _booking(self, number: int) -> Wish:
        start = EPOCH + timedelta(days=1, hours=number)
        item = AppointmentItem(start=start, end=start + timedelta(minutes=30))
        return Wish(f"appointment {start.isoformat()}", self._payload(item))

    def _file(self, number: int) -> Wish:
        whole = f"bytes {number}".encode()
        self.world.files[f"f{number}"] = whole
        item = DocumentItem(
            title="Letter",
            format="text/plain",
            size=len(whole),
            sha256=hashlib.sha256(whole).hexdigest(),
        )
        return Wish(f"document {whole!r}", self._payload(item), staged=f"f{number}")

    def _change(self, number: int) -> Wish:
        start = EPOCH + timedelta(days=2, hours=number)
        booked = Appointment(
            id=f"b{number}", start=start, end=start + timedelta(hours=1), status="booked"
        )
        item = ChangeItem(
            appointment_id=booked.id, action="cancel", was=Was(start=start, status="booked")
        )
        if self.rng.random() < 0.5:
            later = start + timedelta(days=1)
            item = ChangeItem(
                appointment_id=booked.id,
                action="reschedule",
                was=Was(start=start, status="booked"),
                start=later,
                end=later + timedelta(hours=1),
            )
        wish = Wish(f"change {booked.id}", self._payload(item))
        self.world_start = [*getattr(self, "world_start", []), booked]
        return wish

    def _person(self, number: int) -> Wish:
        item = PatientItem(
            first_name="Ola", last_name=f"Nord {number}", external_id=f"19900602739{number}"
        )
        payload = Payload(environment=None, care_unit_id="u1", item=item)
        return Wish(f"patient {item.external_id}", payload)

    # The run

    async def go(self) -> None:
        """Live through it, to the end of every late write."""
        await self.store.open()
        for booked in getattr(self, "world_start", []):
            self.world.put("by hand", booked, ours=False)
        lives = [asyncio.create_task(process.live()) for process in self.processes]
        # Never two at one instant: what comes first then would be chance, and not the seed's.
        starts = [self._person_wants(wish, 0.001 * n) for n, wish in enumerate(self.wishes)]
        await asyncio.gather(*starts)
        self.over = True
        for process in self.processes:
            if process.worker is not None:
                await process.worker.drain(100)
        await asyncio.wait(lives)
        await asyncio.sleep(1_000)
        self.final = await self.store.drafts(limit=1_000)
        rows = await self.store.audit_rows(limit=10_000)
        self.intents = sum(b'"phase":"intent"' in row.body for row in rows)
        await self.store.close()

    async def _person_wants(self, wish: Wish, start: float) -> None:
        rng = self.rng
        await asyncio.sleep(start + rng.choice((0.0, rng.uniform(0, 20))))
        calls = [self._stage(wish) for _ in range(rng.choice((1, 1, 2, 5)))]
        drafts = await asyncio.gather(*calls)
        assert len({draft.id for draft in drafts}) == 1, "a repeated call made a second draft"
        wish.draft_id = drafts[0].id
        await self._approve(wish)
        if rng.random() < 0.1 and isinstance(wish.payload.item, NoteItem):
            await asyncio.sleep(rng.uniform(0, 30))
            self._by_hand(wish.payload.item)
        while asyncio.get_running_loop().time() < LIMIT_S:
            await asyncio.sleep(15)
            draft = await self.store.draft(wish.draft_id)
            assert draft is not None
            if draft.state == "needs_human" and wish.orders == 0 and rng.random() < 0.3:
                wish.orders += 1
                await self._order_again(wish, draft)
            elif draft.state in SETTLED:
                return
            elif draft.state == "awaiting_approval":
                await self._approve(wish)
            if rng.random() < 0.2:  # the assistant repeats its call
                again = await self._stage(wish)
                assert again.id == wish.draft_id, "a repeated call made a second draft"

    async def _stage(self, wish: Wish) -> Draft:
        raw = wish.payload.to_bytes()
        new = NewDraft(
            kind=wish.payload.kind,
            state="awaiting_approval",
            principal="p",
            care_unit_id="u1",
            patient_key="k",
            dedupe=f"{wish.payload.digest()} {wish.idempotency}",
            digest=wish.payload.digest(),
            payload=raw,
            shown=Shown(attached=Attached(staged=wish.staged)).to_bytes() if wish.staged else b"",
        )
        audit = AuditEntry(event="draft", action="C", outcome=0)
        draft, _ = await self.store.stage(new, now=clock(), audit=audit)
        return draft

    async def _approve(self, wish: Wish) -> None:
        draft = await self.store.draft(wish.draft_id)
        assert draft is not None
        approval = Approval(
            id=f"a{self.world.new_id()}",
            draft_id=draft.id,
            version=draft.version,
            digest=draft.digest,
            approver="d",
            channel="page",
            created_at=clock(),
            expires_at=clock() + timedelta(hours=24),
        )
        audit = AuditEntry(event="approve", action="U", outcome=0)
        await self.store.approve(approval, now=clock(), audit=audit)
        worker = self.rng.choice(self.processes).worker
        if worker is not None:
            worker.wake()

    async def _order_again(self, wish: Wish, draft: Draft) -> None:
        audit = AuditEntry(event="approve", action="U", outcome=0)
        moved = await self.store.move(
            draft.id,
            "needs_human",
            "awaiting_approval",
            version=draft.version,
            now=clock(),
            audit=audit,
        )
        if moved:
            await self._approve(wish)

    def _by_hand(self, item: NoteItem) -> None:
        new = NewNote(
            title=item.title,
            template_id=item.template_id,
            content=item.content,
            created_by_id="a1",
        )
        self.world.put_note(new, ours=False)

    # The judgement

    def judge(self) -> list[str]:
        """Return every broken promise."""
        wrong = [f"worker ended by {exc!r}" for p in self.processes for exc in p.strange]
        wrong += self.strange
        if self.intents != sum(draft.attempt for draft in self.final):
            wrong.append("an attempt without its intent in the chain")
        wanted = Counter(wish.key for wish in self.wishes)
        orders = Counter[str]()
        for wish in self.wishes:
            orders[wish.key] += wish.orders
        for key, count in wanted.items():
            allowed = (count + orders[key]) * (3 if key.startswith("patient") else 1)
            if self.world.received[key] > allowed:
                wrong.append(f"{key}: sent {self.world.received[key]} times for {allowed}")
            if self.world.stored[key] > allowed:
                wrong.append(f"{key}: stored {self.world.stored[key]} times for {allowed}")
        by_id = {draft.id: draft for draft in self.final}
        if len(by_id) != len(self.wishes):
            wrong.append("more drafts than wishes")
        for wish in self.wishes:
            wrong += self._judge_one(wish, by_id[wish.draft_id])
        owned = Counter(d.remote_id for d in self.final if d.remote_id and d.kind != "change")
        wrong += [f"{rid} owned by {n}" for rid, n in owned.items() if n > 1]
        return wrong

    def _judge_one(self, wish: Wish, draft: Draft) -> list[str]:
        if draft.state == "filed":
            return [] if self._holds(wish, draft) else [f"{wish.key}: filed, but not there"]
        if draft.state == "needs_human" and draft.reason not in REASONS:
            return [f"{wish.key}: needs a human for {draft.reason}"]
        if draft.state != "needs_human":
            return [f"{wish.key}: left {draft.state} ({draft.reason})"]
        if draft.reason == "not_found_after_timeout":
            sent = draft.last_sent_at
            if sent is None or draft.updated_at < sent + self.timing.grace(draft.kind):
                return [f"{wish.key}: given up before its grace was over"]
            limit = draft.updated_at - timedelta(seconds=35)
            owned = {other.remote_id for other in self.final}
            for entry_id, entry in self.world.entries.items():
                seen = entry.ours and (draft.first_sent_at or limit) <= entry.visible_at < limit
                seen = seen and entry_id not in owned
                if seen and entry.key == wish.key:
                    return [f"{wish.key}: was there, but was not found"]
        return []

    def _holds(self, wish: Wish, draft: Draft) -> bool:
        assert draft.remote_id is not None
        item = wish.payload.item
        if isinstance(item, PatientItem):
            return draft.remote_id in self.world.people
        entry = self.world.entries.get(draft.remote_id)
        if isinstance(item, ChangeItem) and entry is not None:
            moved = item.start is None or entry.model.start == item.start
            return moved and (item.action != "cancel" or entry.model.status == "cancelled")
        return entry is not None and entry.key == wish.key


@dataclass(frozen=True, slots=True)
class Report:
    """What one seed came to."""

    seed: int
    wrong: tuple[str, ...]
    duplicates: int
    states: tuple[tuple[str, str | None], ...]


def simulate(seed: int) -> Report:
    """Run one seed from the beginning to its judgement."""
    sim = Simulation(seed)
    run(sim.go())
    wanted = Counter(wish.key for wish in sim.wishes)
    return Report(
        seed=seed,
        wrong=tuple(sim.judge()),
        duplicates=sum(max(0, sim.world.stored[key] - n) for key, n in wanted.items()),
        states=tuple((d.state, d.reason if d.state != "filed" else None) for d in sim.final),
    )
