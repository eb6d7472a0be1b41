"""What is found of a draft when it is made: its checks, the time it would take, and the names.

Computed once for each version; a person sees it, and a block keeps it from being filed unasked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from leyr_mcp.server.ehr import people
from leyr_mcp.server.ehr.models import Appointment, Note, Patient, Timeslot
from leyr_mcp.server.ehr.port import Ehr, Window
from leyr_mcp.server.ehr.units import Units
from leyr_mcp.server.errors import (
    LeyrMcpError,
    StorageError,
    UpstreamConflictError,
    UpstreamError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
)
from leyr_mcp.server.filing.checks import Subject, check_identity, check_texts
from leyr_mcp.server.filing.compare import GONE, bare, may_be, note_difference
from leyr_mcp.server.filing.compare import name as compared
from leyr_mcp.server.filing.entries import Attached, Check, Entry, Expected
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    NoteItem,
    PatientItem,
    Payload,
    resource_ref,
)
from leyr_mcp.server.filing.precheck import free
from leyr_mcp.server.filing.preview import seen as visible
from leyr_mcp.server.filing.subject import Seen
from leyr_mcp.server.text import short
from leyr_mcp.server.times import clock, day_line, iso

_ALTERNATIVES = 5
_ALTERNATIVE_DAYS = timedelta(days=7)
_NAMED = 3  # so many of one name are told by their ids
_FILE = "file"  # what a finding calls the text of one
_ORDER = ("block", "warn", "info")


async def names(units: Units, payload: Payload) -> Mapping[str, str]:
    """Return what people call the resource, the service and the author of a draft."""
    item = payload.item
    known = await units.names(payload.care_unit_id)
    found = dict[str, str]()
    if isinstance(item, AppointmentItem):
        found.update(_named(known.place(item.resource_id, item.healthcare_service_id)))
    elif isinstance(item, ChangeItem):
        found.update(_named(known.place(item.resource_id, None)))
    if payload.author and (author := known.resources.get(payload.author)):
        found["author"] = author
    return found


def _named(place: Mapping[str, object]) -> dict[str, str]:
    return {key: str(place[key]) for key in ("resource", "healthcare_service") if key in place}


async def at_staging(
    ehr: Ehr,
    payload: Payload,
    seen: Seen | None,
    expected: Expected,
    *,
    today: date,
    zone: ZoneInfo,
    removed: int,
    attached: Attached | None = None,
) -> tuple[Check, ...]:
    """Return what there is to say of a draft before a person is asked.

    Raises:
        LeyrMcpError: `slot_taken`: the time is no longer free; others are named.
        UpstreamError: The record cannot be read now.
    """
    found = list(_of_content(payload, seen, expected, today=today, zone=zone, removed=removed))
    match payload.item:
        case AppointmentItem() as item:
            found += await _see_free(ehr, payload, item, zone)
            found += await _overlaps(ehr, payload, seen, item.window, zone)
        case ChangeItem(action="reschedule") as item if item.start or item.resource_id:
            found += await _see_moved(ehr, payload, item, seen, zone)
        case PatientItem() as item:
            found += await _known(ehr, payload, item, today)
        case DocumentItem() if attached and seen:
            found += _of_file(attached, _subject(seen, today=today, visit=today))
        case _:
            pass
    return tuple(sorted(found, key=lambda check: _ORDER.index(check.level)))


def _of_content(
    payload: Payload,
    seen: Seen | None,
    expected: Expected,
    *,
    today: date,
    zone: ZoneInfo,
    removed: int,
) -> list[Check]:
    """Return what a draft's own content says."""
    found = list[Check]()
    texts, template, title = _texts(payload)
    if seen is not None and (texts or title or removed):
        visit = _visit(payload)
        found += check_texts(
            texts,
            _subject(seen, today=today, visit=visit.astimezone(zone).date() if visit else today),
            template=template,
            title=title,
            removed=removed,
        )
    if expected == "unverified":
        text = "The name or birth date given could not be compared with the record."
        found.append(Check("patient_unverified", "warn", text, "expect"))
    elif seen is not None and seen.name is None:
        text = "The record does not tell this patient's name; make sure that it is the right one."
        found.append(Check("patient_unverified", "warn", text, "patient_id"))
    elif seen is None and isinstance(payload.item, ChangeItem):
        text = "The record does not tell whose appointment this is; make sure that it is the one."
        found.append(Check("patient_unverified", "warn", text, "appointment_id"))
    return found


def _subject(seen: Seen, *, today: date, visit: date) -> Subject:
    return Subject(
        patient=seen.ref,
        today=today,
        visit=visit,
        first_name=seen.first_name,
        last_name=seen.last_name,
        birth_date=seen.birth_date,
        numbers=(seen.number.value,) if seen.number else (),
    )


def _of_file(attached: Attached, subject: Subject) -> list[Check]:
    """Return what the beginning of a file's text says; a form may have blanks, a note may not."""
    found = list[Check]()
    text = attached.text
    if attached.ours:
        found += check_texts({_FILE: text}, subject)
    elif text:
        found += check_identity({_FILE: text}, subject)
    if attached.altered:
        told = "Where the image was taken, or what stood behind it in the file, was removed."
        found.append(Check("image_trimmed", "info", told))
    if attached.lacking:
        many = "characters" if attached.lacking > 1 else "character"
        told = f"{attached.lacking} {many} cannot be printed in the PDF and stand there as a box."
        found.append(Check("characters_lacking", "warn", told))
    if any(visible(line) != line for line in text.split("\n")):
        told = "The file's text holds characters that cannot be seen."
        found.append(Check("characters_hidden", "warn", told))
    return found


def repeats(payload: Payload, like: Sequence[Entry]) -> list[Check]:
    """Return a finding for each draft that holds the same note or file.

    Spaces and line ends of a note make no difference, nor does the title of a file.
    """
    item = payload.item
    if isinstance(item, DocumentItem) and item.sha256:
        return [
            Check(
                "same_before",
                "block",
                f"The same file was attached before: {other.id}, which is {other.draft.state}.",
            )
            for other in like
            if isinstance(other.payload.item, DocumentItem)
            and other.payload.item.sha256 == item.sha256
        ]
    if not isinstance(item, NoteItem):
        return []
    return [
        Check(
            "same_before",
            "block",
            f"The same note was drafted before: {other.id}, which is {other.draft.state}.",
        )
        for other in like
        if isinstance(other.payload.item, NoteItem)
        and item.template_id == other.payload.item.template_id
        and note_difference(item, None, _as_note(other.payload.item)) is None
    ]


def _as_note(item: NoteItem) -> Note:
    return Note(id="n", title=item.title, content=dict(item.content))


def _texts(payload: Payload) -> tuple[dict[str, str], str | None, str]:
    """Return the texts to be read, the template they must fit, and the title."""
    match payload.item:
        case NoteItem() as item:
            return dict(item.content), item.template_id, item.title
        case AppointmentItem(comment=comment) | ChangeItem(comment=comment):
            return ({"comment": comment} if comment else {}), None, ""
        case PatientItem():
            return {}, None, ""
        case item:
            return {}, None, item.title


def _visit(payload: Payload) -> datetime | None:
    """Return when the patient comes, if the draft is about that."""
    item = payload.item
    if isinstance(item, AppointmentItem):
        return item.start
    return (item.start or item.was.start) if isinstance(item, ChangeItem) else None


# The time, still free


async def _see_free(
    ehr: Ehr, payload: Payload, item: AppointmentItem, zone: ZoneInfo, own: Timeslot | None = None
) -> list[Check]:
    """See that the time is still free; if not, name others of the same day and the next week.

    `own` is time that the patient's present appointment takes and a move sets free.
    """
    span = Window(item.start, max(item.end, item.start + _ALTERNATIVE_DAYS))
    try:
        slots = await ehr.timeslots(
            payload.care_unit_id,
            span,
            resource=resource_ref(item.resource_id),
            healthcare_service_id=item.healthcare_service_id,
        )
    except UpstreamNotSupportedError:
        text = "The record system does not tell whether the time is free."
        return [Check("free_unknown", "warn", text, "start")]
    # A free time is taken as a whole: the record system books none of which a part is left over.
    within = [s for s in slots if own or (s.start >= item.start and s.end <= item.end)]
    if not free([*within, own] if own else within, item):
        raise LeyrMcpError(
            "That time is not free.",
            code="slot_taken",
            field="start",
            next_step=_offer(slots, item, zone),
        )
    return [] if own else _see_one(within, item)


def _see_one(within: list[Timeslot], item: AppointmentItem) -> list[Check]:
    """See that one free time is meant; several in a row are for the record system to decide."""
    meant = {
        (slot.resource_id, slot.healthcare_service_id)
        for slot in within
        if (slot.start, slot.end) == (item.start, item.end) and _suits(slot, item)
    }
    if len(meant) > 1:
        raise UpstreamConflictError(
            "Several free times fit.",
            field="resource_id",
            next_step="Call again with resource_id and healthcare_service_id of list_timeslots.",
        )
    if not meant:
        text = "The record lists shorter free times there; it may refuse to book them as one."
        return [Check("several_slots", "warn", text, "end")]
    return []


def _suits(slot: Timeslot, item: AppointmentItem) -> bool:
    return may_be(slot.resource_id, item.resource_id) and may_be(
        slot.healthcare_service_id, item.healthcare_service_id
    )


def _offer(slots: list[Timeslot], item: AppointmentItem, zone: ZoneInfo) -> str:
    """Return what to offer instead: times of the same length, with the ids to book them."""
    length = item.end - item.start
    fits = sorted(
        (slot for slot in slots if slot.end - slot.start == length and _suits(slot, item)),
        key=lambda slot: (slot.start, slot.resource_id or "", slot.healthcare_service_id or ""),
    )[:_ALTERNATIVES]
    if not fits:
        return "Call list_timeslots for other days and offer the user what is free."
    return f"Offer the user: {'; '.join(_choice(slot, item, zone) for slot in fits)}."


def _choice(slot: Timeslot, item: AppointmentItem, zone: ZoneInfo) -> str:
    told = f"{iso(slot.start, zone)} to {clock(slot.end, zone)}"
    if slot.resource_id:
        told += f" with resource_id {short(slot.resource_id)}"
    if slot.healthcare_service_id and item.healthcare_service_id is None:
        told += f" for healthcare_service_id {short(slot.healthcare_service_id)}"
    return told


async def _see_moved(
    ehr: Ehr, payload: Payload, item: ChangeItem, seen: Seen | None, zone: ZoneInfo
) -> list[Check]:
    """See that the time to which an appointment moves is free, its own present time included."""
    try:
        now = await ehr.appointment(payload.care_unit_id, item.appointment_id)
    except UpstreamNotSupportedError:
        return [Check("free_unknown", "warn", "It is not known whether the time is free.", "start")]
    wanted = AppointmentItem(
        start=item.start or now.start,
        end=item.end or now.end,
        resource_id=item.resource_id or _usable(now.resource_id),
        healthcare_service_id=now.healthcare_service_id,
    )
    stays = may_be(now.resource_id, item.resource_id)
    own = None
    if stays and now.start < wanted.end and wanted.start < now.end:
        own = Timeslot(start=now.start, end=now.end, resource_id=now.resource_id)
    found = await _see_free(ehr, payload, wanted, zone, own)
    return [*found, *await _overlaps(ehr, payload, seen, wanted.window, zone)]


def _usable(resource_id: str | None) -> str | None:
    """Return the record's own id of a resource, if it can be searched by."""
    try:
        resource_ref(resource_id)
    except StorageError:
        return None
    return resource_id


# The patient's other appointments


async def _overlaps(
    ehr: Ehr, payload: Payload, seen: Seen | None, window: Window, zone: ZoneInfo
) -> list[Check]:
    """Return a finding for each appointment of the patient that lies in the same time."""
    if seen is None:
        return []
    around = Window(window.start - timedelta(days=1), window.end + timedelta(days=1))
    untold = "The record system does not tell the patient's other appointments."
    if ehr.capabilities.list_appointments is False:
        return [Check("overlap_unknown", "info", untold)]
    try:
        found = await ehr.appointments(payload.care_unit_id, patient=seen.ref, window=around)
    except UpstreamNotSupportedError:
        return [Check("overlap_unknown", "info", untold)]
    except UpstreamError:
        text = "The patient's other appointments could not be read."
        return [Check("overlap_unknown", "warn", text)]
    own = payload.item.appointment_id if isinstance(payload.item, ChangeItem) else None
    return [
        Check("overlap", "warn", _overlap(other, zone))
        for other in found
        if other.id != own
        and other.status not in GONE
        # A record system may not heed the filter by patient.
        and (other.patient_id is None or bare(other.patient_id) in seen.ids)
        and other.start < window.end
        and window.start < other.end
    ]


def _overlap(other: Appointment, zone: ZoneInfo) -> str:
    return (
        "The patient has another appointment then: "
        f"{day_line(other.start, zone).split(' (')[0]} "
        f"{clock(other.start, zone)}-{clock(other.end, zone)}, "
        f"appointment_id {short(other.id)}."
    )


# The patient, known already


async def _known(ehr: Ehr, payload: Payload, item: PatientItem, today: date) -> list[Check]:
    """Return whether the record has the patient already, or others of that name."""
    number = people.national_number(
        Patient(external_id=item.external_id), ehr.capabilities.patient_types, today, None
    )
    if number is not None and ehr.capabilities.get_patient is not False:
        try:
            return [_exists(item, await ehr.patient(payload.care_unit_id, number))]
        except (UpstreamNotFoundError, UpstreamNotSupportedError):
            pass  # then by name
    try:
        found = await ehr.find_patients(
            payload.care_unit_id, first_name=item.first_name, last_name=item.last_name
        )
    except UpstreamNotSupportedError:
        return []
    for one in found:
        if item.external_id and bare(one.external_id or "") == item.external_id:
            return [_exists(item, one)]
    return [_namesakes(item, found)] if found else []


def _exists(item: PatientItem, read: Patient) -> Check:
    who = _id_of(read)
    known = compared(f"{read.first_name or ''} {read.last_name or ''}")
    if known and known != compared(f"{item.first_name} {item.last_name}"):
        text = f"This number is of a patient with another name in the record{who}."
        return Check("patient_exists", "block", text, "external_id")
    text = f"The record has this patient already{who}; no second one is made."
    return Check("patient_exists", "warn", text, "external_id")


def _namesakes(item: PatientItem, found: list[Patient]) -> Check:
    many = "1 patient" if len(found) == 1 else f"{len(found)} patients"
    who = ", ".join(filter(None, (_id_of(one).removeprefix(": ") for one in found[:_NAMED])))
    text = f"The record has {many} of this name; make sure that this is another person"
    level: Literal["warn", "info"] = "info" if item.external_id else "warn"
    return Check("same_name", level, f"{text}: {who}." if who else f"{text}.", "last_name")


def _id_of(patient: Patient) -> str:
    own = people.own_ref(patient)
    return f": patient_id {own}" if own else ""
