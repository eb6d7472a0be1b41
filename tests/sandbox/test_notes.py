import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.options import TEMPLATES
from tests.sandbox.kit import TOLVAN, codes, refused

NOTES = f"/patients/{TOLVAN}/medical-notes"
NOTE = {
    "template_id": "leyr_unstructured",
    "title": "Consultation Summary",
    "created_by_id": "1021",
    "content": {"unstructured": "Rad ett\n- rad två: åäö 🙂\n"},
}


async def test_a_note_is_written_and_read_back_byte_for_byte(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    answer = await client.post(NOTES, json=NOTE)
    note = answer.json()
    assert answer.status_code == 201
    assert note == {**NOTE, "id": note["id"], "created_at": "2026-03-02T06:00:00+00:00"}
    assert (await client.get(f"{NOTES}/{note['id']}")).json() == note
    assert box.control.notes("191212121212")[0].content == NOTE["content"]


async def test_notes_are_listed_under_data_the_newest_first_without_content(
    client: httpx2.AsyncClient,
) -> None:
    created = (await client.post(NOTES, json=NOTE)).json()
    listed = (await client.get(NOTES)).json()
    assert listed.keys() == {"data"}
    assert listed["data"][0]["id"] == created["id"]
    assert len(listed["data"]) == 4
    assert all("content" not in note for note in listed["data"])
    times = [note["created_at"] for note in listed["data"]]
    assert times == sorted(times, reverse=True)


async def test_the_list_carries_content_when_switched_on(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    box.control.options.note_list_content = True
    assert all(note["content"] for note in (await client.get(NOTES)).json()["data"])


async def test_the_author_may_be_named_by_a_typed_id(client: httpx2.AsyncClient) -> None:
    typed = {**NOTE, "created_by_id": "hsa_id:SE2321000131-E000000012345"}
    assert (await client.post(NOTES, json=typed)).json()["created_by_id"] == "1021"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"created_by_id": "nobody"}, "INVALID_CREATED_BY_ID"),
        ({"created_by_id": "1031"}, "INVALID_CREATED_BY_ID"),
        ({"template_id": "leyr_unknown"}, "NOT_SUPPORTED"),
        ({"content": {}}, "INVALID_NOTE_CONTENT"),
        ({"content": {"unstructured": ""}}, "INVALID_NOTE_CONTENT"),
        ({"content": {"unstructured": 5}}, "INVALID_NOTE_CONTENT"),
        ({"content": {"unstructured": "a", "plan": "b"}}, "INVALID_NOTE_CONTENT"),
        ({"content": {"text": "a"}}, "INVALID_NOTE_CONTENT"),
        ({"content": "text"}, "BAD_REQUEST"),
        ({"content": None}, "BAD_REQUEST"),
    ],
)
async def test_a_wrong_note_is_refused_and_not_stored(
    box: Sandbox, client: httpx2.AsyncClient, change: dict[str, object], code: str
) -> None:
    assert refused(await client.post(NOTES, json={**NOTE, **change}), code)
    assert len(box.control.notes("191212121212")) == 3


async def test_missing_fields_of_a_note_are_told(client: httpx2.AsyncClient) -> None:
    assert refused(await client.post(NOTES, json={}), *["MISSING_REQUIRED_FIELD"] * 3)


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name != "leyr_unstructured"])
async def test_structured_templates_take_any_texts_by_field(
    client: httpx2.AsyncClient, template: str
) -> None:
    note = {**NOTE, "template_id": template, "content": {"plan": "vila", "assessment": "god"}}
    assert (await client.post(NOTES, json=note)).json()["content"] == note["content"]


async def test_a_template_that_is_not_mapped_is_not_supported(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    box.control.options.mapped_templates = frozenset({"leyr_care_status"})
    assert refused(await client.post(NOTES, json=NOTE), "NOT_SUPPORTED")


async def test_a_note_of_another_patient_is_not_found(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    other = box.control.patients()[1]
    note_id = box.control.notes(other.id)[0].id
    for wrong in (note_id, "nope"):
        assert codes(await client.get(f"{NOTES}/{wrong}")) == (404, ["NOT_FOUND"])
