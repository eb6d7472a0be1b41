"""Uploads over real HTTP: a link is good for one draft, once, for its user, and for a file."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leyr_mcp.server.cli.http import Address, check
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.settings import load
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.web import uploads
from leyr_mcp.server.web.uploads import Links
from tests.support.http_node import PUBLIC, Http, http_node

TOLVAN = "se_personal_number:191212121212"
TEXT = {"content-type": "text/plain"}
BODY = "Mår bra.\n".encode()


async def waiting(at: Http, title: str = "Svar", **claims: Any) -> dict[str, Any]:
    """Return what an attachment without a file is answered."""
    async with at.client(**claims) as client:
        answer = await client.call_tool("attach_document", {"patient_id": TOLVAN, "title": title})
    assert answer.structured_content is not None
    told: dict[str, Any] = answer.structured_content
    assert told["status"] == "awaiting_file"
    assert told["upload"]["url"] in answer.content[0].text  # type: ignore[union-attr]  # a text
    return told


async def put(
    at: Http, url: str, body: Any = BODY, method: str = "PUT", **headers: str
) -> httpx2.Response:
    assert url.startswith(f"{PUBLIC}/uploads/")
    async with at.http(None) as http:
        path = url.removeprefix(PUBLIC)
        return await http.request(method, path, content=body, headers={**TEXT, **headers})


async def left(at: Http) -> list[str]:
    """Return the names of what lies staged."""
    folder = at.app.desk().files._folder
    return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_program_brings_a_file_that_waits_for_a_person_then(
    tmp_path: Path, method: str
) -> None:
    async with http_node(tmp_path) as at:
        told = await waiting(at)
        brought = await put(at, told["upload"]["url"], method=method)
        assert brought.status_code == 200
        assert brought.json() == {
            "draft_id": told["draft_id"],
            "version": 2,
            "status": "awaiting_approval",
            "format": "text/plain",
            "size": len(BODY),
            "sha256": hashlib.sha256(BODY).hexdigest(),
        }
        entry = await at.app.desk().entry(told["draft_id"])
        assert entry.draft.state == "awaiting_approval"
        assert entry.draft.approval_id is None
        again = await put(at, told["upload"]["url"])
        assert (again.status_code, again.json()["error"]["code"]) == (409, "approval_void")
        assert len(await left(at)) == 1


async def test_what_is_refused_leaves_nothing_and_does_not_spend_the_link(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at:
        url = (await waiting(at))["upload"]["url"]
        png = {"content-type": "image/png"}
        tries: list[tuple[Any, dict[str, str], int]] = [
            (b"", {}, 400),
            (b"\x00\x01binary", {}, 400),
            (BODY, png, 400),
            (BODY, {"content-type": "application/zip"}, 415),
            (BODY, {"content-type": ""}, 415),
            (bytes(MAX_BYTES + 1), {}, 413),
            (_chunks(MAX_BYTES + 1), {}, 413),
            (BODY, {"origin": "https://evil.example.org"}, 404),
            (BODY, {"origin": PUBLIC}, 404),
        ]
        for body, headers, status in tries:
            assert (await put(at, url, body, **headers)).status_code == status
            assert await left(at) == []
        assert (await put(at, url, method="GET")).status_code == 405
        assert (await put(at, url, host="evil.example.org")).status_code == 421
        named = {"content-type": "application/octet-stream"}
        named["content-disposition"] = 'attachment; filename="svar.txt"'
        assert (await put(at, url, _chunks(1_000), **named)).status_code == 200


async def _chunks(size: int) -> AsyncIterator[bytes]:
    """Yield text without saying how much it will be."""
    for at in range(0, size, 60_000):
        yield b"x" * min(60_000, size - at)


async def _begun(at: Http, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begin to send a file, and go no further."""
    port = int(at.origin.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = url.removeprefix(PUBLIC)
    head = f"PUT {path} HTTP/1.1\r\nHost: mcp.example.org\r\nContent-Type: text/plain\r\n"
    writer.write(f"{head}Content-Length: 500000\r\n\r\n".encode() + b"x" * 400_000)
    await writer.drain()
    return reader, writer


async def test_one_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at:
        url = (await waiting(at))["upload"]["url"]
        _, writer = await _begun(at, url)
        writer.close()
        async with asyncio.timeout(10):
            while await left(at):  # noqa: ASYNC110 - the file tells by nothing else
                await asyncio.sleep(0.01)
        assert (await put(at, url)).status_code == 200


@asynccontextmanager
async def links() -> AsyncIterator[Links]:
    yield Links(lambda: Keys(bytes(32)), PUBLIC, clock=lambda: datetime.now(UTC))


async def test_a_link_that_was_changed_or_made_elsewhere_is_none(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at:
        told = await waiting(at, sub="dr-ek")
        url = told["upload"]["url"]
        base, _, token = url.rpartition("/")
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        assert b"dr-ek" not in raw
        assert told["draft_id"].encode() not in raw
        entry = await at.app.desk().entry(told["draft_id"])
        who = Who(subject="dr-ek", issuer=at.id.origin)
        other = Links(lambda: Keys(bytes(32)), PUBLIC, clock=lambda: datetime.now(UTC))
        past = datetime.now(UTC) - timedelta(minutes=16)
        stale = Links(at.app.keys, PUBLIC, clock=lambda: past)
        wrong = [
            f"{base}/{token[:-4]}",
            f"{base}/A{token[1:]}",
            f"{base}/",
            f"{base}/é",
            f"{base}/x",
        ]
        wrong += [other.make(entry, who)[0], stale.make(entry, who)[0], f"{base}/{'A' * 4_000}"]
        for one in wrong:
            assert (await put(at, one)).status_code == 404
        foreign, _ = Links(at.app.keys, PUBLIC, clock=lambda: datetime.now(UTC)).make(
            entry, Who(subject="dr-al", issuer=at.id.origin)
        )
        assert (await put(at, foreign)).status_code == 404
        assert (await at.app.desk().entry(told["draft_id"])).draft.state == "awaiting_file"


async def test_a_draft_that_was_taken_back_takes_no_file(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at:
        told = await waiting(at)
        async with at.client() as client:
            await client.call_tool("discard_draft", {"draft_id": told["draft_id"]})
        assert (await put(at, told["upload"]["url"])).status_code == 409
        assert await left(at) == []


async def test_of_two_at_once_one_counts(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at:
        url = (await waiting(at))["upload"]["url"]
        told = await asyncio.gather(*(put(at, url, f"Fil {n}.".encode()) for n in range(4)))
        assert sorted(one.status_code for one in told) == [200, 409, 409, 409]
        assert len(await left(at)) == 1


async def test_too_many_are_told_when_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "OF_ONE_USER", 0)
    async with http_node(tmp_path) as at:
        told = await put(at, (await waiting(at))["upload"]["url"])
        assert (told.status_code, told.headers["retry-after"]) == (503, "2")
        assert told.json()["error"]["code"] == "busy"


async def test_one_that_takes_too_long_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FILE_WITHIN_S", 0.2)
    async with http_node(tmp_path) as at:
        url = (await waiting(at))["upload"]["url"]
        reader, writer = await _begun(at, url)
        async with asyncio.timeout(10):
            told = await reader.read()  # until the node closes
        writer.close()
        assert told.startswith(b"HTTP/1.1 408")
        assert await left(at) == []
        assert (await put(at, url)).status_code == 200


async def test_no_link_lets_anybody_approve_or_read(tmp_path: Path) -> None:
    async with http_node(tmp_path, LEYR_MCP_PAGE_CLIENT_ID="page") as at:
        url = (await waiting(at))["upload"]["url"]
        token = url.rpartition("/")[2]
        own = {"origin": PUBLIC, "content-type": "application/json"}
        async with at.http(None, **own, cookie=f"__Host-leyr-mcp={token}") as http:
            assert (await http.post("/review/api/queue", content="{}")).status_code == 401
        assert "Tolvan" not in (await put(at, url)).text
        assert json.loads((await put(at, url)).text)["error"]


def test_a_folder_of_the_server_is_nobodys_over_http(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LEYR_MCP_ROOTS"):
        check(load({"LEYR_MCP_ROOTS": str(tmp_path)}), Address("127.0.0.1", 80))
