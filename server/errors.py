"""Every failure this server expects, with the code and the next step that the caller is told.

No class here ever carries a value from a request, a record or a vendor's text: a message is a fixed
sentence that names fields and rules only, so it may be shown to a model and written to a log.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

Retry = Literal["no", "after", "same_call"]


class CodeInfo(NamedTuple):
    """What a caller of any tool may rely on for one error code."""

    next_step: str
    retry: Retry


CODES: dict[str, CodeInfo] = {
    "invalid_argument": CodeInfo("Correct the named field and call again.", "no"),
    "identifier_checksum": CodeInfo(
        "Ask the user to read the identifier again; do not guess digits.", "no"
    ),
    "identifier_ambiguous": CodeInfo("Ask the user for the identifier in its full form.", "no"),
    "wrong_environment": CodeInfo("Tell the user; do not try another number.", "no"),
    "patient_not_found": CodeInfo("Ask the user for another identifier or the full name.", "no"),
    "patient_mismatch": CodeInfo(
        "Tell the user that the two do not belong together, and ask which is right.", "no"
    ),
    "patient_changed": CodeInfo(
        "Stop; tell the user that the record changed, and start again from the search.", "no"
    ),
    "approval_void": CodeInfo("Call get_draft and tell the user where to review it.", "no"),
    "in_progress": CodeInfo("Call get_draft to see what becomes of it.", "no"),
    "slot_taken": CodeInfo("Offer the user the other times that are named.", "no"),
    "not_found": CodeInfo("Start again from the search or the list.", "no"),
    "not_supported": CodeInfo("Tell the user that this record system cannot do it.", "no"),
    "file_not_allowed": CodeInfo(
        "Ask the user for a file in the folder set for that, or call again without path.", "no"
    ),
    "file_type": CodeInfo("Ask the user for the file as PDF, and attach that.", "no"),
    "file_too_large": CodeInfo("Ask the user for a smaller file.", "no"),
    "file_encrypted": CodeInfo("Ask the user for the file without a password.", "no"),
    "file_active_content": CodeInfo(
        "Ask the user to print the file to a plain PDF, and attach that.", "no"
    ),
    "file_changed": CodeInfo("Make the same call again when the file is finished.", "same_call"),
    "upstream_refused": CodeInfo("Tell the user that the record system refused it.", "no"),
    "upstream_auth": CodeInfo(
        "Tell the user that the record system's credentials must be checked.", "no"
    ),
    "upstream_busy": CodeInfo("Wait, then make the same call again.", "after"),
    "upstream_unreachable": CodeInfo("Make the same call again later.", "same_call"),
    "upstream_bad_response": CodeInfo("Report this reference to the operator.", "no"),
    "busy": CodeInfo("Wait, then make the same call again.", "after"),
    "rate_limited": CodeInfo("Wait, then make the same call again.", "after"),
    "scope_missing": CodeInfo("Tell the user that their sign-in does not allow this.", "no"),
    "audit_unavailable": CodeInfo("Tell the operator; writing is stopped.", "no"),
    "storage_full": CodeInfo("Tell the operator; writing is stopped.", "no"),
    "internal": CodeInfo("Give this reference to the operator.", "no"),
}


class LeyrMcpError(Exception):
    """An expected failure: a stable code, one sentence, and what to do next."""

    default_code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        next_step: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        info = CODES[self.code]
        self.message = message
        self.field = field
        self.next_step = next_step or info.next_step
        self.retry = info.retry
        self.retry_after_s = retry_after_s


class InputError(LeyrMcpError):
    """The caller can correct it."""

    default_code = "invalid_argument"


class ConfigError(LeyrMcpError):
    """The operator can correct it; raised at start, before anything is served."""


class UpstreamError(LeyrMcpError):
    """The record system did not do what was asked.

    Attributes:
        status: The HTTP status, when there was an answer.
        vendor_code: The vendor's own error code, from a closed alphabet.
        request_id: The vendor's id of the failure, to quote to its support.
        not_received: True only when it is certain that the vendor never got the request.
    """

    default_code = "upstream_refused"

    def __init__(  # noqa: PLR0913 - all that may be known of one failure, each part named
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        next_step: str | None = None,
        retry_after_s: float | None = None,
        status: int | None = None,
        vendor_code: str | None = None,
        request_id: str | None = None,
        not_received: bool = False,
    ) -> None:
        super().__init__(
            message, code=code, field=field, next_step=next_step, retry_after_s=retry_after_s
        )
        self.status = status
        self.vendor_code = vendor_code
        self.request_id = request_id
        self.not_received = not_received


class UpstreamAuthError(UpstreamError):
    """Our own credentials were refused."""

    default_code = "upstream_auth"


class UpstreamForbiddenError(UpstreamError):
    """The credentials are known but may not do this."""


class UpstreamNotFoundError(UpstreamError):
    """The named object does not exist in the record system."""

    default_code = "not_found"


class UpstreamConflictError(UpstreamError):
    """The object changed meanwhile, or is in a state that forbids the request."""


class UpstreamValidationError(UpstreamError):
    """The record system refused the content of a well-formed request."""


class UpstreamNotSupportedError(UpstreamError):
    """This record system cannot do it at all."""

    default_code = "not_supported"


class UpstreamRateLimitError(UpstreamError):
    """Too many requests."""

    default_code = "upstream_busy"


class UpstreamUnavailableError(UpstreamError):
    """No answer, or an answer that says the record system is down."""

    default_code = "upstream_unreachable"


class UpstreamContractError(UpstreamError):
    """The answer is not what the record system's documentation promises."""

    default_code = "upstream_bad_response"


class StorageError(LeyrMcpError):
    """The local state cannot be read or written."""

    default_code = "audit_unavailable"


class StoreAwayError(StorageError):
    """What lies in the store cannot be read now; it says nothing of whether it is there."""
