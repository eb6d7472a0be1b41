"""Giving a draft its file on the review page: who may, what is taken, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.filing.entries import Entry
from leyr_mcp.server.filing.payloads import DocumentItem
from leyr_mcp.server.web import asgi
from tests.server.web.test_review_wire import events
from tests.support.mcp_session import TOLVAN
from tests.support.review_page import (
    ASSISTANT,
    PHRASE,
    Browser,
    Desk,
    browser,
    clinic_desk,
    decided,
    sandbox_desk,
    seen,
)

NOTES = b"Blodtryck 134/82.\n"
BYTES = {"content-type": "application/octet-stream"}


async def waiting(desk: Desk, **more: Any) -> Entry:
    """Return a document whose file a person is yet to choose."""
    return await desk.stage(DocumentItem(title="Remiss"), **more)


async def give(
    web: Browser, entry: Entry, raw: Any = NOTES, name: str = "notes.txt", **changes: Any
) -> httpx2.Response:
    """Send a file as the page does."""
    asked = {**seen(entry), "name": name, **changes.pop("asked", {})}
    headers = {
        "origin": web.origin,
        "sec-fetch-site": "same-origin",
        "x-file-for": quote(json.dumps(asked)),
        **BYTES,
    }
    headers |= {key.replace("_", "-"): value for key, value in changes.items()}
    return await web.http.post(f"{web.base}api/file", content=raw, headers=headers)


def stored(desk: Desk) -> list[bytes]:
    """Return what this patient's documents of these tests hold."""
    found = desk.box.control.documents(TOLVAN)
    return [document.content for document in found if document.title == "Remiss"]


def staged(desk: Desk) -> list[str]:
    """Return what lies staged."""
    folder = desk.app.desk().files._folder
    return [path.name for path in folder.iterdir()] if folder.exists() else []


async def test_a_file_is_given_read_and_approved(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await waiting(desk)
        queue = await web.ask("queue")
        (row,) = queue["patients"][0]["drafts"]
        assert (row["wants_file"], row["decidable"], row["tone"]) == (True, False, "ask")
        answer = await give(web, entry)
        assert answer.status_code == 200, answer.text
        shown = answer.json()["draft"]
        facts = {fact["label"]: fact["value"] for fact in shown["facts"]}
        assert facts["File"] == "plain text, 18 bytes (text/plain)"
        assert facts["File name"] == "notes.txt"
        assert shown["texts"] == [{"label": "Beginning as text", "value": NOTES.decode()}]
        assert shown["status"]["state"] == "awaiting_approval"
        assert desk.box.control.documents(TOLVAN) == [] or stored(desk) == []
        now = await desk.app.desk().entry(entry.id)
        assert (await web.approve(now, phrase=PHRASE))["done"]
        filed = await desk.app.desk().outcome(now, 10.0)
        assert (filed.draft.state, filed.draft.verified) == ("filed", "equal")
        assert stored(desk) == [NOTES]
        assert staged(desk) == []


async def test_the_same_call_finds_the_draft_whose_file_was_given() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await waiting(desk)
        await give(web, entry)
        again = await waiting(desk)
        assert (again.id, again.draft.state) == (entry.id, "awaiting_approval")


async def test_a_file_that_was_attached_before_is_marked() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        first, second = await waiting(desk), await waiting(desk, key="k2")
        await give(web, first)
        answer = await give(web, second)
        codes = [check["code"] for check in answer.json()["draft"]["checks"]]
        assert codes == ["same_before"]


@pytest.mark.parametrize(
    ("name", "raw", "status", "code"),
    [
        ("notes", NOTES, 400, "file_type"),
        ("notes.pdf", NOTES, 400, "file_type"),
        ("notes.txt", b"", 400, "file_type"),
        ("notes.txt", b"a\0", 400, "file_type"),
        ("notes.txt", bytes(MAX_BYTES + 1), 413, "file_too_large"),
        ("notes.exe", bytes(2 * MAX_BYTES), 400, "file_type"),
        ("n" * 256 + ".txt", NOTES, 400, "invalid_argument"),
        ("", NOTES, 400, "invalid_argument"),
    ],
    ids=["no ending", "pdf", "empty", "nul", "too large", "much too large", "long name", "no name"],
)
async def test_what_is_not_taken_is_told_and_the_draft_still_waits(
    name: str, raw: bytes, status: int, code: str
) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await waiting(desk)
        answer = await give(web, entry, raw, name)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert staged(desk) == []
        assert (await desk.app.desk().entry(entry.id)).draft.state == "awaiting_file"
        assert (await give(web, entry)).status_code == 200


async def test_a_large_file_arrives_whole() -> None:
    raw = ("rad\n" * (MAX_BYTES // 4)).encode()
    async with sandbox_desk() as desk, browser(desk) as web:
        answer = await give(web, await waiting(desk), raw)
        assert answer.status_code == 200, answer.text
        assert "20,971,520 bytes" in answer.text


@pytest.mark.parametrize(
    "asked", [{"version": 2}, {"digest": "0" * 64}, {"draft_id": "d_nothing"}, {"extra": 1}]
)
async def test_a_file_for_another_version_is_not_taken(asked: dict[str, Any]) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await waiting(desk)
        answer = await give(web, entry, asked=asked)
        assert answer.status_code in (400, 404, 409)
        assert staged(desk) == []
        assert (await desk.app.desk().entry(entry.id)).draft.state == "awaiting_file"


async def test_a_draft_that_waits_for_no_file_takes_none() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        note, given = await desk.note(), await waiting(desk)
        assert (await give(web, note)).status_code == 409
        await give(web, given)
        now = await desk.app.desk().entry(given.id)
        assert (await give(web, now)).status_code == 409
        with pytest.raises(Exception, match="waits for no file"):
            await desk.app.context.attaching.give(now, "notes.txt", empty(), None)  # type: ignore[arg-type]  # never asked


async def empty() -> AsyncIterator[bytes]:
    """Give nothing."""
    return
    yield b""


async def test_a_file_that_comes_when_the_draft_was_decided_on_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await waiting(desk)
        edit = desk.app.desk().edit

        async def late(*given: Any) -> Any:
            await desk.app.desk().withdraw(entry.id, ASSISTANT)
            return await edit(*given)

        monkeypatch.setattr(desk.app.desk(), "edit", late)
        assert (await give(web, entry)).status_code == 409
        assert staged(desk) == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"content_type": "application/json"}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"x_file_for": "no json"}, 400),
        ({"x_file_for": "%5B%5D"}, 400),
        ({"x_file_for": ""}, 400),
    ],
)
async def test_only_the_page_itself_gives_a_file(changes: dict[str, str], status: int) -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        answer = await give(web, await waiting(desk), **changes)
        assert answer.status_code == status
        assert staged(desk) == []
        tried = await events(desk)
    assert tried == ([("invalid_argument", "foreign_origin")] if status == 403 else [])


async def test_it_is_asked_for_by_post_alone() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        assert (await web.http.get(f"{web.base}api/file")).status_code == 405


async def test_a_body_that_breaks_off_leaves_nothing() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await waiting(desk)

        async def half() -> AsyncIterator[bytes]:
            yield NOTES
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await give(web, entry, half())
        await desk.app.page().close()
        assert staged(desk) == []
        assert (await desk.app.desk().entry(entry.id)).draft.state == "awaiting_file"


async def test_a_body_that_drips_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "FILE_WITHIN_S", 0.2)
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await waiting(desk)

        async def slowly() -> AsyncIterator[bytes]:
            yield NOTES
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.5)
            yield NOTES

        answer = await give(web, entry, slowly())
        assert answer.status_code == 408
        assert staged(desk) == []


async def test_a_draft_without_its_file_can_be_declined_and_not_approved() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await waiting(desk)
        refused = (await web.ask("decide", decided(entry)))["results"][0]
        assert not refused["done"]
        declined = (await web.ask("decide", decided(entry, approve=False)))["results"][0]
        assert declined["done"]
        assert (await desk.app.desk().entry(entry.id)).draft.state == "declined"


async def test_the_title_of_a_document_can_be_edited() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await waiting(desk)
        await give(web, entry)
        now = await desk.app.desk().entry(entry.id)
        answer = await web.ask("edit", {**seen(now), "title": " Svar\u200b "})
        assert (answer["draft"]["title"], answer["removed"]) == ("Svar", 1)
        after = await desk.app.desk().entry(entry.id)
        assert after.payload.item.sha256 == now.payload.item.sha256  # type: ignore[union-attr]  # a document
        assert after.shown.attached == now.shown.attached
        assert (await web.refused("edit", {**seen(after), "title": "\n"}))[0] == 400
        assert (await web.refused("edit", {**seen(after), "comment": "x"}))[0] == 400
