"""The issuer of tokens: where its keys are, and the keys themselves, kept as long as they may be.

They are fresh for ten minutes. Then they are fetched anew beside the requests, which go on with
what there is: for ten minutes more, and for a day where the issuer cannot be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from leyr_mcp.server.addresses import LOOPBACK
from leyr_mcp.server.fetching import FetchError, fetch_json, is_safe
from leyr_mcp.server.web.tokens import Key, keys_of

Fetch = Callable[[str], Awaitable[dict[str, Any]]]

FRESH_S = 600.0
WAITED_FOR_S = 1_200.0
KEPT_S = 86_400.0
AGAIN_S = 60.0
# How soon it is asked again after it gave nothing, and how long all of one asking may take.
RETRY_S = 15.0
_WITHIN_S = 10.0
_log = logging.getLogger("leyr_mcp.signin")


class AwayError(Exception):
    """The issuer's keys cannot be had, so nothing can be said of any token."""


@dataclass(frozen=True, slots=True)
class _Known:
    """The issuer's keys, and when they were fetched."""

    keys: Sequence[Key]
    at: float


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where people sign in, where a code becomes a token, and whether the answer says by whom."""

    authorization: str
    token: str
    says_who: bool


class Issuer:
    """One issuer; its documents are found by its name alone."""

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
        self._known: _Known | None = None
        self._asking: asyncio.Task[None] | None = None
        self._failed_at: float | None = None
        self._asked_for_a_key = float("-inf")
        self._endpoints: Endpoints | None = None
        self._endpoints_at = float("-inf")

    async def keys(self, kid: str | None) -> Sequence[Key]:
        """Return the keys; fetched anew if they are old, or if none of them has this id.

        An unknown id costs the issuer one question a minute, however many tokens name one.

        Raises:
            AwayError: None can be had.
        """
        known = await self._current()
        if kid is None or any(key.kid == kid for key in known.keys):
            return known.keys
        if self._asking is None:
            now = self._monotonic()
            if now - self._asked_for_a_key < AGAIN_S:
                return known.keys
            self._asked_for_a_key = now
        await asyncio.shield(self._ask())
        return (self._usable() or known).keys

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking

    async def _current(self) -> _Known:
        """Return what is known; asks where it is old, and waits for it only where it must."""
        known = self._usable()
        age = self._monotonic() - known.at if known else float("inf")
        if known and age <= FRESH_S:
            return known
        if self._asking or self._may_ask():
            # Who waited once for an issuer that is away is not the reason why others should.
            must_wait = known is None or (age > WAITED_FOR_S and self._failed_at is None)
            asking = self._ask()
            if must_wait:
                await asyncio.shield(asking)
                known = self._usable()
        if known is None:
            raise AwayError
        return known

    def _usable(self) -> _Known | None:
        known = self._known
        return known if known and self._monotonic() - known.at <= KEPT_S else None

    def _may_ask(self) -> bool:
        return self._failed_at is None or self._monotonic() - self._failed_at >= RETRY_S

    def _ask(self) -> asyncio.Task[None]:
        """Return the one fetch that is under way, or begin it."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._refresh())
        return self._asking

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(_WITHIN_S):
                found = keys_of(await self._fetch(await self._address()))
        except (FetchError, TimeoutError) as exc:
            if self._failed_at is None:
                said = exc if isinstance(exc, FetchError) else "no answer in time"
                _log.warning("sign-in: the issuer's keys cannot be fetched: %s", said)
            self._failed_at = self._monotonic()
        else:
            if not found:  # one that took all of its keys back means it
                _log.warning("sign-in: the issuer has no key that can be used")
            if self._failed_at is not None:
                _log.warning("sign-in: the issuer's keys can be fetched again")
            self._failed_at = None
            self._known = _Known(found, self._monotonic())
        finally:
            self._asking = None

    async def endpoints(self) -> Endpoints:
        """Return where people sign in and codes become tokens; known for as long as keys are fresh.

        Raises:
            AwayError: It cannot be told now.
        """
        now = self._monotonic()
        if self._endpoints is None or now - self._endpoints_at > FRESH_S:
            try:
                async with asyncio.timeout(_WITHIN_S):
                    found = await self._document("authorization_endpoint", "token_endpoint")
                self._endpoints = Endpoints(
                    found["authorization_endpoint"],
                    found["token_endpoint"],
                    says_who=found.get("authorization_response_iss_parameter_supported") is True,
                )
            except (FetchError, TimeoutError) as exc:
                _log.warning("sign-in: the issuer does not tell where people sign in: %s", exc)
                raise AwayError from None
            self._endpoints_at = now
        return self._endpoints

    async def _address(self) -> str:
        """Return where the keys are.

        Raises:
            FetchError: No document of the issuer tells.
        """
        address: str = (await self._document("jwks_uri"))["jwks_uri"]
        return address

    async def _document(self, *names: str) -> dict[str, Any]:
        """Return the first document of this issuer in which these addresses stand."""
        said: FetchError | None = None
        for url in documents(self.name):
            try:
                return self._told(await self._fetch(url), names)
            except FetchError as exc:
                if exc.away:
                    raise
                said = said or exc
        raise said or FetchError("no document")

    def _told(self, document: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
        if document.get("issuer") != self.name:
            raise FetchError("the document there is of another issuer")
        # Only an issuer on this machine may name an address on it.
        local = urlsplit(self.name).hostname in LOOPBACK
        for name in names:
            address = document.get(name)
            if not isinstance(address, str) or not is_safe(address, local=local):
                raise FetchError(f"the document names no safe {name}")
        return document


def documents(issuer: str) -> list[str]:
    """Return where an issuer tells about itself, in the order that MCP wants them tried."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    found = [
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    ]
    return list(dict.fromkeys(found))
