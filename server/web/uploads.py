"""Files that programs bring over HTTP: by a link that is good for one draft, once, for a while.

The link is the right to bring the file and no more: what was brought waits for a person like any
other. It is spent by a file that was taken, and not by one that was not.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import ValidationError

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.files.kinds import MAX_BYTES, by_format, by_name
from leyr_mcp.server.filing.attaching import Attaching
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.desk import Desk
from leyr_mcp.server.filing.entries import Entry, Person, principal
from leyr_mcp.server.filing.payloads import DocumentItem
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.web.asgi import (
    FILE_WITHIN_S,
    Headers,
    Message,
    Receive,
    Response,
    Send,
    StopError,
    Upload,
    answer,
    failed,
    headers_of,
    respond,
)

PATH = "/uploads/"
GOOD_FOR = timedelta(minutes=15)
CHANNEL = "upload"
AT_ONCE, OF_ONE_USER = 64, 8
_LABEL = "upload"
_NONCE = 12
_LONGEST = 2_048
_NAME = re.compile(r'filename="([^"\\\r\n]{1,255})"')


@dataclass(frozen=True, slots=True)
class Link:
    """What a link was made for."""

    draft_id: str
    bound: str
    who: Who


class Links:
    """Makes links and knows its own; nobody else can read what is in them."""

    def __init__(
        self, keys: Callable[[], Keys], base: str, *, clock: Callable[[], datetime]
    ) -> None:
        self._keys = keys
        self._base = base
        self._clock = clock

    def make(self, entry: Entry, who: Who) -> tuple[str, datetime]:
        """Return a link for the draft of this user, and until when it is good."""
        until = self._clock() + GOOD_FOR
        said = [entry.id, entry.bound, dataclasses.asdict(who), int(until.timestamp())]
        nonce = secrets.token_bytes(_NONCE)
        raw = nonce + self._cipher().encrypt(nonce, json.dumps(said).encode(), None)
        return f"{self._base}{PATH}{base64.urlsafe_b64encode(raw).decode().rstrip('=')}", until

    def read(self, text: str) -> Link | None:
        """Return what a link was made for; None if it was not made here or its time is over."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            raw = base64.b64decode(padded, b"-_", validate=True) if len(text) < _LONGEST else b""
            whole = self._cipher().decrypt(raw[:_NONCE], raw[_NONCE:], None)
        except (UnicodeEncodeError, binascii.Error, ValueError, InvalidTag):
            return None
        draft_id, bound, who, until = json.loads(whole)
        if until <= self._clock().timestamp():
            return None
        return Link(draft_id, bound, Who(**who))

    def _cipher(self) -> AESGCM:
        return AESGCM(self._keys().derive(_LABEL))


class Uploads:
    """The ASGI application that takes them."""

    def __init__(
        self, links: Links, desk: Callable[[], Desk], attaching: Callable[[], Attaching]
    ) -> None:
        self._links = links
        self._desk = desk
        self._attaching = attaching
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._respond(scope, headers_of(scope), receive)
        except StopError as stop:
            response = stop.response
        except Exception as exc:  # noqa: BLE001 - whoever sends is told of any failure
            response = failed(exc, CHANNEL)
        await respond(send, response, with_body=True)

    async def _respond(self, scope: Message, headers: Headers, receive: Receive) -> Response:
        link = self._links.read(str(scope["path"]).removeprefix(PATH))
        if link is None or "origin" in headers:  # a web page has no business here
            raise StopError(404, "This link is not good, or no longer.")
        if scope["method"] not in ("PUT", "POST"):
            raise StopError(405, "A file is brought by PUT.")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > MAX_BYTES:
            raise StopError(413, "A file has 20 MB at most.")
        async with self._turn(link):
            return await self._take(link, _named(headers), Upload(receive))

    async def _take(self, link: Link, name: str, upload: Upload) -> Response:
        person = Person(name=link.who.name or link.who.subject, channel=CHANNEL, who=link.who)
        try:
            async with asyncio.timeout(FILE_WITHIN_S):
                entry = await self._meant(link)
                found = await self._attaching().give(entry, name, upload, person)
        except TimeoutError:
            raise StopError(408, "The request took too long.") from None
        except (LeyrMcpError, ValidationError) as exc:
            # A client that still sends would not hear the answer.
            await upload.rest()
            return failed(exc, CHANNEL)
        return answer(200, _told(found))

    async def _meant(self, link: Link) -> Entry:
        """Return the draft of a link, if it still waits as it did.

        Raises:
            LeyrMcpError: It does not, or is not there any more.
        """
        entry = await self._desk().entry(link.draft_id, link.who)
        if entry.bound != link.bound or entry.draft.state != "awaiting_file":
            raise LeyrMcpError(
                "This link was used, or its draft was changed.", code="approval_void"
            )
        return entry

    @asynccontextmanager
    async def _turn(self, link: Link) -> AsyncIterator[None]:
        """Have a file's turn within, if there is room for it."""
        whose = principal(link.who)
        if self._under_way.total() >= AT_ONCE or self._under_way[whose] >= OF_ONE_USER:
            raise StopError(503, "Too many files arrive at once.", "busy", retry_after_s=2)
        self._under_way[whose] += 1
        try:
            yield
        finally:
            self._under_way[whose] -= 1
            if not self._under_way[whose]:
                del self._under_way[whose]


def _told(entry: Entry) -> dict[str, Any]:
    item = entry.payload.item
    file = (
        {"format": item.format, "size": item.size, "sha256": item.sha256}
        if isinstance(item, DocumentItem)
        else {}
    )
    return {
        "draft_id": entry.id,
        "version": entry.draft.version,
        "status": entry.draft.state,
        **file,
    }


def _named(headers: Headers) -> str:
    """Return what the file is called: as its sender says, or after what kind it is."""
    given = _NAME.search(headers.get("content-disposition", ""))
    if given and by_name(given[1]):
        return given[1]
    kind = by_format(headers.get("content-type", "").partition(";")[0].strip().lower())
    if kind is None:
        raise StopError(415, "Say by Content-Type what kind of file it is, or by its name.")
    return f"upload.{kind.endings[0]}"
