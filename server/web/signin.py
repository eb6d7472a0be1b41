"""Who calls over HTTP: tokens of one issuer, checked here, forwarded nowhere and never kept."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from mcp.server.auth.provider import AccessToken, TokenVerifier

from leyr_mcp.server.web.issuer import Issuer
from leyr_mcp.server.web.tokens import (
    Key,
    TokenError,
    check_claims,
    check_id,
    check_signature,
    client_of,
    parse,
    scopes_of,
)

# By their digests alone; each is good for an hour at most.
MOST_BELIEVED = 4_096
_log = logging.getLogger("leyr_mcp.signin")


@dataclass(frozen=True, slots=True)
class _Believed:
    """A token that was checked: of whom, until when, and by which keys."""

    found: AccessToken
    ends: float
    keys: Sequence[Key]
    kid: str | None


class SignIn(TokenVerifier):
    """Checks the token of each request."""

    def __init__(
        self, issuer: Issuer, audience: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._issuer = issuer
        self.audience = audience
        self._clock = clock
        self._believed: OrderedDict[bytes, _Believed] = OrderedDict()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return who it is of and what it allows; None for one that is not to be believed.

        Raises:
            AwayError: It cannot be told, as the issuer's keys cannot be had now.
        """
        name = sha256(token.encode("utf-8", "surrogatepass")).digest()
        if found := await self._known(name):
            return found
        try:
            claims, keys, kid = await self._claims(token)
            client = client_of(claims)
        except TokenError as exc:
            _log.info("sign-in: a token was turned away: %s", exc)
            return None
        found = AccessToken(
            token="",  # what was checked is of no further use, and so is kept nowhere
            client_id=client,
            scopes=scopes_of(claims),
            expires_at=int(claims["exp"]),
            resource=self.audience,
            subject=claims["sub"],
            claims=dict(claims),
        )
        self._believed[name] = _Believed(found, float(claims["exp"]), keys, kid)
        if len(self._believed) > MOST_BELIEVED:
            self._believed.popitem(last=False)
        return found

    async def _known(self, name: bytes) -> AccessToken | None:
        """Return what was believed before, while its time and the issuer's keys are the same."""
        before = self._believed.get(name)
        if before is None:
            return None
        same = before.keys is await self._issuer.keys(before.kid)
        if not same or self._clock() >= before.ends:
            self._believed.pop(name, None)
            return None
        self._believed.move_to_end(name)
        return before.found

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

    async def _claims(self, token: str) -> tuple[Mapping[str, Any], Sequence[Key], str | None]:
        parsed = parse(token)
        keys = await self._issuer.keys(parsed.kid)
        check_signature(parsed, keys)
        check_claims(
            parsed.claims,
            issuer=self._issuer.name,
            audience=self.audience,
            now_s=self._clock(),
        )
        return parsed.claims, keys, parsed.kid
