"""attach_document: where a file comes from, what is refused, and what is filed, once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.errors import InputError
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.filing.entries import Proposal, Source
from leyr_mcp.server.filing.payloads import NoteItem
from tests.support.image_files import GPS_WORDS
from tests.support.mcp_asking import ANNA, HOST, NOTE, PATIENT, Asking, asking, no, user, yes
from tests.support.mcp_session import TOLVAN, both_eras
from tests.support.mcp_snapshots import check_snapshot
from tests.support.mcp_writes import CLEANED, HOSTILE, codes, told
from tests.support.other_files import BENIGN_FILES

OTHER = "se_personal_number:195008121856"
TEXT = "Intyg: frisk sedan måndag.\n"
FILE: dict[str, Any] = {"patient_id": PATIENT, "title": "Intyg"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder from which files may be attached."""
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "intyg.txt").write_text(TEXT, encoding="utf-8")
    return folder


def stored(it: Asking, who: str = TOLVAN) -> list[tuple[str, bytes]]:
    """Return title and bytes of a patient's documents that these tests attached."""
    found = it.control.documents(who)
    return [(one.title, one.content) for one in found if one.title == FILE["title"]]


def staged(it: Asking) -> list[str]:
    """Return what lies staged."""
    folder = it.app.desk().files._folder
    return [path.name for path in folder.iterdir()] if folder.exists() else []


@both_eras
async def test_whole_answer_of_a_document_that_waits(mode: str, root: Path) -> None:
    async with asking(mode, LEYR_MCP_ROOTS=str(root)) as it:
        text, data = await it.ask("attach_document", **FILE, path="intyg.txt", type="Intyg")
        assert it.writes() == []
        assert len(staged(it)) == 1
    check_snapshot("answers/attach_document_waiting", told(text, data))


@both_eras
async def test_whole_answer_without_a_file_names_the_page(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        text, data = await it.ask("attach_document", **FILE)
        _, same = await it.ask("attach_document", **FILE)
        assert it.writes() == []
    assert data["draft_id"] == same["draft_id"]
    assert data["approval"]["url"] in text
    check_snapshot("answers/attach_document_awaiting_file", told(text, data))


@both_eras
async def test_a_file_is_filed_as_it_is_and_its_copy_is_gone(mode: str, root: Path) -> None:
    person = user(yes)
    async with asking(mode, person, LEYR_MCP_ROOTS=str(root)) as it:
        text, data = await it.ask("attach_document", **FILE, path="intyg.txt", expect="Tolvansson")
        assert (data["status"], data["verified"]) == ("filed", "equal")
        assert "unsigned" in data["next"]
        assert stored(it) == [("Intyg", TEXT.encode())]
        assert staged(it) == []
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert data["file"] == {"format": "text/plain", "size": len(TEXT.encode()), "sha256": digest}
    assert digest in text
    question = person.asked[0].message
    assert f"File: plain text, {len(TEXT.encode())} bytes (text/plain)" in question
    assert "File name: intyg.txt" in question
    assert f"SHA-256: {digest}" in question
    assert "    | Intyg: frisk sedan måndag." in question


@both_eras
async def test_the_same_again_is_one_copy_and_a_new_key_a_second_that_is_shown(
    mode: str, root: Path
) -> None:
    person = user(yes)
    async with asking(mode, person, LEYR_MCP_ROOTS=str(root)) as it:
        call = {**FILE, "path": "intyg.txt"}
        _, first = await it.ask("attach_document", **call)
        _, again = await it.ask("attach_document", **call)
        assert (again["draft_id"], again["already_filed"]) == (first["draft_id"], True)
        assert len(stored(it)) == 1
        _, copy = await it.ask("attach_document", **call, idempotency_key="k2")
        assert copy["draft_id"] != first["draft_id"]
        assert codes(copy) == ["same_before"]
        assert len(stored(it)) == 2
        assert staged(it) == []
    assert "wanted by the caller, under the key k2" in person.asked[-1].message
    assert f"attached before: {first['draft_id']}" in person.asked[-1].message


@both_eras
async def test_the_same_bytes_under_another_title_are_marked(mode: str, root: Path) -> None:
    async with asking(mode, user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        await it.ask("attach_document", **FILE, path="intyg.txt")
        _, data = await it.ask(
            "attach_document", patient_id=PATIENT, title="Annat", path="intyg.txt", draft=True
        )
        _, other = await it.ask(
            "attach_document", patient_id=OTHER, title="Annat", path="intyg.txt", draft=True
        )
    assert codes(data) == ["same_before"]
    assert codes(other) == []


@both_eras
async def test_a_file_that_was_changed_is_another_draft(mode: str, root: Path) -> None:
    async with asking(mode, user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        _, first = await it.ask("attach_document", **FILE, path="intyg.txt")
        (root / "intyg.txt").write_bytes(b"Sjuk.")
        _, second = await it.ask("attach_document", **FILE, path="intyg.txt")
        assert second["draft_id"] != first["draft_id"]
        assert [raw for _, raw in stored(it)] == [b"Sjuk.", TEXT.encode()]


@both_eras
async def test_what_changes_on_disk_after_the_question_is_not_what_is_sent(
    mode: str, root: Path
) -> None:
    def meanwhile(form: Any) -> Any:
        (root / "intyg.txt").write_bytes(b"Sjuk.")
        return yes(form)

    async with asking(mode, user(meanwhile, no), LEYR_MCP_ROOTS=str(root)) as it:
        await it.ask("attach_document", **FILE, path="intyg.txt")
        assert b"Sjuk." not in [raw for _, raw in stored(it)]


@both_eras
async def test_a_text_becomes_a_file(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        _, data = await it.ask("attach_document", **FILE, text=HOSTILE)
        assert data["status"] == "filed"
        assert "characters_removed" in codes(data)
        assert stored(it) == [("Intyg", CLEANED.encode())]


@both_eras
async def test_what_a_text_says_is_looked_at_like_a_note(mode: str) -> None:
    async with asking(mode) as it:
        _, data = await it.ask(
            "attach_document", **FILE, text="Patient: [namn], 19950812-1856, se", draft=True
        )
        _, foreign = await it.ask(
            "attach_document", **FILE, text="Personnummer 19500812-1856.", draft=True
        )
    assert "placeholder" in codes(data)
    assert foreign["checks"][0]["code"] == "other_identifier"
    assert foreign["checks"][0]["level"] == "block"


@both_eras
async def test_a_file_of_another_patient_is_marked(mode: str, root: Path) -> None:
    (root / "fel.txt").write_text("____ Svar för 19500812-1856 ____", encoding="utf-8")
    async with asking(mode, user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        _, data = await it.ask("attach_document", **FILE, path="fel.txt", draft=True)
    assert [(c["code"], c["level"]) for c in data["checks"]] == [("other_identifier", "block")]


@both_eras
async def test_hidden_characters_of_a_file_are_told_and_its_bytes_stay(
    mode: str, root: Path
) -> None:
    raw = "Frisk\u202e\u200b.".encode()
    (root / "dold.txt").write_bytes(raw)
    person = user(yes)
    async with asking(mode, person, LEYR_MCP_ROOTS=str(root)) as it:
        _, data = await it.ask("attach_document", **FILE, path="dold.txt")
        assert codes(data) == ["characters_hidden"]
        assert [content for _, content in stored(it)] == [raw]
    assert "Frisk⟨U+202E⟩⟨U+200B⟩." in person.asked[0].message


@both_eras
async def test_where_an_image_was_taken_is_removed_and_told(mode: str, root: Path) -> None:
    _, placed = BENIGN_FILES["JPEG with XMP"]
    _, plain = BENIGN_FILES["JPEG with a comment"]
    (root / "sår.jpg").write_bytes(placed)
    (root / "plain.jpg").write_bytes(plain)
    assert GPS_WORDS in placed
    async with asking(mode, user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        _, data = await it.ask("attach_document", **FILE, path="sår.jpg")
        assert (data["status"], data["verified"], codes(data)) == (
            "filed",
            "equal",
            ["image_trimmed"],
        )
        ((_, sent),) = stored(it)
        _, other = await it.ask("attach_document", **FILE, path="plain.jpg")
        assert codes(other) == []
    assert b"GPS" not in sent
    assert data["file"]["sha256"] == hashlib.sha256(sent).hexdigest()
    assert data["file"]["size"] == len(sent) < len(placed)


@both_eras
@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"path": "intyg.txt", "text": "x"}, "invalid_argument", "path"),
        ({"text": "x", "from_draft": "d_0"}, "invalid_argument", "path"),
        ({"text": "  \n\t"}, "invalid_argument", "text"),
        ({"text": "\u200b"}, "invalid_argument", "text"),
        ({"text": "x" * 200_001}, "invalid_argument", "text"),
        ({"title": "\ufe0f"}, "invalid_argument", "title"),
        ({"title": "t" * 201}, "invalid_argument", "title"),
        ({"type": "t" * 101}, "invalid_argument", "type"),
        ({"type": "\ufe0f"}, "invalid_argument", "type"),
        ({"from_draft": "d_nothing"}, "not_found", "from_draft"),
        ({"path": "nothing.txt"}, "not_found", "path"),
        ({"path": "../scans/intyg.txt"}, "file_not_allowed", "path"),
        ({"path": "big.txt"}, "file_too_large", "path"),
        ({"path": "empty.txt"}, "file_type", "path"),
        ({"path": "intyg.docx"}, "file_type", "path"),
        ({"path": "intyg"}, "file_type", "path"),
        ({"path": "intyg.txt", "patient_id": "emr_id:x/y"}, "invalid_argument", "patient_id"),
        ({"path": "intyg.txt", "expect": "1912"}, "invalid_argument", "expect"),
        ({"path": "intyg.txt", "expect": "Annansson"}, "patient_mismatch", "expect"),
        ({"path": "intyg.txt", "created_by_id": "1021"}, "invalid_argument", None),
        ({"path": "intyg.txt", "url": "https://example.org/x"}, "invalid_argument", None),
    ],
)
async def test_wrong_call_is_refused_and_nothing_is_kept(
    mode: str, root: Path, changes: dict[str, Any], code: str, field: str | None
) -> None:
    with (root / "big.txt").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    (root / "empty.txt").write_bytes(b"")
    (root / "intyg.docx").write_text(TEXT, encoding="utf-8")
    (root / "intyg").write_text(TEXT, encoding="utf-8")
    async with asking(mode, user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        error = await it.refused("attach_document", **{**FILE, **changes})
        assert (error.code, error.field) == (code, field)
        assert it.writes() == []
        assert staged(it) == []


@both_eras
async def test_without_a_root_the_setting_is_named_and_the_page_offered(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        error = await it.refused("attach_document", **FILE, path="/etc/hostname")
    assert error.code == "file_not_allowed"
    assert "LEYR_MCP_ROOTS" in error.next
    assert "without path" in error.next


@both_eras
async def test_declined_document_leaves_no_file_and_the_same_call_asks_anew(
    mode: str, root: Path
) -> None:
    async with asking(mode, user(no), LEYR_MCP_ROOTS=str(root)) as it:
        _, first = await it.ask("attach_document", **FILE, path="intyg.txt")
        assert (first["status"], staged(it)) == ("declined", [])
        _, second = await it.ask("attach_document", **FILE, path="intyg.txt")
        assert second["draft_id"] != first["draft_id"]
        assert staged(it) == []
        assert it.writes() == []


@both_eras
async def test_discarded_document_leaves_no_file(mode: str, root: Path) -> None:
    async with asking(mode, LEYR_MCP_ROOTS=str(root)) as it:
        _, data = await it.ask("attach_document", **FILE, path="intyg.txt", draft=True)
        assert len(staged(it)) == 1
        _, gone = await it.ask("discard_draft", draft_id=data["draft_id"])
        assert (gone["status"], staged(it)) == ("withdrawn", [])


@both_eras
async def test_a_role_without_documents_has_no_such_tool(mode: str) -> None:
    async with asking(mode, LEYR_MCP_ROLE="front-desk") as it:
        assert "attach_document" not in {t.name for t in (await it.client.list_tools()).tools}


@both_eras
async def test_trusted_files_a_document_unasked_unless_something_stands_against_it(
    mode: str, root: Path
) -> None:
    (root / "fel.txt").write_text("Svar för 19500812-1856", encoding="utf-8")
    settings = {"LEYR_MCP_APPROVAL": "trusted", "LEYR_MCP_ROOTS": str(root)}
    async with asking(mode, None, host=HOST, emr="webdoc", **settings) as it:
        _, data = await it.ask("attach_document", **FILE, path="intyg.txt", expect="Tolvansson")
        assert data["status"] == "filed"
        _, held = await it.ask("attach_document", **FILE, path="fel.txt", expect="Tolvansson")
        assert held["status"] == "awaiting_approval"
        _, waits = await it.ask("attach_document", **FILE, expect="Tolvansson")
        assert waits["status"] == "awaiting_file"


@both_eras
async def test_one_approval_for_note_and_document(mode: str, root: Path) -> None:
    async with asking(mode, user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        _, note = await it.ask("write_note", **NOTE, draft=True)
        _, file = await it.ask("attach_document", **FILE, path="intyg.txt", draft=True)
        _, waits = await it.ask("attach_document", **FILE | {"title": "Senare"}, draft=True)
        ids = [note["draft_id"], file["draft_id"], waits["draft_id"]]
        _, data = await it.ask("file_drafts", draft_ids=ids)
        posts = [r.path.rpartition("/")[2] for r in it.writes()]
    assert data["filed"] == [file["draft_id"], note["draft_id"]]
    assert data["waiting"] == [waits["draft_id"]]
    assert posts == ["documents", "medical-notes"]


@both_eras
async def test_what_a_draft_holds_is_told_without_its_bytes(mode: str, root: Path) -> None:
    async with asking(mode, LEYR_MCP_ROOTS=str(root)) as it:
        _, data = await it.ask("attach_document", **FILE, path="intyg.txt", type="Intyg")
        text, draft = await it.ask("get_draft", draft_id=data["draft_id"])
        (block,) = (await it.client.read_resource(draft["uri"])).contents
        resource = block.model_dump_json().encode()
        _, own = await it.ask("attach_document", **FILE | {"title": "Egen"}, text=TEXT)
        _, mine = await it.ask("get_draft", draft_id=own["draft_id"])
        _, waits = await it.ask("attach_document", **FILE | {"title": "Senare"})
        _, empty = await it.ask("get_draft", draft_id=waits["draft_id"])
    assert draft["details"]["File name"] == "intyg.txt"
    assert draft["details"]["Type"] == "Intyg"
    assert draft["content"] == {}  # what it says is for the approver to read
    assert "frisk" not in text
    assert b"frisk" not in resource
    assert mine["content"] == {"Beginning as text": TEXT}
    assert empty["details"]["File"] == "not chosen yet"


@both_eras
async def test_a_day_later_the_file_is_gone_and_the_draft_says_so(mode: str, root: Path) -> None:
    async with asking(mode, LEYR_MCP_ROOTS=str(root)) as it:
        _, data = await it.ask("attach_document", **FILE, path="intyg.txt")
        _, waits = await it.ask("attach_document", **FILE | {"title": "Senare"})
        (name,) = staged(it)
        await it.desk._tidy()
        assert staged(it) == [name]
        old = it.clock.now.timestamp() - 86_401
        os.utime(it.desk.files._folder / name, (old, old))
        await it.desk._tidy()
        _, draft = await it.ask("get_draft", draft_id=data["draft_id"])
        _, other = await it.ask("get_draft", draft_id=waits["draft_id"])
        assert staged(it) == []
    assert (draft["status"], draft["reason"]) == ("expired", "file_gone")
    assert other["status"] == "awaiting_file"


async def test_only_a_document_takes_a_file() -> None:
    async with asking("auto") as it:
        context = it.app.context
        proposal = Proposal(
            care_unit_id="L0_1",
            item=NoteItem(
                title="x", template_id="leyr_unstructured", content={"unstructured": "x"}
            ),
            patient=context.patient_ref(PATIENT),
        )
        with pytest.raises(InputError, match="Only a document"):
            await context.attaching.attach(proposal, Source(text="x"), ANNA.who)
