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
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError

from leyr_mcp.server.boundary import describe
from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.web.deciding import ACTIONS, Give, Review
from leyr_mcp.server.web.page import CLOSED, page
from leyr_mcp.server.web.seats import NotRecognisedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Mapping[str, str]

LARGEST = 256 * 1024
_BODY_WITHIN_S = 15.0
FILE_WITHIN_S = 120.0
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
_STATUS = {
    "invalid_argument": 400,
    "not_found": 404,
    "scope_missing": 403,
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
    cookies: tuple[str, ...] = ()


class StopError(Exception):
    """The request ends here, with an answer for the page's script."""

    def __init__(
        self, status: int, message: str, code: str = "refused", retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        told = answer(status, {"error": {"code": code, "message": message}})
        if retry_after_s is not None:
            told = replace(told, headers={**told.headers, "retry-after": str(retry_after_s)})
        self.response = told


class ReviewApp:
    """The ASGI application of one page, below one path.

    `origins` are the page's own ones, by the Host with which each is asked; `review` tells whose
    requests these are.
    """

    def __init__(
        self, review: Callable[[Headers], Review], *, path: str, origins: Mapping[str, str]
    ) -> None:
        self._review = review
        self._path = path.encode()
        self._origins = origins

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = headers_of(scope)
        try:
            response = await self._respond(scope, headers, receive)
        except StopError as stop:
            response = stop.response
        except Exception as exc:  # noqa: BLE001 - the page is told of any failure
            response = failed(exc, "request")
        await respond(send, response, with_body=scope["method"] != "HEAD")

    async def _respond(self, scope: Message, headers: Headers, receive: Receive) -> Response:
        own_origin = self._origins.get(headers.get("host", ""))
        if own_origin is None:
            raise StopError(403, "This address does not belong to the page.")
        path = str(scope["path"]).encode("utf-8", "surrogatepass")
        own, rest = path[: len(self._path)], path[len(self._path) :]
        if not hmac.compare_digest(own, self._path):
            raise StopError(404, "There is nothing here.")
        if not rest:
            return _document(scope, headers)
        name = _name(rest.decode("utf-8", "replace"), scope["method"])
        review = self._review(headers)
        if not is_own(headers, own_origin):
            if name == FILE or ACTIONS[name].decides:
                await review.refused("foreign_origin")
            raise StopError(403, "Only the page itself may ask this.")
        expected = _BYTES if name == FILE else _JSON
        if headers.get("content-type") != expected:
            raise StopError(415, f"This is asked for as {expected}.")
        if name == FILE:
            return await _take(review, headers, receive)
        return await _call(review, name, await _body(headers, receive))


def _name(rest: str, method: str) -> str:
    """Return what is asked for."""
    area, _, name = rest.partition("/")
    if area != "api" or not (name in ACTIONS or name == FILE):
        raise StopError(404, "There is nothing here.")
    if method != "POST":
        raise StopError(405, "This is asked for by POST.")
    return name


def is_own(headers: Headers, origin: str) -> bool:
    """Return whether a request comes from the page itself."""
    site = headers.get("sec-fetch-site", "same-origin")
    return headers.get("origin") == origin and site in ("same-origin", "none")


async def _call(review: Review, name: str, body: bytes) -> Response:
    asked = _object(body)
    try:
        return answer(200, await review.call(name, asked))
    except (LeyrMcpError, ValidationError) as exc:
        return failed(exc, name)


async def _take(review: Review, headers: Headers, receive: Receive) -> Response:
    """Take a file; which draft it is for, and its name, stand in a header and in no address."""
    asked = _object(unquote_to_bytes(headers.get(_FOR, "")))
    upload = Upload(receive)
    try:
        async with asyncio.timeout(FILE_WITHIN_S):
            response = answer(200, await review.give(asked, upload))
    except TimeoutError:
        raise StopError(408, "The request took too long.") from None
    except (LeyrMcpError, ValidationError) as exc:
        # A browser that still sends would not hear the answer.
        await upload.rest()
        return failed(exc, FILE)
    return response


class Upload:
    """A file's bytes as they arrive; memory stays flat, and whoever reads them sets the limit."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._more:
            message = await self._receive()
            if message["type"] != "http.request":
                self._more = False
                raise StopError(400, "The request ended too early.")
            self._more = message.get("more_body", False)
            if body := message.get("body", b""):
                yield body

    async def rest(self) -> None:
        """Let the rest arrive, up to the largest file once more, and use none of it."""
        left = MAX_BYTES
        with contextlib.suppress(TimeoutError, StopError):
            async with asyncio.timeout(_BODY_WITHIN_S):
                async for body in self:
                    left -= len(body)
                    if left < 0:
                        return


def _object(raw: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(raw)
    except (ValueError, RecursionError):
        raise StopError(400, "That is no JSON.") from None
    if not isinstance(asked, dict):
        raise StopError(400, "That is no JSON object.")
    return asked


def _document(scope: Message, headers: Headers) -> Response:
    """Return the page, which holds no data; a link to it may stand anywhere."""
    if scope["method"] not in ("GET", "HEAD"):
        raise StopError(405, "The page is asked for by GET.")
    mode = headers.get("sec-fetch-mode", "navigate"), headers.get("sec-fetch-dest", "document")
    if mode != ("navigate", "document"):
        raise StopError(403, "The page is no part of another one.")
    shown = page()
    return Response(
        200,
        shown.body,
        {"content-type": "text/html; charset=utf-8", "content-security-policy": shown.policy},
    )


def headers_of(scope: Message) -> Headers:
    """Return the headers; one that comes twice is taken for none of its values."""
    found = dict[str, str]()
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = "" if key in found else value.decode("latin-1")
    return found


async def _body(headers: Headers, receive: Receive) -> bytes:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:20]) > LARGEST:
        raise StopError(413, "That is too long to be sent from here.")
    found = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise StopError(400, "The request ended too early.")
                found += message.get("body", b"")
                if len(found) > LARGEST:
                    raise StopError(413, "That is too long to be sent from here.")
                if not message.get("more_body", False):
                    return bytes(found)
    except TimeoutError:
        raise StopError(408, "The request took too long.") from None


def failed(exc: Exception, name: str) -> Response:
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
    return answer(status, {"error": {**told, "ref": failure.ref}})


def answer(status: int, content: Mapping[str, Any]) -> Response:
    """Return what a script of the page is answered."""
    headers = {"content-type": _JSON, "content-security-policy": CLOSED}
    return Response(status, json.dumps(content).encode(), headers)


async def respond(send: Send, response: Response, *, with_body: bool) -> None:
    """Send it, with what every answer of the page says."""
    headers = {**_ALWAYS, **response.headers, "content-length": str(len(response.body))}
    listed = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    listed += [(b"set-cookie", cookie.encode("latin-1")) for cookie in response.cookies]
    await send({"type": "http.response.start", "status": response.status, "headers": listed})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})
