"""A node over real HTTP: who gets in, what each user may do and see, and what is too much."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client

from leyr_mcp.server.cli.http import Address, address, check
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.limits import PER_MINUTE
from leyr_mcp.server.settings import load
from leyr_mcp.server.web import node
from tests.support.http_node import KEY, PUBLIC, http_node

TOLVAN = "se_personal_number:191212121212"
both_eras = pytest.mark.parametrize("mode", ["auto", "legacy"])
LEYR = {"LEYR_CLIENT_ID": "a", "LEYR_CLIENT_SECRET": "b", "LEYR_EMR": "webdoc"}


@both_eras
async def test_somebody_who_signed_in_works_in_both_eras(tmp_path: Path, mode: Any) -> None:
    async with http_node(tmp_path) as at, at.client(mode) as client:
        found = await client.call_tool("find_patient", {"last_name": "Tolvansson"})
        assert found.structured_content is not None
        patient = found.structured_content["patients"][0]["patient_id"]
        given = {"patient_id": patient, "title": "Besök", "content": "Mår bra.", "draft": True}
        drafted = await client.call_tool("write_note", given)
        assert drafted.structured_content is not None
        known = {"draft_id": drafted.structured_content["draft_id"]}
        read = await client.call_tool("get_draft", known)
        assert read.structured_content is not None
        assert read.structured_content["status"] == "draft"
        discarded = await client.call_tool("discard_draft", known)
        assert not discarded.is_error


async def test_without_a_token_it_is_said_where_to_get_one(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at:
        answer = await at.rpc(None)
        assert answer.status_code == 401
        told = answer.headers["www-authenticate"]
        assert 'scope="ehr.read"' in told
        place = f"{PUBLIC}/.well-known/oauth-protected-resource/mcp"
        assert f'resource_metadata="{place}"' in told
        async with at.http(None) as http:
            document = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
        assert document["resource"] == f"{PUBLIC}/mcp"
        assert document["authorization_servers"] == [at.id.origin]
        assert "ehr.file" in document["scopes_supported"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"aud": "https://other.example.org/mcp"}, 401),
        ({"aud": None}, 401),
        ({"iss": "https://evil.example.org"}, 401),
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"nbf": 4_000_000_000}, 401),
        ({"sub": None}, 401),
        ({"scope": "openid"}, 403),
        ({"scope": "ehr.draft ehr.file"}, 403),
    ],
)
async def test_a_token_decides(tmp_path: Path, changes: dict[str, Any], status: int) -> None:
    async with http_node(tmp_path) as at:
        answer = await at.rpc(at.id.token(**changes))
        assert answer.status_code == status
        if status == 401:
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        if status == 403:
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer {good}"), ("authorization", "Bearer {good}")],
        [("authorization", "Basic {good}")],
        [("authorization", "{good}")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer {good} {good}")],
    ],
)
async def test_a_header_that_is_none_lets_nobody_in(
    tmp_path: Path, headers: list[tuple[str, str]]
) -> None:
    async with http_node(tmp_path) as at:
        good = at.id.token()
        sent = [("host", "mcp.example.org")]
        sent += [(name, value.replace("{good}", good)) for name, value in headers]
        async with httpx2.AsyncClient(base_url=at.origin, trust_env=False) as http:
            answer = await http.post("/mcp", json={}, headers=sent)
        assert answer.status_code in (400, 401)


async def test_a_token_in_the_address_is_refused(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at, at.http(at.id.token()) as http:
        answer = await http.post(f"/mcp?access_token={at.id.token()}", json={})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example.org"}, 421),
        ({"host": "mcp.example.org:1"}, 421),
        ({"host": "mcp.example.org.evil.example"}, 421),
        ({"host": "localhost"}, 421),
        ({"origin": "https://evil.example.org"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://app.example.org.evil.example"}, 403),
        ({"origin": "https://app.example.org"}, 200),
    ],
)
async def test_a_foreign_name_or_page_is_turned_away(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async with http_node(tmp_path, LEYR_MCP_ALLOWED_ORIGINS="https://app.example.org") as at:
        assert (await at.rpc(at.id.token(), **headers)).status_code == status


async def test_what_a_scope_does_not_allow_is_neither_listed_nor_done(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at:
        async with at.client(scope="ehr.read") as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert "find_patient" in names
            assert not names & {"write_note", "file_drafts", "book_appointment"}
            given = {"patient_id": TOLVAN, "title": "x", "content": "y"}
            refused = await client.call_tool("write_note", given)
            assert refused.is_error
            assert "scope_missing" in refused.content[0].text  # type: ignore[union-attr]  # a text
        async with at.client(scope="ehr.read ehr.draft") as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert "write_note" in names
            assert "file_drafts" not in names


@pytest.mark.parametrize(
    "other", [{"sub": "dr-al"}, {"leyr_tenant": "söder"}, {"leyr_tenant": "norr", "sub": "dr-ek:"}]
)
async def test_no_user_sees_what_is_anothers(tmp_path: Path, other: dict[str, str]) -> None:
    own = {"sub": "dr-ek", "leyr_tenant": "norr"}
    async with http_node(tmp_path) as at:
        async with at.client(**own) as client:
            given = {"patient_id": TOLVAN, "title": "Canary", "content": "Canary.", "draft": True}
            drafted = await client.call_tool("write_note", given)
            assert drafted.structured_content is not None
            known = {"draft_id": drafted.structured_content["draft_id"]}
        async with at.client(**{**own, **other}) as client:
            for tool in ("get_draft", "discard_draft"):
                refused = await client.call_tool(tool, known)
                unknown = await client.call_tool(tool, {"draft_id": "d_none"})
                assert refused.is_error
                assert "not_found" in refused.content[0].text  # type: ignore[union-attr]
                assert _without_ref(refused) == _without_ref(unknown)
            listed = await client.call_tool("list_drafts", {})
            assert "Canary" not in json.dumps(listed.structured_content)
            filed = await client.call_tool("file_drafts", {"draft_ids": [known["draft_id"]]})
            assert filed.is_error
        async with at.client(**own) as client:
            assert not (await client.call_tool("get_draft", known)).is_error


async def test_the_table_of_users_gives_place_author_and_role(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text(
        json.dumps(
            {
                "dr-ek": {"author_id": "1022", "care_units": ["L0_1"]},
                "desk": {"role": "front-desk"},
            }
        )
    )
    users.chmod(0o600)
    async with http_node(tmp_path, LEYR_MCP_USERS_FILE=str(users)) as at:
        async with at.client(sub="dr-ek") as client:
            units = await client.call_tool("list_care_units", {})
            assert units.structured_content is not None
            assert [u["care_unit_id"] for u in units.structured_content["care_units"]] == ["L0_1"]
            other = {"last_name": "Tolvansson", "care_unit_id": "L0_2"}
            assert (await client.call_tool("find_patient", other)).is_error
            given = {"patient_id": TOLVAN, "title": "x", "content": "Mår bra.", "draft": True}
            drafted = await client.call_tool("write_note", given)
            assert drafted.structured_content is not None
            entry = await at.app.desk().entry(drafted.structured_content["draft_id"])
            assert entry.payload.author == "1022"
            assert entry.draft.principal == f"{at.id.origin}:dr-ek"
        async with at.client(sub="desk") as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert not names & {"list_notes", "get_note", "write_note", "list_documents"}
            refused = await client.call_tool("list_notes", {"patient_id": TOLVAN})
            assert refused.is_error
        async with at.client(sub="somebody else") as client:
            units = await client.call_tool("list_care_units", {})
            assert units.structured_content is not None
            assert units.structured_content["care_units"] == []
            for more in ({}, {"care_unit_id": "L0_1"}):
                other = {"last_name": "Tolvansson", **more}
                assert (await client.call_tool("find_patient", other)).is_error


async def test_while_the_issuer_is_away_it_is_said_when_to_come_again(tmp_path: Path) -> None:
    away = "http://127.0.0.1:9"
    async with http_node(tmp_path, LEYR_MCP_AUTH_ISSUER=away) as at:
        answer = await at.rpc(at.id.token())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
        assert (await at.rpc("rubbish")).status_code == 401


async def test_too_many_calls_are_refused_with_when_to_come_again(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at, at.client() as client:
        codes = []
        for _ in range(PER_MINUTE["searches"] + 3):
            found = await client.call_tool("find_patient", {"last_name": "Tolvansson"})
            error = (found.meta or {}).get("leyr-mcp/error")
            codes.append(error["code"] if error else None)
        assert codes[: PER_MINUTE["searches"]] == [None] * PER_MINUTE["searches"]
        assert codes[-1] == "rate_limited"
        assert error
        assert 0 < error["retry_after_s"] <= 3.0
        async with at.client(sub="dr-al") as other:
            assert not (await other.call_tool("find_patient", {"last_name": "x"})).is_error


async def test_a_body_that_is_too_long_or_too_slow_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "BODY_WITHIN_S", 0.2)
    async with http_node(tmp_path) as at:
        async with at.http(at.id.token()) as http:
            answer = await http.post("/mcp", content=b"x" * (node.LARGEST + 1))
            assert answer.status_code == 413

            async def endless() -> AsyncIterator[bytes]:
                while True:
                    yield b" " * 65_536

            with suppress(httpx2.TransportError):  # it stopped listening
                assert (await http.post("/mcp", content=endless())).status_code == 413
        port = int(at.origin.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            "POST /mcp HTTP/1.1\r\nHost: mcp.example.org\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {at.id.token()}\r\nContent-Length: 100\r\n\r\n{{"
        )
        writer.write(head.encode())
        async with asyncio.timeout(10):
            line = await reader.readline()
        assert b" 408 " in line
        writer.close()


async def test_more_than_a_node_can_hold_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "MOST_AT_ONCE", 0)
    async with http_node(tmp_path) as at:
        answer = await at.rpc(at.id.token())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["error"]["code"] == "busy"


async def test_health_is_told_to_anybody_and_holds_nothing(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at, at.http(None, host="10.0.0.1") as http:
        assert (await http.get("/healthz")).json() == {"ok": True}
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        assert ready.json() == {"ok": True, "drafts": {"unknown": 0, "needs_human": 0}}
        assert (await http.get("/")).status_code == 421


async def test_the_token_reaches_neither_the_tools_nor_the_store_nor_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with http_node(tmp_path) as at:
        bearer = at.id.token()
        answer = await at.rpc(
            bearer, "tools/call", {"name": "find_patient", "arguments": {"last_name": "Tolvansson"}}
        )
        assert answer.status_code == 200
        asked = at.app.sandbox.open().control.requests.entries  # type: ignore[union-attr]  # Leyr's
        assert asked
        for entry in asked:
            assert bearer not in json.dumps(entry.headers)
            assert "authorization" not in entry.headers
        assert bearer not in caplog.text
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert bearer.encode() not in path.read_bytes()


async def test_the_sandbox_on_loopback_asks_nobody_to_sign_in(tmp_path: Path) -> None:
    nobody = {"LEYR_MCP_AUTH_ISSUER": "", "LEYR_MCP_PUBLIC_URL": ""}
    async with http_node(tmp_path, **nobody) as at, Client(f"{at.origin}/mcp") as client:
        assert len((await client.list_tools()).tools) == 17


async def test_without_sign_in_only_pages_of_this_machine_may_speak_to_it(tmp_path: Path) -> None:
    nobody = {"LEYR_MCP_AUTH_ISSUER": "", "LEYR_MCP_PUBLIC_URL": ""}
    async with http_node(tmp_path, **nobody) as at:
        port = at.origin.rpartition(":")[2]
        for origin, status in (
            (at.origin, 200),
            (f"http://localhost:{port}", 200),
            ("http://localhost:1", 403),
            ("https://evil.example.org", 403),
        ):
            answer = await at.rpc(None, origin=origin, host=f"localhost:{port}")
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("environ", "at", "said"),
    [
        ({}, "0.0.0.0:80", "LEYR_MCP_AUTH_ISSUER"),
        ({}, "10.0.0.1:80", "LEYR_MCP_AUTH_ISSUER"),
        ({**LEYR, "LEYR_MCP_DATA_KEY": KEY}, "127.0.0.1:80", "LEYR_MCP_AUTH_ISSUER"),
        (LEYR, "127.0.0.1:80", "LEYR_MCP_DATA_KEY"),
        ({"LEYR_MCP_AUTH_ISSUER": "https://id.example.org"}, "127.0.0.1:80", "LEYR_MCP_PUBLIC_URL"),
    ],
)
def test_it_does_not_start_where_anybody_could_get_in(
    environ: dict[str, str], at: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check(load(environ), address(at))
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8000", Address("127.0.0.1", 8000)),
        ("localhost:1", Address("localhost", 1)),
        ("[::1]:9", Address("::1", 9)),
    ],
)
def test_an_address_in_every_form(text: str, found: Address) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "x", "a:b", "1:99999", "1:-1"])
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser of options words it
        address(text)


def _without_ref(result: Any) -> str:
    text: str = result.content[0].text
    return text.partition("(ref")[0]
