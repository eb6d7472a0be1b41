import json
from base64 import b64decode, b64encode

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.documents import MAX_DOCUMENT_BYTES
from tests.sandbox.kit import TOLVAN, codes, refused, sandbox_client

DOCUMENTS = f"/patients/{TOLVAN}/documents"
DOCUMENT = {
    "content": b64encode(b"%PDF-1.4 synthetic").decode(),
    "format": "application/pdf",
    "title": "Blood Test Results",
    "type": "Lab Result",
    "created_by_id": "1021",
}


async def test_a_document_is_uploaded_and_read_back_byte_for_byte(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    answer = await client.post(DOCUMENTS, json=DOCUMENT)
    document = answer.json()
    assert answer.status_code == 201
    shown = {key: value for key, value in DOCUMENT.items() if key != "content"}
    assert document == {**shown, "id": document["id"]}
    single = (await client.get(f"{DOCUMENTS}/{document['id']}")).json()
    assert single == {**document, "content": DOCUMENT["content"]}
    assert box.control.documents("191212121212")[0].content == b"%PDF-1.4 synthetic"


async def test_documents_are_listed_under_items_without_content(
    client: httpx2.AsyncClient,
) -> None:
    listed = (await client.get(DOCUMENTS)).json()
    assert listed.keys() == {"items"}
    assert {item["format"] for item in listed["items"]} == {
        "text/plain",
        "application/pdf",
        "image/png",
    }
    assert all("content" not in item for item in listed["items"])


async def test_the_seeded_files_are_what_they_claim(client: httpx2.AsyncClient) -> None:
    starts = {
        "application/pdf": b"%PDF-1.4\n",
        "image/png": b"\x89PNG\r\n\x1a\n",
        "text/plain": b"Lab",
    }
    for item in (await client.get(DOCUMENTS)).json()["items"]:
        single = (await client.get(f"{DOCUMENTS}/{item['id']}")).json()
        raw = b64decode(single["content"], validate=True)
        assert raw.startswith(starts[item["format"]])
        if item["format"] == "application/pdf":
            place = int(raw.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
            assert raw[place:].startswith(b"xref\n0 6\n")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"content": "not base64!"}, "BAD_INPUT"),
        ({"content": "QQ"}, "BAD_INPUT"),
        ({"content": "QQ==\n"}, "BAD_INPUT"),
        ({"content": "_-8="}, "BAD_INPUT"),
        ({"content": "å==="}, "BAD_INPUT"),
        ({"content": ""}, "BAD_REQUEST"),
        ({"created_by_id": "nobody"}, "INVALID_CREATED_BY_ID"),
        ({"title": None}, "BAD_REQUEST"),
    ],
)
async def test_a_wrong_document_is_refused_and_not_stored(
    box: Sandbox, client: httpx2.AsyncClient, change: dict[str, object], code: str
) -> None:
    assert refused(await client.post(DOCUMENTS, json={**DOCUMENT, **change}), code)
    assert len(box.control.documents("191212121212")) == 3


async def test_type_may_be_left_out_and_any_format_is_taken(client: httpx2.AsyncClient) -> None:
    body = {key: value for key, value in DOCUMENT.items() if key != "type"}
    answer = await client.post(DOCUMENTS, json={**body, "format": "application/dicom"})
    assert answer.status_code == 201
    assert "type" not in answer.json()


async def test_the_largest_document_passes_and_one_byte_more_does_not(
    client: httpx2.AsyncClient,
) -> None:
    largest = b64encode(bytes(MAX_DOCUMENT_BYTES)).decode()
    assert (await client.post(DOCUMENTS, json={**DOCUMENT, "content": largest})).status_code == 201
    larger = b64encode(bytes(MAX_DOCUMENT_BYTES + 1)).decode()
    answer = await client.post(DOCUMENTS, json={**DOCUMENT, "content": larger})
    assert refused(answer, "BAD_INPUT")


async def test_a_body_over_thirty_megabytes_is_too_large(client: httpx2.AsyncClient) -> None:
    body = json.dumps({**DOCUMENT, "content": "A" * 30_000_000})
    headers = {"content-type": "application/json"}
    answer = await client.post(DOCUMENTS, content=body, headers=headers)
    assert codes(answer) == (413, ["PAYLOAD_TOO_LARGE"])


async def test_a_document_of_another_patient_is_not_found(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    other = next(one for one in box.control.patients()[1:] if box.control.documents(one.id))
    document_id = box.control.documents(other.id)[0].id
    for wrong in (document_id, "nope"):
        assert codes(await client.get(f"{DOCUMENTS}/{wrong}")) == (404, ["NOT_FOUND"])


async def test_kaddio_takes_no_documents() -> None:
    async with sandbox_client("kaddio") as (_, client):
        assert refused(await client.get(DOCUMENTS), "NOT_SUPPORTED")
        assert refused(await client.get(f"{DOCUMENTS}/x"), "NOT_SUPPORTED")
        assert refused(await client.post(DOCUMENTS, json=DOCUMENT), "NOT_SUPPORTED")
