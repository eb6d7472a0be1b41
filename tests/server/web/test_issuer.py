"""The issuer's keys: found, kept, fetched beside the requests, and what holds while it is away."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from leyr_mcp.server.web import issuer
from leyr_mcp.server.web.issuer import (
    AGAIN_S,
    FRESH_S,
    KEPT_S,
    RETRY_S,
    WAITED_FOR_S,
    AwayError,
    Issuer,
    documents,
)
from leyr_mcp.server.web.signin import SignIn
from tests.support.tokens import AUDIENCE, ISSUER, NOW, Documents, b64, jwk, token


class Monotonic:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Held(Documents):
    """The same, answering only while it is open."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        super().__init__(*keys)
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, url: str) -> dict[str, Any]:
        await self.open.wait()
        return await super().__call__(url)


def sign_in(found: Documents | None = None, monotonic: Monotonic | None = None) -> SignIn:
    one = Issuer(ISSUER, fetch=found or Documents(), monotonic=monotonic or Monotonic())
    return SignIn(one, AUDIENCE, clock=lambda: NOW)


async def settled() -> None:
    """Let what is fetched beside the requests arrive."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_keys_are_kept_and_fetched_anew_beside_the_requests() -> None:
    found, clock = Held(), Monotonic()
    one = sign_in(found, clock)
    for _ in range(5):
        assert await one.verify_token(token())
    assert len(found.asked) == 2
    clock.now += FRESH_S + 1
    found.open.clear()
    assert await one.verify_token(token())  # though the issuer does not answer
    assert len(found.asked) == 2
    found.open.set()
    await settled()
    assert len(found.asked) == 4
    assert await one.verify_token(token())
    assert len(found.asked) == 4


async def test_at_a_cold_start_everybody_waits_for_the_one_fetch() -> None:
    found = Held()
    found.open.clear()
    one = sign_in(found)
    several = [asyncio.create_task(one.verify_token(token())) for _ in range(5)]
    await settled()
    several[0].cancel()  # who hangs up takes nothing from the others
    found.open.set()
    told = await asyncio.gather(*several, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert all(told[1:])
    assert len(found.asked) == 2


async def test_keys_that_nobody_asked_for_in_long_are_waited_for() -> None:
    found, clock = Documents(), Monotonic()
    one = sign_in(found, clock)
    assert await one.verify_token(token())
    found.keys[:] = [jwk("k2")]
    clock.now += WAITED_FOR_S + 1
    assert await one.verify_token(token()) is None
    assert await one.verify_token(token(kid="k2"))


async def test_a_new_key_is_fetched_at_once_and_others_once_a_minute() -> None:
    found, clock = Documents(), Monotonic()
    one = sign_in(found, clock)
    assert await one.verify_token(token())
    found.keys.append(jwk("k2"))
    assert await one.verify_token(token(kid="k2"))
    found.keys.append(jwk("k3"))
    assert await one.verify_token(token(kid="k3")) is None  # asked a moment ago
    clock.now += AGAIN_S
    assert await one.verify_token(token(kid="k3"))
    asked = len(found.asked)
    _, *rest = token(kid="k2").split(".")
    for number in range(50):
        other = b64(json.dumps({"alg": "RS256", "kid": f"u{number}"}).encode())
        assert await one.verify_token(".".join([other, *rest])) is None
    assert len(found.asked) == asked


async def test_who_names_a_new_key_joins_the_fetch_under_way() -> None:
    found = Held()
    one = sign_in(found)
    assert await one.verify_token(token())
    found.keys.append(jwk("k2"))
    found.open.clear()
    several = [asyncio.create_task(one.verify_token(token(kid="k2"))) for _ in range(3)]
    await settled()
    assert await one.verify_token(token())  # a known key waits for nothing
    found.open.set()
    assert all(await asyncio.gather(*several))
    assert len(found.asked) == 4


async def test_a_key_that_is_gone_is_good_no_more() -> None:
    found, clock = Documents(), Monotonic()
    one = sign_in(found, clock)
    assert await one.verify_token(token())
    found.keys[:] = [jwk("k2")]
    clock.now += FRESH_S + 1
    await one.verify_token(token())
    await settled()
    assert await one.verify_token(token()) is None


async def test_an_issuer_that_took_all_its_keys_back_is_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found, clock = Documents(), Monotonic()
    one = sign_in(found, clock)
    assert await one.verify_token(token())
    found.keys[:] = [{"kty": "oct"}]
    clock.now += WAITED_FOR_S + 1
    assert await one.verify_token(token()) is None
    assert "no key that can be used" in caplog.text


async def test_while_the_issuer_is_away_its_keys_are_good_for_a_day(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found, clock = Documents(), Monotonic()
    one = sign_in(found, clock)
    assert await one.verify_token(token())
    found.away = True
    clock.now += KEPT_S - RETRY_S
    assert await one.verify_token(token())
    asked = len(found.asked)
    assert await one.verify_token(token())  # not asked again at once
    assert len(found.asked) == asked
    clock.now += RETRY_S
    assert await one.verify_token(token())
    await settled()
    assert len(found.asked) > asked
    clock.now += RETRY_S
    with pytest.raises(AwayError):
        await one.verify_token(token())
    assert caplog.text.count("cannot be fetched") == 1
    found.away = False
    clock.now += RETRY_S
    assert await one.verify_token(token())
    assert caplog.text.count("fetched again") == 1


async def test_nobody_waits_for_an_issuer_of_whom_it_is_known_that_it_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(issuer, "_WITHIN_S", 0.05)
    found, clock = Held(), Monotonic()
    one = sign_in(found, clock)
    assert await one.verify_token(token())
    found.open.clear()
    clock.now += WAITED_FOR_S + 1
    assert await one.verify_token(token())  # this one waited, in vain
    clock.now += RETRY_S
    async with asyncio.timeout(0.04):
        assert await one.verify_token(token())
    await one.close()
    await one.close()


async def test_without_any_keys_nothing_can_be_told() -> None:
    found, clock = Documents(), Monotonic()
    found.away = True
    one = sign_in(found, clock)
    for _ in range(3):
        with pytest.raises(AwayError):
            await one.verify_token(token())
    assert len(found.asked) == 1
    assert await one.verify_token("rubbish") is None
    found.away = False
    clock.now += RETRY_S
    assert await one.verify_token(token())
    assert await sign_in(Documents({"kty": "oct"})).verify_token(token()) is None


@pytest.mark.parametrize(
    "more",
    [
        {"issuer": "https://evil.example.org"},
        {"issuer": ISSUER + "/"},
        {"issuer": [ISSUER]},
        {"issuer": None},
        {"jwks_uri": "http://id.example.org/keys"},
        {"jwks_uri": "http://127.0.0.1:8080/keys"},
        {"jwks_uri": "https://localhost/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://user@id.example.org/keys"},
        {"jwks_uri": 5},
        {"jwks_uri": None},
    ],
)
async def test_a_document_that_cannot_be_trusted_gives_no_keys(
    more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = Documents(**more)
    with caplog.at_level(logging.INFO), pytest.raises(AwayError):
        await sign_in(found).verify_token(token())
    assert found.document["jwks_uri"] not in found.asked
    assert "evil" not in caplog.text


async def test_an_issuer_on_this_machine_may_name_an_address_on_it() -> None:
    name = "http://127.0.0.1:8080"

    async def fetch(url: str) -> dict[str, Any]:
        told = {"issuer": name, "jwks_uri": f"{name}/keys"}
        return {"keys": [jwk()]} if url == f"{name}/keys" else told

    assert await Issuer(name, fetch=fetch).keys("k1")


@pytest.mark.parametrize(
    ("name", "places"),
    [
        (
            "https://id.example.org",
            [
                "https://id.example.org/.well-known/oauth-authorization-server",
                "https://id.example.org/.well-known/openid-configuration",
            ],
        ),
        (
            "https://id.example.org/",
            [
                "https://id.example.org/.well-known/oauth-authorization-server",
                "https://id.example.org/.well-known/openid-configuration",
            ],
        ),
        (
            "https://id.example.org:8443/realms/a",
            [
                "https://id.example.org:8443/.well-known/oauth-authorization-server/realms/a",
                "https://id.example.org:8443/.well-known/openid-configuration/realms/a",
                "https://id.example.org:8443/realms/a/.well-known/openid-configuration",
            ],
        ),
    ],
)
def test_where_an_issuer_tells_about_itself(name: str, places: list[str]) -> None:
    assert documents(name) == places


@pytest.mark.parametrize("place", documents(ISSUER))
async def test_any_of_its_documents_will_do(place: str) -> None:
    found = Documents()
    found.place = place
    assert await sign_in(found).verify_token(token())
    assert found.asked[-2] == place
