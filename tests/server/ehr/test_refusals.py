"""Leyr's refusals in our words: by its code first, by the status second, never by its text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.ehr.leyr.errors import DETAILED, GENERAL, STATUS, name_refusal
from leyr_mcp.server.ehr.transport import Refusal
from leyr_mcp.server.errors import (
    CODES,
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
from tests.support.leyr_client import connected, quick
from tests.support.upstream_app import Reply, app_of, problem

CANARY = "Tolvan Canarysson 191212121212"
INSTANCE = "0b8f7a52-9b7e-4f0e-8a54-2a3a3f3f0c11"


def refusal(
    body: object, status: int = 400, *, is_json: bool = True, retry_after_s: float | None = None
) -> UpstreamError:
    """Return the error that an answer stands for."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return name_refusal(Refusal(status, raw, is_json, retry_after_s))


def envelope(code: str, *error_codes: str, status: int = 400) -> dict[str, object]:
    """Return Leyr's envelope, every text field of it holding a canary."""
    return {
        "code": code,
        "title": CANARY,
        "status": status,
        "detail": CANARY,
        "type": f"https://docs.leyr.io/{CANARY}",
        "instance": INSTANCE,
        "errors": [
            {"error_code": item, "details": CANARY, "emr_error": {"m": CANARY}, "path": CANARY}
            for item in error_codes
        ],
    }


GENERAL_CODES = [
    ("BAD_REQUEST", 400, UpstreamValidationError, "upstream_refused"),
    ("UNAUTHORIZED", 401, UpstreamAuthError, "upstream_auth"),
    ("UNAUTHORIZED", 403, UpstreamAuthError, "upstream_auth"),
    ("EMR_ERROR", 401, UpstreamValidationError, "upstream_refused"),
    ("EMR_ERROR", 400, UpstreamValidationError, "upstream_refused"),
    ("EMR_ERROR", 500, UpstreamUnavailableError, "upstream_unreachable"),
    ("EMR_ERROR", 503, UpstreamUnavailableError, "upstream_busy"),
    ("BAD_REQUEST", 500, UpstreamUnavailableError, "upstream_unreachable"),
    ("UNKNOWN_ERROR", 401, UpstreamValidationError, "upstream_refused"),
    ("UNKNOWN_ERROR", 500, UpstreamUnavailableError, "upstream_unreachable"),
    ("SERVICE_UNAVAILABLE", 503, UpstreamUnavailableError, "upstream_busy"),
    ("SERVICE_UNAVAILABLE", 400, UpstreamUnavailableError, "upstream_busy"),
    ("NOT_FOUND", 404, UpstreamNotFoundError, "not_found"),
]


@pytest.mark.parametrize(("code", "status", "kind", "ours"), GENERAL_CODES)
def test_a_general_code_decides_before_the_status(
    code: str, status: int, kind: type[UpstreamError], ours: str
) -> None:
    error = refusal(envelope(code, status=status), status)
    assert (type(error), error.code, error.status) == (kind, ours, status)
    assert (error.vendor_code, error.request_id) == (code, INSTANCE)


DETAILED_CODES = [
    ("INVALID_PATIENT_ID", UpstreamNotFoundError, "patient_not_found", "patient_id"),
    ("INVALID_CARE_UNIT_ID", UpstreamNotFoundError, "not_found", "care_unit_id"),
    ("INVALID_HEALTHCARE_SERVICE_ID", UpstreamNotFoundError, "not_found", "healthcare_service_id"),
    ("INVALID_RESOURCE_ID", UpstreamNotFoundError, "not_found", "resource_id"),
    ("INVALID_APPOINTMENT_ID", UpstreamNotFoundError, "not_found", "appointment_id"),
    ("NO_TIMESLOTS_AVAILABLE", UpstreamConflictError, "upstream_refused", "start"),
    ("AMBIGUOUS_TIMESLOTS", UpstreamConflictError, "upstream_refused", "resource_id"),
    ("INVALID_COMMENT_LENGTH", UpstreamValidationError, "upstream_refused", "comment"),
    ("INVALID_CREATED_BY_ID", UpstreamValidationError, "upstream_refused", "created_by_id"),
    ("INVALID_NOTE_CONTENT", UpstreamValidationError, "upstream_refused", "content"),
    ("MISSING_REQUIRED_FIELD", UpstreamValidationError, "upstream_refused", None),
    ("MAX_ITEMS_EXCEEDED", UpstreamValidationError, "upstream_refused", None),
    ("BAD_INPUT", UpstreamValidationError, "upstream_refused", None),
    ("BAD_REQUEST", UpstreamValidationError, "upstream_refused", None),
    (
        "PATIENT_ID_LOOKUP_TYPE_NOT_SUPPORTED",
        UpstreamNotSupportedError,
        "not_supported",
        "patient_id",
    ),
    ("INVALID_PATIENT_ID_TYPE", UpstreamNotSupportedError, "not_supported", "patient_id"),
    ("NOT_SUPPORTED", UpstreamNotSupportedError, "not_supported", None),
]


def test_every_published_detailed_code_is_in_the_table() -> None:
    assert set(DETAILED) == {row[0] for row in DETAILED_CODES}


@pytest.mark.parametrize(("detail", "kind", "ours", "field"), DETAILED_CODES)
@pytest.mark.parametrize("where", ["in errors", "as the general code"])
def test_a_detailed_code_says_what_was_wrong(
    detail: str, kind: type[UpstreamError], ours: str, field: str | None, where: str
) -> None:
    body = envelope("BAD_REQUEST", detail) if where == "in errors" else envelope(detail)
    error = refusal(body)
    assert (type(error), error.code, error.field) == (kind, ours, field)
    assert (error.vendor_code, error.status) == (detail, 400)
    assert error.next_step == (DETAILED[detail].next_step or CODES[ours].next_step)


STATUSES = [
    (307, UpstreamUnavailableError, "upstream_unreachable"),
    (400, UpstreamValidationError, "upstream_refused"),
    (401, UpstreamValidationError, "upstream_refused"),
    (403, UpstreamForbiddenError, "upstream_refused"),
    (404, UpstreamNotFoundError, "not_found"),
    (405, UpstreamValidationError, "upstream_refused"),
    (408, UpstreamUnavailableError, "upstream_busy"),
    (409, UpstreamConflictError, "upstream_refused"),
    (412, UpstreamConflictError, "upstream_refused"),
    (413, UpstreamValidationError, "upstream_refused"),
    (415, UpstreamValidationError, "upstream_refused"),
    (422, UpstreamValidationError, "upstream_refused"),
    (429, UpstreamRateLimitError, "upstream_busy"),
    (500, UpstreamUnavailableError, "upstream_unreachable"),
    (501, UpstreamUnavailableError, "upstream_unreachable"),
    (502, UpstreamUnavailableError, "upstream_unreachable"),
    (503, UpstreamUnavailableError, "upstream_busy"),
    (504, UpstreamUnavailableError, "upstream_unreachable"),
    (599, UpstreamUnavailableError, "upstream_unreachable"),
]

WITHOUT_A_KNOWN_CODE: dict[str, tuple[object, bool]] = {
    "an unknown code": (envelope("BRAND_NEW_CODE", "ANOTHER_NEW_CODE"), True),
    "no code": ({"errors": "none", "instance": 7}, True),
    "codes that are no text": ({"code": 400, "errors": [{"error_code": 1}, None, "x"]}, True),
    "an array": ([], True),
    "broken JSON": (b'{"code": "UNAUTHORIZED"', True),
    "HTML": (f"<html>{CANARY}</html>".encode(), False),
    "JSON that is not declared": (envelope("UNAUTHORIZED"), False),
    "nothing": (b"", False),
}


@pytest.mark.parametrize(("status", "kind", "ours"), STATUSES)
@pytest.mark.parametrize("body", WITHOUT_A_KNOWN_CODE.values(), ids=WITHOUT_A_KNOWN_CODE)
def test_without_a_known_code_the_status_decides(
    status: int, kind: type[UpstreamError], ours: str, body: tuple[object, bool]
) -> None:
    error = refusal(body[0], status, is_json=body[1])
    assert (type(error), error.code, error.status) == (kind, ours, status)
    assert not error.not_received


def test_an_unknown_code_is_kept_for_the_log() -> None:
    error = refusal(envelope("BAD_REQUEST", "BRAND_NEW_CODE"))
    assert error.vendor_code == "BRAND_NEW_CODE"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("MISSING_REQUIRED_FIELD", "NO_TIMESLOTS_AVAILABLE"), "NO_TIMESLOTS_AVAILABLE"),
        (("NO_TIMESLOTS_AVAILABLE", "INVALID_PATIENT_ID"), "INVALID_PATIENT_ID"),
        (("INVALID_RESOURCE_ID", "INVALID_PATIENT_ID", "NOT_SUPPORTED"), "NOT_SUPPORTED"),
        (("BRAND_NEW_CODE", "INVALID_RESOURCE_ID"), "INVALID_RESOURCE_ID"),
        (("BAD_REQUEST", "INVALID_COMMENT_LENGTH"), "INVALID_COMMENT_LENGTH"),
    ],
)
def test_of_several_codes_the_most_telling_is_told(given: tuple[str, ...], told: str) -> None:
    error = refusal(envelope("BAD_REQUEST", *given))
    assert error.message == DETAILED[told].message
    assert error.field == DETAILED[told].field


@pytest.mark.parametrize(
    "instance", [CANARY, "191212121212", "", 7, None, "x" * 37, ["a"], f"{INSTANCE}\n"]
)
def test_only_an_id_is_kept_as_the_id_of_the_failure(instance: object) -> None:
    assert refusal({**envelope("BAD_REQUEST"), "instance": instance}).request_id is None


@pytest.mark.parametrize("code", [CANARY, "Bad_Request", "x" * 65, "A" * 65, "1234", "A B", "Å_Ä"])
def test_only_a_code_is_kept_as_the_vendors_code(code: str) -> None:
    assert refusal(envelope(code, code)).vendor_code is None


ALL_CODES = ["", *GENERAL, *DETAILED, "BRAND_NEW_CODE", CANARY]


@pytest.mark.parametrize("status", [302, *STATUS, 400, 502])
def test_no_text_of_the_vendor_gets_into_an_error(status: int) -> None:
    for code in ALL_CODES:
        for detail in ALL_CODES:
            error = refusal(envelope(code, detail, status=status), status)
            told = f"{error} {error!r} {error.message} {error.next_step} {error.vendor_code} "
            told += f"{error.request_id} {error.field} {error.args}"
            assert "Canarysson" not in told
            assert "191212121212" not in told


@given(
    body=st.binary(max_size=80)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["code", "errors", "error_code", "instance"]), inner, max_size=4
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
    status=st.integers(300, 599),
    is_json=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_refusal_has_a_name(body: bytes, status: int, *, is_json: bool) -> None:
    error = name_refusal(Refusal(status, body, is_json, None))
    assert isinstance(error, UpstreamError)
    assert error.status == status
    assert error.code in CODES


async def test_a_refusal_travels_through_the_client_with_its_code_and_id() -> None:
    app = app_of(problem("BAD_REQUEST", 400, "INVALID_CARE_UNIT_ID", instance=INSTANCE))
    async with connected(app=app) as ehr:
        with pytest.raises(UpstreamNotFoundError) as caught:
            await ehr.resources("L0_9")
    error = caught.value
    assert (error.field, error.request_id, error.status) == ("care_unit_id", INSTANCE, 400)
    assert error.next_step == "Call list_care_units and use an id from its answer."
    assert len(app.asked) == 1


async def test_the_vendors_401_is_not_taken_for_wrong_credentials() -> None:
    async with connected(app=app_of(problem("EMR_ERROR", 401, "EMR_ERROR"))) as ehr:
        with pytest.raises(UpstreamValidationError):
            await ehr.care_units()
    async with connected(app=app_of(problem("UNAUTHORIZED", 401))) as ehr:
        with pytest.raises(UpstreamAuthError):
            await ehr.care_units()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    app = app_of(Reply(b"", status, (("location", "http://leyr.invalid/api/elsewhere"),)))
    async with quick(app=app) as ehr:
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
    assert caught.value.status == status
    assert {asked.path for asked in app.asked} == {"/api/emrs/webdoc/care-units"}
