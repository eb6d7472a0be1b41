"""Addresses of other systems: which ones may be set, and that nothing goes over a network in clear.

The sentences name no part of what was given.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/%@\[\]-]+")
_LIKE = "must be an address like https://api.leyr.io/api"


def web_address(value: str) -> str:
    """Return the address of an HTTP API.

    Raises:
        ValueError: It is none, holds credentials, or would go over a network in the clear.
    """
    text = value.strip()
    if not _ADDRESS.fullmatch(text):
        raise ValueError(_LIKE)
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as exc:  # its own text repeats a part of the address
        raise ValueError(_LIKE) from exc
    if not host:
        raise ValueError(_LIKE)
    if "@" in url.netloc:
        raise ValueError("must not hold credentials")
    if url.scheme == "http" and host not in LOOPBACK:
        raise ValueError("must be https (plain http only on this machine)")
    return text.rstrip("/")
