"""Reads a small JSON document of an address that the operator set: bounded, and nothing else.

Neither redirects nor proxies, cookies or compression exist here, and no more is read than is
allowed.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx2
from pydantic_core import from_json

from leyr_mcp.server.settings import LOOPBACK

LARGEST = 256 * 1024
_WITHIN_S = 5.0
_OK = 200


class FetchError(Exception):
    """The document could not be had; the sentence holds no address."""


def is_safe(url: str) -> bool:
    """Whether an address is https, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)


async def fetch_json(url: str) -> dict[str, Any]:
    """Return the object that stands there.

    Raises:
        FetchError: It cannot be reached, is too large or too slow, or is no object.
    """
    if not is_safe(url):
        raise FetchError("the address is not https")
    try:
        async with asyncio.timeout(_WITHIN_S):
            raw = await _read(url)
    except TimeoutError:
        raise FetchError("no answer in time") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as exc:
        raise FetchError(f"not reached ({type(exc).__name__})") from None
    try:
        found = from_json(raw)
    except ValueError:
        raise FetchError("no JSON") from None
    if not isinstance(found, dict):
        raise FetchError("no JSON object")
    return found


async def _read(url: str) -> bytes:
    secure = urlsplit(url).scheme == "https"
    http = httpx2.AsyncHTTPTransport(
        verify=httpx2.create_ssl_context() if secure else False, trust_env=False
    )
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    found = bytearray()
    async with http:
        response = await http.handle_async_request(httpx2.Request("GET", url, headers=headers))
        try:
            if response.status_code != _OK or "content-encoding" in response.headers:
                raise FetchError(f"status {response.status_code}")
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
