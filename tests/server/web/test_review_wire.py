"""Who may speak to the review page, over a real socket, and what goes over the wire."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from leyr_mcp.server.web.asgi import LARGEST
from leyr_mcp.server.web.page import page
from tests.support.review_page import (
    PHRASE,
    Desk,
    browser,
    clinic_desk,
    decided,
    sandbox_desk,
)

ACTIONS = ["queue", "drafts", "states", "decide", "edit", "resolve"]


async def events(desk: Desk, name: str = "approve") -> list[tuple[str | None, str | None]]:
    """Return error and cause of each event of that name."""
    from leyr_mcp.server.filing.audit import parsed, rows  # noqa: PLC0415 - this helper's own

    store, _ = await desk.app.journal.opened()
    found = [parsed(row) or {} async for _, row in rows(store)]
    return [(e.get("error"), e.get("cause")) for e in found if e["event"] == name]


async def test_address_holds_a_secret_and_no_patient() -> None:
    async with sandbox_desk() as desk:
        entry = await desk.note()
        url = await desk.url(entry.id)
        assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/[A-Za-z0-9_-]{{32}}/#{entry.id}", url)
        assert await desk.app.context.review_url(entry.id) == url
    async with sandbox_desk() as other:
        assert urlsplit(await other.url()).path != urlsplit(url).path


async def test_document_is_whole_and_runs_nothing_but_its_own() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        answer = await web.http.get(web.base)
    assert answer.status_code == 200
    policy = dict(
        part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
    )
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        (part,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    for directive in ("default-src", "form-action", "base-uri", "frame-ancestors"):
        assert policy[directive] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert re.search(r"https?://", answer.text) is None  # nothing from elsewhere


def test_script_never_reads_html() -> None:
    text = page().body.decode()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", text
    )


async def test_document_may_be_linked_to_but_not_embedded() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        linked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        one = await web.http.get(web.base, headers=linked | {"sec-fetch-dest": "document"})
        other = await web.http.get(web.base, headers=linked | {"sec-fetch-dest": "iframe"})
        head = await web.http.head(web.base)
        posted = await web.http.post(web.base, json={})
    assert (one.status_code, other.status_code, posted.status_code) == (200, 403, 405)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/", "/x/", "/favicon.ico", "/{short}/", "/{token}", "/{token}x/"]
)
async def test_without_the_secret_there_is_nothing(path: str) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        token = urlsplit(web.base).path.strip("/")
        at = path.replace("{token}", token).replace("{short}", token[:-1])
        found = await web.http.get(f"{web.origin}{at}")
        posted = await web.http.post(f"{web.origin}{at}api/queue", json={})
    assert (found.status_code, posted.status_code) == (404, 404)


@pytest.mark.parametrize("path", ["api/", "api/nothing", "api/queue/", "other/queue", "api"])
async def test_below_the_secret_only_the_actions_are(path: str) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        found = await web.http.post(f"{web.base}{path}", json={}, headers={"origin": web.origin})
    assert found.status_code == 404


@pytest.mark.parametrize("action", ACTIONS)
async def test_actions_are_posted(action: str) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        found = await web.http.get(f"{web.base}api/{action}")
    assert found.status_code == 405


@pytest.mark.parametrize(
    "host", ["example.com", "127.0.0.1", "127.0.0.1:1", "localhost", "127.0.0.1.example.com:{port}"]
)
async def test_another_host_is_refused(host: str) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        port = str(urlsplit(web.base).port)
        named = {"host": host.replace("{port}", port)}
        found = await web.http.get(web.base, headers=named)
        posted = await web.post("queue", **named)
    assert (found.status_code, posted.status_code) == (403, 403)


async def test_localhost_is_this_machine_too() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        host = f"localhost:{urlsplit(web.base).port}"
        own = await web.post("queue", host=host, origin=f"http://{host}")
        mixed = await web.post("queue", host=host)
    assert (own.status_code, mixed.status_code) == (200, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("action", ACTIONS)
async def test_only_the_page_itself_may_ask(action: str, headers: dict[str, str]) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await desk.note()
        body = decided(entry) if action == "decide" else {}
        status, told = await web.refused(action, body, **headers)
        now = await desk.app.desk().entry(entry.id)
        stored = await events(desk)
    assert (status, told) == (403, "Only the page itself may ask this.")
    assert now.draft.state == "awaiting_approval"
    decides = action in ("decide", "edit", "resolve")
    assert stored == ([("invalid_argument", "foreign_origin")] if decides else [])


async def test_no_origin_is_no_page() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        found = await web.http.post(f"{web.base}api/queue", json={})
    assert found.status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
async def test_only_json_is_taken(kind: str) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        status, _ = await web.refused("queue", content_type=kind)
    assert status == 415


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
async def test_what_is_no_object_is_refused(body: bytes) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        headers = {"origin": web.origin, "content-type": "application/json"}
        found = await web.http.post(f"{web.base}api/queue", content=body, headers=headers)
    assert found.status_code == 400


async def test_a_body_is_bounded_however_it_comes() -> None:
    async def pieces() -> object:
        for _ in range(9):
            yield b" " * (LARGEST // 8)

    async with sandbox_desk() as desk, browser(desk) as web:
        headers = {"origin": web.origin, "content-type": "application/json"}
        at = f"{web.base}api/queue"
        whole = await web.http.post(at, content=b" " * (LARGEST + 1), headers=headers)
        chunked = await web.http.post(at, content=pieces(), headers=headers)  # type: ignore[arg-type]  # an async iterator
        fits = await web.http.post(at, content=b"{" + b" " * (LARGEST - 2) + b"}", headers=headers)
    assert (whole.status_code, chunked.status_code, fits.status_code) == (413, 413, 200)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("queue", {"more": 1}),
        ("drafts", {}),
        ("drafts", {"draft_ids": ["../x"]}),
        ("drafts", {"draft_ids": "d_x"}),
        ("states", {"draft_ids": ["d_" + "x" * 41]}),
        ("decide", {"decisions": []}),
        ("decide", {"decisions": [{"draft_id": "d_canary", "approve": True}]}),
        ("decide", {"decisions": [{"draft_id": "d_x", "version": 1, "digest": "", "approve": 1}]}),
        ("edit", {"draft_id": "d_x", "version": "canary", "digest": ""}),
        ("resolve", {"draft_id": "d_x", "version": 1, "digest": "", "how": "canary"}),
    ],
)
async def test_a_request_in_another_form_is_refused_without_its_values(
    action: str, body: dict[str, object]
) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        status, told = await web.refused(action, body)
    assert status == 400
    assert "canary" not in told


async def test_nothing_of_a_patient_in_logs_or_headers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("leyr_mcp", "uvicorn", "uvicorn.access", "uvicorn.error", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note("Canary text", title="Canary title")
        caplog.clear()
        answers = [
            await web.post("queue"),
            await web.post("drafts", {"draft_ids": [entry.id]}),
            await web.post("decide", decided(entry, phrase="canary phrase")),
            await web.post("decide", decided(entry)),
            await web.post("decide", {"decisions": "canary"}),
        ]
        await desk.app.desk().outcome(entry, 10.0)
        token = urlsplit(web.base).path.strip("/")
    assert [answer.status_code for answer in answers] == [200, 200, 403, 200, 400]
    logged = "\n".join(
        f"{record.getMessage()} {record.exc_text or ''}"
        for record in caplog.records
        if not record.name.startswith(("httpx2", "httpcore2"))  # this test's own client
    )
    headers = "\n".join(f"{answer.headers} {answer.url}" for answer in answers)
    for secret in ("anary", "Tolvan", "1912", PHRASE):
        assert secret not in logged
        assert secret not in headers
    assert token not in logged


async def test_served_from_the_first_time_on_and_freed_at_the_end() -> None:
    async with sandbox_desk() as desk:
        assert desk.app.page._page is None
        first, second = await asyncio.gather(desk.url(), desk.url())
        assert first == second
        port = urlsplit(first).port or 0
        async with httpx2.AsyncClient(trust_env=False) as http:
            assert (await http.get(first)).status_code == 200
            await desk.app.page.close()
            assert await desk.app.page.url("d_x") is None
            with pytest.raises(httpx2.HTTPError):
                await http.get(first)
    with socket.create_server(("127.0.0.1", port)):  # nobody holds it any more
        pass
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_connection_that_says_nothing_does_not_hold_up_the_end() -> None:
    async with sandbox_desk() as desk:
        port = urlsplit(await desk.url()).port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\n")
        await writer.drain()
        await desk.app.page.close()
        writer.close()


async def test_without_a_port_a_draft_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError

    async with sandbox_desk() as desk:
        monkeypatch.setattr(socket, "create_server", none_left)
        assert await desk.app.context.review_url("d_x") is None


def test_a_server_that_only_reads_loads_no_web_server() -> None:
    code = (
        "import sys, leyr_mcp.server.cli.serve;"
        "print([m for m in sys.modules if m.startswith(('uvicorn', 'leyr_mcp.server.web'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "leyr_mcp.server.web" not in found.stdout
    assert "uvicorn.protocols" not in found.stdout
