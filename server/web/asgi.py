"""The page's HTTP side: who may speak to it at all, and what goes over the wire.

It answers to its own address only, below a path that nobody can guess; what would do something
must come from the page itself. Addresses and headers hold nothing of a patient.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError

from leyr_mcp.server.boundary import describe
from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.web.deciding import ACTIONS, Give, Review
from leyr_mcp.server.web.page import page
from leyr_mcp.server.web.seats import NotRecognisedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LARGEST = 256 * 1024
_BODY_WITHIN_S = 15.0
_FILE_WITHIN_S = 120.0
_JSON = "application/json"
_BYTES = "application/octet-stream"
_FOR = "x-file-for"
FILE = "file"
_ALWAYS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_CLOSED = "default-src 'none'; frame-ancestors 'none'"
_STATUS = {
    "invalid_argument": 400,
    "not_found": 404,
    "approval_void": 409,
    "file_type": 400,
    "file_too_large": 413,
    "file_encrypted": 400,
    "file_active_content": 400,
    "in_progress": 409,
    "slot_taken": 409,
    "audit_unavailable": 503,
    "storage_full": 503,
    "busy": 503,
    "internal": 500,
}
_UPSTREAM = 502


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class _StopError(Exception):
    """The request ends here."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = _answer(status, {"error": {"code": "refused", "message": message}})


class ReviewApp:
    """The ASGI application of one page at one address."""

    def __init__(self, review: Review, *, token: str, port: int) -> None:
        self._review = review
        self._path = f"/{token}/".encode()
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = _headers(scope)
        try:
            response = await self._respond(scope, headers, receive)
        except _StopError as stop:
            response = stop.response
        except Exception as exc:  # noqa: BLE001 - the page is told of any failure
            response = _failed(exc, "request")
        await _send(send, response, with_body=scope["method"] != "HEAD")

    async def _respond(
        self, scope: Message, headers: Mapping[str, str], receive: Receive
    ) -> Response:
        host = headers.get("host")
        if host not in self._hosts:
            raise _StopError(403, "This address does not belong to the page.")
        path = str(scope["path"]).encode("utf-8", "surrogatepass")
        own, rest = path[: len(self._path)], path[len(self._path) :]
        if not hmac.compare_digest(own, self._path):
            raise _StopError(404, "There is nothing here.")
        if not rest:
            return _document(scope, headers)
        area, _, name = rest.decode("utf-8", "replace").partition("/")
        if area != "api" or not (name in ACTIONS or name == FILE):
            raise _StopError(404, "There is nothing here.")
        if scope["method"] != "POST":
            raise _StopError(405, "This is asked for by POST.")
        await self._see_own(name, host, headers)
        if name == FILE:
            return await self._take(headers, receive)
        return await self._call(name, await _body(headers, receive))

    async def _see_own(self, name: str, host: str, headers: Mapping[str, str]) -> None:
        """See that the request comes from the page itself."""
        expected = _BYTES if name == FILE else _JSON
        own = headers.get("origin") == f"http://{host}"
        own = own and headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
        if not own:
            if name == FILE or ACTIONS[name].decides:
                await self._review.refused("foreign_origin")
            raise _StopError(403, "Only the page itself may ask this.")
        if headers.get("content-type") != expected:
            raise _StopError(415, f"This is asked for as {expected}.")

    async def _call(self, name: str, body: bytes) -> Response:
        asked = _object(body)
        try:
            return _answer(200, await self._review.call(name, asked))
        except (LeyrMcpError, ValidationError) as exc:
            return _failed(exc, name)

    async def _take(self, headers: Mapping[str, str], receive: Receive) -> Response:
        """Take a file; which draft it is for, and its name, stand in a header and in no address."""
        asked = _object(unquote_to_bytes(headers.get(_FOR, "")))
        upload = _Upload(receive)
        try:
            async with asyncio.timeout(_FILE_WITHIN_S):
                response = _answer(200, await self._review.give(asked, upload))
        except TimeoutError:
            raise _StopError(408, "The request took too long.") from None
        except (LeyrMcpError, ValidationError) as exc:
            # A browser that still sends would not hear the answer.
            await upload.rest()
            return _failed(exc, FILE)
        return response


class _Upload:
    """A file's bytes as they arrive; memory stays flat, and whoever reads them sets the limit."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._more:
            message = await self._receive()
            if message["type"] != "http.request":
                self._more = False
                raise _StopError(400, "The request ended too early.")
            self._more = message.get("more_body", False)
            if body := message.get("body", b""):
                yield body

    async def rest(self) -> None:
        """Let the rest arrive, up to the largest file once more, and use none of it."""
        left = MAX_BYTES
        with contextlib.suppress(TimeoutError, _StopError):
            async with asyncio.timeout(_BODY_WITHIN_S):
                async for body in self:
                    left -= len(body)
                    if left < 0:
                        return


def _object(raw: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(raw)
    except (ValueError, RecursionError):
        raise _StopError(400, "That is no JSON.") from None
    if not isinstance(asked, dict):
        raise _StopError(400, "That is no JSON object.")
    return asked


def _document(scope: Message, headers: Mapping[str, str]) -> Response:
    """Return the page, which holds no data; a link to it may stand anywhere."""
    if scope["method"] not in ("GET", "HEAD"):
        raise _StopError(405, "The page is asked for by GET.")
    mode = headers.get("sec-fetch-mode", "navigate"), headers.get("sec-fetch-dest", "document")
    if mode != ("navigate", "document"):
        raise _StopError(403, "The page is no part of another one.")
    shown = page()
    return Response(
        200,
        shown.body,
        {"content-type": "text/html; charset=utf-8", "content-security-policy": shown.policy},
    )


def _headers(scope: Message) -> dict[str, str]:
    """Return the headers; one that comes twice is taken for none of its values."""
    found = dict[str, str]()
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = "" if key in found else value.decode("latin-1")
    return found


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:20]) > LARGEST:
        raise _StopError(413, "That is too long to be sent from here.")
    found = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise _StopError(400, "The request ended too early.")
                found += message.get("body", b"")
                if len(found) > LARGEST:
                    raise _StopError(413, "That is too long to be sent from here.")
                if not message.get("more_body", False):
                    return bytes(found)
    except TimeoutError:
        raise _StopError(408, "The request took too long.") from None


def _failed(exc: Exception, name: str) -> Response:
    """Return what the page is told of a failure; no value of a request is in it."""
    if isinstance(exc, ValidationError):
        model = Give if name == FILE else ACTIONS[name].model if name in ACTIONS else None
        failure = describe(exc, what=f"review page: {name}", model=model)
        status = 400 if failure.code == "invalid_argument" else 500
    else:
        failure = describe(exc, what=f"review page: {name}")
        status = _STATUS.get(failure.code, _UPSTREAM)
    if isinstance(exc, NotRecognisedError):
        status = 403
    told = {"code": failure.code, "message": failure.message, "field": failure.field}
    return _answer(status, {"error": {**told, "ref": failure.ref}})


def _answer(status: int, content: Mapping[str, Any]) -> Response:
    headers = {"content-type": _JSON, "content-security-policy": _CLOSED}
    return Response(status, json.dumps(content).encode(), headers)


async def _send(send: Send, response: Response, *, with_body: bool) -> None:
    headers = {**_ALWAYS, **response.headers, "content-length": str(len(response.body))}
    listed = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": listed})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})
