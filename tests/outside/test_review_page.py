"""The review page in a real browser: what a person sees and does, and what a stranger cannot.

Pictures of what the page showed are left in `.work/outside/screens`.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.filing.payloads import DocumentItem, NoteItem
from tests.outside.programs import HERE, WORK, Outside
from tests.support.mcp_session import TOLVAN
from tests.support.review_page import ASSISTANT, PHRASE, Desk, clinic_desk, sandbox_desk
from tests.support.said import left_in_english

SCREENS = Path(os.environ.get("REVIEW_SHOTS") or WORK / "screens")
OTHER = "198001022386"
SAMPLES = HERE.parent.parent / "sandbox" / "samples"
HOSTILE = (
    '<img src=x onerror="document.title=1"><script>document.title=2</script>\n'
    "<b>bold</b> [link](javascript:alert(1)) " + "W" * 300
)
LINES = (
    "Patienten söker för hosta sedan två veckor.\n\nStatus: Lungor ua. CRP <5.\nPlan: Åter vid {}."
)


@pytest.fixture(autouse=True, scope="module")
def _screens() -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)


async def visit(outside: Outside, desk: Desk, scenario: str, *entries: Entry, **given: Any) -> Any:
    """Have a browser go through a scenario; return what it saw."""
    needs = {"ids": [entry.id for entry in entries], "phrase": PHRASE, **given}
    found = await asyncio.to_thread(
        outside.run,
        outside.node,
        str(HERE / "review_page.mjs"),
        scenario,
        await desk.url(),
        outside.browser,
        str(SCREENS / f"review-{scenario}"),
        json.dumps(needs),
        timeout_s=60,
    )
    assert found.code == 0, found.stderr
    seen = found.json()
    assert seen["errors"] == []
    return seen


async def test_a_person_approves(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.note(LINES.format("försämring"))
        seen = await visit(outside, desk, "approve", entry)
        now = await desk.app.desk().entry(entry.id)
    assert now.draft.state == "filed"
    assert "1 draft waits for your decision." in seen["shown"]["queue"]
    line = "Tolvan Tolvansson, born 1912-12-12, national number 19121212-****"
    before = seen["shown"]["before"]
    assert before.count(line) == 3  # at the top of the page, and first and last in the draft
    assert LINES.format("försämring") in before
    assert before.index(line) < before.index("Patienten söker") < before.rindex(line)
    assert "through claude-code" in before
    assert f"id {now.draft.remote_id}" in seen["shown"]["after"]
    assert "It was read back, and it is as approved." in seen["shown"]["after"]
    assert "It is not signed yet" in seen["shown"]["after"]
    assert "Nothing more of this patient waits" in seen["shown"]["after"]
    assert seen["kept"][:3] == ["Review before filing", "", 0]


async def test_a_person_edits_then_approves_in_one_visit(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.note("Mår bra.\nÅter vid behov.")
        seen = await visit(outside, desk, "edit", entry)
        now = await desk.app.desk().entry(entry.id)
        stored = desk.box.control.notes(TOLVAN)
    assert seen["locked"]
    assert "What changed since version 1" in seen["shown"]["edited"]
    assert (now.draft.state, now.draft.version) == ("filed", 2)
    assert any("Mår mycket bättre.\\nÅter vid behov." in repr(note) for note in stored)


async def test_a_person_declines_without_a_passphrase(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.note()
        seen = await visit(outside, desk, "decline", entry)
        now = await desk.app.desk().entry(entry.id)
    assert now.draft.state == "declined"
    assert "1 declined." in seen["shown"]["after"]


async def test_a_person_approves_some_and_leaves_some(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        ones = [await desk.note(title=title) for title in ("Första", "Andra", "Tredje")]
        seen = await visit(outside, desk, "some", *ones)
        states = [(await desk.app.desk().entry(one.id)).draft.state for one in ones]
    assert states == ["filed", "declined", "awaiting_approval"]
    assert "1 draft left for later." in seen["shown"]["chosen"]
    assert seen["locked"]
    assert "1 approved. 1 declined." in seen["shown"]["after"]


async def test_choosing_all_leaves_out_what_is_marked_red(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        ones = [await desk.note(title=title) for title in ("Första", "Andra")]
        marked = await desk.note("Skriv [namn] här.", title="Tredje")
        seen = await visit(outside, desk, "all", *ones, marked)
        states = [(await desk.app.desk().entry(one.id)).draft.state for one in (*ones, marked)]
    assert states == ["filed", "filed", "awaiting_approval"]
    assert "1 draft marked red is not chosen: look there first." in seen["shown"]["chosen"]


async def test_a_wrong_passphrase_is_told_and_files_nothing(
    outside: Outside, tmp_path: Path
) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.note()
        seen = await visit(outside, desk, "wrong", entry)
    assert "Type the passphrase first." in seen["shown"]["nothing typed"]
    assert "That is not the passphrase. 4 guesses left. Nothing was done." in seen["shown"]["wrong"]
    assert seen["left"] == ""


async def test_a_decision_counts_once(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.note()
        seen = await visit(outside, desk, "second", entry)
        now = await desk.app.desk().entry(entry.id)
    assert now.draft.attempt == 1
    told = "It was decided on before, so nothing was done. It is now: filed."
    assert told in seen["shown"]["other"]


async def test_a_draft_changed_meanwhile_cannot_be_approved(
    outside: Outside, tmp_path: Path
) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.note()
        seen = await visit(outside, desk, "changed", entry)
    assert seen["offered"] == 0


async def test_another_page_gets_nothing_even_if_it_knows_the_address(
    outside: Outside, tmp_path: Path
) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.note()
        with elsewhere() as foreign:
            seen = await visit(outside, desk, "stranger", entry, foreign=foreign)
        now = await desk.app.desk().entry(entry.id)
    assert now.draft.state == "awaiting_approval"
    assert seen["refused"] == {"json": "refused", "plain": "refused", "read": "refused"}
    assert seen["framed"].startswith("chrome-error:")


async def test_everything_can_be_done_by_keyboard(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.note()
        seen = await visit(outside, desk, "keyboard", entry)
        now = await desk.app.desk().entry(entry.id)
    assert (now.draft.state, now.draft.version) == ("filed", 2)
    assert isinstance(now.payload.item, NoteItem)
    assert now.payload.item.content == {"unstructured": "Mår bra. Med tangenter."}
    assert set(seen["rings"]) == {"solid 3px"}


async def test_a_draft_in_doubt_is_closed_by_a_person(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.in_doubt()
        known = desk.box.control.notes(TOLVAN)[0].id
        seen = await visit(outside, desk, "resolve", entry, phrase=f"{PHRASE}\n{known}")
        now = await desk.app.desk().entry(entry.id)
    assert (now.draft.state, now.draft.remote_id) == ("filed", known)
    assert "The patient's notes were searched" in seen["shown"]["before"]
    assert "is not what was approved" in seen["shown"]["after"]


async def test_sandbox_says_that_no_passphrase_is_needed(outside: Outside) -> None:
    async with sandbox_desk() as desk:
        entry = await desk.note()
        seen = await visit(outside, desk, "sandbox", entry)
    assert seen["asked"] == 0
    assert (
        "This is the sandbox with test data, so no passphrase is needed."
        in (seen["shown"]["before"])
    )


async def test_without_a_passphrase_the_page_says_how_to_set_one(
    outside: Outside, tmp_path: Path
) -> None:
    async with clinic_desk(tmp_path, phrase=None) as desk:
        entry = await desk.note()
        seen = await visit(outside, desk, "unset", entry)
    assert "leyr-mcp passphrase" in seen["shown"]["before"]
    assert not seen["can"]


async def test_it_fits_every_width_and_light_and_text_stays_text(
    outside: Outside, tmp_path: Path
) -> None:
    async with clinic_desk(tmp_path) as desk:
        first = await desk.note(HOSTILE, title="Besök " + "Å" * 120)
        item = NoteItem(
            title="Telefonkontakt",
            template_id="leyr_unstructured",
            content={"unstructured": LINES.format("försämring eller feber [namn]")},
        )
        second = await desk.note(LINES.format("försämring"), title="Telefonkontakt")
        person = Person(name="A", channel="test", who=ASSISTANT)
        await desk.app.desk().edit(second, item, person)
        await desk.note("En annan patient.", patient=OTHER)
        waits = await desk.stage(DocumentItem(title="Remiss"), patient=OTHER)
        seen = await visit(outside, desk, "looks", first, waits)
    assert seen["wider"] == {}
    assert min(seen["contrast"].values()) >= 4.5
    assert HOSTILE in seen["shown"]["text"]
    assert seen["built"] == 0


async def test_a_person_drops_the_file_that_a_draft_waits_for(
    outside: Outside, tmp_path: Path
) -> None:
    bad = tmp_path / "lab-report.pdf"
    bad.write_bytes(b"MZ no PDF")
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.stage(DocumentItem(title="Remiss"))
        files = [str(bad), str(SAMPLES / "lab-report.pdf")]
        seen = await visit(outside, desk, "give", entry, files=files)
        now = await desk.app.desk().entry(entry.id)
        stored = [d.content for d in desk.box.control.documents(TOLVAN) if d.title == "Remiss"]
    assert (now.draft.state, now.draft.verified) == ("filed", "equal")
    assert stored == [(SAMPLES / "lab-report.pdf").read_bytes()]
    assert "1 waits for its file" in seen["shown"]["queue"]
    assert "It waits for its file: choose it below." in seen["shown"]["before"]
    assert "Nothing was attached; choose another file." in seen["shown"]["refused"]
    assert "Laboratoriesvar" in seen["shown"]["given"]
    assert "lab-report.pdf" in seen["shown"]["given"]
    assert "It is not signed yet" in seen["shown"]["after"]


async def test_a_person_chooses_a_file_and_renames_the_document(
    outside: Outside, tmp_path: Path
) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.stage(DocumentItem(title="Remiss"))
        files = [str(SAMPLES / "visit-notes.txt")]
        seen = await visit(outside, desk, "choose", entry, files=files)
        now = await desk.app.desk().entry(entry.id)
    assert "is taken. Read what it holds, then approve it." in seen["shown"]["given"]
    assert isinstance(now.payload.item, DocumentItem)
    assert (now.payload.item.title, now.draft.state) == ("Svar", "awaiting_approval")
    assert "Saved as version 3" in seen["shown"]["edited"]


async def test_a_person_does_without_the_file(outside: Outside, tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk:
        entry = await desk.stage(DocumentItem(title="Remiss"))
        await visit(outside, desk, "without", entry)
        now = await desk.app.desk().entry(entry.id)
    assert now.draft.state == "declined"


@contextmanager
def elsewhere() -> Iterator[str]:
    """Yield the address of a page of another origin on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><link rel=icon href=data:,><p>Elsewhere</p>")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("locale", "lang"), [("sv-SE", "sv"), ("nb-NO", "nb")])
async def test_it_speaks_the_language_of_the_browser(
    outside: Outside, tmp_path: Path, locale: str, lang: str
) -> None:
    async with clinic_desk(tmp_path) as desk:
        ones = [
            await desk.note("Mår bra.\nÅter vid [datum].", title="Läkarbesök"),
            await desk.note("Ringer, mår bättre.", title="Telefon"),
        ]
        phrase = {"locale": locale, "right": PHRASE}
        seen = await visit(outside, desk, "language", *ones, phrase=phrase)
        states = [(await desk.app.desk().entry(one.id)).draft.state for one in ones]
    assert states == ["filed", "filed"]
    assert seen["lang"] == lang
    assert left_in_english(seen["shown"]["text"], lang) == []
