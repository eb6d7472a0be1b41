"""Leyr's refusals, named: by its code first, by the HTTP status second, never by its text."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pydantic_core import from_json

from leyr_mcp.server.ehr.transport import Refusal
from leyr_mcp.server.errors import (
    UpstreamAuthError,
    UpstreamConflictError,
    UpstreamError,
    UpstreamForbiddenError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
    UpstreamValidationError,
)


class Meaning(NamedTuple):
    """What one vendor code or status says in our words."""

    kind: type[UpstreamError]
    message: str
    code: str | None = None
    field: str | None = None
    next_step: str | None = None


_REDIRECT = range(300, 400)
_FAILED = 500
# It is logged, so it must be an id: anything could stand in its place.
_INSTANCE = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CODE_CAP = 64

_LIST_UNITS = "Call list_care_units and use an id from its answer."

# In order of precedence: where several come together, the first of these that is present is told.
DETAILED: dict[str, Meaning] = {
    "NOT_SUPPORTED": Meaning(
        UpstreamNotSupportedError, "This record system does not support that."
    ),
    "PATIENT_ID_LOOKUP_TYPE_NOT_SUPPORTED": Meaning(
        UpstreamNotSupportedError,
        "This record system does not take that type of patient identifier.",
        field="patient_id",
        next_step="Find the patient by name and use the patient_id of the answer.",
    ),
    "INVALID_PATIENT_ID_TYPE": Meaning(
        UpstreamNotSupportedError,
        "The record system does not know that type of patient identifier.",
        field="patient_id",
        next_step="Find the patient by name and use the patient_id of the answer.",
    ),
    "INVALID_PATIENT_ID": Meaning(
        UpstreamNotFoundError,
        "No patient has this identifier here.",
        "patient_not_found",
        "patient_id",
    ),
    "INVALID_CARE_UNIT_ID": Meaning(
        UpstreamNotFoundError, "There is no such care unit.", None, "care_unit_id", _LIST_UNITS
    ),
    "INVALID_RESOURCE_ID": Meaning(
        UpstreamNotFoundError,
        "There is no such resource in this care unit.",
        None,
        "resource_id",
        _LIST_UNITS,
    ),
    "INVALID_HEALTHCARE_SERVICE_ID": Meaning(
        UpstreamNotFoundError,
        "There is no such healthcare service in this care unit.",
        None,
        "healthcare_service_id",
        _LIST_UNITS,
    ),
    "INVALID_APPOINTMENT_ID": Meaning(
        UpstreamNotFoundError,
        "There is no such appointment, or it can no longer be changed.",
        None,
        "appointment_id",
        "Call list_appointments and use an id from its answer.",
    ),
    "INVALID_CREATED_BY_ID": Meaning(
        UpstreamValidationError,
        "The record system does not accept the author.",
        None,
        "created_by_id",
        "Tell the operator to check LEYR_RESOURCE_ID.",
    ),
    "NO_TIMESLOTS_AVAILABLE": Meaning(
        UpstreamConflictError,
        "The time is not free.",
        None,
        "start",
        "Call list_timeslots and offer another time.",
    ),
    "AMBIGUOUS_TIMESLOTS": Meaning(
        UpstreamConflictError,
        "Several free times fit.",
        None,
        "resource_id",
        "Name the resource and the healthcare service.",
    ),
    "INVALID_COMMENT_LENGTH": Meaning(
        UpstreamValidationError,
        "The comment is too long for this record system.",
        None,
        "comment",
        "Shorten the comment.",
    ),
    "INVALID_NOTE_CONTENT": Meaning(
        UpstreamValidationError, "The content does not fit the template.", None, "content"
    ),
    "MISSING_REQUIRED_FIELD": Meaning(
        UpstreamValidationError, "The record system misses a required field."
    ),
    "MAX_ITEMS_EXCEEDED": Meaning(
        UpstreamValidationError,
        "The record system finds too many items.",
        next_step="Ask for a shorter span of time or a narrower search.",
    ),
    "BAD_INPUT": Meaning(UpstreamValidationError, "The record system refused the content."),
    "BAD_REQUEST": Meaning(
        UpstreamValidationError, "The record system refused the request as invalid."
    ),
}

GENERAL: dict[str, Meaning] = {
    "UNAUTHORIZED": Meaning(UpstreamAuthError, "Leyr refused this server's credentials."),
    "SERVICE_UNAVAILABLE": Meaning(
        UpstreamUnavailableError,
        "The record system is unavailable for the moment.",
        "upstream_busy",
    ),
    "BAD_REQUEST": DETAILED["BAD_REQUEST"],
    "EMR_ERROR": Meaning(
        UpstreamValidationError, "The record system behind Leyr refused the request."
    ),
    "NOT_FOUND": Meaning(UpstreamNotFoundError, "There is no such entry in the record."),
}

STATUS: dict[int, Meaning] = {
    401: Meaning(
        UpstreamValidationError, "The record system refused the request without a known reason."
    ),
    403: Meaning(UpstreamForbiddenError, "This server's credentials may not do that."),
    404: GENERAL["NOT_FOUND"],
    408: Meaning(
        UpstreamUnavailableError, "The record system did not answer in time.", "upstream_busy"
    ),
    409: Meaning(UpstreamConflictError, "The entry changed meanwhile."),
    412: Meaning(UpstreamConflictError, "The entry changed meanwhile."),
    413: Meaning(UpstreamValidationError, "The content is too large for the record system."),
    429: Meaning(UpstreamRateLimitError, "The record system asks to slow down."),
    500: Meaning(UpstreamUnavailableError, "The record system failed."),
    503: GENERAL["SERVICE_UNAVAILABLE"],
}


def name_refusal(refusal: Refusal) -> UpstreamError:
    """Return the error that a Leyr answer outside 2xx stands for."""
    envelope = _envelope(refusal)
    code = _code(envelope.get("code"))
    details = [_code(entry.get("error_code")) for entry in _entries(envelope)]
    meaning = _meaning(code, details, refusal.status)
    instance = envelope.get("instance")
    return meaning.kind(
        meaning.message,
        code=meaning.code,
        field=meaning.field,
        next_step=meaning.next_step,
        retry_after_s=refusal.retry_after_s,
        status=refusal.status,
        vendor_code=next((d for d in details if d), None) or code or None,
        request_id=instance
        if isinstance(instance, str) and _INSTANCE.fullmatch(instance)
        else None,
    )


def _meaning(code: str, details: list[str], status: int) -> Meaning:
    for known, meaning in DETAILED.items():
        if known in details:
            return meaning
    if not (code in ("EMR_ERROR", "BAD_REQUEST") and status >= _FAILED):
        known_code = GENERAL.get(code) or DETAILED.get(code)
        if known_code is not None:
            return known_code
    if status in _REDIRECT:
        return Meaning(
            UpstreamUnavailableError, "The record system's address answered with a redirect."
        )
    if status >= _FAILED:
        return STATUS.get(status, STATUS[_FAILED])
    return STATUS.get(status, DETAILED["BAD_REQUEST"])


def _envelope(refusal: Refusal) -> dict[str, Any]:
    if not refusal.is_json:
        return {}
    try:
        found = from_json(refusal.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _entries(envelope: dict[str, Any]) -> list[dict[str, Any]]:
    errors = envelope.get("errors")
    return [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []


def _code(value: Any) -> str:
    """Return a vendor code only if it is one: the set is open, its alphabet is not."""
    fits = isinstance(value, str) and len(value) <= _CODE_CAP and value.isascii()
    return value if fits and value.replace("_", "").isalnum() and value.isupper() else ""
