"""From a request to an answer: routing, credentials, validation, one transaction, the envelope."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from secrets import compare_digest

from pydantic import BaseModel

from leyr_mcp.sandbox.call import Call
from leyr_mcp.sandbox.clinic import CareUnit
from leyr_mcp.sandbox.errors import (
    ApiError,
    Refusal,
    bad,
    emr_refusal,
    not_allowed,
    not_found,
    unauthorized,
    unavailable,
    unknown,
)
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.options import Options
from leyr_mcp.sandbox.routes import Match, Operation, find_operation
from leyr_mcp.sandbox.store import Store
from leyr_mcp.sandbox.systems import System
from leyr_mcp.sandbox.wire import (
    Incoming,
    Reply,
    error_reply,
    parse_json,
    parse_query,
    validate,
)

CLIENT_ID = "x-leyr-client-id"
CLIENT_SECRET = "x-leyr-client-secret"  # noqa: S105 -- the name of the header
WRITES = ("POST", "PATCH")


@dataclass
class Backend:
    """Everything an answer depends on besides the request."""

    store: Store
    system: System
    units: tuple[CareUnit, ...]
    options: Options
    now: Callable[[], datetime]
    client_id: str
    client_secret: str


def route(request: Incoming) -> Match:
    """Return the operation that a request is for, if there is one."""
    segments = request.segments
    return Match(None, {}, ()) if segments is None else find_operation(request.method, segments)


def answer(backend: Backend, request: Incoming, match: Match, body: bytes | None) -> Reply:
    """Carry out a request and return its answer, a refusal included."""
    try:
        operation = _operation(request, match)
        _authenticate(backend, request)
        _check_system(backend.system, match)
        if body is None:
            raise _too_large(operation.body_limit)
        call = _call(backend, request, match, operation, body)
        result = _run(backend.store, operation, call)
    except ApiError as error:
        return error_reply(error)
    except sqlite3.OperationalError:
        return error_reply(unavailable("The state is in use by another process"))
    status = backend.options.created_status if operation.creates else int(HTTPStatus.OK)
    return Reply(status, operation.adapter.dump_json(result, exclude_none=True))


def refusal_of(fault: Fault) -> Reply:
    """Return the refusal that a fault stands for."""
    return error_reply(_refusal(fault))


def _refusal(fault: Fault) -> ApiError:
    retry = () if fault.retry_after is None else (("retry-after", str(fault.retry_after)),)
    if fault.kind == "429":
        return unknown(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", retry)
    if fault.kind == "503":
        return unavailable("The service is down for maintenance", retry)
    if fault.kind == "emr_401":
        return emr_refusal()
    if fault.kind == "unauthorized":
        return unauthorized("The client id is missing or unknown")
    return unknown(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error")


def _operation(request: Incoming, match: Match) -> Operation:
    if request.segments is None:
        raise bad("BAD_REQUEST", "The address is not valid UTF-8 text", "path")
    if match.operation is not None:
        return match.operation
    if not match.allowed:
        raise not_found("Resource")
    raise not_allowed(request.method, match.allowed)


def _authenticate(backend: Backend, request: Incoming) -> None:
    given = request.headers.get(CLIENT_ID)
    secret = request.headers.get(CLIENT_SECRET)
    if not given or not _equal(given, backend.client_id):
        raise unauthorized("The client id is missing or unknown")
    if not secret or not _equal(secret, backend.client_secret):
        raise unauthorized("The client secret is missing or wrong")


def _equal(given: str, expected: str) -> bool:
    return compare_digest(given.encode(), expected.encode())


def _check_system(system: System, match: Match) -> None:
    slug = match.path["emr"]
    if slug != system.slug:
        raise bad("BAD_REQUEST", f"EMR '{slug}' is not enabled for this application", "path.emr")


def _too_large(limit: int) -> ApiError:
    sentence = f"The body is larger than {limit} bytes"
    return ApiError(
        Refusal("PAYLOAD_TOO_LARGE", sentence),
        code="PAYLOAD_TOO_LARGE",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )


def _call(
    backend: Backend, request: Incoming, match: Match, operation: Operation, body: bytes
) -> Call:
    query: BaseModel | None = None
    payload: BaseModel | None = None
    given = parse_query(request.raw_query)
    if operation.query is not None:
        query = validate(operation.query, given, "query")
    if operation.body is not None:
        value = parse_json(body, request.headers.get("content-type", ""))
        payload = validate(operation.body, value, "body")
    return Call(
        store=backend.store,
        system=backend.system,
        units=backend.units,
        options=backend.options,
        now=backend.now(),
        path=match.path,
        query=query,
        body=payload,
    )


def _run(store: Store, operation: Operation, call: Call) -> object:
    if "care_unit_id" in call.path:
        call.unit  # noqa: B018 -- refuses an unknown care unit before anything else is looked up
    if operation.method not in WRITES:
        return operation.handler(call)
    with store.transaction():
        return operation.handler(call)
