"""How a request shows its token: one header, one form, and never in the address."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.web.bearer import BearerError, challenge, shown_token
from leyr_mcp.server.web.tokens import LARGEST
from tests.support.tokens import token

GOOD = token().encode()


def shown(*values: bytes, name: bytes = b"authorization", query: bytes = b"") -> str:
    headers = [(b"host", b"x"), *((name, value) for value in values)]
    return shown_token(headers, query)


@pytest.mark.parametrize("kind", [b"Bearer ", b"bearer ", b"BEARER  "])
@pytest.mark.parametrize("name", [b"authorization", b"Authorization"])
def test_the_one_header_gives_the_token(kind: bytes, name: bytes) -> None:
    assert shown(kind + GOOD, name=name, query=b"a=b&token=x") == GOOD.decode()


@pytest.mark.parametrize(
    ("values", "query", "status", "error"),
    [
        ((), b"", 401, None),
        ((b"Bearer " + GOOD, b"Bearer " + GOOD), b"", 400, "invalid_request"),
        ((b"Bearer " + GOOD, b"Basic eDp5"), b"", 400, "invalid_request"),
        ((), b"access_token=" + GOOD, 400, "invalid_request"),
        ((b"Bearer " + GOOD,), b"a=b&access_token=", 400, "invalid_request"),
        ((b"Bearer " + GOOD,), b"Access%5Ftoken=x", 400, "invalid_request"),
        ((b"Basic eDp5",), b"", 401, "invalid_token"),
        ((b"DPoP " + GOOD,), b"", 401, "invalid_token"),
        ((GOOD,), b"", 401, "invalid_token"),
        ((b"Bearer",), b"", 401, "invalid_token"),
        ((b"Bearer ",), b"", 401, "invalid_token"),
        ((b"",), b"", 401, "invalid_token"),
        ((b"Bearer\t" + GOOD,), b"", 401, "invalid_token"),
        ((b"Bearer " + GOOD + b", Bearer " + GOOD,), b"", 401, "invalid_token"),
        ((b"Bearer " + GOOD + b" x",), b"", 401, "invalid_token"),
        ((b"Bearer " + GOOD + b"\n",), b"", 401, "invalid_token"),
        ((b"Bearer \xc3\xb6",), b"", 401, "invalid_token"),
        ((b"Bearer " + b"x" * (LARGEST + 1),), b"", 401, "invalid_token"),
    ],
)
def test_anything_else_is_refused(
    values: tuple[bytes, ...], query: bytes, status: int, error: str | None
) -> None:
    with pytest.raises(BearerError) as refused:
        shown(*values, query=query)
    assert (refused.value.status, refused.value.error) == (status, error)
    assert GOOD.decode() not in repr(refused.value)


@given(st.lists(st.binary(max_size=60), max_size=3), st.binary(max_size=60))
def test_whatever_comes_a_token_or_a_refusal_is_found(values: list[bytes], query: bytes) -> None:
    with suppress(BearerError):
        found = shown(*values, query=query)
        assert found.isascii()
        assert found.isprintable()


def test_the_challenge_says_what_is_needed_and_where_to_read_on() -> None:
    where = "https://mcp.example.org/.well-known/oauth-protected-resource/mcp"
    rest = f'scope="ehr.read", resource_metadata="{where}"'
    assert challenge(where, "ehr.read") == f"Bearer {rest}"
    assert challenge(where, "ehr.read", "x") == f'Bearer error="x", {rest}'
