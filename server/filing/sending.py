"""One write, and reading back what it left: a payload in the port's words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable

from leyr_mcp.server.ehr import people
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Appointment, Note
from leyr_mcp.server.ehr.port import Ehr, Stored
from leyr_mcp.server.errors import InputError, StorageError, UpstreamError
from leyr_mcp.server.filing.checkpoints import checkpoint
from leyr_mcp.server.filing.classify import Outcome, answered, failed
from leyr_mcp.server.filing.compare import (
    EQUAL,
    UNREADABLE,
    appointment_difference,
    bare,
    change_difference,
    document_difference,
    name,
    note_difference,
)
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    NoteItem,
    PatientItem,
    Payload,
)
from leyr_mcp.server.filing.precheck import Exact
from leyr_mcp.server.logs import location

_log = logging.getLogger("leyr_mcp.filing")

Send = Callable[[], Awaitable[object]]


def prepare(ehr: Ehr, payload: Payload, file: AsyncIterable[bytes]) -> Send:
    """Return what sends it; all that can fail here fails before anything is claimed.

    Raises:
        StorageError: The draft cannot be sent by any record system.
    """
    try:
        return _prepare(ehr, payload, file)
    except InputError as exc:
        raise StorageError("A stored draft cannot be sent.") from exc


def _prepare(ehr: Ehr, payload: Payload, file: AsyncIterable[bytes]) -> Send:
    unit = payload.care_unit_id
    match payload.item:
        case NoteItem() as item:
            ref, note = payload.ref, item.new(_author(ehr, payload))
            return lambda: ehr.write_note(unit, ref, note)
        case AppointmentItem() as item:
            booking = item.new(payload.ref)
            return lambda: ehr.book(unit, booking)
        case ChangeItem() as item:
            appointment_id, change = item.appointment_id, item.new()
            return lambda: ehr.change_appointment(unit, appointment_id, change)
        case PatientItem() as item:
            person = item.new()
            return lambda: ehr.create_patient(unit, person)
        case item:
            ref, document = payload.ref, item.new(_author(ehr, payload), Exact(item, file, _given))
            return lambda: ehr.attach_document(unit, ref, document)


def _given() -> None:
    checkpoint("given")


def _author(ehr: Ehr, payload: Payload) -> str | None:
    if not payload.author and ehr.capabilities.names_author:
        raise StorageError("A stored draft names no author.")
    return payload.author


async def read_back(ehr: Ehr, payload: Payload, record_id: str) -> str:
    """Return `equal`, `differs:` and what, or `unreadable`.

    Raises:
        UpstreamError: It cannot be read now.
    """
    unit = payload.care_unit_id
    difference: str | None
    match payload.item:
        case NoteItem() as item:
            note = await ehr.note(unit, payload.ref, record_id)
            if note.content is None:
                return UNREADABLE
            difference = note_difference(item, payload.author, note)
        case AppointmentItem() as item:
            difference = appointment_difference(item, await ehr.appointment(unit, record_id))
        case ChangeItem() as item:
            difference = change_difference(item, await ehr.appointment(unit, record_id))
        case PatientItem() as item:
            difference = await _person(ehr, unit, item, record_id)
        case item:
            document = await ehr.document_digest(unit, payload.ref, record_id)
            difference = document_difference(item, payload.author, document)
            if document.sha256 is None and difference is None:
                return UNREADABLE
    return EQUAL if difference is None else f"differs:{difference}"


def told_difference(payload: Payload, stored: Stored) -> str:
    """Return the same of what a record system tells of its own accord when a job is done."""
    ref = payload.ref if payload.patient else None
    if ref and stored.patient_id and bare(stored.patient_id) != ref.value:
        return "differs:patient"
    difference: str | None
    match payload.item, stored.entry:
        case NoteItem() as item, Note() as note if note.content is not None:
            difference = note_difference(item, payload.author, note)
        case AppointmentItem() as item, Appointment() as found:
            difference = appointment_difference(item, found)
        case ChangeItem() as item, Appointment() as found:
            difference = change_difference(item, found)
        case _:
            return UNREADABLE
    return EQUAL if difference is None else f"differs:{difference}"


def is_told_whole(payload: Payload, stored: Stored) -> bool:
    """Whether nothing is left to read back; of a file only its being there is told."""
    return stored.entry is not None and not isinstance(payload.item, DocumentItem | PatientItem)


async def is_of_another(ehr: Ehr, payload: Payload, record_id: str) -> bool:
    """Return whether an appointment is another patient's; notes are read below their patient.

    What the record does not tell is no difference.

    Raises:
        UpstreamError: It cannot be read now.
    """
    if payload.patient is None or not isinstance(payload.item, AppointmentItem | ChangeItem):
        return False
    unit, ref = payload.care_unit_id, payload.ref
    whose = (await ehr.appointment(unit, record_id)).patient_id
    if whose is None or bare(whose) == ref.value:
        return False
    read = await ehr.patient(unit, ref)
    return bare(whose) not in map(bare, people.all_ids(read))


async def _person(ehr: Ehr, unit: str, item: PatientItem, record_id: str) -> str | None:
    read = await ehr.patient(unit, PatientRef("emr_id", record_id))
    known = name(f"{read.first_name or ''} {read.last_name or ''}")
    wanted = name(f"{item.first_name} {item.last_name}")
    return "name" if known and known != wanted else None


async def send_once(send: Send, deadline_s: float) -> Outcome:
    """Send once, and return what the answer or its absence says."""
    try:
        async with asyncio.timeout(deadline_s):
            return answered(await send())
    except Exception as exc:  # noqa: BLE001 - each class has its meaning, see `classify`
        report_strange(exc)
        return failed(exc)


def report_strange(exc: BaseException) -> None:
    """Log what is not one of the failures that every record system has now and then."""
    if not isinstance(exc, UpstreamError | TimeoutError):
        _log.error("filing: %s", location(exc))
