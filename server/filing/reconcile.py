"""What became of a write that has no definite answer: the record is searched, and rules decide.

Nothing here writes. An empty search proves nothing before the grace is over, since the write may
still be on its way; after it a person decides, who alone may order it sent again.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from leyr_mcp.server.ehr import people
from leyr_mcp.server.ehr.models import Appointment
from leyr_mcp.server.ehr.port import Ehr, Window
from leyr_mcp.server.errors import UpstreamNotFoundError, UpstreamNotSupportedError
from leyr_mcp.server.filing.classify import SLOT_TAKEN
from leyr_mcp.server.filing.compare import (
    EQUAL,
    UNREADABLE,
    Age,
    age,
    appointment_difference,
    bare,
    change_difference,
    comparable,
    document_difference,
    note_difference,
    text,
)
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    NoteItem,
    PatientItem,
    Payload,
)
from leyr_mcp.server.filing.reasons import SIGN_IN
from leyr_mcp.server.storage.store import Change

T = TypeVar("T")
CLOCKS_DIFFER = timedelta(minutes=5)
CANDIDATES = 25
INCONCLUSIVE = "lookup_inconclusive"
_AROUND = timedelta(hours=1)
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_LATER = 60.0


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that is what was sent, and what of it was compared."""

    record_id: str
    matched_by: str
    verified: str = EQUAL

    def change(self) -> Change:
        """Return what it makes of its draft; why that was in doubt is over."""
        return Change(
            remote_id=self.record_id, matched_by=self.matched_by, verified=self.verified, reason=""
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What one look saw: what is it, what is nearly it, and why it may have missed something.

    `queued` is the job of an entry that is it, but still on its way to the record.
    """

    hits: tuple[Hit, ...] = ()
    near: int = 0
    unclear: str | None = None
    queued: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """No conclusion yet."""


@dataclass(frozen=True, slots=True)
class Filed:
    """It is stored."""

    hit: Hit


@dataclass(frozen=True, slots=True)
class Queued:
    """It was accepted after all, as this job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Human:
    """A person decides."""

    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """It may be sent again: the record system finds what exists instead of making a second."""


Conclusion = Wait | Filed | Queued | Human | Again


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """What is known of the write in doubt; `since` is when it was first sent."""

    payload: Payload
    since: datetime
    owned: frozenset[str]
    reason: str | None = None

    @property
    def earliest(self) -> datetime:
        """From when on an entry may be it, though the clocks differ."""
        return self.since - CLOCKS_DIFFER


def pause_s(looked: int) -> float:
    """Return how long to wait before the next look, after so many."""
    return _PAUSES[looked] if looked < len(_PAUSES) else _LATER


def conclude(found: Found, doubt: Doubt, *, grace_over: bool) -> Conclusion:
    """Return what follows; `grace_over` when the look began."""
    if len(found.hits) == 1:
        return Filed(found.hits[0])
    if found.hits:
        return Human("duplicate_upstream")
    if found.queued is not None:
        return Queued(found.queued)
    if found.unclear == SIGN_IN:
        return Wait()  # a person has to sign in first, and is told so; nothing is given up by that
    if found.unclear is None and doubt.reason == SLOT_TAKEN:
        return Human(SLOT_TAKEN)  # refused, and no earlier attempt of ours holds the slot
    return _nothing(found, doubt) if grace_over else Wait()


def _nothing(found: Found, doubt: Doubt) -> Conclusion:
    """Return what follows when it will not come any more.

    A near miss is concluded no earlier than this: ours might still have come beside it.
    """
    if found.near:
        return Human("conflict")
    if found.unclear is not None:
        return Human(found.unclear)
    if isinstance(doubt.payload.item, PatientItem) and doubt.payload.item.external_id:
        return Again()
    return Human("not_found_after_timeout")


async def look(ehr: Ehr, doubt: Doubt) -> Found:
    """Search the record for what was sent.

    Raises:
        UpstreamError: The search failed, which says nothing.
        StorageError: The draft is damaged.
    """
    try:
        match doubt.payload.item:
            case NoteItem() as item:
                return await _note(ehr, doubt, item)
            case DocumentItem() as item:
                return await _document(ehr, doubt, item)
            case AppointmentItem() as item:
                return await _appointment(ehr, doubt, item)
            case ChangeItem() as item:
                return await _change(ehr, doubt, item)
            case item:
                return await _patient(ehr, doubt, item)
    except UpstreamNotSupportedError:
        return Found(unclear="lookup_unsupported")


@dataclass(slots=True)
class _Tally:
    """Counts what one look sees."""

    unclear: str | None = None
    near: int = 0
    queued: str | None = None
    hits: list[Hit] = field(default_factory=list)

    def add(self, hit: Hit, difference: str | None, made: Age) -> None:
        """Count an entry by what of it differs and when it was made."""
        if difference is not None:
            self.near += made is Age.AFTER
        elif made is Age.UNKNOWN:  # the same text may have been filed at an earlier visit
            self.unclear = INCONCLUSIVE
        else:
            self.hits.append(hit)

    def found(self) -> Found:
        """Return all of it."""
        return Found(tuple(self.hits), self.near, self.unclear, self.queued)


async def _note(ehr: Ehr, doubt: Doubt, item: NoteItem) -> Found:
    unit, ref, author = doubt.payload.care_unit_id, doubt.payload.ref, doubt.payload.author
    candidates = [
        note
        for note in await ehr.notes(unit, ref, since=doubt.earliest)
        if note.id not in doubt.owned
        and age(note.created_at, doubt.earliest) is not Age.BEFORE
        and (note.title is None or text(note.title) == text(item.title))
    ]
    tally = _Tally(INCONCLUSIVE if len(candidates) > CANDIDATES else None)
    for listed in candidates[:CANDIDATES]:
        note = await _if_there(ehr.note(unit, ref, listed.id))
        if note is None:
            continue
        if note.content is None:
            tally.unclear = INCONCLUSIVE
            continue
        difference = note_difference(item, author, note)
        # Of another author it is near only with the same text; titles alone repeat all day.
        if difference == "author" and note_difference(item, None, note) is not None:
            continue
        if difference != "title":
            made = age(note.created_at or listed.created_at, doubt.earliest)
            tally.add(Hit(note.id, "content"), difference, made)
    return tally.found()


async def _document(ehr: Ehr, doubt: Doubt, item: DocumentItem) -> Found:
    unit, ref, author = doubt.payload.care_unit_id, doubt.payload.ref, doubt.payload.author
    candidates = [
        entry
        for entry in await ehr.documents(unit, ref, since=doubt.earliest)
        if entry.id not in doubt.owned
        and age(entry.created_at, doubt.earliest) is not Age.BEFORE
        and document_difference(item, author, entry) in {None, "content"}
    ]
    tally = _Tally(INCONCLUSIVE if len(candidates) > CANDIDATES else None)
    for listed in candidates[:CANDIDATES]:
        entry = await _if_there(ehr.document_digest(unit, ref, listed.id))
        if entry is None:
            continue
        difference = document_difference(item, author, entry)
        if difference not in {None, "content"}:
            continue
        made = age(entry.created_at or listed.created_at, doubt.earliest)
        if entry.sha256 is None:
            sure = Age.AFTER if made is Age.AFTER else Age.UNKNOWN
            tally.add(Hit(entry.id, "title_format_time", UNREADABLE), difference, sure)
        else:  # equal bytes are the same document, whenever it came
            sure = Age.AFTER if made is Age.UNKNOWN and difference is None else made
            tally.add(Hit(entry.id, "content"), difference, sure)
    return tally.found()


async def _appointment(ehr: Ehr, doubt: Doubt, item: AppointmentItem) -> Found:
    tally = _Tally()
    for entry in await _around(ehr, doubt.payload, item.start, item.end):
        difference = appointment_difference(item, entry)
        if entry.id not in doubt.owned and difference in {None, "end", "comment"}:
            if entry.job_id is not None:
                tally.queued = entry.job_id
                continue
            if not comparable(entry.resource_id, item.resource_id):
                tally.unclear = INCONCLUSIVE  # perhaps one of the patient's with somebody else
                continue
            verified = EQUAL if difference is None else f"differs:{difference}"
            tally.add(Hit(entry.id, "patient_time", verified), None, Age.AFTER)
    return tally.found()


async def _change(ehr: Ehr, doubt: Doubt, item: ChangeItem) -> Found:
    tally = _Tally()
    try:
        entry = await ehr.appointment(doubt.payload.care_unit_id, item.appointment_id)
    except UpstreamNotFoundError:
        return await _moved(ehr, doubt.payload, item)
    if change_difference(item, entry) is None:
        if item.start is None and not comparable(entry.resource_id, item.resource_id):
            tally.unclear = INCONCLUSIVE  # perhaps still the one that it had before
        else:
            tally.add(Hit(entry.id, "state"), None, Age.AFTER)
    return tally.found()


async def _moved(ehr: Ehr, payload: Payload, item: ChangeItem) -> Found:
    """Look for an appointment that the change gave another id."""
    if item.start is None or item.end is None or payload.patient is None:
        return Found(unclear=INCONCLUSIVE)
    tally = _Tally()
    for entry in await _around(ehr, payload, item.start, item.end):
        if change_difference(item, entry) is None:
            tally.add(Hit(entry.id, "patient_time"), None, Age.AFTER)
    return tally.found()


async def _around(ehr: Ehr, payload: Payload, start: datetime, end: datetime) -> list[Appointment]:
    """Return the patient's appointments near a time.

    A record system may not heed the filter by patient, and may tell the patient by another of
    their ids: then these are read.
    """
    if ehr.capabilities.list_appointments is False:
        raise UpstreamNotSupportedError("This record system does not list appointments.")
    ref, unit = payload.ref, payload.care_unit_id
    entries = await ehr.appointments(
        unit, patient=ref, window=Window(start - _AROUND, end + _AROUND)
    )
    known = {ref.value}
    if any(entry.patient_id and bare(entry.patient_id) not in known for entry in entries):
        read = await ehr.patient(unit, ref)
        known |= {bare(i) for i in people.all_ids(read)}
    return [e for e in entries if e.patient_id is None or bare(e.patient_id) in known]


async def _patient(ehr: Ehr, doubt: Doubt, item: PatientItem) -> Found:
    tally = _Tally()
    for entry in await ehr.find_patients(
        doubt.payload.care_unit_id, first_name=item.first_name, last_name=item.last_name
    ):
        known = entry.emr_id or entry.id
        told = {bare(i) for i in (entry.external_id, entry.emr_id) if i}
        if known and item.external_id and bare(item.external_id) in told:
            tally.add(Hit(known, "external_id", "equal"), None, Age.AFTER)
        elif item.external_id is None:
            tally.near += 1  # perhaps another person of that name
    return tally.found()


async def _if_there(reading: Awaitable[T]) -> T | None:
    """Return what is read, or None if it is gone since it was listed."""
    try:
        return await reading
    except UpstreamNotFoundError:
        return None
