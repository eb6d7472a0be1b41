"""The receiver of webhooks: signed ones wake the worker, everything else is turned away.

An event is stored before it is answered, and answered before anything is made of it. Its body,
which holds note text, is kept nowhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from leyr_mcp.server.ehr.cobalt.webhooks import SIGN_IN, event_in, is_signed, jobs_of
from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.values import Secret

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Stores that an event came and has what may wait for it looked after; False if it came before.
Notice = Callable[[str, Sequence[str]], Awaitable[bool]]

PATH = "/webhooks/cobalt"
LARGEST = 1024 * 1024
BODY_WITHIN_S = 15.0
ANSWER_WITHIN_S = 1.5
_log = logging.getLogger("leyr_mcp.webhooks")


class WebhookApp:
    """The ASGI application of one address."""

    def __init__(self, secrets: Sequence[Secret], notice: Notice) -> None:
        self._secrets = tuple(secret.reveal() for secret in secrets)
        self._notice = notice

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, told = await self._respond(scope, receive)
        body = json.dumps({"received": status < 300, **told}).encode()  # noqa: PLR2004 - success
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "cache-control": "no-store",
        }
        listed = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": listed})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Message, receive: Receive) -> tuple[int, dict[str, object]]:
        if scope["path"] != PATH:
            return 404, {}
        if scope["method"] != "POST":
            return 405, {}
        headers = _headers(scope)
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                raw = await _body(headers, receive)
        except TimeoutError:
            return 408, {}
        if raw is None:
            return 413, {}
        if not is_signed(raw, headers.get("cobalt-verification", ""), self._secrets):
            _log.warning("webhook: turned away, it bears no signature of this account")
            return 401, {}
        return await self._take(raw, headers.get("webhook-id"))

    async def _take(self, raw: bytes, webhook_id: str | None) -> tuple[int, dict[str, object]]:
        event = event_in(raw, webhook_id)
        if event is None:
            return 400, {}
        if event.type == SIGN_IN:
            _log.warning("webhook: the clinic must sign in again on Cobalt's Link page")
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                new = await self._notice(event.id, jobs_of(event))
        except (TimeoutError, LeyrMcpError):  # Cobalt sends it once more, and polling goes on
            return 503, {}
        return 200, {"new": new}


def _headers(scope: Message) -> Mapping[str, str]:
    """Return the headers; one that comes twice counts as none."""
    found = dict[str, str]()
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = "" if key in found else value.decode("latin-1")
    return found


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes | None:
    """Return the body, or None when it is too long or was not sent to its end."""
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:20]) > LARGEST:
        return None
    found = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        found += message.get("body", b"")
        if len(found) > LARGEST:
            return None
        if not message.get("more_body", False):
            return bytes(found)
