"""Requests and answers as ASGI carries them: reading within limits, strict JSON, one reply."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ValidationError

from leyr_mcp.sandbox.errors import ApiError, Refusal, bad

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

M = TypeVar("M", bound=BaseModel)

# A refused body is read to its end, so that the client gets to see the refusal; up to here.
DRAIN_LIMIT = 64 * 1024 * 1024


class ClientGoneError(Exception):
    """The client went away before its request was complete."""


@dataclass(frozen=True)
class Reply:
    """A complete answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"

    def start(self, *, length: int | None = None) -> Message:
        """Return the opening message; `length` overrides the declared one."""
        declared = len(self.body) if length is None else length
        headers = (
            ("content-type", self.content_type),
            ("content-length", str(declared)),
            *self.headers,
        )
        return {
            "type": "http.response.start",
            "status": self.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        }

    async def send(self, send: Send) -> None:
        """Send the whole answer."""
        await send(self.start())
        await send({"type": "http.response.body", "body": self.body})


def json_reply(value: object, status: int = 200) -> Reply:
    """Return an answer in JSON."""
    return Reply(status, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def error_reply(error: ApiError) -> Reply:
    """Return the envelope of a refusal."""
    problem = error.problem()
    left_out = None if problem.errors else {"errors"}
    body = problem.model_dump_json(exclude=left_out).encode()
    return Reply(error.status, body, error.headers)


@dataclass(frozen=True)
class Incoming:
    """A request before it is read: its line and its headers, as on the wire."""

    method: str
    raw_path: str
    raw_query: str
    headers: dict[str, str] = field(repr=False)

    @property
    def segments(self) -> tuple[str, ...] | None:
        """The parts of the path, each unquoted by itself; none if they are not UTF-8."""
        try:
            return tuple(_unquote(part) for part in self.raw_path.removeprefix("/").split("/"))
        except ApiError:
            return None


def incoming(scope: Scope) -> Incoming:
    """Return the request line and headers of a scope."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers[name.decode("latin-1").lower()] = value.decode("latin-1")
    query: bytes = scope.get("query_string", b"")
    return Incoming(scope["method"], raw.decode("latin-1"), query.decode("latin-1"), headers)


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """Return the body, or none when it is larger than the limit.

    Raises:
        ClientGoneError: the client closed the connection meanwhile.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        if size > max(limit, DRAIN_LIMIT) or not message.get("more_body", False):
            return b"".join(chunks) if size <= limit else None


def parse_query(raw: str) -> dict[str, str]:
    """Return the parameters; of a repeated one the last.

    Raises:
        ApiError: a name or value is not UTF-8 or holds NUL.
    """
    found: dict[str, str] = {}
    for pair in raw.split("&"):
        name, _, value = pair.replace("+", " ").partition("=")
        if name:
            found[_unquote(name)] = _unquote(value)
    return found


def parse_json(body: bytes, content_type: str) -> object:
    """Return a JSON body.

    Raises:
        ApiError: it is no JSON, is not declared as JSON, or holds what JSON texts must not.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise bad("BAD_REQUEST", "The content type must be application/json", "body")
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
        _check_texts(value)
    except (ValueError, RecursionError) as error:
        raise bad("BAD_REQUEST", "The body is not valid JSON", "body") from error
    return value


def validate(model: type[M], value: object, place: str) -> M:
    """Return the model of a query or body.

    Raises:
        ApiError: a field is missing or wrong; all of them are told.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        refusals, lines = [], []
        for fault in faults:
            path = ".".join([place, *(str(part) for part in fault["loc"])])
            missing = fault["type"] == "missing"
            code = "MISSING_REQUIRED_FIELD" if missing else "BAD_REQUEST"
            text = "field required" if missing else fault["msg"].lower()
            refusals.append(Refusal(code, f"{path}: {text}", path))
            lines.append(f"{path.replace('.', ' -> ')}\n  {text}")
        plural = "s" if len(lines) > 1 else ""
        head = f"{len(lines)} validation error{plural} for Request"
        raise ApiError(*refusals, detail="\n".join([head, *lines])) from error


def _unquote(text: str) -> str:
    try:
        value = unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad("BAD_REQUEST", "The address is not UTF-8") from error
    if "\x00" in value:
        raise bad("BAD_REQUEST", "The address holds a NUL")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _check_texts(value: object) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("NUL in a text")
        if not value.isascii():
            value.encode("utf-8")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key)
            _check_texts(item)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)
