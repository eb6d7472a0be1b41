"""The OpenAPI 3.1 document, made from the table of operations and the models of the code."""

from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from leyr_mcp.sandbox.dispatch import CLIENT_ID, CLIENT_SECRET, Backend
from leyr_mcp.sandbox.errors import Problem
from leyr_mcp.sandbox.routes import OPERATIONS, SMALL_BODY, Operation

Schema = dict[str, Any]

REF = "#/components/schemas/{model}"
PROBLEM = {"$ref": REF.format(model="Problem")}
PATH_TEXTS = {
    "emr": "Slug of the record system; an instance of the sandbox serves one.",
    "care_unit_id": "Id of a care unit.",
    "patient_id": "Typed id `type:value`; a bare value is an id of the record system.",
    "resource_id": "Typed id `type:value`; a bare value is an id of the record system.",
    "appointment_id": "Id of an appointment.",
    "note_id": "Id of a medical note.",
    "document_id": "Id of a document.",
}
REFUSALS = {
    HTTPStatus.BAD_REQUEST: "Refused: invalid, unknown or not supported here",
    HTTPStatus.UNAUTHORIZED: "Leyr credentials refused, or the record system refused Leyr",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Body too large",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests (by fault only)",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal error (by fault only)",
    HTTPStatus.SERVICE_UNAVAILABLE: "Maintenance or overload",
}


def build_openapi(backend: Backend) -> Schema:
    """Return the document for one record system and the options in force."""
    answers, definitions = _schemas()
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.template, {})[operation.method.lower()] = _operation(
            backend, operation, answers
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leyr sandbox",
            "version": "1",
            "description": "A stand-in for Leyr's unified API of health records.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "client_id": {"type": "apiKey", "in": "header", "name": CLIENT_ID},
                "client_secret": {"type": "apiKey", "in": "header", "name": CLIENT_SECRET},
            },
        },
        "security": [{"client_id": [], "client_secret": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(item.tag for item in OPERATIONS)],
    }


def _schemas() -> tuple[dict[tuple[str, str], Schema], dict[str, Schema]]:
    """Return the schema of each operation's answer and body, and what they refer to."""
    inputs: list[tuple[tuple[str, str], JsonSchemaMode, TypeAdapter[object]]] = [
        (("Problem", "answer"), "serialization", TypeAdapter(Problem))
    ]
    for operation in OPERATIONS:
        inputs.append(((operation.id, "answer"), "serialization", operation.adapter))
        if operation.body is not None:
            inputs.append(((operation.id, "body"), "validation", TypeAdapter(operation.body)))
    schemas, shared = TypeAdapter.json_schemas(inputs, ref_template=REF)
    definitions = {name: _tidy(schema) for name, schema in shared["$defs"].items()}
    return {key: _tidy(schema) for (key, _), schema in schemas.items()}, definitions


def _tidy(schema: Any) -> Any:
    """Return a schema without titles, and answers' optional fields without null."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _tidy(value) for key, value in schema.items() if not _is_title(key, value)}
    return {key: value for key, value in kept.items() if (key, value) != ("default", None)}


def _is_title(key: str, value: object) -> bool:
    return key == "title" and isinstance(value, str)


def _operation(
    backend: Backend, operation: Operation, answers: dict[tuple[str, str], Schema]
) -> Schema:
    success = backend.options.created_status if operation.creates else int(HTTPStatus.OK)
    described: Schema = {
        "tags": [operation.tag],
        "operationId": operation.id,
        "summary": (operation.handler.__doc__ or "").splitlines()[0],
        "parameters": _path_parameters(backend, operation) + _query_parameters(operation),
        "responses": {
            str(success): {
                "description": "Success",
                "content": _json(answers[operation.id, "answer"]),
            },
            **{
                str(int(status)): {"description": text, "content": _json(PROBLEM)}
                for status, text in REFUSALS.items()
            },
        },
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": _json(answers[operation.id, "body"]),
        }
    return described


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _path_parameters(backend: Backend, operation: Operation) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_TEXTS[name],
            "schema": _path_schema(backend, name),
        }
        for name in (part[1:-1] for part in operation.segments if part.startswith("{"))
    ]


def _path_schema(backend: Backend, name: str) -> Schema:
    if name == "emr":
        return {"type": "string", "enum": [backend.system.slug]}
    if name == "care_unit_id":
        return {"type": "string", "enum": [unit.id for unit in backend.units]}
    return {"type": "string", "minLength": 1, "maxLength": SMALL_BODY}


def _query_parameters(operation: Operation) -> list[Schema]:
    if operation.query is None:
        return []
    schema = _tidy(operation.query.model_json_schema())
    return [
        {"name": name, "in": "query", "required": False, "schema": _not_null(field)}
        for name, field in schema["properties"].items()
    ]


def _not_null(field: Schema) -> Schema:
    """Return the schema of an optional query parameter, which is left out rather than null."""
    options = [item for item in field.get("anyOf", [field]) if item != {"type": "null"}]
    return dict(options[0])
