"""Who calls over HTTP: tokens of one issuer, checked here, forwarded nowhere and never kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from mcp.server.auth.provider import AccessToken, TokenVerifier

from leyr_mcp.server.web.issuer import Issuer
from leyr_mcp.server.web.tokens import (
    TokenError,
    check_claims,
    check_id,
    check_signature,
    client_of,
    parse,
    scopes_of,
)

_log = logging.getLogger("leyr_mcp.signin")


class SignIn(TokenVerifier):
    """Checks the token of each request."""

    def __init__(
        self, issuer: Issuer, audience: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._issuer = issuer
        self.audience = audience
        self._clock = clock

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return who it is of and what it allows; None for one that is not to be believed.

        Raises:
            AwayError: It cannot be told, as the issuer's keys cannot be had now.
        """
        try:
            claims = await self._claims(token)
            client = client_of(claims)
        except TokenError as exc:
            _log.info("sign-in: a token was turned away: %s", exc)
            return None
        return AccessToken(
            token="",  # what was checked is of no further use, and so is kept nowhere
            client_id=client,
            scopes=scopes_of(claims),
            expires_at=int(claims["exp"]),
            resource=self.audience,
            subject=claims["sub"],
            claims=dict(claims),
        )

    async def person(self, token: str, *, client: str, nonce: str) -> str:
        """Return whom an id token names, which answers what this client asked.

        Raises:
            TokenError: It is not to be believed.
            AwayError: It cannot be told now.
        """
        parsed = parse(token)
        check_signature(parsed, await self._issuer.keys(parsed.kid))
        check_id(
            parsed.claims,
            issuer=self._issuer.name,
            client=client,
            nonce=nonce,
            now_s=self._clock(),
        )
        return str(parsed.claims["sub"])

    async def close(self) -> None:
        """End what is still asked of the issuer."""
        await self._issuer.close()

    async def _claims(self, token: str) -> Mapping[str, Any]:
        parsed = parse(token)
        check_signature(parsed, await self._issuer.keys(parsed.kid))
        check_claims(
            parsed.claims,
            issuer=self._issuer.name,
            audience=self.audience,
            now_s=self._clock(),
        )
        return parsed.claims
