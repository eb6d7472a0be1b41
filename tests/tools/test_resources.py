"""Resources: a patient, a note, a document by address; wrong addresses; rights as of the tools."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import BlobResourceContents, TextResourceContents

from leyr_mcp.tools.resources import KINDS
from leyr_mcp.tools.toolsets import Choice
from leyr_mcp.tools.uris import document_uri, draft_uri, note_uri, parse
from tests.support.mcp_answers import ERROR, MODE
from tests.support.mcp_session import TOLVAN, Session, both_eras, session
from tests.support.mcp_upstream import Canned, client_over

SE = "se_personal_number:"
BASE = f"ehr://care-units/L0_1/patients/{SE}{TOLVAN}"


async def refused(it: Session, uri: str) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await it.client.read_resource(uri)
    assert caught.value.data["uri"] == uri
    return caught.value


@both_eras
async def test_templates_and_unsent_drafts_are_listed_and_nothing_else(mode: str) -> None:
    async with session(mode) as it:
        listed = (await it.client.list_resource_templates()).resource_templates
        (unsent,) = (await it.client.list_resources()).resources
    assert [template.name for template in listed] == ["patient", "note", "document", "draft"]
    assert all(template.uri_template.startswith("ehr://") for template in listed)
    assert all(template.title and template.description for template in listed)
    assert unsent.uri == "drafts://unsent"


@both_eras
async def test_unsent_drafts_and_one_of_them(mode: str) -> None:
    async with session(mode) as it:
        note = {"patient_id": f"{SE}{TOLVAN}", "title": "Besök", "content": "Mår bra."}
        _, data = await it.ask("write_note", **note)
        draft_id = data["draft_id"]
        (listed,) = (await it.client.read_resource("drafts://unsent")).contents
        (found,) = (await it.client.read_resource(f"ehr://drafts/{draft_id}")).contents
        store, _ = await it.app.journal.opened()
        events = [row.body.decode() for row in await store.audit_rows()][-2:]
        await it.ask("discard_draft", draft_id=draft_id)
        (empty,) = (await it.client.read_resource("drafts://unsent")).contents
    assert isinstance(listed, TextResourceContents)
    assert isinstance(found, TextResourceContents)
    assert isinstance(empty, TextResourceContents)
    assert f'draft_id {draft_id}: note "Besök", awaiting_approval' in listed.text
    assert "    | Mår bra." in found.text
    assert all(draft_id in event for event in events)
    assert "no such draft" in empty.text


@both_eras
@pytest.mark.parametrize("draft", ["d_aaaaaaaaaaaaaaaa", "..", "a%2Fb", "x" * 400])
async def test_draft_that_there_is_not(mode: str, draft: str) -> None:
    async with session(mode) as it:
        error = await refused(it, f"ehr://drafts/{draft}")
    assert (error.code, error.data[ERROR]["code"]) == (-32602, "not_found")


@both_eras
async def test_patient(mode: str) -> None:
    async with session(mode) as it:
        (found,) = (await it.client.read_resource(BASE)).contents
    assert isinstance(found, TextResourceContents)
    assert found.mime_type == "text/plain"
    assert found.uri == BASE
    assert '"Tolvan Tolvansson", born 1912-12-12, national number 19121212-****' in found.text


@both_eras
async def test_note(mode: str) -> None:
    async with session(mode) as it:
        note = it.control.notes(TOLVAN)[0]
        (found,) = (await it.client.read_resource(f"{BASE}/notes/{note.id}")).contents
    assert isinstance(found, TextResourceContents)
    assert found.mime_type == "text/plain"
    assert found.text == note.content["unstructured"]


@both_eras
async def test_documents(mode: str) -> None:
    async with session(mode) as it:
        for document in it.control.documents(TOLVAN):
            uri = f"{BASE}/documents/{document.id}"
            (found,) = (await it.client.read_resource(uri)).contents
            assert isinstance(found, BlobResourceContents)
            assert found.mime_type == document.format
            assert base64.b64decode(found.blob) == document.content


@both_eras
async def test_every_content_says_that_it_is_the_sandbox(mode: str) -> None:
    async with session(mode) as it:
        (found,) = (await it.client.read_resource(BASE)).contents
    assert found.meta == {MODE: "sandbox"}


async def test_text_of_a_note_is_clean_names_of_fields_included() -> None:
    content = {"pl\u202ean": "a\u200bb\x1b[31m", "plan\u200b": "c\x00"}
    async with client_over(
        Canned({"/medical-notes/n": {"id": "n", "content": content}}), "auto"
    ) as c:
        (found,) = (await c.read_resource("ehr://care-units/U/patients/p/notes/n")).contents
    assert isinstance(found, TextResourceContents)
    assert found.text == "plan:\nab\nplan':\nc"


@pytest.mark.parametrize("entry", [{"content": None}, {"content": {}}, {}])
async def test_note_without_text_is_empty(entry: dict[str, Any]) -> None:
    async with client_over(Canned({"/medical-notes/n": {"id": "n", **entry}}), "auto") as client:
        (found,) = (await client.read_resource("ehr://care-units/U/patients/p/notes/n")).contents
    assert isinstance(found, TextResourceContents)
    assert found.text == ""


async def test_document_of_an_unknown_kind_is_bytes_and_one_without_content_is_not_found() -> None:
    shown = {"id": "d", "format": "text/html", "content": base64.b64encode(b"<b>").decode()}
    canned = Canned({"/documents/d": shown, "/documents/e": {"id": "e", "format": "text/plain"}})
    base = "ehr://care-units/U/patients/p/documents/"
    async with client_over(canned, "auto") as client:
        (found,) = (await client.read_resource(base + "d")).contents
        assert found.mime_type == "application/octet-stream"
        with pytest.raises(MCPError) as caught:
            await client.read_resource(base + "e")
    assert caught.value.code == -32602
    assert caught.value.data[ERROR]["code"] == "not_found"


WRONG = [
    "ehr://care-units/L0_1/patients/..",
    "ehr://care-units/../patients/p",
    f"{BASE}/notes/..",
    f"{BASE}/notes/%2e%2e",
    f"{BASE}/notes/a%2Fb",
    f"{BASE}/notes/x%3Fy",
    f"{BASE}/notes/x%00y",
    f"{BASE}/notes/n?x=1",
    f"{BASE}/notes/n#x",
    f"{BASE}/notes/",
    f"{BASE}/notes/n/",
    f"{BASE}/notes",
    f"{BASE}/letters/n",
    f"{BASE}/",
    "ehr://care-units/L0_1/patients/",
    "ehr://care-units/L0_1/patients/Tolvan%20Tolvansson",
    "ehr://care-units/L0_1/patients/Åsa",
    "ehr://care-units/L0_1",
    "ehr://patients/p",
    "ehr://drafts",
    "drafts://unsent/",
    "drafts://all",
    "ehr://unsent",
    "EHR://care-units/L0_1/patients/p",
    "file:///etc/passwd",
    "http://169.254.169.254/latest",
    "https://api.leyr.io/api",
    "ui://ehr/review.html",
    "ehr://care-units@evil.invalid/L0_1/patients/p",
    "ehr://care-units/L0_1/patients/" + "p" * 500,
    f"ehr://care-units/L0_1/patients/{TOLVAN}",
    f"ehr://care-units/L0_1/patients/{SE}191212121213",
]


@both_eras
async def test_wrong_addresses_are_refused_before_anything_is_sent(mode: str) -> None:
    async with session(mode) as it:
        for uri in WRONG:
            error = await refused(it, uri)
            assert error.code == -32602, uri
            assert "Tolvan" not in error.message
        assert it.requests() == []


@both_eras
@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("ehr://care-units/L0_1/patients/emr_id:nobody", "patient_not_found"),
        ("ehr://care-units/nowhere/patients/emr_id:x", "not_found"),
        (f"{BASE}/notes/nothing", "not_found"),
        (f"{BASE}/documents/nothing", "not_found"),
    ],
)
async def test_what_the_record_does_not_have_is_minus_32602(mode: str, uri: str, code: str) -> None:
    async with session(mode) as it:
        error = await refused(it, uri)
    assert (error.code, error.data[ERROR]["code"]) == (-32602, code)
    assert error.message.startswith(f"{code}: ")


@both_eras
@pytest.mark.parametrize(
    ("kind", "code"), [("unauthorized", "upstream_auth"), ("html", "upstream_bad_response")]
)
async def test_failure_of_the_record_system_is_minus_32603(mode: str, kind: str, code: str) -> None:
    async with session(mode) as it:
        it.fail(kind)
        error = await refused(it, BASE)
    assert (error.code, error.data[ERROR]["code"]) == (-32603, code)


@both_eras
async def test_patient_of_a_system_that_gives_none_is_not_supported(mode: str) -> None:
    async with session(mode, "anitasystems") as it:
        error = await refused(it, "ehr://care-units/L0_1/patients/emr_id:x")
    assert error.data[ERROR]["code"] == "not_supported"


@both_eras
async def test_front_desk_reads_no_note_by_its_address_either(mode: str) -> None:
    async with session(mode, choice=Choice(role="front-desk")) as it:
        listed = (await it.client.list_resource_templates()).resource_templates
        assert [template.name for template in listed] == ["patient", "draft"]
        note, document = it.control.notes(TOLVAN)[0], it.control.documents(TOLVAN)[0]
        for uri in (f"{BASE}/notes/{note.id}", f"{BASE}/documents/{document.id}"):
            assert (await refused(it, uri)).code == -32602
        assert it.requests() == []
        await it.client.read_resource(BASE)


@both_eras
@pytest.mark.parametrize(
    ("exclude", "kept"),
    [
        ("find_patient", ["note", "document", "draft"]),
        ("get_note", ["patient", "document", "draft"]),
        ("get_draft", ["patient", "note", "document"]),
    ],
)
async def test_resource_goes_with_the_tool_whose_right_it_shares(
    mode: str, exclude: str, kept: list[str]
) -> None:
    async with session(mode, choice=Choice(exclude=(exclude,))) as it:
        listed = (await it.client.list_resource_templates()).resource_templates
    assert [template.name for template in listed] == kept


def test_addresses_are_read_as_they_are_written() -> None:
    assert parse(note_uri("L0_1", "emr_id:p", "n")) == ("L0_1", "emr_id:p", "notes", "n")
    assert parse(document_uri("L0_1", "p", "d")) == ("L0_1", "p", "documents", "d")
    assert parse(draft_uri("d_a")) == ("", "", "drafts", "d_a")
    assert set(KINDS) == {"patient", "notes", "documents", "drafts", "unsent"}
