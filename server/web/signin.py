"""Who calls over HTTP: tokens of one issuer, checked here, forwarded nowhere and never kept.

The issuer's keys are fetched when they are needed, kept for ten minutes, and used for a day longer
where the issuer cannot be reached.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mcp.server.auth.provider import AccessToken, TokenVerifier

from leyr_mcp.server.fetching import FetchError, fetch_json, is_safe
from leyr_mcp.server.web.tokens import (
    Key,
    TokenError,
    check_claims,
    check_signature,
    keys_of,
    parse,
    scopes_of,
)

Fetch = Callable[[str], Awaitable[dict[str, Any]]]

FRESH_S = 600.0
KEPT_S = 86_400.0
AGAIN_S = 60.0
_WELL_KNOWN = ("oauth-authorization-server", "openid-configuration")
_log = logging.getLogger("leyr_mcp.signin")


@dataclass(slots=True)
class _Known:
    """The issuer's keys, as they were fetched last."""

    keys: list[Key] = field(default_factory=list)
    at: float = float("-inf")
    tried: float = float("-inf")


class Issuer:
    """Where the keys come from; its documents are found by its name alone."""

    def __init__(
        self,
        issuer: str,
        *,
        fetch: Fetch = fetch_json,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = issuer
        self._fetch = fetch
        self._monotonic = monotonic
        self._known = _Known()
        self._lock = asyncio.Lock()

    async def keys(self, kid: str | None) -> list[Key]:
        """Return the keys; fetched anew if they are old, or if none of them has this id.

        An unknown id costs the issuer one question a minute, however many tokens name one.

        Raises:
            TokenError: None can be had.
        """
        if not self._serves(kid):
            async with self._lock:
                if not self._serves(kid):
                    await self._refresh()
        if not self._known.keys or self._monotonic() - self._known.at > KEPT_S:
            raise TokenError("the issuer's keys cannot be had")
        return self._known.keys

    def _serves(self, kid: str | None) -> bool:
        now, known = self._monotonic(), self._known
        if now - known.tried < AGAIN_S and known.tried > known.at:
            return True  # it failed a moment ago
        if now - known.at > FRESH_S:
            return False
        has = kid is None or any(key.kid == kid for key in known.keys)
        return has or now - known.at < AGAIN_S

    async def _refresh(self) -> None:
        self._known.tried = self._monotonic()
        try:
            found = keys_of(await self._fetch(await self._address()))
        except FetchError as exc:
            _log.warning("sign-in: the issuer's keys cannot be fetched: %s", exc)
            return
        if not found:
            _log.warning("sign-in: the issuer has no key that can be used")
            return
        now = self._monotonic()
        self._known = _Known(found, now, now)

    async def _address(self) -> str:
        """Return where the keys are.

        Raises:
            FetchError: No document of the issuer tells.
        """
        said: FetchError | None = None
        for url in _documents(self.name):
            try:
                document = await self._fetch(url)
            except FetchError as exc:
                said = said or exc
                continue
            if document.get("issuer") != self.name:
                raise FetchError("the document there is of another issuer")
            address = document.get("jwks_uri")
            if not isinstance(address, str) or not is_safe(address):
                raise FetchError("the document names no safe address of keys")
            return address
        raise said or FetchError("no document")


def _documents(issuer: str) -> list[str]:
    """Return where an issuer tells about itself: by the OAuth rule, and by OpenID's."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    oauth, openid = _WELL_KNOWN
    return [
        f"{origin}/.well-known/{oauth}{path}",
        f"{origin}{path}/.well-known/{openid}",
    ]


class SignIn(TokenVerifier):
    """Checks the token of each request."""

    def __init__(
        self, issuer: Issuer, audience: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return who it is of and what it allows; None for one that is not to be believed."""
        try:
            claims = await self._claims(token)
        except TokenError as exc:
            _log.info("sign-in: a token was turned away: %s", exc)
            return None
        return AccessToken(
            token="",  # what was checked is of no further use, and so is kept nowhere
            client_id=_client(claims),
            scopes=scopes_of(claims),
            expires_at=int(claims["exp"]),
            resource=self._audience,
            subject=claims["sub"],
            claims=dict(claims),
        )

    async def _claims(self, token: str) -> Mapping[str, Any]:
        parsed = parse(token)
        check_signature(parsed, await self._issuer.keys(parsed.kid))
        check_claims(
            parsed.claims,
            issuer=self._issuer.name,
            audience=self._audience,
            now_s=self._clock(),
        )
        return parsed.claims


def _client(claims: Mapping[str, Any]) -> str:
    found = claims.get("client_id", claims.get("azp"))
    return found if isinstance(found, str) and found else "unknown"
