"""What an answer or a failure of a write says about the record: by code first, by status second.

Everything that is not certain is doubt. A doubt costs a look-up; a wrong certainty costs a second
entry in a patient's record, or a lost one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from leyr_mcp.server.ehr.models import Appointment, Document, Note, Patient
from leyr_mcp.server.ehr.port import Job
from leyr_mcp.server.errors import (
    ConfigError,
    InputError,
    LeyrMcpError,
    StorageError,
    StoreAwayError,
    UpstreamAuthError,
    UpstreamConflictError,
    UpstreamContractError,
    UpstreamError,
    UpstreamForbiddenError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
    UpstreamValidationError,
)
from leyr_mcp.server.filing.reasons import SIGN_IN


@dataclass(frozen=True, slots=True)
class NotReceived:
    """The request certainly never arrived, or was turned away at the door; it may be sent again.

    `lasting` until a person has done something elsewhere, so it is tried for as long as it is
    approved.
    """

    reason: str
    retry_after_s: float | None = None
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """It is stored under this id."""

    record_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is queued; the job tells what becomes of it."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It was certainly not stored."""

    code: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """It may be stored, or may still be on its way."""

    reason: str


Outcome = NotReceived | Done | Accepted | Refused | InDoubt

SLOT_TAKEN = "slot_taken"

# The vendor's own words for "no", documented as given before anything is stored.
REFUSING = frozenset(
    {
        "AMBIGUOUS_TIMESLOTS",
        "BAD_INPUT",
        "BAD_REQUEST",
        "INVALID_APPOINTMENT_ID",
        "INVALID_CARE_UNIT_ID",
        "INVALID_COMMENT_LENGTH",
        "INVALID_CREATED_BY_ID",
        "INVALID_HEALTHCARE_SERVICE_ID",
        "INVALID_NOTE_CONTENT",
        "INVALID_PATIENT_ID",
        "INVALID_PATIENT_ID_TYPE",
        "INVALID_RESOURCE_ID",
        "MAX_ITEMS_EXCEEDED",
        "MISSING_REQUIRED_FIELD",
        "NOT_FOUND",
        "NOT_SUPPORTED",
        "PATIENT_ID_LOOKUP_TYPE_NOT_SUPPORTED",
        "UNAUTHORIZED",
    }
)
# These leave it to the status; the record system's own refusal adds two that alone prove nothing.
_TOLD_BY_STATUS: dict[str | None, frozenset[int]] = {
    None: frozenset({400, 404, 412, 413, 415, 422}),
    "EMR_ERROR": frozenset({400, 401, 403, 404, 412, 413, 415, 422}),
}
# With these, no code is believed that says no.
_UNCLEAR = frozenset({408, 409, 429})
_FAILED = 500


def answered(result: object) -> Outcome:
    """Return what a write's answer says."""
    if isinstance(result, Job):
        return Accepted(result.id)
    if isinstance(result, Patient):
        known = result.emr_id or result.id
        return Done(known) if known else InDoubt("bad_answer")
    if isinstance(result, Appointment | Note | Document):
        return Done(result.id)
    return InDoubt("bad_answer")


def failed(exc: BaseException) -> Outcome:
    """Return what a write's failure says; an exception without a row here is doubt."""
    return ROWS.get(type(exc), _doubt("unexpected"))(exc)


def needs_sign_in(exc: BaseException) -> bool:
    """Whether nothing goes on before the clinic signs in again at its record system."""
    return isinstance(exc, UpstreamAuthError) and exc.vendor_code == "LOGIN_REQUIRED"


def _doubt(reason: str) -> Callable[[BaseException], Outcome]:
    return lambda _: InDoubt(reason)


def _upstream(reason: str) -> Callable[[BaseException], Outcome]:
    """Return the rule of one class: what is certain first, else doubt for this reason."""

    def rule(exc: BaseException) -> Outcome:
        if not isinstance(exc, UpstreamError):
            return InDoubt("unexpected")
        if exc.not_received:
            return NotReceived(exc.code, exc.retry_after_s)
        return _told(exc) or InDoubt(reason)

    return rule


def _told(exc: UpstreamError) -> Outcome | None:
    """Return what code and status make certain together."""
    code, status = exc.vendor_code, exc.status or 0
    if needs_sign_in(exc):
        return NotReceived(SIGN_IN, lasting=True)
    if status >= _FAILED or status in _UNCLEAR:
        return None
    if code == "NO_TIMESLOTS_AVAILABLE":
        return InDoubt(SLOT_TAKEN)  # perhaps by an earlier attempt of our own: one look tells
    if code in REFUSING:
        return Refused(code.lower())
    if status in _TOLD_BY_STATUS.get(code, frozenset()):
        return Refused(exc.code)
    return None


def _not_supported(exc: BaseException) -> Outcome:
    """Refused by us before anything was sent, or by the vendor's code."""
    if isinstance(exc, UpstreamError) and exc.status is None and not exc.not_received:
        return Refused(exc.code)
    return _upstream("unclear_answer")(exc)


ROWS: dict[type[BaseException], Callable[[BaseException], Outcome]] = {
    UpstreamError: _upstream("unclear_answer"),
    UpstreamAuthError: _upstream("unclear_answer"),
    UpstreamForbiddenError: _upstream("unclear_answer"),
    UpstreamNotFoundError: _upstream("unclear_answer"),
    UpstreamConflictError: _upstream("conflict_answer"),
    UpstreamValidationError: _upstream("unclear_answer"),
    UpstreamNotSupportedError: _not_supported,
    UpstreamRateLimitError: _upstream("rate_limited"),
    UpstreamUnavailableError: _upstream("no_answer"),
    UpstreamContractError: _upstream("bad_answer"),
    # None of these is expected once a byte may have left, so none of them proves anything.
    LeyrMcpError: _doubt("unexpected"),
    InputError: _doubt("unexpected"),
    ConfigError: _doubt("unexpected"),
    StorageError: _doubt("unexpected"),
    StoreAwayError: _doubt("unexpected"),
    TimeoutError: _doubt("no_answer"),
    asyncio.CancelledError: _doubt("cancelled"),
}
