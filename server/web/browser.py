"""How a person signs in with a browser: at the same issuer, for the review page of a node.

OpenID Connect's code flow with PKCE. The tokens are checked as those of programs are, and then
gone; what the browser keeps is a cookie that only nodes can read, and no token becomes one.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from leyr_mcp.server.fetching import FetchError, post_form
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.users import User, Users
from leyr_mcp.server.web.issuer import AwayError, Issuer
from leyr_mcp.server.web.signin import SignIn
from leyr_mcp.server.web.tokens import TokenError

ASKED_S, SIGNED_IN_S = 600.0, 1_800.0
SCOPE = "openid ehr.read ehr.draft ehr.file"
_NONCE = 12
_LARGEST = 6_000  # browsers keep no more than 4096 bytes; what is longer is none of ours
_LONGEST_QUERY = 4_096
_DRAFT = re.compile(r"d_[A-Za-z0-9]{1,40}")
# What of a token tells who somebody is to the operator; nothing else of it is kept.
_KEPT = ("sub", "iss", "name")
_OWN = "leyr_"
Post = Callable[..., Awaitable[dict[str, Any]]]
_log = logging.getLogger("leyr_mcp.signin")


class NotSignedInError(Exception):
    """The sign-in came to nothing; the page has the words for its `code`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Cookie:
    """What a browser is to keep under a name, and for how long; nothing for no longer at all."""

    name: str
    value: str
    seconds: int
    same_site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the page is: its own address, and which client of the issuer it is.

    Attributes:
        address: The page, with its path, as browsers reach it.
        resource: What tokens must be for.
    """

    address: str
    resource: str
    client_id: str
    client_secret: str

    @property
    def secure(self) -> bool:
        """Whether it is reached by https, as anywhere but on this machine."""
        return self.address.startswith("https://")

    @property
    def back(self) -> str:
        """Where the issuer sends a browser back to."""
        return f"{self.address}signed-in"


class Browser:
    """Signs people in and knows them again; nothing of them stays in the node."""

    def __init__(
        self,
        place: Place,
        issuer: Issuer,
        sign_in: SignIn,
        users: Users,
        keys: Callable[[], Keys],
        *,
        post: Post = post_form,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._issuer = issuer
        self._sign_in = sign_in
        self._users = users
        self._keys = keys
        self._post = post
        self._clock = clock
        # A name that no page but this one's can set, where the address is https.
        prefix = "__Host-" if place.secure else ""
        self._asked, self._session = f"{prefix}leyr-mcp-asked", f"{prefix}leyr-mcp"

    @property
    def secure(self) -> bool:
        """Whether cookies go over https alone."""
        return self._place.secure

    async def begin(self, draft: str) -> tuple[str, Cookie]:
        """Return where the person signs in, and what the browser keeps until it comes back.

        Raises:
            AwayError: The issuer cannot be reached.
        """
        at = await self._issuer.endpoints()
        state, nonce, proof = (secrets.token_urlsafe(32) for _ in range(3))
        digest = base64.urlsafe_b64encode(sha256(proof.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code",
            "client_id": self._place.client_id,
            "redirect_uri": self._place.back,
            "scope": SCOPE,
            "resource": self._place.resource,
            "state": state,
            "nonce": nonce,
            "code_challenge": digest,
            "code_challenge_method": "S256",
        }
        kept = {"state": state, "nonce": nonce, "proof": proof, "draft": _draft(draft)}
        join = "&" if "?" in at.authorization else "?"
        return f"{at.authorization}{join}{urlencode(asked)}", self._sealed("asked", kept, ASKED_S)

    async def finish(self, query: bytes, cookies: str) -> tuple[str, list[Cookie]]:
        """Return the draft that was meant, and the cookies of somebody who came back signed in.

        Raises:
            NotSignedInError: They are not, or it was not this browser that asked.
            AwayError: The issuer cannot be reached.
        """
        answer = _once(query)
        kept = self._opened("asked", cookies)
        state = answer.get("state", "")
        if kept is None or not secrets.compare_digest(kept["state"].encode(), state.encode()):
            raise NotSignedInError("not_begun")
        by = answer.get("iss")
        if by != self._issuer.name and (by or (await self._issuer.endpoints()).says_who):
            raise NotSignedInError("other_issuer")
        if "code" not in answer or "error" in answer:
            raise NotSignedInError("not_finished")
        claims, scopes, until = await self._redeemed(answer["code"], kept)
        told = {name: claims[name] for name in claims if name in _KEPT or name.startswith(_OWN)}
        seconds = min(SIGNED_IN_S, until - self._clock())
        session = self._sealed("session", {"claims": told, "scopes": scopes}, seconds)
        if len(session.value) > _LARGEST:
            raise NotSignedInError("too_much")
        return kept["draft"], [session, self._gone("asked")]

    def user(self, cookies: str) -> User | None:
        """Return who sits at a browser, as the operator's table has them now."""
        kept = self._opened("session", cookies)
        if kept is None:
            return None
        return self._users.of(kept["claims"], frozenset(kept["scopes"]), self._place.client_id)

    def leave(self) -> Cookie:
        """Return what makes a browser forget."""
        return self._gone("session")

    async def _redeemed(
        self, code: str, kept: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], list[str], float]:
        """Return what the code stands for: of whom, what they may, and until when."""
        place = self._place
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": place.back,
            "code_verifier": kept["proof"],
            "resource": place.resource,
            **({} if place.client_secret else {"client_id": place.client_id}),
        }
        user = (place.client_id, place.client_secret) if place.client_secret else None
        try:
            answer = await self._post((await self._issuer.endpoints()).token, form, user)
            found = await self._sign_in.verify_token(_text(answer, "access_token"))
            person = await self._sign_in.person(
                _text(answer, "id_token"), client=place.client_id, nonce=kept["nonce"]
            )
        except FetchError as exc:
            if exc.away:
                raise AwayError from None
            _log.warning("sign-in: a browser's code was not taken: %s", exc)
            raise NotSignedInError("not_finished") from None
        except TokenError as exc:
            _log.warning("sign-in: a browser's token was turned away: %s", exc)
            raise NotSignedInError("not_believed") from None
        if found is None or found.claims is None or found.subject != person:
            raise NotSignedInError("not_believed")
        return found.claims, found.scopes, float(found.expires_at or 0)

    # Cookies

    def _sealed(self, what: str, kept: Mapping[str, Any], seconds: float) -> Cookie:
        whole = json.dumps({**kept, "until": self._clock() + seconds}).encode()
        nonce = secrets.token_bytes(_NONCE)
        raw = nonce + self._cipher(what).encrypt(nonce, whole, self._bound(what))
        value = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return Cookie(self._name(what), value, max(0, int(seconds)), self._same_site(what))

    def _opened(self, what: str, cookies: str) -> dict[str, Any] | None:
        """Return what a cookie of ours holds while its time lasts; one that comes twice is none."""
        name = self._name(what)
        pairs = (part.strip().partition("=") for part in cookies.split(";"))
        given = [value for key, _, value in pairs if key == name]
        if len(given) != 1 or len(given[0]) > _LARGEST:
            return None
        try:
            raw = base64.b64decode(given[0] + "=" * (-len(given[0]) % 4), b"-_", validate=True)
            whole = self._cipher(what).decrypt(raw[:_NONCE], raw[_NONCE:], self._bound(what))
        except (binascii.Error, ValueError, InvalidTag):
            return None
        kept: dict[str, Any] = json.loads(whole)
        return kept if self._clock() < kept["until"] else None

    def _gone(self, what: str) -> Cookie:
        return Cookie(self._name(what), "", 0, self._same_site(what))

    def _name(self, what: str) -> str:
        return self._asked if what == "asked" else self._session

    def _same_site(self, what: str) -> str:
        # The one is needed as the browser comes back from elsewhere; the other only from the page.
        return "Lax" if what == "asked" else "Strict"

    def _bound(self, what: str) -> bytes:
        """Return what a cookie is good for besides: the page at this address, this client."""
        bound = (what, self._place.address, self._place.client_id, self._issuer.name)
        return "\0".join(bound).encode()

    def _cipher(self, what: str) -> AESGCM:
        return AESGCM(self._keys().derive(f"browser {what}"))


def _once(query: bytes) -> dict[str, str]:
    """Return what an address says; what it says twice it does not say."""
    if len(query) > _LONGEST_QUERY:
        return {}
    found = dict[str, str]()
    twice = set[str]()
    for name, value in parse_qsl(query.decode("latin-1")):
        twice |= {name} & found.keys()
        found[name] = value
    return {name: value for name, value in found.items() if name not in twice}


def _draft(text: str) -> str:
    return text if _DRAFT.fullmatch(text) else ""


def _text(answer: Mapping[str, Any], name: str) -> str:
    found = answer.get(name)
    if not isinstance(found, str):
        raise TokenError(f"there is no {name}")
    return found
