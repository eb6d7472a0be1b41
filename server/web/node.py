"""One node over HTTP: who may speak to it, how much, and which parts there are.

Whatever is not asked for rightly is turned away here, before the library reads it: the address, the
page it comes from, the sign-in, the size, the time it takes.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from leyr_mcp.server.logs import location
from leyr_mcp.server.users import SCOPES, User, Users
from leyr_mcp.server.web.bearer import BearerError, challenge, shown_token
from leyr_mcp.server.web.issuer import RETRY_S, AwayError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

MCP = "/mcp"
METADATA = "/.well-known/oauth-protected-resource"
LARGEST = 1024 * 1024
BODY_WITHIN_S = 15.0
MOST_AT_ONCE = 512
_NEEDED = "ehr.read"
_PART = 40
_log = logging.getLogger("leyr_mcp.http")
_USER: contextvars.ContextVar[User | None] = contextvars.ContextVar("user", default=None)


class Verifier(Protocol):
    """Tells whose a token is."""

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return who it is of; None for one that is not to be believed.

        Raises:
            AwayError: It cannot be told now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may speak to a node.

    Attributes:
        hosts: The names under which it is reached, port included; nothing else is answered.
        origins: The web pages that may speak to it.
        resource: What tokens must be for, which is its public address.
        issuer: Who makes them; None where nobody signs in, as in the sandbox on loopback.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    resource: str
    issuer: str | None
    verifier: Verifier | None
    users: Users


def current_user() -> User | None:
    """Return the user of the request that is being answered."""
    return _USER.get()


class Node:
    """The ASGI application; `parts` are others below a path, which see to their own callers."""

    def __init__(
        self,
        mcp: Application,
        lifespan: Application,
        access: Access,
        *,
        ready: Callable[[], Awaitable[Mapping[str, Any]]],
        close: Callable[[], Awaitable[None]],
        parts: Mapping[str, Application] | None = None,
    ) -> None:
        self._parts = parts or {}
        self._mcp = AuthContextMiddleware(mcp)
        self._lifespan = lifespan
        self._access = access
        self._ready = ready
        self._close = close
        self._under_way = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection: lifespan or HTTP."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            began, told = time.perf_counter(), send
            if _log.isEnabledFor(logging.DEBUG):
                told = _telling(scope, send, began)
            try:
                await self._answer(scope, receive, told)
            except Exception as exc:
                _log.error("a request failed: %s", location(exc))
                raise

    async def _live(self, scope: Message, receive: Receive, send: Send) -> None:
        """Have the library begin and end with the process, and close what is ours after it."""

        async def sent(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await self._close()
            await send(message)

        await self._lifespan(scope, receive, sent)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], Headers(scope)
        if path == "/healthz":
            await _json(send, 200, {"ok": True})
        elif path == "/readyz":
            found = await self._ready()
            await _json(send, 200 if found.get("ok") else 503, found)
        elif headers.one("host") not in self._access.hosts:
            await _json(send, 421, {"error": "This address is not one of this server's."})
        elif path in (METADATA, METADATA + MCP) and self._access.issuer:
            await _json(send, 200, self._metadata())
        elif path == MCP:
            await self._admit(scope, headers, receive, send)
        elif part := next((self._parts[one] for one in self._parts if path.startswith(one)), None):
            if await self._has_room(send):
                async with self._counted():
                    await part(scope, receive, send)
        else:
            await _json(send, 404, {"error": "There is nothing here."})

    async def _admit(self, scope: Message, headers: Headers, receive: Receive, send: Send) -> None:
        origin = headers.one("origin")
        if "origin" in headers and origin not in self._access.origins:
            return await _json(send, 403, {"error": "This page may not speak to this server."})
        if not await self._has_room(send):
            return None
        length = headers.one("content-length") or "0"
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > LARGEST:
            return await _json(send, 413, {"error": "That is too long."})
        async with self._counted():
            await self._as_somebody(scope, receive, send)
        return None

    async def _has_room(self, send: Send) -> bool:
        if self._under_way < MOST_AT_ONCE:
            return True
        busy = {"error": {"code": "busy", "message": "The server has more to do than it can."}}
        await _json(send, 503, busy, {"retry-after": "2"})
        return False

    async def _as_somebody(self, scope: Message, receive: Receive, send: Send) -> None:
        verifier = self._access.verifier
        if verifier is None:
            return await self._pass_on(scope, receive, send)
        try:
            token = shown_token(scope["headers"], scope["query_string"])
            known = await verifier.verify_token(token)
        except BearerError as exc:
            return await self._refuse(send, exc.status, exc.error)
        except AwayError:
            away = {"code": "busy", "message": "No sign-in can be checked now."}
            return await _json(send, 503, {"error": away}, {"retry-after": str(int(RETRY_S))})
        if known is None:
            return await self._refuse(send, 401, "invalid_token")
        if _NEEDED not in known.scopes:
            return await self._refuse(send, 403, "insufficient_scope")
        user = self._access.users.of(known.claims or {}, frozenset(known.scopes), known.client_id)
        token_of = _USER.set(user)
        try:
            asked = {**scope, "user": AuthenticatedUser(known)}
            # What was checked is of no further use: nothing behind this sees it.
            asked["headers"] = [
                one for one in scope["headers"] if one[0].lower() != b"authorization"
            ]
            await self._pass_on(asked, receive, send)
        finally:
            _USER.reset(token_of)
        return None

    async def _pass_on(self, scope: Message, receive: Receive, send: Send) -> None:
        """Have the library answer, once the whole of the request is here."""
        body = await _whole(receive)
        if isinstance(body, int):
            cut = {"connection": "close"}
            return await _json(send, body, {"error": "The request was cut off."}, cut)
        await self._mcp(scope, _again(body, receive), send)
        return None

    async def _refuse(self, send: Send, status: int, error: str | None) -> None:
        told = {"www-authenticate": challenge(self._place(), _NEEDED, error)}
        await _json(send, status, {"error": error or "unauthorized"}, told)

    def _place(self) -> str:
        origin, _, path = self._access.resource.partition("://")
        host, _, rest = path.partition("/")
        return f"{origin}://{host}{METADATA}/{rest}".rstrip("/")

    def _metadata(self) -> dict[str, Any]:
        return {
            "resource": self._access.resource,
            "authorization_servers": [self._access.issuer],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "resource_name": "leyr-mcp",
        }

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


def _telling(scope: Message, send: Send, began: float) -> Send:
    """Return a way to send that logs each answer: of what part, how, and in what time."""
    # The rest of a path may be a link, and what follows it is never told.
    part = "/".join(str(scope["path"]).split("/", 2)[:2])[:_PART]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            took = (time.perf_counter() - began) * 1000
            _log.debug("%s %s %s in %.0f ms", scope["method"], part, message["status"], took)
        await send(message)

    return sent


class Headers:
    """The headers of a request; one that comes twice is no single one."""

    def __init__(self, scope: Message) -> None:
        self._all: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._all.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def __contains__(self, name: str) -> bool:
        return name in self._all

    def one(self, name: str) -> str | None:
        """Return the only value of a header."""
        found = self._all.get(name, [])
        return found[0] if len(found) == 1 else None


async def _whole(receive: Receive) -> bytes | int:
    """Return a body, or the status of what is wrong with it: too long, too slow, broken off."""
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return 400
                found += message.get("body", b"")
                if len(found) > LARGEST:
                    return 413
                if not message.get("more_body", False):
                    return bytes(found)
    except TimeoutError:
        return 408


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a way to receive a body that was read already, and then what comes after it."""
    given = False

    async def received() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


async def _json(
    send: Send, status: int, found: Mapping[str, Any], more: Mapping[str, str] | None = None
) -> None:
    body = json.dumps(found).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **(more or {}),
    }
    listed = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})
