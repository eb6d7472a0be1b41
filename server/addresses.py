"""Addresses of other systems: which ones may be set, and that nothing goes over a network in clear.

The sentences name no part of what was given.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/%@\[\]-]+")
_LIKE = "must be an address like https://api.leyr.io/api"
_LIKE_DATABASE = "must be an address like postgresql://user:password@host/database"
_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})


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


def database_address(text: str) -> str:
    """Return an address that is encrypted on the way, unless it stays on this machine.

    Raises:
        ValueError: It is none, or would go over a network in the clear.
    """
    if not text:
        return ""
    try:
        url = urlsplit(text)
        asked = parse_qs(url.query)
        hosts = _hosts(url.netloc, asked.get("host", []))
    except ValueError as exc:  # its own text repeats a part of the address
        raise ValueError(_LIKE_DATABASE) from exc
    if not text.startswith("postgresql://") or url.fragment:
        raise ValueError(_LIKE_DATABASE)
    ways = asked.get("sslmode", [])
    if all(host in LOOPBACK or host.startswith("/") for host in hosts):
        return text
    if not set(ways) <= _ENCRYPTED:
        raise ValueError("must be encrypted: sslmode=require, verify-ca or verify-full")
    return text if ways else f"{text}{'&' if url.query else '?'}sslmode=require"


def _hosts(netloc: str, asked: list[str]) -> list[str]:
    """Return every host that may be tried; a folder is one of sockets, and so is none."""
    places = [urlsplit(f"//{place}") for place in netloc.rpartition("@")[2].split(",")]
    # Asking for the port refuses what is no number.
    found = [place.hostname for place in places if place.port != 0 and place.hostname]
    return [*found, *(host for hosts in asked for host in hosts.split(","))]
