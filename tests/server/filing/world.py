"""A record without a network: it holds the truth, answers through the port, and fails on order.

Time is the event loop's, and the loop's time is virtual: nothing here ever really waits.
"""

from __future__ import annotations

import asyncio
import base64
import random
import selectors
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from leyr_mcp.server.ehr.capabilities import UNKNOWN, Capabilities
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.models import (
    Appointment,
    CareUnit,
    Document,
    Note,
    Patient,
    Resource,
    Service,
    Timeslot,
)
from leyr_mcp.server.ehr.port import (
    Cancel,
    Change,
    Confirm,
    Failed,
    Job,
    NewAppointment,
    NewDocument,
    NewNote,
    NewPatient,
    Stored,
    Window,
)
from leyr_mcp.server.errors import (
    StorageError,
    UpstreamConflictError,
    UpstreamContractError,
    UpstreamError,
    UpstreamNotFoundError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
    UpstreamValidationError,
)

T = TypeVar("T")
EPOCH = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
FOREVER = 100_000.0


class _NoSelector(selectors.BaseSelector):
    """Waits for no file; what a select would have waited for simply passes."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, 0, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits for everything")
        self.now += max(0.0, timeout)
        return []

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer."""

    def __init__(self) -> None:
        self._virtual = _NoSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Awaitable[T]) -> T:
    """Run to the end in virtual time."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def clock() -> datetime:
    """Return the virtual time of day."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


def seeded(seed: float) -> random.Random:
    """Return chance that is the same each time."""
    return random.Random(seed)  # noqa: S311 - it guards nothing


def unavailable(**known: Any) -> UpstreamError:
    """Return a failure that tells nothing, unless told otherwise."""
    return UpstreamUnavailableError("The connection to the record system broke.", **known)


@dataclass(frozen=True, slots=True)
class Fault:
    """How one write goes: when it is stored, if ever, and what the caller learns and when."""

    name: str
    received: bool = True
    stored_after: float | None = 0.1
    told_after: float = 0.2
    error: Callable[[], BaseException] | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a queued write, and when; what is not told is never told."""

    name: str
    stored: bool = True
    told: bool = True
    altered: bool = False
    after: float = 5.0


FATES = (
    *(Fate("good"), Fate("good"), Fate("good"), Fate("slow", after=80.0)),
    *(Fate("late", after=500.0), Fate("after the grace", after=900.0)),
    *(Fate("failed", stored=False), Fate("failed late", stored=False, after=400.0)),
    *(Fate("silent", told=False), Fate("lost", stored=False, told=False)),
    Fate("altered", altered=True),
)


def late(seconds: float) -> Fault:
    """Return a write whose connection breaks at once and that is stored later."""
    return Fault("late commit", stored_after=seconds, error=unavailable)


GOOD = Fault("good")
REFUSED = Fault("connection refused", received=False, error=lambda: unavailable(not_received=True))
RESET_BEFORE = Fault("reset before", stored_after=None, error=unavailable)
RESET_AFTER = Fault("reset after", error=unavailable)
HANG = Fault("hang, stored", told_after=FOREVER)
HANG_LOST = Fault("hang, lost", stored_after=None, told_after=FOREVER)
FAILED_AFTER = Fault("500 after", error=lambda: unavailable(status=500))
CUT = Fault("cut body", error=lambda: UpstreamContractError("The answer cannot be read."))
SLOW_DOWN = Fault(
    "429", stored_after=None, error=lambda: UpstreamRateLimitError("Slow down.", status=429)
)
SAID_NO = Fault(
    "400",
    stored_after=None,
    error=lambda: UpstreamValidationError("No.", status=400, vendor_code="INVALID_NOTE_CONTENT"),
)
CONFLICT = Fault("409", error=lambda: UpstreamConflictError("Changed.", status=409))
STRANGE = Fault("strange", error=lambda: ZeroDivisionError("secret"))
FAULTS = (
    *(GOOD, GOOD, REFUSED, RESET_BEFORE, RESET_AFTER, HANG, HANG_LOST),
    *(FAILED_AFTER, CUT, SLOW_DOWN, SAID_NO, CONFLICT, STRANGE),
)


@dataclass(slots=True)
class Entry:
    """Something stored, with what it is made of; `ours` unless a person wrote it by hand."""

    key: str
    model: Any
    visible_at: datetime
    ours: bool = True


@dataclass(slots=True)
class World:
    """One record; every table is by id, everything received is counted by content."""

    rng: random.Random
    capabilities: Capabilities = UNKNOWN
    lag_s: float = 0.0
    spell_time: Callable[[datetime], datetime | None] = lambda when: when
    list_has_content: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)
    people: dict[str, Patient] = field(default_factory=dict)
    received: Counter[str] = field(default_factory=Counter)
    stored: Counter[str] = field(default_factory=Counter)
    faults: Callable[[], Fault] = lambda: GOOD
    fates: Callable[[], Fate | None] = lambda: None
    read_faults: Callable[[], Fault] = lambda: GOOD
    files: dict[str, bytes] = field(default_factory=dict)
    witness: Callable[[str], None] = lambda _: None
    jobs: dict[str, Stored | Failed] = field(default_factory=dict)
    pending: dict[str, Appointment] = field(default_factory=dict)
    numbers: int = 0

    def new_id(self) -> str:
        """Return the next id of anything."""
        self.numbers += 1
        return f"r{self.numbers}"

    def put(self, key: str, model: Any, *, ours: bool = True) -> Any:
        """Store, to be seen when the lag is over."""
        seen = clock() + timedelta(seconds=self.rng.uniform(0, self.lag_s))
        self.entries[model.id] = Entry(key, model, seen, ours)
        if ours:
            self.stored[key] += 1
        return model

    def visible(self, kind: type[T]) -> list[T]:
        """Return what lists show now."""
        now = clock()
        return [
            entry.model
            for entry in self.entries.values()
            if isinstance(entry.model, kind) and entry.visible_at <= now
        ]

    def put_note(self, new: NewNote, *, ours: bool = True) -> Note:
        """Store a note."""
        note = Note(
            id=self.new_id(),
            title=new.title,
            template_id=new.template_id,
            created_by_id=new.created_by_id,
            created_at=self.spell_time(clock()),
            content=dict(new.content),
        )
        self.put(note_key(new.title, dict(new.content)), note, ours=ours)
        return note

    def read(self, name: str) -> AsyncIterable[bytes]:
        """Give a staged file in pieces, as often as it is asked for."""
        return Pieces(self, name)

    async def drop(self, name: str) -> None:
        """Delete a staged file."""
        self.files.pop(name, None)


@dataclass(frozen=True, slots=True)
class Pieces:
    """A staged file of a world."""

    world: World
    name: str

    async def __aiter__(self) -> AsyncIterator[bytes]:
        whole = self.world.files.get(self.name)
        if whole is None:
            raise StorageError("The staged file is gone.")
        for start in range(0, len(whole), 4):
            yield whole[start : start + 4]


def note_key(title: str, content: dict[str, str]) -> str:
    """Return what a note is counted by."""
    return f"note {title} {sorted(content.items())}"


def digested(document: Document) -> Document:
    """Return a document with the digest of its content in the content's place."""
    if document.content is None:
        return document
    told: dict[str, object] = {"content": None, "sha256": ""}
    with suppress(ValueError):
        raw = base64.b64decode(document.content, validate=True)
        told |= {"size": len(raw), "sha256": sha256(raw).hexdigest()}
    return document.model_copy(update=told)


def _altered(made: Any) -> Any:
    """Return an entry as a record system tells it that stored something else."""
    if isinstance(made, Note):
        return made.model_copy(update={"content": {"unstructured": "something else"}})
    if isinstance(made, Appointment):
        return made.model_copy(update={"start": made.start + timedelta(hours=1)})
    return made


def _tried(store: Callable[[], T]) -> T | UpstreamError:
    try:
        return store()
    except UpstreamError as exc:
        return exc


def _told(made: Any, *, altered: bool) -> Stored | Failed:
    """Return what is told of a job that came to this."""
    if made is None or isinstance(made, UpstreamError):
        return Failed("It could not be stored.")
    if isinstance(made, Patient):
        return Stored(record_id=made.emr_id or "", entry=made)
    return Stored(record_id=made.id, entry=_altered(made) if altered else made)


class SimEhr:
    """The port over a world, as one process reaches it."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def capabilities(self) -> Capabilities:
        return self.world.capabilities

    async def _write(
        self, key: str, store: Callable[[], T], pending: Appointment | None = None
    ) -> T | Job:
        fault, loop = self.world.faults(), asyncio.get_running_loop()
        stored: list[T | UpstreamError] = []
        fate = self.world.fates()
        job = Job(f"j{self.world.new_id()}") if fate is not None else None

        def commit() -> None:
            if job is not None and fate is not None:
                self._queue(job.id, fate, store, pending)
            else:
                stored.append(_tried(store))

        if fault.received:
            self.world.received[key] += 1
            self.world.witness(key)
            if fault.stored_after is not None:
                loop.call_later(fault.stored_after, commit)
        await asyncio.sleep(fault.told_after)
        if fault.error is not None:
            raise fault.error()
        if job is not None:
            return job
        if isinstance(stored[0], UpstreamError):
            raise stored[0]
        return stored[0]

    def _queue(
        self, job: str, fate: Fate, store: Callable[[], Any], pending: Appointment | None
    ) -> None:
        """Have a write carried out later, as its fate wants it."""
        world = self.world
        if pending is not None:
            world.pending[job] = pending.model_copy(update={"job_id": job})

        def end() -> None:
            world.pending.pop(job, None)
            made = _tried(store) if fate.stored else None
            if fate.told:
                world.jobs[job] = _told(made, altered=fate.altered)

        asyncio.get_running_loop().call_later(fate.after, end)

    async def _read(self, found: Callable[[], T]) -> T:
        fault = self.world.read_faults()
        await asyncio.sleep(fault.told_after / 4)
        if fault.error is not None:
            raise fault.error()
        return found()

    def _one(self, kind: type[T], entry_id: str) -> T:
        entry = self.world.entries.get(entry_id)
        if entry is None or not isinstance(entry.model, kind):
            raise UpstreamNotFoundError("There is no such entry in the record.", status=404)
        return entry.model

    async def care_units(self) -> list[CareUnit]:
        raise NotImplementedError

    async def resources(self, care_unit_id: str) -> list[Resource]:
        raise NotImplementedError

    async def services(self, care_unit_id: str) -> list[Service]:
        raise NotImplementedError

    async def timeslots(
        self,
        care_unit_id: str,
        window: Window,
        *,
        resource: ResourceRef | None = None,
        healthcare_service_id: str | None = None,
    ) -> list[Timeslot]:
        slot = Timeslot(start=window.start, end=window.end)
        return await self._read(lambda: [] if self._taken(window.start) else [slot])

    def _taken(self, start: datetime, but: str | None = None) -> bool:
        waiting = (one.start for one in self.world.pending.values() if one.id != but)
        return start in waiting or any(
            isinstance(e.model, Appointment)
            and e.model.start == start
            and e.model.status != "cancelled"
            for e in self.world.entries.values()
        )

    async def find_patients(
        self, care_unit_id: str, *, first_name: str | None, last_name: str | None
    ) -> list[Patient]:
        return await self._read(
            lambda: [
                p
                for p in self.world.people.values()
                if (p.first_name, p.last_name) == (first_name, last_name)
            ]
        )

    async def patient(self, care_unit_id: str, patient: PatientRef) -> Patient:
        def found() -> Patient:
            if patient.value not in self.world.people:
                raise UpstreamNotFoundError("No such patient.", status=404)
            return self.world.people[patient.value]

        return await self._read(found)

    async def appointments(
        self,
        care_unit_id: str,
        *,
        patient: PatientRef | None = None,
        resource: ResourceRef | None = None,
        window: Window | None = None,
    ) -> list[Appointment]:
        return await self._read(
            lambda: [*self.world.visible(Appointment), *self.world.pending.values()]
        )

    async def appointment(self, care_unit_id: str, appointment_id: str) -> Appointment:
        return await self._read(lambda: self._one(Appointment, appointment_id))

    async def notes(
        self, care_unit_id: str, patient: PatientRef, *, since: datetime | None = None
    ) -> list[Note]:
        def listed() -> Iterable[Note]:
            for note in self.world.visible(Note):
                without = note.model_copy(update={"content": None})
                yield note if self.world.list_has_content else without

        return await self._read(lambda: list(listed()))

    async def note(self, care_unit_id: str, patient: PatientRef, note_id: str) -> Note:
        return await self._read(lambda: self._one(Note, note_id))

    async def documents(
        self, care_unit_id: str, patient: PatientRef, *, since: datetime | None = None
    ) -> list[Document]:
        return await self._read(
            lambda: [d.model_copy(update={"content": None}) for d in self.world.visible(Document)]
        )

    async def document(self, care_unit_id: str, patient: PatientRef, document_id: str) -> Document:
        raise NotImplementedError

    async def document_digest(
        self, care_unit_id: str, patient: PatientRef, document_id: str
    ) -> Document:
        return await self._read(lambda: digested(self._one(Document, document_id)))

    async def job(
        self, care_unit_id: str, job_id: str, *, since: datetime
    ) -> Stored | Failed | None:
        return await self._read(lambda: self.world.jobs.get(job_id))

    def clock_skew_s(self) -> float | None:
        return None

    async def create_patient(self, care_unit_id: str, new: NewPatient) -> Patient | Job:
        number = new.external_id or self.world.new_id()

        def upsert() -> Patient:
            person = Patient(
                emr_id=number,
                first_name=new.first_name,
                last_name=new.last_name,
                external_id=new.external_id,
            )
            return self.world.people.setdefault(number, person)

        return await self._write(f"patient {number}", upsert)

    async def book(self, care_unit_id: str, new: NewAppointment) -> Appointment | Job:
        key = f"appointment {new.window.start.isoformat()}"
        known = self.world.new_id()

        def booked() -> Appointment:
            if self._taken(new.window.start, known):
                raise UpstreamConflictError(
                    "The time is not free.", status=400, vendor_code="NO_TIMESLOTS_AVAILABLE"
                )
            appointment = Appointment(
                id=known,
                start=new.window.start,
                end=new.window.end,
                status="booked",
                patient_id=str(new.patient),
            )
            self.world.put(key, appointment)
            return appointment

        pending = Appointment(
            id=known,
            start=new.window.start,
            end=new.window.end,
            status="pending",
            patient_id=str(new.patient),
        )
        return await self._write(key, booked, pending)

    async def change_appointment(
        self, care_unit_id: str, appointment_id: str, change: Change
    ) -> Appointment | Job:
        key = f"change {appointment_id}"

        def changed() -> Appointment:
            entry = self.world.entries[appointment_id]
            new: dict[str, object] = {"status": "booked"}
            if isinstance(change, Cancel):
                new = {"status": "cancelled"}
            elif not isinstance(change, Confirm) and change.window is not None:
                new = {"start": change.window.start, "end": change.window.end}
            entry.model = entry.model.model_copy(update=new)
            self.world.stored[key] += 1
            found: Appointment = entry.model
            return found

        return await self._write(key, changed)

    async def write_note(self, care_unit_id: str, patient: PatientRef, new: NewNote) -> Note | Job:
        key = note_key(new.title, dict(new.content))
        return await self._write(key, lambda: self.world.put_note(new))

    async def attach_document(
        self, care_unit_id: str, patient: PatientRef, new: NewDocument
    ) -> Document | Job:
        whole = b"".join([chunk async for chunk in new.chunks])
        key = f"document {whole!r}"

        def attached() -> Document:
            document = Document(
                id=self.world.new_id(),
                title=new.title,
                format=new.format,
                created_by_id=new.created_by_id,
                content=base64.b64encode(whole).decode(),
            )
            self.world.put(key, document)
            return document

        return await self._write(key, attached)

    async def close(self) -> None:
        return None
