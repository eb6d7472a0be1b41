"""Sign-in: fourteen ways to be wrong and more, hostile tokens, and keys that cannot be used."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.web import signin
from leyr_mcp.server.web.issuer import WAITED_FOR_S, Issuer
from leyr_mcp.server.web.signin import SignIn
from leyr_mcp.server.web.tokens import (
    LARGEST,
    TokenError,
    check_claims,
    check_signature,
    keys_of,
    parse,
    scopes_of,
)
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


def sign_in(documents: Documents | None = None) -> SignIn:
    return SignIn(Issuer(ISSUER, fetch=documents or Documents()), AUDIENCE, clock=lambda: NOW)


def raw(header: str | bytes, body: str | bytes, signature: bytes = b"x" * 256) -> str:
    """Return three parts as they are given."""
    parts = (part.encode() if isinstance(part, str) else part for part in (header, body))
    return ".".join(b64(part) for part in (*parts, signature))


def respelled(good: str) -> str:
    """Return a token whose last bits, of which nothing is read, are other ones."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return good[:-1] + alphabet[alphabet.index(good[-1]) ^ 1]


HEADER = '{"alg":"RS256","kid":"k1","typ":"at+jwt"}'


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


class Watch:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


async def test_one_that_was_believed_is_not_checked_again_until_something_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[str] = []

    def check(parsed: Any, keys: Any) -> None:
        checked.append(parsed.kid)
        check_signature(parsed, keys)

    monkeypatch.setattr(signin, "check_signature", check)
    monkeypatch.setattr(signin, "MOST_BELIEVED", 2)
    documents, watch, passed = Documents(), Watch(), Watch()
    issuer = Issuer(ISSUER, fetch=documents, monotonic=passed)
    one = SignIn(issuer, AUDIENCE, clock=watch)
    good, others = token(), [token(claims(sub=f"dr-{number}")) for number in range(2)]
    for _ in range(3):
        found = await one.verify_token(good)
        assert found
        assert found.subject == "dr-ek"
    assert len(checked) == 1
    assert good not in repr(one._believed)
    for other in others:  # there is room for two
        assert await one.verify_token(other)
    assert await one.verify_token(good)
    assert len(checked) == 4
    passed.now += WAITED_FOR_S + 1  # the keys are fetched anew, and the same
    assert await one.verify_token(good)
    assert len(checked) == 5
    watch.now += 600  # it has ended
    assert await one.verify_token(good) is None


async def test_a_key_that_was_taken_back_ends_what_it_signed() -> None:
    documents, passed = Documents(jwk("k1")), Watch()
    one = SignIn(Issuer(ISSUER, fetch=documents, monotonic=passed), AUDIENCE, clock=lambda: NOW)
    assert await one.verify_token(token())
    documents.keys[:] = [jwk("k2")]
    passed.now += WAITED_FOR_S + 1
    assert await one.verify_token(token()) is None


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
    "expired": token(claims(exp=int(NOW))),
    "expired before time began": token(claims(exp=-1)),
    "no end": token(claims(exp=None)),
    "an end that is true": token(claims(exp=True)),
    "an end as text": token(claims(exp=str(int(NOW) + 600))),
    "an end too far": token(claims(exp=int(NOW) + 4_000)),
    "an end beyond numbers": token(claims(exp=10**400)),
    "an end beyond digits": token(json.dumps(claims()).replace(str(int(NOW)), "1" * 5_000)),
    "an end that never comes": token(json.dumps(claims()).replace(str(int(NOW) + 600), "1e999")),
    "an end in other digits": token(claims(exp="".join(chr(0x660 + int(d)) for d in "1780000600"))),
    "a beginning that is false": token(claims(nbf=False)),
    "a beginning before time": token(claims(nbf=-5)),
    "a beginning as text": token(claims(iat="0")),
    "not yet good": token(claims(nbf=int(NOW) + 120)),
    "issued later": token(claims(iat=int(NOW) + 120)),
    "nobody": token(claims(sub=None)),
    "an empty name": token(claims(sub="")),
    "a long name": token(claims(sub="x" * 256)),
    "a name that is a number": token(claims(sub=5)),
    "a name of two lines": token(claims(sub="dr-ek\nroot")),
    "a name with half a character": token(claims(sub="\ud800")),
    "half a character anywhere": token(claims(more=[{"x": "\udfff"}])),
    "a client that is a number": token(claims(client_id=5)),
    "a client of two lines": token(claims(client_id="a\nb")),
    "a token of a proof": token(claims(cnf={"jkt": "x"})),
    "an id token": token(claims(at_hash="x")),
    "alg none": token(alg="none"),
    "alg None": token(alg="NONE"),
    "alg confused": token(alg="HS256"),
    "alg of a larger hash": token(alg="RS512"),
    "no alg": raw('{"kid":"k1"}', json.dumps(claims())),
    "two algs": raw('{"alg":"none","alg":"RS256","kid":"k1"}', json.dumps(claims())),
    "an alg that is a list": raw('{"alg":["RS256"],"kid":"k1"}', json.dumps(claims())),
    "a key that is a number": raw('{"alg":"RS256","kid":1}', json.dumps(claims())),
    "its own key": raw(json.dumps({"alg": "RS256", "jwk": jwk("k9")}), json.dumps(claims())),
    "another key's signature": token().rpartition(".")[0] + "." + token(kid="k9").split(".")[2],
    "an unknown key": token(kid="k9"),
    "a critical header": token(crit=["x"]),
    "another kind of token": token(typ="dpop+jwt"),
    "an id token's kind": token(typ="id+jwt"),
    "a name twice": token('{"iss":"' + ISSUER + '","iss":"x"}'),
    "no object": token("[]"),
    "not a number": token('{"exp": NaN}'),
    "deep": token("[" * 3_000),
    "nested without need": token(claims(more=json.loads("[" * 20 + "]" * 20))),
    "not UTF-8": raw(HEADER, b'{"iss":"\xff"}'),
    "UTF-16": raw(HEADER, json.dumps(claims()).encode("utf-16")),
    "a byte order mark": raw(HEADER, b"\xef\xbb\xbf" + json.dumps(claims()).encode()),
    "a header that is no object": raw("5", "5"),
    "nothing in it": raw("", ""),
    "spelled in another way": respelled(token()),
    "digits of another script": "\u0661." * 2 + "\u0661",
    "half a character": "\ud800.\ud800.\ud800",
    "a zero byte": token() + "\0",
    "dots alone": "." * 9_000,
    "five parts, as sealed ones have": ".".join("a" * 5),
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
        {"exp": int(NOW) + 1},
        {"exp": int(NOW) + 3_600},
        {"nbf": int(NOW) + 59},
        {"sub": "ö" * 255},
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
        ({"scope": ["a", "b c"]}, ["a", "b c"]),
        ({"scope": "a", "scp": ["b", "a"]}, ["a", "b"]),
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
        {**jwk(), "key_ops": ["sign"]},
        {**jwk(), "key_ops": "verify"},
        {**jwk(), "d": "AQAB"},
        {**jwk(), "e": "AQ"},
        {**jwk(kind="OKP"), "alg": "RS256"},
        {**jwk(), "alg": ["RS256"]},
        {**jwk(), "kty": []},
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


async def test_a_token_that_names_no_key_must_need_no_choice() -> None:
    assert await sign_in(Documents(jwk())).verify_token(token(kid=None))
    assert await sign_in(Documents(jwk(), jwk(kind="EC"))).verify_token(token(kid=None))
    assert await sign_in(Documents(jwk(), jwk("k2"))).verify_token(token(kid=None)) is None


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ({"client_id": "a", "azp": "b"}, "a"),
        ({"client_id": None, "azp": "b"}, "b"),
        ({"client_id": None, "cid": "c"}, "c"),
        ({"client_id": None}, ""),
    ],
)
async def test_the_client_is_who_the_issuer_says(told: dict[str, Any], client: str) -> None:
    found = await sign_in().verify_token(token(claims(**told)))
    assert found
    assert found.client_id == client


_pieces = st.binary(max_size=40).map(b64) | st.sampled_from(
    [b64(HEADER.encode()), b64(json.dumps(claims()).encode()), "", "=", "e30", "W10"]
)


@given(st.lists(_pieces, max_size=5).map(".".join))
async def test_parts_of_any_kind_are_turned_away(text: str) -> None:
    assert await sign_in().verify_token(text) is None


@given(st.integers(0, 1_000), st.characters(), st.sampled_from([0, 1]))
async def test_one_changed_character_spoils_it(at: int, by: str, left_out: int) -> None:
    good = token()
    at %= len(good)
    changed = good[:at] + by + good[at + left_out :]
    if changed != good:
        assert await sign_in().verify_token(changed) is None


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


_sets = st.fixed_dictionaries(
    {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct", 5])},
    optional={
        name: _values | st.binary(max_size=40).map(b64)
        for name in ("n", "e", "x", "y", "crv", "use", "alg", "kid", "key_ops")
    },
)


@given(st.fixed_dictionaries({}, optional={"keys": st.lists(_sets | _values) | _values}))
def test_whatever_a_set_of_keys_holds_nothing_but_keys_come(document: dict[str, Any]) -> None:
    for key in keys_of(document):
        assert key.verify


@given(st.dictionaries(st.sampled_from(sorted({*claims(), "nbf", "cnf"})), _values))
def test_no_claims_but_good_ones_pass(told: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        check_claims(told, issuer=ISSUER, audience=AUDIENCE, now_s=NOW)


@pytest.mark.parametrize("signature", [b"", b"x", bytes(63), bytes(64), bytes(65), b"\xff" * 64])
@pytest.mark.parametrize(("alg", "kind"), [("RS256", "RSA"), ("ES256", "EC"), ("EdDSA", "OKP")])
async def test_a_signature_of_no_sense_is_none(alg: str, kind: str, signature: bytes) -> None:
    changed = f"{token(alg=alg).rpartition('.')[0]}.{b64(signature)}"
    assert await sign_in(Documents(jwk(kind=kind))).verify_token(changed) is None
