"""What is read: settings, directory, patients, appointments, free times, documents, the log."""

from datetime import datetime
from typing import Any

from leyr_mcp.sandbox.cobalt import events
from leyr_mcp.sandbox.cobalt.call import Call
from leyr_mcp.sandbox.cobalt.clinic import (
    LOCATIONS,
    PROVIDERS,
    REFERENCE,
    REQUIRED,
    VISIT_STATUSES,
    VISIT_TYPES,
    ZONE,
    codes,
    location,
    provider,
    visit_type,
)
from leyr_mcp.sandbox.cobalt.slots import free_slots
from leyr_mcp.sandbox.cobalt.store import Body
from leyr_mcp.sandbox.cobalt.wire import Refused, page_of
from leyr_mcp.sandbox.wire import Reply

SIZES = (50, 100)
MODES = ("gaps", "slots", "equal_slots")
LONGEST_DAYS = 62


def settings(_call: Call) -> Body:
    """`GET /settings`."""
    return {
        "success": True,
        "data": {
            "access_token_reference_id": REFERENCE,
            "visit_types": _types(),
            "visit_statuses": codes(VISIT_STATUSES),
            "required_patient_fields": list(REQUIRED),
            "timezone": ZONE.key,
        },
    }


def visit_types(_call: Call) -> Body:
    """`GET /visit-types`."""
    return {"success": True, "visit_types": _types()}


def visit_statuses(_call: Call) -> Body:
    """`GET /visit-statuses`."""
    return {"success": True, "visit_statuses": codes(VISIT_STATUSES)}


def locations(_call: Call) -> Body:
    """`GET /locations`."""
    return {"success": True, "locations": [one.told() for one in LOCATIONS]}


def providers(_call: Call) -> Body:
    """`GET /providers`."""
    return {"success": True, "providers": [one.told() for one in PROVIDERS]}


def patients(call: Call) -> Body:
    """`GET /patients`: the copy, by parts of names or by exact values."""
    query = call.query
    found = [
        one
        for one in call.store.all("patient")
        if one["copied"]
        and all(
            query[name].casefold() in one[name].casefold()
            for name in ("first_name", "last_name")
            if name in query
        )
        and all(query[name] == one[name] for name in ("dob", "mrn", "ehr_id") if name in query)
        and ("phone" not in query or _digits(query["phone"]) == _digits(one["phone"]))
    ]
    part, paging = page_of(found, query, SIZES)
    return {"success": True, "patients": [_patient(one) for one in part], "pagination": paging}


def appointments(call: Call) -> Body:
    """`GET /appointments`."""
    query = call.query
    first, last = events.day(query, "start_date"), events.day(query, "end_date")
    if first is None or last is None:
        raise Refused(f"Missing required field: {'start_date' if first is None else 'end_date'}")
    people = {one["mrn"]: one for one in call.store.all("patient")}
    found = [
        appointment(one, people.get(one["mrn"], {}))
        for one in call.store.all("appointment")
        if first <= datetime.fromisoformat(one["datetime"]).astimezone(ZONE).date() <= last
        and query.get("patient_mrn") in (None, one["mrn"])
    ]
    name = query.get("patient_name", "").casefold()
    found = [one for one in found if name in (one["patient_name"] or "").casefold()]
    return {"success": True, "appointments": sorted(found, key=lambda one: str(one["datetime"]))}


def availability(call: Call) -> Body:
    """`GET /availability`."""
    query = call.query
    first, last = events.day(query, "start_date"), events.day(query, "end_date")
    if first is None or last is None:
        raise Refused(f"Missing required field: {'start_date' if first is None else 'end_date'}")
    if last < first or (last - first).days > LONGEST_DAYS:
        raise Refused("Invalid date range")
    if query.get("calculation_method", "slots") not in MODES:
        raise Refused(f"Invalid calculation_method. Must be one of: {', '.join(MODES)}")
    if "visit_type" in query and visit_type(query["visit_type"]) is None:
        raise Refused("Invalid visit_type")
    slots = free_slots(
        call.store,
        first,
        last,
        visit_code=query.get("visit_type"),
        providers=_listed(query.get("provider_ids", "")),
        locations=_listed(query.get("location_ids", "")),
        now=call.now,
    )
    told = []
    for slot in slots:
        place = location(slot.provider.location)
        told.append(
            {
                "day_of_week": slot.start.isoweekday(),
                "date": slot.start.date().isoformat(),
                "duration_string": f"{int((slot.end - slot.start).total_seconds() // 60)} minutes",
                "range_start": slot.start.isoformat(timespec="milliseconds"),
                "range_end": slot.end.isoformat(timespec="milliseconds"),
                "provider_id": slot.provider.ehr_id,
                "facility_id": slot.provider.location,
                "facility_name": place.name if place else None,
                "timezone_abbr": slot.start.tzname(),
            }
        )
    return {"success": True, "results": {"availability": told}, "timezone": ZONE.key}


def document(call: Call) -> Reply:
    """`GET /documents/{id}`."""
    found = call.store.get("document", call.path["id"])
    content = call.store.file(call.path["id"]) if found else None
    if found is None or content is None:
        raise Refused("Document not found", 404)
    disposition = ("content-disposition", f'attachment; filename="{found["document_id"]}"')
    return Reply(200, content, (disposition,), content_type=found["content_type"])


def webhook_events(call: Call) -> Body:
    """`GET /webhook-events`."""
    return events.find(call.store, call.query)


def appointment(one: Body, who: Body) -> Body:
    """Return an appointment as the list tells it."""
    known, place = provider(one["provider"]), location(one["location"])
    names = [who.get("first_name"), who.get("last_name")]
    return {
        "id": one["id"],
        "ehr_appointment_id": one["ehr_appointment_id"],
        "datetime": one["datetime"],
        "duration": one["duration"],
        "status": one["status"],
        "appointment_type": one["appointment_type"],
        "appointment_mode": "office",
        "location": place.name if place else None,
        "reason": None,
        "patient_name": " ".join(filter(None, names)) or None,
        "patient_first_name": names[0],
        "patient_last_name": names[1],
        "patient_mrn": one["mrn"],
        "patient_ehr_id": who.get("ehr_id"),
        "patient_dob": who.get("dob"),
        "patient_phone": who.get("phone"),
        "provider_ehr_id": one["provider"],
        "provider_name": known.name if known else None,
        "secondary_provider_ehr_id": None,
        "note": one["note"],
        "created_at": one["created_at"],
        "object_metadata": {"source": one["source"], "created_at": one["created_at"]},
    }


def _patient(one: Body) -> Body:
    names = ("id", "ehr_id", "mrn", "first_name", "last_name", "dob", "sex", "phone", "status")
    return {name: one[name] for name in names}


def _types() -> list[dict[str, Any]]:
    return codes(tuple((one.code, one.description) for one in VISIT_TYPES))


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
