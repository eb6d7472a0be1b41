"""Handlers for appointments: booking, confirmation, cancellation, rescheduling."""

from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from leyr_mcp.sandbox.call import Call, gather
from leyr_mcp.sandbox.errors import ApiError, bad
from leyr_mcp.sandbox.models import (
    AppointmentAnswer,
    AppointmentCreate,
    AppointmentPatch,
    AppointmentQuery,
    Confirmation,
    Status,
)
from leyr_mcp.sandbox.slots import Slot, free_slots, to_local
from leyr_mcp.sandbox.store import Appointment, Patient, Sms
from leyr_mcp.sandbox.systems import APPOINTMENT_LIST, RESCHEDULE

STATUSES: dict[str, Status] = {
    "booked": "booked",
    "awaiting_confirmation": "awaiting_confirmation",
    "completed": "completed",
    "cancelled": "cancelled",
}


def confirmation_code(appointment_id: str) -> str:
    """Return the six digits that the SMS for an appointment carries; always the same ones."""
    number = int.from_bytes(sha256(appointment_id.encode()).digest()[:8])
    return f"{number % 1_000_000:06d}"


def find_appointments(call: Call) -> list[AppointmentAnswer]:
    """List the appointments of a care unit, cancelled ones included."""
    if APPOINTMENT_LIST in call.system.lacks:
        raise bad("NOT_SUPPORTED", f"{call.system.name} does not list appointments")
    query = call.query_as(AppointmentQuery)
    patient = resource = None
    if query.patient_id is not None:
        patient = call.patient(query.patient_id, "query.patient_id").id
    if query.resource_id is not None:
        resource = call.resource(query.resource_id, "query.resource_id").id
    return [
        _answer(call, item)
        for item in call.store.appointments(call.unit.id)
        if patient in (None, item.patient)
        and resource in (None, item.resource_id)
        and _within(item, query.start, query.end)
    ]


def get_appointment(call: Call) -> AppointmentAnswer:
    """Return one appointment."""
    return _answer(call, _stored(call))


def create_appointment(call: Call) -> list[AppointmentAnswer]:
    """Book a free time; the answer is a list of one."""
    body = call.body_as(AppointmentCreate)
    patient, resource_id = _booking_parties(call, body)
    _check_comment(call, body.comment)
    slot = _only_slot(call, body.start, body.end, resource_id, body.healthcare_service_id)
    sms = call.system.confirms_by_sms
    appointment = Appointment(
        id=call.new_id("appointment"),
        care_unit_id=call.unit.id,
        patient=patient.id,
        resource_id=slot.resource_id,
        service_id=slot.service_id,
        start_s=slot.start,
        end_s=slot.end,
        comment=body.comment,
        status="awaiting_confirmation" if sms else "booked",
    )
    call.store.put_appointment(appointment)
    if sms:
        _send_code(call, appointment, "booking")
    return [_answer(call, appointment)]


def update_appointment(call: Call) -> AppointmentAnswer:
    """Cancel, confirm or reschedule an appointment, according to the fields given."""
    patch = call.body_as(AppointmentPatch)
    moves = patch.start is not None or patch.end is not None or patch.resource_id is not None
    if patch.confirmation is not None and (moves or patch.status or patch.comment is not None):
        raise bad("BAD_REQUEST", "confirmation stands alone", "body.confirmation")
    if patch.status is not None and moves:
        raise bad("BAD_REQUEST", "status is only for cancelling", "body.status")
    appointment = _stored(call)
    if _status(call, appointment) in ("cancelled", "completed"):
        raise bad("INVALID_APPOINTMENT_ID", "The appointment is over", "path.appointment_id")
    _check_comment(call, patch.comment)
    if patch.confirmation is not None:
        changed = _confirm(call, appointment, patch.confirmation)
    elif patch.status is not None:
        changed = _cancel(call, appointment, patch.comment)
    else:
        changed = _reschedule(call, appointment, patch, moves=moves)
    return _answer(call, changed)


def _booking_parties(call: Call, body: AppointmentCreate) -> tuple[Patient, str | None]:
    """Look up everything a booking names, so that all refusals come together."""
    patient, no_patient = _try_patient(call, body.patient_id)
    resource_id, no_resource = _try_resource(call, body.resource_id)
    service = body.healthcare_service_id
    no_service = None
    if service is not None and call.unit.service(service) is None:
        path = "body.healthcare_service_id"
        no_service = bad("INVALID_HEALTHCARE_SERVICE_ID", "No service has that id", path)
    if no_patient is not None and no_resource is None and no_service is None:
        raise no_patient
    gather(no_patient, no_resource, no_service)
    assert patient is not None  # noqa: S101 -- without a patient gather has raised
    return patient, resource_id


def _try_patient(call: Call, typed_id: str) -> tuple[Patient | None, ApiError | None]:
    try:
        return call.patient(typed_id, "body.patient_id"), None
    except ApiError as error:
        return None, error


def _try_resource(call: Call, typed_id: str | None) -> tuple[str | None, ApiError | None]:
    if typed_id is None:
        return None, None
    try:
        return call.resource(typed_id, "body.resource_id").id, None
    except ApiError as error:
        return None, error


def _only_slot(
    call: Call,
    start: datetime,
    end: datetime,
    resource_id: str | None,
    service_id: str | None,
    besides: str | None = None,
) -> Slot:
    """Return the one free slot that fits; `besides` is an appointment whose own time is free."""
    first, last = start.timestamp(), end.timestamp()
    taken = call.store.taken(call.unit.id, besides)
    fitting = [
        slot
        for slot in free_slots(call.unit, taken, call.now, first, last)
        if (slot.start, slot.end) == (first, last)
        and resource_id in (None, slot.resource_id)
        and service_id in (None, slot.service_id)
    ]
    if not fitting:
        raise bad("NO_TIMESLOTS_AVAILABLE", "No free timeslot fits", "body.start")
    if len(fitting) > 1:
        sentence = "More than one timeslot fits; name the resource and the service"
        raise bad("AMBIGUOUS_TIMESLOTS", sentence, "body.start")
    return fitting[0]


def _confirm(call: Call, appointment: Appointment, given: Confirmation) -> Appointment:
    if not call.system.confirms_by_sms:
        raise bad("NOT_SUPPORTED", f"{call.system.name} asks for no confirmation")
    waiting = appointment.status == "awaiting_confirmation"
    if not waiting or given.code != confirmation_code(appointment.id):
        raise bad("BAD_INPUT", "The confirmation code is not valid", "body.confirmation.code")
    if appointment.cancels is None:
        return _put(call, replace(appointment, status="booked"))
    original = call.store.appointment(appointment.cancels)
    assert original is not None  # noqa: S101 -- appointments are never deleted
    _put(call, replace(original, status="cancelled", comment=appointment.comment))
    return _put(call, replace(appointment, status="cancelled"))


def _cancel(call: Call, appointment: Appointment, comment: str | None) -> Appointment:
    comment = appointment.comment if comment is None else comment
    if not call.system.confirms_by_sms or appointment.status == "awaiting_confirmation":
        return _put(call, replace(appointment, status="cancelled", comment=comment))
    waiting = call.store.cancellation_of(appointment.id)
    if waiting is not None:
        return waiting
    waiting = replace(
        appointment,
        id=call.new_id("cancellation"),
        status="awaiting_confirmation",
        comment=comment,
        cancels=appointment.id,
    )
    _put(call, waiting)
    _send_code(call, waiting, "cancellation")
    return waiting


def _reschedule(
    call: Call, appointment: Appointment, patch: AppointmentPatch, *, moves: bool
) -> Appointment:
    if RESCHEDULE in call.system.lacks:
        raise bad("NOT_SUPPORTED", f"{call.system.name} does not change appointments")
    if (patch.start is None) != (patch.end is None):
        given, lacking = ("start", "end") if patch.end is None else ("end", "start")
        sentence = f"{lacking} is required with {given}"
        raise bad("MISSING_REQUIRED_FIELD", sentence, f"body.{lacking}")
    if not moves and patch.comment is None:
        raise bad("MISSING_REQUIRED_FIELD", "Nothing to change is given", "body")
    if appointment.cancels is not None:
        raise bad("INVALID_APPOINTMENT_ID", "A cancellation cannot move", "path.appointment_id")
    comment = appointment.comment if patch.comment is None else patch.comment
    if not moves:
        return _put(call, replace(appointment, comment=comment))
    resource_id = appointment.resource_id
    if patch.resource_id is not None:
        resource_id = call.resource(patch.resource_id, "body.resource_id").id
    start = patch.start or to_local(appointment.start_s)
    end = patch.end or to_local(appointment.end_s)
    slot = _only_slot(call, start, end, resource_id, appointment.service_id, appointment.id)
    moved = replace(appointment, resource_id=slot.resource_id, start_s=slot.start, end_s=slot.end)
    return _put(call, replace(moved, comment=comment))


def _put(call: Call, appointment: Appointment) -> Appointment:
    call.store.put_appointment(appointment)
    return appointment


def _send_code(call: Call, appointment: Appointment, purpose: str) -> None:
    phones = call.store.patient(appointment.patient).phones
    call.store.add_sms(
        Sms(
            appointment_id=appointment.id,
            phone=phones[0] if phones else "",
            code=confirmation_code(appointment.id),
            purpose=purpose,
            sent_at=call.now.isoformat(),
        )
    )


def _check_comment(call: Call, comment: str | None) -> None:
    limit = call.options.comment_limit
    if limit is not None and comment is not None and len(comment) > limit:
        sentence = f"comment is longer than {limit} characters"
        raise bad("INVALID_COMMENT_LENGTH", sentence, "body.comment")


def _stored(call: Call) -> Appointment:
    unit, appointment = call.unit, call.store.appointment(call.path["appointment_id"])
    if appointment is None or appointment.care_unit_id != unit.id:
        raise call.missing("Appointment", "INVALID_APPOINTMENT_ID", "path.appointment_id")
    return appointment


def _status(call: Call, appointment: Appointment) -> Status:
    if appointment.status == "booked" and appointment.end_s <= call.now.timestamp():
        return "completed"
    return STATUSES[appointment.status]


def _within(appointment: Appointment, start: datetime | None, end: datetime | None) -> bool:
    after = start is None or appointment.end_s > start.timestamp()
    return after and (end is None or appointment.start_s < end.timestamp())


def _answer(call: Call, appointment: Appointment) -> AppointmentAnswer:
    answer = AppointmentAnswer(
        id=appointment.id,
        start=to_local(appointment.start_s).isoformat(),
        end=to_local(appointment.end_s).isoformat(),
        patient_id=call.store.patient(appointment.patient).emr_id,
        resource_id=appointment.resource_id,
        healthcare_service_id=appointment.service_id,
        comment=appointment.comment,
        status=_status(call, appointment),
        care_unit_id=appointment.care_unit_id,
    )
    return answer.seen_only() if call.options.seen_fields_only else answer
