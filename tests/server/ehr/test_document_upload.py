"""The upload of a document: streamed, measured beforehand, never half a document by mistake."""

from __future__ import annotations

import base64
import hashlib
import json
import tracemalloc
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.ehr.leyr.documents import MAX_BYTES, Base64Body
from leyr_mcp.server.ehr.port import NewDocument
from leyr_mcp.server.errors import InputError, UpstreamError, UpstreamValidationError
from tests.support.leyr_client import CLIENT_ID, SECRET, TOLVAN, connected, pieces
from tests.support.upstream_app import app_of, problem
from tests.support.upstream_raw import answer, raw_upstream

UNIT = "care-unit-123"
TARGET = f"/api/emrs/webdoc/care-units/{UNIT}/patients/se_personal_number:191212121212/documents"
STORED = answer(b'{"id":"doc-1","title":"Blood Test Results","format":"application/pdf"}', 201)
PDF = b"%PDF-1.4 " + bytes(range(256)) * 7


def document(
    *parts: bytes, size: int | None = None, title: str = "Blood Test Results"
) -> NewDocument:
    """Return an upload of these parts; `size` is what was measured beforehand."""
    return NewDocument(
        title=title,
        format="application/pdf",
        type="Lab Result",
        created_by_id="resource-123",
        size=sum(map(len, parts)) if size is None else size,
        chunks=pieces(*parts),
    )


async def test_the_body_is_the_seeds_json_with_the_files_base64() -> None:
    async with raw_upstream(STORED) as upstream, connected(origin=upstream.origin) as ehr:
        stored = await ehr.attach_document(UNIT, TOLVAN, document(PDF[:100], PDF[100:]))
    (request,) = upstream.requests
    assert request.line == f"POST {TARGET} HTTP/1.1"
    assert request.headers["x-leyr-client-id"] == CLIENT_ID
    assert request.headers["x-leyr-client-secret"] == SECRET
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Content-Length"] == str(len(request.body))
    assert "Transfer-Encoding" not in request.headers
    assert json.loads(request.body) == {
        "content": base64.b64encode(PDF).decode(),
        "format": "application/pdf",
        "title": "Blood Test Results",
        "type": "Lab Result",
        "created_by_id": "resource-123",
    }
    assert (stored.id, stored.title) == ("doc-1", "Blood Test Results")


@given(
    data=st.binary(min_size=1, max_size=400),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    title=st.text(max_size=30),
)
@settings(max_examples=60, deadline=None)
async def test_any_file_in_any_pieces_arrives_whole_and_as_long_as_announced(
    data: bytes, cuts: list[int], title: str
) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[first:last] for first, last in pairwise(edges)]
    body = Base64Body(
        pieces(*parts, b""), len(data), {"content": "content goes here", "title": title}
    )
    sent = b"".join([piece async for piece in body])
    assert len(sent) == body.length
    assert json.loads(sent) == {"content": base64.b64encode(data).decode(), "title": title}


async def test_a_title_that_looks_like_the_placeholder_changes_nothing() -> None:
    async with raw_upstream(STORED) as upstream, connected(origin=upstream.origin) as ehr:
        await ehr.attach_document(UNIT, TOLVAN, document(PDF, title="content goes here"))
    sent = json.loads(upstream.requests[0].body)
    assert sent["title"] == "content goes here"
    assert base64.b64decode(sent["content"]) == PDF


async def test_twenty_mebibytes_are_sent_in_flat_memory() -> None:
    part = bytes(range(256)) * 255 + bytes(255) + b"x"  # 64 KiB, so no multiple of three
    count = MAX_BYTES // len(part)
    encoded = hashlib.sha256()
    encoded.update(b'{"content":"')
    for piece in [part * 3] * (count // 3) + [part * (count % 3)]:
        encoded.update(base64.b64encode(piece))
    encoded.update(b'","format":"application/pdf","title":"Blood Test Results",')
    encoded.update(b'"type":"Lab Result","created_by_id":"resource-123"}')

    async def whole() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield part

    new = NewDocument(
        title="Blood Test Results",
        format="application/pdf",
        type="Lab Result",
        created_by_id="resource-123",
        size=MAX_BYTES,
        chunks=whole(),
    )
    async with (
        raw_upstream(STORED, keep_bodies=False) as upstream,
        connected(origin=upstream.origin) as ehr,
    ):
        tracemalloc.start()
        try:
            await ehr.attach_document(UNIT, TOLVAN, new)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    (request,) = upstream.requests
    assert request.body_sha256 == encoded.hexdigest()
    assert request.headers["Content-Length"] == str(request.body_bytes)
    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize("parts", [(PDF,), (PDF[:10], PDF[10:])], ids=["one piece", "two pieces"])
@pytest.mark.parametrize("change", [-700, -1, 1, 700])
async def test_a_file_that_changed_size_is_not_stored(
    parts: tuple[bytes, ...], change: int
) -> None:
    async with raw_upstream(STORED) as upstream, connected(origin=upstream.origin) as ehr:
        new = document(*parts, size=len(PDF) - change)
        with pytest.raises(InputError) as caught:
            await ehr.attach_document(UNIT, TOLVAN, new)
        assert upstream.requests == []  # the request never became whole
    assert (caught.value.code, caught.value.field) == ("invalid_argument", "size")


@pytest.mark.parametrize("change", [-700, -1, 1, 700])
async def test_a_changed_size_ends_the_body_before_its_tail(change: int) -> None:
    body = Base64Body(
        pieces(PDF[:60], PDF[60:]),
        len(PDF) - change,
        {"content": "content goes here", "created_by_id": "resource-123"},
    )
    sent: list[bytes] = []

    async def drain() -> None:
        async for piece in body:
            sent.append(piece)  # noqa: PERF401 - what came before the failure is looked at

    with pytest.raises(InputError):
        await drain()
    assert b"created_by_id" not in b"".join(sent)
    assert sum(map(len, sent)) < body.length


@pytest.mark.parametrize("size", [0, -1, MAX_BYTES + 1])
async def test_an_impossible_size_is_refused_without_a_request(size: int) -> None:
    app = app_of()
    async with connected(app=app) as ehr:
        with pytest.raises(InputError) as caught:
            await ehr.attach_document(UNIT, TOLVAN, document(PDF, size=size))
    assert caught.value.field == "size"
    assert app.asked == []


async def test_an_upload_is_sent_once_and_its_refusal_is_named() -> None:
    app = app_of(problem("BAD_REQUEST", 400, "INVALID_CREATED_BY_ID"))
    async with connected(app=app) as ehr:
        with pytest.raises(UpstreamValidationError) as caught:
            await ehr.attach_document(UNIT, TOLVAN, document(PDF))
    assert caught.value.field == "created_by_id"
    assert len(app.asked) == 1


@pytest.mark.parametrize(
    ("broken", "not_received"),
    [(ConnectionResetError("reset"), False), (ConnectionRefusedError("refused"), True)],
)
async def test_an_upload_that_broke_says_whether_it_can_have_arrived(
    broken: ConnectionError, *, not_received: bool
) -> None:
    app = app_of(broken)
    async with connected(app=app) as ehr:
        with pytest.raises(UpstreamError) as caught:
            await ehr.attach_document(UNIT, TOLVAN, document(PDF))
    assert caught.value.not_received is not_received
    assert len(app.asked) == 1
