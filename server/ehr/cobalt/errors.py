"""Cobalt's refusals, named: by status and by two fixed beginnings, never by the rest of a text."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from leyr_mcp.server.ehr.transport import Refusal
from leyr_mcp.server.errors import (
    UpstreamAuthError,
    UpstreamConflictError,
    UpstreamError,
    UpstreamForbiddenError,
    UpstreamNotFoundError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
    UpstreamValidationError,
)

LOGIN_REQUIRED = "LOGIN_REQUIRED"
_MISSING = "Missing required field: "
_BAD_LOCATION = "Invalid location_id."
# What Cobalt misses, as our callers name it.
_FIELDS = {
    "note": "content",
    "subject": "title",
    "patient_mrn": "patient_id",
    "mrn": "patient_id",
    "location_id": "care_unit_id",
    "location": "care_unit_id",
    "provider": "resource_id",
    "type": "healthcare_service_id",
    "folder_name": "type",
}
_FAILED = 500
_STATUS: dict[int, tuple[type[UpstreamError], str, str | None]] = {
    401: (UpstreamAuthError, "Cobalt refused this server's credentials.", None),
    403: (UpstreamForbiddenError, "This server's credentials may not do that.", None),
    404: (UpstreamNotFoundError, "There is no such entry at Cobalt.", None),
    408: (UpstreamUnavailableError, "Cobalt did not answer in time.", "upstream_busy"),
    409: (UpstreamConflictError, "The entry changed meanwhile.", None),
    413: (UpstreamValidationError, "The content is too large for Cobalt.", None),
    429: (UpstreamRateLimitError, "Cobalt asks to slow down.", None),
    503: (UpstreamUnavailableError, "Cobalt is unavailable for the moment.", "upstream_busy"),
}


def name_refusal(refusal: Refusal) -> UpstreamError:
    """Return the error that a Cobalt answer outside 2xx stands for."""
    body = body_of(refusal.body) if refusal.is_json else {}
    status, retry = refusal.status, refusal.retry_after_s
    if status in (401, 403) and body.get("error") == "login_required":
        return UpstreamAuthError(
            "The clinic's sign-in at its record system has ended, so Cobalt cannot reach it.",
            next_step="Tell the user: the clinic must sign in again on Cobalt's Link page. What is "
            "approved waits and then goes on by itself.",
            status=status,
            vendor_code=LOGIN_REQUIRED,
        )
    if status >= _FAILED:
        kind, message, code = _STATUS.get(
            status, (UpstreamUnavailableError, "Cobalt failed.", None)
        )
        return kind(message, code=code, status=status, retry_after_s=retry)
    if status in _STATUS:
        kind, message, code = _STATUS[status]
        known = "UNAUTHORIZED" if kind is UpstreamAuthError else None
        return kind(message, code=code, status=status, retry_after_s=retry, vendor_code=known)
    if not 400 <= status < _FAILED:  # noqa: PLR2004 - a redirect, for one
        return UpstreamUnavailableError("Cobalt's address answered with a redirect.", status=status)
    return refused(body, status)


def refused(body: dict[str, Any], status: int) -> UpstreamError:
    """Return what an answer says that is no success."""
    message = body.get("message")
    said = message if isinstance(message, str) else ""
    if said.startswith(_BAD_LOCATION):
        return UpstreamNotFoundError(
            "There is no such care unit at Cobalt.",
            field="care_unit_id",
            next_step="Call list_care_units and use an id from its answer.",
            status=status,
            vendor_code="INVALID_CARE_UNIT_ID",
        )
    if said.startswith(_MISSING):
        return UpstreamValidationError(
            "Cobalt misses a required field.",
            field=_FIELDS.get(said.removeprefix(_MISSING).strip()),
            status=status,
            vendor_code="MISSING_REQUIRED_FIELD",
        )
    return UpstreamValidationError("Cobalt refused the request.", status=status)


def body_of(raw: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    try:
        found = from_json(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
