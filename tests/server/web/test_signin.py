"""Sign-in: fourteen ways to be wrong and more, keys that come, go and cannot be fetched."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.fetching import is_safe
from leyr_mcp.server.web.signin import AGAIN_S, FRESH_S, KEPT_S, Issuer, SignIn
from leyr_mcp.server.web.tokens import LARGEST, TokenError, keys_of, parse, scopes_of
from tests.support.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    Documents,
    b64,
    claims,
    jwk,
    token,
)


class Monotonic:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def sign_in(documents: Documents | None = None, monotonic: Monotonic | None = None) -> SignIn:
    issuer = Issuer(ISSUER, fetch=documents or Documents(), monotonic=monotonic or Monotonic())
    return SignIn(issuer, AUDIENCE, clock=lambda: NOW)


async def test_a_good_token_tells_who_and_what_and_is_not_kept() -> None:
    good = token()
    found = await sign_in().verify_token(good)
    assert found is not None
    assert (found.subject, found.client_id, found.resource) == ("dr-ek", "scribe", AUDIENCE)
    assert found.scopes == ["ehr.read", "ehr.draft", "ehr.file"]
    assert found.expires_at == NOW + 600
    assert good not in repr(found)
    assert found.token == ""


@pytest.mark.parametrize(
    ("alg", "kind"), [("RS256", "RSA"), ("PS256", "RSA"), ("ES256", "EC"), ("EdDSA", "OKP")]
)
async def test_each_algorithm_is_checked_with_a_key_of_its_own_kind(alg: str, kind: str) -> None:
    one = sign_in(Documents(jwk(kind=kind)))
    assert await one.verify_token(token(alg=alg))
    for other in {"RSA", "EC", "OKP"} - {kind}:
        assert await sign_in(Documents(jwk(kind=other))).verify_token(token(alg=alg)) is None


WRONG: dict[str, Any] = {
    "nothing": "",
    "no token": "abc",
    "no signature": token().rpartition(".")[0] + ".",
    "another signature": token().rpartition(".")[0]
    + "."
    + token(claims(sub="x")).rpartition(".")[2],
    "changed claims": ".".join(
        [token().split(".")[0], b64(json.dumps(claims(sub="root")).encode()), token().split(".")[2]]
    ),
    "another audience": token(claims(aud="https://other.example.org")),
    "no audience": token(claims(aud=None)),
    "an audience that begins alike": token(claims(aud=AUDIENCE + "/more")),
    "another issuer": token(claims(iss="https://evil.example.org")),
    "an issuer with a slash": token(claims(iss=ISSUER + "/")),
    "no issuer": token(claims(iss=None)),
    "expired": token(claims(exp=int(NOW) - 61)),
    "no end": token(claims(exp=None)),
    "an end that is true": token(claims(exp=True)),
    "an end as text": token(claims(exp=str(int(NOW) + 600))),
    "an end too far": token(claims(exp=int(NOW) + 4_000)),
    "an end beyond numbers": token(claims(exp=10**400)),
    "not yet good": token(claims(nbf=int(NOW) + 120)),
    "issued later": token(claims(iat=int(NOW) + 120)),
    "nobody": token(claims(sub=None)),
    "an empty name": token(claims(sub="")),
    "a long name": token(claims(sub="x" * 201)),
    "a name that is a number": token(claims(sub=5)),
    "alg none": token(alg="none"),
    "alg None": token(alg="NONE"),
    "alg confused": token(alg="HS256"),
    "alg of a larger hash": token(alg="RS512"),
    "an unknown key": token(kid="k9"),
    "a critical header": token(crit=["x"]),
    "another kind of token": token(typ="dpop+jwt"),
    "an id token's kind": token(typ="id+jwt"),
    "a name twice": token('{"iss":"' + ISSUER + '","iss":"x"}'),
    "no object": token("[]"),
    "not a number": token('{"exp": NaN}'),
    "deep": token("[" * 3_000),
    "too large": token(claims(more="x" * LARGEST)),
    "not ASCII": token().replace(".", "ü", 1),
    "padding": token() + "=",
    "four parts": token() + ".x",
    "a line break": token()[:20] + "\n" + token()[20:],
}


@pytest.mark.parametrize("kind", list(WRONG))
async def test_a_wrong_token_is_turned_away(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert await sign_in().verify_token(WRONG[kind]) is None
    assert "dr-ek" not in caplog.text
    assert WRONG[kind] == "" or WRONG[kind] not in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["x", AUDIENCE]},
        {"exp": int(NOW) - 59},
        {"nbf": int(NOW) + 59},
        {"exp": NOW + 600.5},
        {"iat": None},
        {"typ": "x"},
    ],
)
async def test_what_is_within_bounds_is_taken(changes: dict[str, Any]) -> None:
    assert await sign_in().verify_token(token(claims(**changes)))
    assert await sign_in().verify_token(token(claims(**changes), typ=None))
    assert await sign_in().verify_token(token(claims(**changes), typ="JWT"))


@pytest.mark.parametrize(
    ("told", "scopes"),
    [
        ({"scope": "a b  c"}, ["a", "b", "c"]),
        ({"scp": ["a", 5, ""]}, ["a"]),
        ({"scp": "a b"}, ["a", "b"]),
        ({}, []),
        ({"scope": 7}, []),
    ],
)
def test_scopes_in_every_form(told: dict[str, Any], scopes: list[str]) -> None:
    assert scopes_of(told) == scopes


@pytest.mark.parametrize(
    "key",
    [
        jwk(use="enc"),
        jwk(kid="small", bits=1024),
        {**jwk(kind="EC"), "crv": "P-384"},
        {**jwk(kind="EC"), "y": b64(b"x" * 32)},
        {**jwk(kind="OKP"), "crv": "X25519"},
        {**jwk(kind="OKP"), "x": "short"},
        {"kty": "oct", "k": b64(b"secret"), "kid": "k1"},
        {**jwk(), "n": 5},
        {**jwk(), "e": "!"},
        {**jwk(), "alg": "RS512"},
        {**jwk(), "kid": 7},
        {"kty": "RSA"},
        {},
    ],
)
def test_a_key_that_cannot_be_used_is_left_out(key: dict[str, Any]) -> None:
    assert keys_of({"keys": [key, "rubbish"]}) == []


def test_no_set_of_keys_is_none() -> None:
    assert keys_of({}) == keys_of({"keys": {}}) == []


async def test_a_key_bound_to_an_algorithm_is_for_no_other() -> None:
    one = sign_in(Documents(jwk(alg="PS256")))
    assert await one.verify_token(token(alg="PS256"))
    assert await one.verify_token(token(alg="RS256")) is None


async def test_keys_are_kept_and_fetched_again_when_they_are_old() -> None:
    documents, clock = Documents(), Monotonic()
    one = sign_in(documents, clock)
    for _ in range(5):
        assert await one.verify_token(token())
    assert len(documents.asked) == 2
    clock.now += FRESH_S + 1
    assert await one.verify_token(token())
    assert len(documents.asked) == 4


async def test_a_new_key_is_fetched_when_a_token_names_it_once_a_minute() -> None:
    documents, clock = Documents(), Monotonic()
    one = sign_in(documents, clock)
    assert await one.verify_token(token())
    documents.keys.append(jwk("k2"))
    assert await one.verify_token(token(kid="k2")) is None  # asked a moment ago
    clock.now += AGAIN_S + 1
    assert await one.verify_token(token(kid="k2"))
    asked = len(documents.asked)
    _, *rest = token(kid="k2").split(".")
    for number in range(50):
        other = b64(json.dumps({"alg": "RS256", "kid": f"u{number}"}).encode())
        assert await one.verify_token(".".join([other, *rest])) is None
    assert len(documents.asked) == asked


async def test_a_key_that_is_gone_is_good_no_more() -> None:
    documents, clock = Documents(), Monotonic()
    one = sign_in(documents, clock)
    assert await one.verify_token(token())
    documents.keys[:] = [jwk("k2")]
    clock.now += FRESH_S + 1
    assert await one.verify_token(token()) is None


async def test_while_the_issuer_is_away_its_keys_are_good_for_a_day() -> None:
    documents, clock = Documents(), Monotonic()
    one = sign_in(documents, clock)
    assert await one.verify_token(token())
    documents.away = True
    clock.now += KEPT_S - 1
    assert await one.verify_token(token())
    asked = len(documents.asked)
    assert await one.verify_token(token())  # not asked again at once
    assert len(documents.asked) == asked
    clock.now += 2 + AGAIN_S
    assert await one.verify_token(token()) is None
    documents.away = False
    clock.now += AGAIN_S + 1
    assert await one.verify_token(token())


async def test_without_any_keys_nobody_is_believed() -> None:
    documents = Documents()
    documents.away = True
    assert await sign_in(documents).verify_token(token()) is None
    documents = Documents({"kty": "oct"})
    assert await sign_in(documents).verify_token(token()) is None


@pytest.mark.parametrize(
    "more",
    [
        {"issuer": "https://evil.example.org"},
        {"issuer": ISSUER + "/"},
        {"jwks_uri": "http://id.example.org/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 5},
    ],
)
async def test_a_document_that_cannot_be_trusted_gives_no_keys(more: dict[str, Any]) -> None:
    assert await sign_in(Documents(**more)).verify_token(token()) is None


async def test_openids_document_does_as_well() -> None:
    documents = Documents()
    documents.place = f"{ISSUER}/.well-known/openid-configuration"
    assert await sign_in(documents).verify_token(token())


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example.org/x", True),
        ("http://127.0.0.1:9/x", True),
        ("http://[::1]:9/x", True),
        ("http://id.example.org", False),
        ("https://user@id.example.org", False),
        ("https://", False),
        ("https://[x", False),
        ("ftp://id.example.org", False),
        ("https://id.example.org/#x", False),
    ],
)
def test_which_addresses_are_safe(url: str, *, safe: bool) -> None:
    assert is_safe(url) is safe


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_whatever_comes_is_parsed_or_refused(text: str) -> None:
    with suppress(TokenError):
        parse(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(claims(), _values)))
async def test_whatever_a_signed_token_says_nothing_but_an_answer_comes(
    told: dict[str, Any],
) -> None:
    try:
        body = json.dumps(claims(**{k: v for k, v in told.items() if v is not None}))
    except ValueError:
        return
    found = await sign_in().verify_token(token(body))
    assert found is None or found.subject
