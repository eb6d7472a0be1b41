"""How a request shows its token: in one header, as RFC 6750 spells it, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from leyr_mcp.server.web.tokens import LARGEST

# The alphabet that bearer tokens have, whatever is in them.
_SHOWN = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
_IN_ADDRESS = "access_token"


class BearerError(Exception):
    """The request shows no token in the way that counts.

    Attributes:
        status: The HTTP status to answer with.
        error: The code for `WWW-Authenticate`; None where there simply was no token.
    """

    def __init__(self, status: int, error: str | None) -> None:
        super().__init__(error or "no token")
        self.status = status
        self.error = error


def shown_token(headers: Iterable[tuple[bytes, bytes]], query: bytes) -> str:
    """Return the token of a request, as it was shown.

    Raises:
        BearerError: There is none, there are several, or it is in the address.
    """
    asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    given = [value for name, value in headers if name.lower() == b"authorization"]
    if len(given) > 1 or any(name.lower() == _IN_ADDRESS for name, _ in asked):
        raise BearerError(400, "invalid_request")
    if not given:
        raise BearerError(401, None)
    shown = _SHOWN.fullmatch(given[0])
    if shown is None or len(shown[1]) > LARGEST:
        raise BearerError(401, "invalid_token")
    return shown[1].decode("ascii")


def challenge(metadata: str, scope: str, error: str | None = None) -> str:
    """Return `WWW-Authenticate`: what was wrong, which scope is needed, where to read on."""
    parts = [f'error="{error}"'] if error else []
    parts += [f'scope="{scope}"', f'resource_metadata="{metadata}"']
    return f"Bearer {', '.join(parts)}"
