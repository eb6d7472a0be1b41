"""Reads small JSON documents of addresses that the operator set: bounded, and nothing else.

Neither redirects nor proxies, cookies or compression exist here, and no more is read than is
allowed.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from ssl import SSLContext
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx2
from pydantic_core import from_json

from leyr_mcp.server.addresses import LOOPBACK

LARGEST = 256 * 1024
_WITHIN_S = 5.0
_OK = 200
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
# Without spaces, control characters and backslashes, on which readers of addresses disagree.
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/%?&=+,;!$'()*\[\]-]{1,2000}")


class FetchError(Exception):
    """The document could not be had; the sentence holds no address.

    Attributes:
        away: Whether nobody answered; otherwise somebody did, and not with such a document.
    """

    def __init__(self, message: str, *, away: bool = False) -> None:
        super().__init__(message)
        self.away = away


def is_safe(url: str, *, local: bool = True) -> bool:
    """Whether an address is https, or on this machine where that is allowed."""
    if not _ADDRESS.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host:
        return False
    return local if host in LOOPBACK else parts.scheme == "https"


async def fetch_json(url: str) -> dict[str, Any]:
    """Return the object that stands there.

    Raises:
        FetchError: It cannot be reached, is too large or too slow, or is no object.
    """
    return await _asked("GET", url)


async def post_form(
    url: str, form: Mapping[str, str], user: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Return the object that is answered to a form, sent as this user if one is given.

    Raises:
        FetchError: It cannot be reached, is too large or too slow, or is no object.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if user is not None:
        # As RFC 6749 has it: both parts are encoded as in a form before they are joined.
        name, secret = map(quote_plus, user)
        headers["Authorization"] = f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"
    return await _asked("POST", url, headers, urlencode(form).encode())


async def _asked(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> dict[str, Any]:
    if not is_safe(url):
        raise FetchError("the address is not https")
    try:
        async with asyncio.timeout(_WITHIN_S):
            raw = await _read(
                httpx2.Request(method, url, headers={**_HEADERS, **(headers or {})}, content=body)
            )
    except TimeoutError:
        raise FetchError("no answer in time", away=True) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as exc:
        raise FetchError(f"not reached ({type(exc).__name__})", away=True) from None
    try:
        found = from_json(raw)
    except ValueError:
        raise FetchError("no JSON") from None
    if not isinstance(found, dict):
        raise FetchError("no JSON object")
    return found


@cache
def _verified() -> SSLContext:
    """Return what checks certificates; made once, as that takes longer than a request may."""
    return httpx2.create_ssl_context()


async def _read(request: httpx2.Request) -> bytes:
    secure = request.url.scheme == "https"
    http = httpx2.AsyncHTTPTransport(verify=_verified() if secure else False, trust_env=False)
    found = bytearray()
    async with http:
        response = await http.handle_async_request(request)
        try:
            if response.status_code != _OK:
                raise FetchError(f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchError("compressed")
            stream = response.stream
            if not isinstance(stream, httpx2.AsyncByteStream):
                raise FetchError("no stream")
            async for part in stream:
                found += part
                if len(found) > LARGEST:
                    raise FetchError("too large")
        finally:
            await response.aclose()
    return bytes(found)
