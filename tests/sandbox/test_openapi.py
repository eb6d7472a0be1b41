import asyncio
import os
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.routes import OPERATIONS
from tests.sandbox.kit import CREDENTIALS, NOW, ORIGIN, TOLVAN, client_of

EXAMPLES = 500 if os.environ.get("SOAK") == "1" else 12

# The document states shapes. Well-formed requests may still be refused for their meaning, with 400;
# these two operations refuse some combinations of optional fields.
EITHER = "appointments-update_appointment", "patients-find_patients"
KNOWN_IDS = {"patient_id": TOLVAN, "resource_id": "1021", "created_by_id": "1021"}


@pytest.fixture
def document(box: Sandbox) -> dict[str, Any]:
    async def fetch() -> dict[str, Any]:
        async with client_of(box) as client:
            found: dict[str, Any] = (await client.get(f"{ORIGIN}/openapi.json")).json()
            return found

    return asyncio.run(fetch())


def test_the_document_lists_every_operation_of_the_table(document: dict[str, Any]) -> None:
    listed = {
        (method.upper(), path, item["operationId"])
        for path, methods in document["paths"].items()
        for method, item in methods.items()
    }
    assert listed == {(item.method, item.template, item.id) for item in OPERATIONS}
    assert len(listed) == 18
    assert (
        "GET",
        "/api/emrs/{emr}/care-units/{care_unit_id}/patients",
        "patients-find_patients",
    ) in listed


def test_both_headers_are_demanded_together(document: dict[str, Any]) -> None:
    assert document["security"] == [{"client_id": [], "client_secret": []}]
    schemes = document["components"]["securitySchemes"].values()
    assert {scheme["name"] for scheme in schemes} == set(CREDENTIALS)


def test_every_reference_and_schema_of_the_document_holds(document: dict[str, Any]) -> None:
    known = document["components"]["schemas"]
    for schema in known.values():
        Draft202012Validator.check_schema(schema)
    references = set(_references(document))
    assert references == {f"#/components/schemas/{name}" for name in known}


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for item in part:
            yield from _references(item)


async def test_the_document_needs_no_credentials_and_only_answers_get(box: Sandbox) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=box)) as client:
        assert (await client.get(f"{ORIGIN}/openapi.json")).status_code == 200
        refusal = await client.post(f"{ORIGIN}/openapi.json")
    assert (refusal.status_code, refusal.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("operation_id", [item.id for item in OPERATIONS])
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_answers_keep_to_the_document(mode: GenerationMode, operation_id: str) -> None:
    box = Sandbox(clock=lambda: NOW)
    try:
        schema = schemathesis.openapi.from_asgi("/openapi.json", box)
        operation = schema.find_operation_by_id(operation_id)

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def run(case: schemathesis.Case[Any]) -> None:
            if mode is GenerationMode.POSITIVE:
                _use_known_ids(case)
            response = case.call(headers=None if _lacks_credentials(case) else dict(CREDENTIALS))
            case.validate_response(response, excluded_checks=[positive_data_acceptance])
            if mode is GenerationMode.POSITIVE and operation_id not in EITHER:
                assert not _refused_for_shape(response.status_code, response.json())

        run()
    finally:
        box.close()


def _use_known_ids(case: schemathesis.Case[Any]) -> None:
    for values in (case.path_parameters, case.query, case.body):
        if isinstance(values, dict):
            values.update({name: KNOWN_IDS[name] for name in KNOWN_IDS.keys() & values.keys()})


def _lacks_credentials(case: schemathesis.Case[Any]) -> bool:
    """Whether the case is about headers that are missing or wrong."""
    headers = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    return headers is not None and headers.mode is GenerationMode.NEGATIVE


def _refused_for_shape(status: int, body: Any) -> bool:
    """Whether a refusal names a field; a NUL anywhere is refused without naming one."""
    items = body.get("errors", []) if status == 400 else []
    shape = {"BAD_REQUEST", "MISSING_REQUIRED_FIELD"}
    return any(item["error_code"] in shape and "." in (item["path"] or "") for item in items)
