"""attach_document: a note made a PDF that a clinician would hand out, and what voids it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pypdf import PdfReader

from leyr_mcp.server.filing.attaching import Attaching
from tests.support.mcp_asking import ANNA, HOST, NOTE, PATIENT, Asking, asking, no, user, yes
from tests.support.mcp_session import TOLVAN, both_eras
from tests.support.mcp_writes import codes

OTHER = "se_personal_number:195008121856"
LETTER: dict[str, Any] = {"patient_id": PATIENT, "title": "Sammanfattning"}
TEXT = "Kontaktorsak: åäö ÅÄÖ øØ æÆ é.\n- Mår bra.\n- Puls ≥ 60."


async def note(it: Asking, **changes: Any) -> str:
    """Return a note that is kept as a draft."""
    _, data = await it.ask("write_note", **{**NOTE, "content": TEXT, "draft": True, **changes})
    return str(data["draft_id"])


def pdfs(it: Asking) -> list[bytes]:
    """Return the PDFs that these tests attached."""
    return [d.content for d in it.control.documents(TOLVAN) if d.title == LETTER["title"]]


@both_eras
@pytest.mark.parametrize(("language", "page"), [("sv", "Sida 1 av 1"), ("nb", "Side 1 av 1")])
async def test_a_note_is_filed_as_a_pdf_with_letterhead_patient_and_page(
    mode: str, language: str, page: str
) -> None:
    person = user(yes)
    settings = {
        "LEYR_MCP_LETTERHEAD": "Ekens vårdcentral | Storgatan 12",
        "LEYR_MCP_LANGUAGE": language,
    }
    async with asking(mode, person, host=HOST, emr="webdoc", **settings) as it:
        draft_id = await note(it)
        _, data = await it.ask("attach_document", **LETTER, from_draft=draft_id)
        assert (data["status"], data["verified"]) == ("filed", "equal")
        assert codes(data) == []
        (raw,) = pdfs(it)
    (only,) = PdfReader(io.BytesIO(raw)).pages
    text = only.extract_text()
    for part in ("Ekens vårdcentral", "Storgatan 12", "Besök", "Tolvan Tolvansson", page):
        assert part in text
    assert "åäö ÅÄÖ øØ æÆ é" in text
    assert "≥ 60" in text
    assert TOLVAN not in text
    question = person.asked[0].message
    assert f"Made from: the note {draft_id}" in question
    assert "File: PDF, 1 page" in question
    assert "    | " in question
    assert "åäö ÅÄÖ øØ æÆ é" in question


@both_eras
async def test_the_same_note_gives_the_same_pdf_and_so_the_same_draft(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        draft_id = await note(it)
        _, first = await it.ask("attach_document", **LETTER, from_draft=draft_id)
        _, again = await it.ask("attach_document", **LETTER, from_draft=draft_id)
        assert again["already_filed"]
        assert again["draft_id"] == first["draft_id"]
        assert len(pdfs(it)) == 1


@both_eras
async def test_a_long_note_has_several_pages(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        draft_id = await note(it, content=TEXT * 60)
        await it.ask("attach_document", **LETTER, from_draft=draft_id)
        (raw,) = pdfs(it)
    pages = PdfReader(io.BytesIO(raw)).pages
    assert len(pages) >= 3
    assert f"Sida 2 av {len(pages)}" in pages[1].extract_text()


@both_eras
async def test_what_cannot_be_printed_is_told(mode: str) -> None:
    async with asking(mode) as it:
        draft_id = await note(it, content="Mår bra 😀 שלום")
        _, data = await it.ask("attach_document", **LETTER, from_draft=draft_id, draft=True)
        one = await note(it, content="Mår bra 😀")
        _, single = await it.ask("attach_document", **LETTER, from_draft=one, draft=True)
    assert [c["message"][:13] for c in data["checks"] if c["code"] == "characters_lacking"] == [
        "5 characters "
    ]
    assert [c["message"][:12] for c in single["checks"] if c["code"] == "characters_lacking"] == [
        "1 character "
    ]


@both_eras
async def test_a_note_that_is_too_long_for_a_letter_is_refused(mode: str) -> None:
    async with asking(mode) as it:
        draft_id = await note(it, content="Rad.\n" * 20_000)
        error = await it.refused("attach_document", **LETTER, from_draft=draft_id)
    assert (error.code, error.field) == ("file_too_large", "from_draft")


@both_eras
async def test_only_a_note_of_that_patient_that_was_not_given_up_is_taken(mode: str) -> None:
    async with asking(mode, user(no)) as it:
        other = await note(it, patient_id=OTHER)
        error = await it.refused("attach_document", **LETTER, from_draft=other)
        assert (error.code, error.field) == ("patient_mismatch", "from_draft")
        _, declined = await it.ask("write_note", **NOTE)
        error = await it.refused("attach_document", **LETTER, from_draft=declined["draft_id"])
        assert (error.code, error.field) == ("invalid_argument", "from_draft")
        _, file = await it.ask("attach_document", **LETTER, text="x", draft=True)
        error = await it.refused("attach_document", **LETTER, from_draft=file["draft_id"])
        assert "note" in error.message


@both_eras
async def test_a_note_that_is_changed_takes_its_pdf_back(mode: str) -> None:
    async with asking(mode) as it:
        draft_id = await note(it)
        _, data = await it.ask("attach_document", **LETTER, from_draft=draft_id, draft=True)
        _, unrelated = await it.ask("attach_document", **LETTER, text="Annat.", draft=True)
        await note(it, content="Mår illa.", draft_id=draft_id)
        _, void = await it.ask("get_draft", draft_id=data["draft_id"])
        _, kept = await it.ask("get_draft", draft_id=unrelated["draft_id"])
        assert (void["status"], void["reason"]) == ("withdrawn", "source_changed")
        assert kept["status"] == "draft"
        _, anew = await it.ask("attach_document", **LETTER, from_draft=draft_id, draft=True)
        assert anew["draft_id"] != data["draft_id"]


async def test_a_person_who_edits_the_note_voids_the_pdf_that_was_approved() -> None:
    async with asking("auto") as it:
        draft_id = await note(it)
        _, data = await it.ask("attach_document", **LETTER, from_draft=draft_id)
        entry = await it.desk.entry(draft_id)
        item: Any = entry.payload.item
        await it.desk.edit(
            entry,
            type(item)(title="B", template_id=item.template_id, content={"unstructured": "C"}),
            ANNA,
        )
        stale = await it.desk.entry(data["draft_id"])
        assert stale.draft.state == "withdrawn"
        assert not await it.desk.approve(stale, ANNA)
        assert it.writes() == []


async def test_a_note_that_changes_while_its_pdf_is_made_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asking("auto") as it:
        draft_id = await note(it)
        printed = Attaching._printed

        async def slowly(*given: Any) -> Any:
            found = await printed(*given)
            await note(it, content="Mår illa.", draft_id=draft_id)
            return found

        monkeypatch.setattr(Attaching, "_printed", slowly)
        error = await it.refused("attach_document", **LETTER, from_draft=draft_id)
        assert (error.code, error.error["retry"]) == ("file_changed", "same_call")
        _, listed = await it.ask("list_drafts")
        assert [one["kind"] for one in listed["drafts"]] == ["note"]
        assert list(it.desk.files._folder.iterdir()) == []
