"""What is written: acknowledged at once, carried out later, and webhooks registered."""

import re
import secrets
import uuid
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

from leyr_mcp.sandbox.cobalt.call import Call
from leyr_mcp.sandbox.cobalt.clinic import (
    LOCATIONS,
    VISIT_STATUSES,
    ZONE,
    active_locations,
    provider,
    visit_type,
)
from leyr_mcp.sandbox.cobalt.events import new_id
from leyr_mcp.sandbox.cobalt.store import Body
from leyr_mcp.sandbox.cobalt.wire import Refused
from leyr_mcp.sandbox.wire import Reply, json_reply

QUEUED = "{} processing. A webhook event will be sent upon completion."
LIVE = {"date_range": ("start_date", "end_date"), "mrn": ("mrn",), "provider": ("provider_ids",)}
PEOPLE = {
    "dob": ("dob",),
    "name": ("first_name", "last_name"),
    "phone": ("phone",),
    "mrn": ("mrn",),
}
LONGEST_DAYS = 7
MOST_PROVIDERS = 10
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PHONE = re.compile(r"[0-9]{3}-[0-9]{3}-[0-9]{4}")
_TWELVE = re.compile(r"(0?[1-9]|1[0-2]):([0-5][0-9])\s*([ap]m)", re.IGNORECASE)


def patient_note(call: Call) -> Reply:
    """`POST /patient-notes`, as Cobalt's page has it."""
    note, subject, mrn, place = call.required("note", "subject", "patient_mrn", "location_id")
    place = _location(call, place)
    if call.options.note_limit is not None and len(note) > call.options.note_limit:
        raise Refused("note is too long")
    if call.options.unknown_mrn == "400" and call.queue.patient(mrn) is None:
        raise Refused("Patient not found")
    note_id = new_id()
    work = {
        "patient_note_id": note_id,
        "emr_note_id": str(uuid.uuid4()),
        "patient_mrn": mrn,
        "location_id": place,
        "subject": subject,
        "note": note,
    }
    told = {
        "success": True,
        "message": QUEUED.format("Patient note"),
        **call.acknowledged("note", mrn, work, patient_note_id=note_id),
    }
    return json_reply(told, call.options.queued_status)


def document(call: Call) -> Reply:
    """`POST /documents`."""
    folder, mrn = call.required("folder_name", "patient_mrn")
    if call.file is None or not call.file[1]:
        raise Refused("Missing required field: document")
    document_id = secrets.token_hex(16)
    call.store.put_file(document_id, call.file[1])
    work = {
        "document_id": document_id,
        "patient_mrn": mrn,
        "folder_name": folder,
        "notes": call.body.get("notes"),
        "content_type": call.file[0],
    }
    told = {
        "success": True,
        "message": QUEUED.format("Document"),
        **call.acknowledged("document", mrn, work, document_id=document_id),
    }
    return json_reply(told, call.options.queued_status)


def appointment(call: Call) -> Reply:
    """`POST /appointments`: there as pending from now on."""
    mrn, place, who, code = call.required("mrn", "location", "provider", "type")
    place = _location(call, place, "location")
    kind, found = visit_type(code), provider(who)
    if found is None or found.status != "active":
        raise Refused("Invalid provider")
    if kind is None:
        raise Refused("Invalid type")
    appointment_id = str(uuid.uuid4())
    call.store.put(
        "appointment",
        appointment_id,
        {
            "id": appointment_id,
            "ehr_appointment_id": None,
            "datetime": _start(call.body).isoformat(),
            "duration": kind.minutes,
            "status": "pending",
            "appointment_type": code,
            "mrn": mrn,
            "location": place,
            "provider": who,
            "note": call.body.get("note"),
            "created_at": call.now.isoformat(),
            "source": "cobalt_operation",
        },
    )
    work = {
        "appointment_id": appointment_id,
        "mrn": mrn,
        "prevent_double_booking": call.body.get("prevent_double_booking") == "true",
    }
    ids = call.acknowledged("appointment", mrn, work, appointment_id=appointment_id)
    told = {"success": True, "message": QUEUED.format("Appointment")}
    return json_reply({**told, "data": ids} if call.options.nested else {**told, **ids})


def change_appointment(call: Call) -> Body:
    """`PATCH /appointments/{id}`: of one in the record, only status or note."""
    found = call.store.get("appointment", call.path["id"])
    if found is None:
        raise Refused("Appointment not found", 404)
    changes = dict(call.body)
    if found["status"] in ("pending", "failed"):
        if "datetime" in changes:
            changes["datetime"] = _start(changes).isoformat()
        call.store.put("appointment", found["id"], {**found, **changes})
        return {"success": True, "message": "Appointment updated"}
    if not changes or set(changes) - {"status", "note"}:
        raise Refused("Only status or note of a scheduled appointment can be updated")
    if "status" in changes and changes["status"] not in dict(VISIT_STATUSES):
        raise Refused("Invalid status")
    work = {"appointment_id": found["id"], "mrn": found["mrn"], "changes": changes}
    ids = call.acknowledged("update", found["mrn"], work)
    return {"success": True, "message": QUEUED.format("Appointment update"), **ids}


def patient(call: Call) -> Body:
    """`POST /patients`."""
    first, last, born, sex, phone = call.required("first_name", "last_name", "dob", "sex", "phone")
    patient_id = secrets.token_hex(16)
    call.store.put(
        "patient",
        patient_id,
        {
            "id": patient_id,
            "ehr_id": None,
            "mrn": None,
            "first_name": first,
            "last_name": last,
            "dob": born,
            "sex": sex,
            "phone": phone,
            "status": "pending",
            "copied": True,
        },
    )
    ids = call.acknowledged("patient", None, {"patient_id": patient_id}, patient_id=patient_id)
    return {"success": True, "message": QUEUED.format("Patient"), **ids}


def fetch_patients(call: Call) -> Reply:
    """`POST /patients/fetch`."""
    by = call.body.get("search_by")
    if by not in PEOPLE:
        raise Refused("Missing required field: search_by")
    given = {name: call.body[name] for name in PEOPLE[by] if call.body.get(name)}
    if not given:
        raise Refused(f"Missing required field: {PEOPLE[by][0]}")
    if by == "phone" and not _PHONE.fullmatch(str(given["phone"])):
        raise Refused("Invalid phone. Must be in XXX-XXX-XXXX format")
    return _fetch(call, "patients", given)


def fetch_appointments(call: Call) -> Reply:
    """`POST /appointments/fetch`."""
    by = call.body.get("search_by", "date_range")
    if by not in LIVE:
        raise Refused("Invalid search_by")
    first, last = _range(call)
    return _fetch(call, "appointments", {"start_date": first, "end_date": last})


def fetch_availability(call: Call) -> Reply:
    """`POST /availability/fetch`."""
    wanted = call.body.get("provider_ids")
    if not isinstance(wanted, list) or not 0 < len(wanted) <= MOST_PROVIDERS:
        raise Refused("Missing required field: provider_ids")
    first, last = _range(call)
    query = {"start_date": first, "end_date": last, "provider_ids": wanted}
    return _fetch(call, "availability", query)


def register(call: Call) -> Body:
    """`POST /webhook`."""
    (url,) = call.required("webhook_url")
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise Refused("Invalid webhook_url. Must be https")
    webhook_id = secrets.token_hex(12)
    call.store.put("webhook", webhook_id, {"id": webhook_id, "url": url})
    message = "Webhook registered"
    return {"success": True, "message": message, "webhook_secret_key": secret(call)}


def webhooks(call: Call) -> Body:
    """`GET /webhook`, which tells the secret."""
    found = call.store.all("webhook")
    return {
        "success": True,
        "webhook_url": found[0]["url"] if found else None,
        "webhook_urls": found,
        "webhook_secret_key": secret(call),
    }


def unregister(call: Call) -> Body:
    """`DELETE /webhook/{id}`."""
    if not call.store.remove("webhook", call.path["id"]):
        raise Refused("Webhook not found", 404)
    return {"success": True, "message": "Webhook deleted"}


def rotate(call: Call) -> Body:
    """`POST /webhook[/{id}]/rotate-secret`: the old secret is good for 24 hours more."""
    found = call.store.all("webhook")
    if not found:
        raise Refused("Webhook not found", 404)
    call.store.set_meta("old_secret", secret(call))
    call.store.set_meta("old_until", (call.now + timedelta(hours=24)).isoformat())
    call.store.set_meta("secret", f"whsec_{secrets.token_hex(24)}")
    chosen = call.path.get("id", found[0]["id"])
    return {"success": True, "webhook": {"id": chosen, "secret": secret(call)}}


def secret(call: Call) -> str:
    """Return the account's secret, made when first asked for."""
    known = call.store.meta("secret")
    if known is None:
        known = f"whsec_{secrets.token_hex(24)}"
        call.store.set_meta("secret", known)
    return known


def _location(call: Call, given: str, name: str = "location_id") -> str:
    for one in active_locations():
        if given == one.ehr_id or (call.options.cobalt_location_ids and given == one.id):
            return one.ehr_id
    known = ", ".join(one.ehr_id for one in LOCATIONS if one.status == "active")
    raise Refused(f"Invalid {name}. Must be one of: {known}")


def _start(body: Body) -> datetime:
    """Return when an appointment begins: `datetime`, or `date` and a 12-hour `time`.

    Raises:
        Refused: it is none of these.
    """
    try:
        if body.get("datetime"):
            found = datetime.fromisoformat(body["datetime"])
            return found if found.tzinfo else found.replace(tzinfo=ZONE)
        day, clock = date.fromisoformat(body["date"]), _TWELVE.fullmatch(body["time"])
    except (KeyError, TypeError, ValueError) as error:
        raise Refused("Missing required field: datetime") from error
    if clock is None:
        raise Refused("Invalid time. Must be in 12-hour format")
    hour = int(clock[1]) % 12 + (12 if clock[3].lower() == "pm" else 0)
    return datetime(day.year, day.month, day.day, hour, int(clock[2]), tzinfo=ZONE)


def _range(call: Call) -> tuple[str, str]:
    first, last = call.required("start_date", "end_date")
    try:
        days = (date.fromisoformat(last) - date.fromisoformat(first)).days
    except ValueError as error:
        raise Refused("Invalid date format. Use YYYY-MM-DD") from error
    if not 0 <= days <= LONGEST_DAYS:
        raise Refused("Invalid date range")
    return first, last


def _fetch(call: Call, what: str, query: Body) -> Reply:
    ids = call.acknowledged("fetch", query.get("mrn"), {"of": what, "query": query})
    told = {"success": True, "message": "Fetch started"}
    if "job_id" in ids:
        ids["job_id"] = str(ids["job_id"])
    return json_reply({**told, **ids}, 202)
