"""Audit events as FHIR R4 AuditEvent, shaped as IHE's basic audit patterns have them.

Users, clients and this server are agents; patient, data and request are entities. What an event
does not tell is left out, never filled in; only a damaged one gets the time that the form demands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_HL7 = "http://terminology.hl7.org/CodeSystem"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_OWN = "urn:leyr-mcp"
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9.-]")
_ID_MOST = 64

Coding = dict[str, str]


def _coding(system: str, code: str, display: str) -> Coding:
    return {"system": system, "code": code, "display": display}


_REST = _coding(f"{_HL7}/audit-event-type", "rest", "Restful Operation")
_RECORD = _coding(_DICOM, "110110", "Patient Record")
# What is done with drafts here is no request to a record system.
_TYPES: Mapping[str, Coding] = {
    "draft": _RECORD,
    "approve": _RECORD,
    "reject": _RECORD,
    "amend": _RECORD,
    "emergency": _coding(_DICOM, "110113", "Security Alert"),
    "auth": _coding(_DICOM, "110114", "User Authentication"),
    "config": _coding(_DICOM, "110100", "Application Activity"),
    "verify": _coding(_DICOM, "110101", "Audit Log Used"),
}
_INTERACTIONS: Mapping[str, str] = {"R": "read", "C": "create", "U": "update", "E": "search"}
_ACTIONS = frozenset("CRUDE")
_OUTCOMES = frozenset({0, 4, 8, 12})
_SOURCE_ROLE = _coding(_DICOM, "110153", "Source Role ID")
_DESTINATION_ROLE = _coding(_DICOM, "110152", "Destination Role ID")
_AUTHOR = _coding(f"{_HL7}/v3-ParticipationType", "AUT", "author (originator)")
_RECIPIENT = _coding(f"{_HL7}/v3-ParticipationType", "IRCP", "information recipient")
_PERSON = _coding(f"{_HL7}/audit-entity-type", "1", "Person")
_PATIENT = _coding(f"{_HL7}/object-role", "1", "Patient")
_OBJECT = _coding(f"{_HL7}/audit-entity-type", "2", "System Object")
_RESOURCE = _coding(f"{_HL7}/object-role", "4", "Domain Resource")
_REQUEST_ID = {
    "system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType",
    "code": "XrequestId",
}
_SERVER = _coding(f"{_HL7}/security-source-type", "4", "Application Server")
_IP = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
# Where the patient is not opened, the keyed digest still tells one from another.
_PATIENT_KEY = f"{_OWN}:patient-key"
_PATIENT_ID = f"{_OWN}:patient-id"


def audit_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of the chain as FHIR; one that could not be read as a failure to read it."""
    name, action = str(event.get("event", "read")), str(event.get("action", ""))
    kind = _TYPES.get(name, _REST)
    subtype = [{"system": f"{_OWN}:event", "code": name}]
    if kind is _REST and action in _INTERACTIONS:
        code = _INTERACTIONS[action]
        subtype.insert(0, _coding("http://hl7.org/fhir/restful-interaction", code, code))
    outcome = event.get("outcome")
    failed = event.get("damaged") or outcome not in _OUTCOMES
    return _told(
        {
            "resourceType": "AuditEvent",
            "id": _id(event),
            "type": kind,
            "subtype": subtype,
            "action": action if action in _ACTIONS else None,
            "recorded": event.get("time", "1970-01-01T00:00:00.000Z"),
            "outcome": "8" if failed else str(outcome),
            "outcomeDesc": "This event is damaged." if failed else event.get("error"),
            "purposeOfEvent": _purpose(event),
            "agent": _agents(event),
            "source": _source(event),
            "entity": _entities(event),
        }
    )


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """FHIR has no empty elements."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _id(event: Mapping[str, Any]) -> str:
    # Where there are several chains, each counts by itself.
    names = (event.get("device", "leyr-mcp"), event.get("node"))
    device = _NOT_IN_ID.sub("-", "-".join(str(name) for name in names if name))
    number = f"-{event.get('seq', 0)}"
    return device[: _ID_MOST - len(number)] + number


def _purpose(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    code = event.get("purpose")
    return [{"coding": [{"system": f"{_HL7}/v3-ActReason", "code": code}]}] if code else []


def _who(system: str | None, value: str) -> dict[str, Any]:
    return {"identifier": _told({"system": system, "value": value})}


def _agents(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    writes = event.get("action") in ("C", "U")
    user, client = event.get("user") or {}, event.get("client") or {}
    server, other = (
        (_DESTINATION_ROLE, _SOURCE_ROLE) if writes else (_SOURCE_ROLE, _DESTINATION_ROLE)
    )
    agents = []
    if user.get("subject"):
        agents.append(
            {
                "type": {"coding": [_AUTHOR if writes else _RECIPIENT]},
                "who": _who(_issuer(user.get("issuer")), user["subject"]),
                "name": user.get("name"),
                "role": [{"text": user["role"]}] if user.get("role") else None,
                "requestor": True,
            }
        )
    if client.get("name"):
        known = " ".join(filter(None, (client["name"], client.get("version"))))
        agents.append(
            {
                "type": {"coding": [other]},
                "who": {"display": known},
                "requestor": not agents,
                "network": _network(event.get("network")),
            }
        )
    device = _who(f"{_OWN}:device", str(event.get("device", "leyr-mcp")))
    agents.append({"type": {"coding": [server]}, "who": device, "requestor": not agents})
    return [_told(agent) for agent in agents]


def _issuer(issuer: str | None) -> str | None:
    """Return an issuer as the URI that FHIR wants."""
    return issuer if issuer is None or ":" in issuer else f"{_OWN}:issuer:{issuer}"


def _network(address: str | None) -> dict[str, str] | None:
    if not address:
        return None
    if "://" in address:
        return {"address": address, "type": "5"}
    return {"address": address, "type": "2" if _IP.fullmatch(address) else "1"}


def _source(event: Mapping[str, Any]) -> dict[str, Any]:
    return _told(
        {
            "site": event.get("care_unit"),
            "observer": _who(f"{_OWN}:device", str(event.get("device", "leyr-mcp"))),
            "type": [_SERVER],
        }
    )


def _entities(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = [_patient(event), _data(event)]
    if event.get("request_id"):
        found.append({"what": _who(None, event["request_id"]), "type": _REQUEST_ID})
    return [entity for entity in found if entity]


def _patient(event: Mapping[str, Any]) -> dict[str, Any] | None:
    patient, key = event.get("patient"), event.get("patient_key")
    if patient:
        what = _who(_PATIENT_ID, patient)
    elif key:
        what = _who(_PATIENT_KEY, key)
    else:
        return None
    return {"what": {"type": "Patient", **what}, "type": _PERSON, "role": _PATIENT}


def _data(event: Mapping[str, Any]) -> dict[str, Any]:
    thing = event.get("object") or {}
    told = {
        "data-category": event.get("data_categories") or [],
        "object-type": [thing.get("type")],
        "object-version": [thing.get("version")],
        "object-hash": [thing.get("hash")],
        "origin": [event.get("origin")],
        "draft-id": [event.get("draft_id")],
        "approval-id": [event.get("approval_id")],
        "phase": [event.get("phase")],
        "chain-sequence": [event.get("seq")],
        "chain-mac": [event.get("mac")],
    }
    detail = [
        {"type": name, "valueString": str(value)}
        for name, values in told.items()
        for value in values
        if value is not None
    ]
    what = _who(f"{_OWN}:object", thing["id"]) if thing.get("id") else {"display": "no one object"}
    return _told({"what": what, "type": _OBJECT, "role": _RESOURCE, "detail": detail})
