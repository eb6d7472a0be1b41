import json

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from tests.sandbox.kit import ORIGIN, TOLVAN, client_of, codes, refused

PERSON = {"first_name": "A", "last_name": "B"}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-leyr-client-id": "sandbox"},
        {"x-leyr-client-secret": "sandbox"},
        {"x-leyr-client-id": "other", "x-leyr-client-secret": "sandbox"},
        {"x-leyr-client-id": "sandbox", "x-leyr-client-secret": "other"},
        {"x-leyr-client-id": "sandbox", "x-leyr-client-secret": ""},
        {"authorization": "Bearer sandbox"},
    ],
)
async def test_both_credentials_are_needed_on_every_call(
    box: Sandbox, headers: dict[str, str]
) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=box)) as client:
        answer = await client.get(f"{ORIGIN}/api/emrs/webdoc/care-units", headers=headers)
    assert codes(answer) == (401, [])
    assert answer.json()["code"] == "UNAUTHORIZED"


async def test_the_credentials_of_a_sandbox_can_be_chosen() -> None:
    box = Sandbox(client_id="clinic", client_secret="s3cret å")
    async with client_of(box) as client:
        assert (await client.get("/resources")).status_code == 401
        headers = {"x-leyr-client-id": "clinic", "x-leyr-client-secret": "s3cret"}
        assert (await client.get("/resources", headers=headers)).status_code == 401
    box.close()


async def test_another_record_system_is_refused_by_name(client: httpx2.AsyncClient) -> None:
    answer = await client.get(f"{ORIGIN}/api/emrs/cliniko/care-units")
    assert refused(answer, "BAD_REQUEST")
    assert "cliniko" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/emrs/webdoc",
        "/api/emrs/webdoc/care-units/",
        "/api/emrs/webdoc/care-units/L0_1",
        "/api/emrs/webdoc/appointments",
        "/api/emrs/webdoc/care-units/L0_1/resources/1021/schedules",
        "/api/fhir/emrs/webdoc/care-units/L0_1/appointments/1",
        "/oauth/token",
    ],
)
async def test_what_is_not_served_is_not_found_in_the_envelope(
    client: httpx2.AsyncClient, path: str
) -> None:
    assert codes(await client.get(f"{ORIGIN}{path}")) == (404, ["NOT_FOUND"])


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/appointments/1", "GET, PATCH"),
        ("PATCH", "/appointments", "GET, POST"),
        ("PUT", f"/patients/{TOLVAN}", "GET"),
        ("OPTIONS", "/resources", "GET"),
        ("TRACE", "/timeslots", "GET"),
    ],
)
async def test_an_unknown_method_names_the_allowed_ones(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    assert codes(answer) == (405, ["METHOD_NOT_ALLOWED"])
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"first_name": "A", "last_name": "B\xff"}',
        b'\xef\xbb\xbf{"first_name": "A", "last_name": "B"}',
        b'{"first_name": NaN, "last_name": "B"}',
        b'{"first_name": "A\\u0000", "last_name": "B"}',
        b'{"first_name": "A", "last_name": "\\ud800"}',
        b'{"\\udfff": 1, "first_name": "A", "last_name": "B"}',
        b'{"first_name": "A", "last_name": ' + b"9" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=range(12),
)
async def test_a_body_that_is_no_clean_json_is_refused(
    client: httpx2.AsyncClient, body: bytes
) -> None:
    answer = await client.post("/patients", content=body, headers=JSON)
    assert refused(answer, "BAD_REQUEST")


@pytest.mark.parametrize(
    "body", [b"1e999", b"1", b"null", b"[1]", b'"a"', b'{"first_name":1e999,"last_name":["B"]}']
)
async def test_json_of_the_wrong_kind_is_refused(client: httpx2.AsyncClient, body: bytes) -> None:
    status, _ = codes(await client.post("/patients", content=body, headers=JSON))
    assert status == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
async def test_another_content_type_is_refused(client: httpx2.AsyncClient, kind: str) -> None:
    headers = {"content-type": kind}
    answer = await client.post("/patients", content=json.dumps(PERSON), headers=headers)
    assert refused(answer, "BAD_REQUEST")


async def test_json_with_a_charset_or_suffix_is_taken(client: httpx2.AsyncClient) -> None:
    for kind in ("Application/JSON; charset=utf-8", "application/problem+json"):
        headers = {"content-type": kind}
        answer = await client.post("/patients", content=json.dumps(PERSON), headers=headers)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "query", ["first_name=%00", "first_name=%ff", "%ff=1", "first_name=A&last_name=%ed%a0%80"]
)
async def test_a_query_that_is_no_clean_text_is_refused(
    client: httpx2.AsyncClient, query: str
) -> None:
    assert refused(await client.get(f"/patients?{query}"), "BAD_REQUEST")


@pytest.mark.parametrize("part", ["%ff", "%00", "emr_id:%c3"])
async def test_a_path_that_is_no_clean_text_is_refused(
    client: httpx2.AsyncClient, part: str
) -> None:
    assert refused(await client.get(f"/patients/{part}"), "BAD_REQUEST")


async def test_a_large_body_is_refused_on_every_operation_but_upload(
    client: httpx2.AsyncClient,
) -> None:
    body = json.dumps({**PERSON, "external_id": "9" * 1024 * 1024})
    answer = await client.post("/patients", content=body, headers=JSON)
    assert codes(answer) == (413, ["PAYLOAD_TOO_LARGE"])
    answer = await client.post("/nowhere", content=body, headers=JSON)
    assert codes(answer) == (404, ["NOT_FOUND"])


async def test_validation_errors_tell_field_and_reason_but_not_the_value(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post("/patients", json={"first_name": ["Hemlig"], "last_name": ""})
    assert refused(answer, "BAD_REQUEST", "BAD_REQUEST")
    body = answer.json()
    assert [item["path"] for item in body["errors"]] == ["body.first_name", "body.last_name"]
    assert body["detail"].startswith("2 validation errors for Request\nbody -> first_name\n")
    assert "Hemlig" not in answer.text


async def test_the_envelope_has_the_published_fields(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/patients/nobody")
    body = answer.json()
    assert body == {
        "code": "BAD_REQUEST",
        "title": "Request validation failed",
        "status": 400,
        "detail": "Patient not found",
        "type": "https://docs.leyr.io/api/error-handling/bad_request",
        "instance": body["instance"],
        "errors": [
            {
                "error_code": "INVALID_PATIENT_ID",
                "details": "Patient not found",
                "emr_error": None,
                "path": "path.patient_id",
            }
        ],
    }
    assert (await client.get("/patients/nobody")).json()["instance"] != body["instance"]
