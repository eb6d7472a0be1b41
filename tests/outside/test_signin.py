"""Tokens of an issuer that is not ours: a certified OpenID provider, asked as programs ask it.

It is found by its name alone, signs by each algorithm, changes its keys and goes away.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from leyr_mcp.server.web.issuer import AwayError, Issuer
from leyr_mcp.server.web.signin import SignIn
from tests.outside.programs import Outside
from tests.outside.provider import Provider, providing
from tests.support.http_node import PUBLIC, http_node

RESOURCE = f"{PUBLIC}/mcp"


@pytest.fixture(scope="module")
def provider(outside: Outside) -> Iterator[Provider]:
    with providing(outside, RESOURCE) as found:
        yield found


def sign_in(provider: Provider) -> SignIn:
    return SignIn(Issuer(provider.issuer), RESOURCE)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_its_tokens_are_believed(provider: Provider, alg: str) -> None:
    found = await sign_in(provider).verify_token(await provider.token(alg))
    assert found
    assert (found.subject, found.client_id, found.resource) == (alg, alg, RESOURCE)
    assert found.scopes == ["ehr.read", "ehr.draft"]
    assert found.claims
    assert (found.claims["iss"], found.claims["leyr_author_id"]) == (provider.issuer, "1021")


@pytest.mark.parametrize(
    ("client", "resource"),
    [("RS256", "https://other.example.org/mcp"), ("long", RESOURCE), ("opaque", RESOURCE)],
)
async def test_a_token_for_another_server_or_of_another_kind_is_not(
    provider: Provider, client: str, resource: str
) -> None:
    token = await provider.token(client, resource=resource)
    assert await sign_in(provider).verify_token(token) is None


async def test_an_issuer_of_another_name_at_the_same_place_is_not(provider: Provider) -> None:
    token = await provider.token()
    for name in (f"{provider.issuer}/", provider.issuer.replace("127.0.0.1", "localhost")):
        with pytest.raises(AwayError):
            await SignIn(Issuer(name), RESOURCE).verify_token(token)


async def test_other_keys_count_at_once_and_those_before_no_more(provider: Provider) -> None:
    one, before = sign_in(provider), await provider.token()
    assert await one.verify_token(before)
    provider.change_keys()
    assert await one.verify_token(await provider.token())
    assert await one.verify_token(before) is None


async def test_while_it_is_away_its_tokens_are_believed(outside: Outside) -> None:
    with providing(outside, RESOURCE) as provider:
        one, token = sign_in(provider), await provider.token()
        assert await one.verify_token(token)
    assert await one.verify_token(token)
    with pytest.raises(AwayError):
        await sign_in(provider).verify_token(token)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_program_works_through_a_node_within_its_scope(
    provider: Provider, tmp_path: Path, mode: Any
) -> None:
    token = await provider.token("ES256", scope="ehr.read")
    async with http_node(tmp_path, LEYR_MCP_AUTH_ISSUER=provider.issuer) as at:
        assert (await at.rpc(await provider.token(scope="ehr.draft"))).status_code == 403
        assert (await at.rpc(token[:-4] + "AAAA")).status_code == 401
        async with at.http(token) as http:
            transport = streamable_http_client(f"{at.origin}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                names = {tool.name for tool in (await client.list_tools()).tools}
                assert "find_patient" in names
                assert "write_note" not in names
                found = await client.call_tool("find_patient", {"last_name": "Tolvansson"})
                assert not found.is_error
