"""A stored document is read for its size and SHA-256 alone, and is never in memory as a whole."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tracemalloc
from hashlib import sha256
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.ehr.leyr.content import ContentFilter
from leyr_mcp.server.ehr.models import Document
from leyr_mcp.server.ehr.transport import BODY_LIMIT, DOCUMENT_LIMIT
from leyr_mcp.server.errors import UpstreamContractError, UpstreamUnavailableError
from tests.support.leyr_client import TOLVAN, connected, quick
from tests.support.upstream_app import Reply, app_of, json_reply
from tests.support.upstream_raw import Behaviour, RawUpstream, answer, hang_up, raw_upstream

FILE = b"%PDF-1.4 " + bytes(range(256))
CONTENT = base64.b64encode(FILE).decode()
Told = tuple[int | None, str]
BROKEN: Told = (None, "")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)


def of(file: bytes) -> Told:
    """Return what is told of a file."""
    return len(file), sha256(file).hexdigest()


def expected(content: str) -> Told:
    """Return what is to be told of a content, by another way than the one under test."""
    good = _BASE64.fullmatch(content)
    return of(base64.b64decode(content, validate=True)) if good else BROKEN


def passed(body: bytes, *cuts: int) -> tuple[bytes, Told | None]:
    """Return what a filter passes on of a body in pieces, and what it tells of the content."""
    through = ContentFilter()
    edges = [0, *cuts, len(body)]
    kept = b"".join(through.feed(body[first:last]) for first, last in pairwise(edges))
    found = through.content
    return kept, None if found is None else (found.size, found.sha256)


SMALL = (
    rb' {"t":"a\"{\\","content" : "QU\/D+w==","in":{"content":"[}"},"n":[1,"content",{}],'
    rb'"contents":"x","k":"content"} '
)
KEPT = SMALL.replace(rb"QU\/D+w==", b"")


def test_an_answer_is_read_alike_wherever_it_is_split() -> None:
    assert base64.b64decode("QU/D+w==") == b"AO\xc3\xfb"
    alike = (KEPT, of(b"AO\xc3\xfb"))
    assert passed(SMALL) == alike
    assert passed(SMALL, *range(1, len(SMALL))) == alike
    for cuts in combinations(range(len(SMALL) + 1), 2):
        assert passed(SMALL, *cuts) == alike


@pytest.mark.parametrize("end", range(len(SMALL.rstrip())))
def test_an_answer_that_is_cut_anywhere_is_no_json_any_more(end: int) -> None:
    kept, _ = passed(SMALL[:end])
    with pytest.raises(ValueError, match="line 1"):
        json.loads(kept)


A, B = base64.b64encode(b"A"), base64.b64encode(b"B")


@pytest.mark.parametrize(
    ("body", "kept", "told"),
    [
        (b'{"content":"%s"}' % A, b'{"content":""}', of(b"A")),
        (b'{"content":""}', None, of(b"")),
        (b'{"content":null}', None, None),
        (b'{"content":17}', None, None),
        (b'{"content":["%s"]}' % A, None, None),
        (b'{"content":{"content":"%s"}}' % A, None, None),
        (b'{"a":{"content":"%s"},"b":[{"content":"%s"}]}' % (A, B), None, None),
        (b'{"a":"content","b":"%s"}' % A, None, None),
        (b'{"contents":"%s","conten":"%s","":"%s"}' % (A, A, A), None, None),
        (b'{"Content":"%s"}' % A, None, None),
        (b'{"c\\u006fntent":"%s"}' % A, None, None),
        (b'{"content":"%s","content":"%s"}' % (A, B), b'{"content":"","content":""}', of(b"B")),
        (b'{"content":null,"content":"%s"}' % A, b'{"content":null,"content":""}', of(b"A")),
        (b'{"content":"%s","x":"y"}' % A, b'{"content":"","x":"y"}', of(b"A")),
        (b'{"content":[1,2],"x":"y"}', None, None),
        (b'\r\n\t [ {"content":"%s"}]' % A, b'\r\n\t [ {"content":""}]', of(b"A")),
        (b'[{"content":"%s"},{"content":"x"}]' % A, b'[{"content":""},{"content":"x"}]', of(b"A")),
        (b'[{},{"content":"%s"}]' % A, None, None),
        (b'[[{"content":"%s"}]]' % A, None, None),
        (b'[7,{"content":"%s"}]' % A, None, None),
        (b'"content"', None, None),
        (b"[]", None, None),
        (b"null", None, None),
        (b"", None, None),
    ],
)
def test_only_the_documents_own_content_is_taken_out(
    body: bytes, kept: bytes | None, told: Told | None
) -> None:
    assert passed(body) == (body if kept is None else kept, told)
    assert passed(body, *range(1, len(body))) == (body if kept is None else kept, told)


@pytest.mark.parametrize(
    "written",
    [
        *("QUJ", "Q", "QQ=", "Q===", "=", "====", "QUJD=", "QUJD==", "QUJD===", "QUJD===="),
        *("QQ==QUJD", "QQ==QQ==", "QQ==QUI=", "QU=D", "QU D", "QUJD ", "QUJD-_AA", "QUJD,AAA"),
        *("QUJD\u00e5\u00e5", "QUJD\x00AAA", "QUJD\nAAA"),
        *(r"QUJD\n", r"QUJD\"AA", r"QUJ\u0044", r"\u0051UJD", r"QUJD\\", r"\\\\", r"QU\\/", r"\b"),
    ],
)
def test_what_is_no_strict_base64_has_no_digest(written: str) -> None:
    body = f'{{"content":"{written}","title":"T"}}'.encode()
    for cut in range(len(body)):
        assert passed(body, cut) == (b'{"content":"","title":"T"}', BROKEN)
    assert passed(body, *range(1, len(body))) == (b'{"content":"","title":"T"}', BROKEN)


@pytest.mark.parametrize("escape", ["\\\\", '\\"', "\\/", "\\u0041"])
def test_megabytes_of_escapes_are_read_to_their_end(escape: str) -> None:
    written = (escape * 2**20).encode()
    body = b'{"content":"%s","title":"%s"}' % (written, written)
    kept, told = passed(body, 2**19 + 1)
    assert kept == b'{"content":"",' + body[body.index(b'"title"') :]
    assert told == (of(b"\xff" * (3 * 2**18)) if escape == "\\/" else BROKEN)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "id"]) | st.text(max_size=4), inner)
    ),
    max_leaves=6,
)
CONTENTS = (
    st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode())
    | st.text("AQ+/=", max_size=9)
    | st.text(max_size=6)
)


@given(
    before=st.dictionaries(st.sampled_from(["id", "title"]), JSON),
    content=CONTENTS,
    after=st.dictionaries(st.sampled_from(["contents", "format"]), JSON),
    cuts=st.lists(st.integers(0, 300), max_size=6),
    escapes_slashes=st.booleans(),
    only_ascii=st.booleans(),
    indent=st.none() | st.integers(0, 2),
)
@settings(max_examples=400, deadline=None)
def test_any_document_in_any_pieces_is_as_json_and_base64_have_it(
    before: dict[str, Any],
    content: str,
    after: dict[str, Any],
    cuts: list[int],
    indent: int | None,
    *,
    escapes_slashes: bool,
    only_ascii: bool,
) -> None:
    document = {**before, "content": content, **after}
    text = json.dumps(document, ensure_ascii=only_ascii, indent=indent)
    if escapes_slashes:
        text = text.replace("/", "\\/")
    body = text.encode()
    kept, told = passed(body, *sorted(cut for cut in cuts if cut <= len(body)))
    assert json.loads(kept) == {**document, "content": ""}
    assert told == expected(content)


@given(
    body=st.lists(
        st.sampled_from([b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b'"content"', b" ", b"A"])
        | st.binary(max_size=3),
        max_size=30,
    ).map(b"".join),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_read_alike_in_any_pieces(body: bytes, cuts: list[int]) -> None:
    found = passed(body, *sorted(cut for cut in cuts if cut <= len(body)))
    assert found == passed(body)
    assert len(found[0]) <= len(body)
    if found[1] is None and not body.endswith(b"\\"):
        assert found[0] == body


async def told_of(body: object) -> Document:
    """Return what the record tells of a document whose answer is this."""
    async with connected(app=app_of(json_reply(body))) as ehr:
        return await ehr.document_digest("L0_1", TOLVAN, "d")


FIELDS = {"id": "d", "title": "Labbsvar", "format": "application/pdf", "created_by_id": 7}


async def test_a_document_is_told_by_size_and_sha256_and_otherwise_as_ever() -> None:
    found = await told_of({**FIELDS, "content": CONTENT})
    async with connected(app=app_of(json_reply({**FIELDS, "content": CONTENT}))) as ehr:
        whole = await ehr.document("L0_1", TOLVAN, "d")
    assert (found.size, found.sha256) == of(FILE)
    assert found.content is None
    assert (whole.size, whole.sha256) == (None, None)
    assert whole.content == CONTENT
    assert found == whole.model_copy(
        update={"content": None, "size": found.size, "sha256": found.sha256}
    )


@pytest.mark.parametrize("content", [{}, {"content": None}], ids=["missing", "null"])
async def test_of_a_document_without_content_neither_is_told(content: dict[str, None]) -> None:
    found = await told_of({**FIELDS, **content})
    assert (found.content, found.size, found.sha256) == (None, None, None)


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": CONTENT}, {"content": "?"}])
async def test_no_size_or_sha256_is_taken_from_the_answer(content: dict[str, Any]) -> None:
    said = {"size": 1, "sha256": sha256(b"other").hexdigest()}
    found = await told_of({**FIELDS, **content, **said})
    assert found == await told_of({**FIELDS, **content})
    async with connected(app=app_of(json_reply({**FIELDS, **said}))) as ehr:
        whole = await ehr.document("L0_1", TOLVAN, "d")
    async with connected(app=app_of(json_reply([{**FIELDS, **said}]))) as ehr:
        (listed,) = await ehr.documents("L0_1", TOLVAN)
    assert [whole.size, whole.sha256, listed.size, listed.sha256] == [None] * 4


@pytest.mark.parametrize("content", ["not base64", "QUJ", "QUJD\u00e5", "QU JD", 17])
async def test_content_that_is_no_base64_has_an_empty_sha256(content: object) -> None:
    found = await told_of({**FIELDS, "content": content})
    assert (found.content, found.size, found.sha256) == (None, None, "")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"id":"d","content":1234}', of(base64.b64decode("1234"))),
        (b'{"id":"d","c\\u006fntent":"%s"}' % A, of(b"A")),
        (b'{"id":"d","c\\u006fntent":""}', of(b"")),
        (b'{"id":"d","content":"%s","c\\u006fntent":"%s"}' % (A, B), of(b"B")),
        (b'{"id":"d","content":"%s","content":"%s"}' % (A, B), of(b"B")),
        (b'{"id":"d","content":"%s","content":null}' % A, (None, None)),
        (b'[{"id":"d","content":"%s"},{"id":"e","content":"%s"}]' % (A, B), of(b"A")),
    ],
)
async def test_content_that_comes_in_another_way_is_told_as_a_reader_of_json_has_it(
    body: bytes, told: tuple[int | None, str | None]
) -> None:
    async with connected(app=app_of(Reply(body))) as ehr:
        found = await ehr.document_digest("L0_1", TOLVAN, "d")
    assert (found.content, found.size, found.sha256) == (None, *told)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"d","content":"%s' % A,
        b'{"id":"d","content":"%s"' % A,
        b'{"id":"d","content":"%s"]' % A,
        b'{"id":"d","content":"%s""x"}' % A,
        b'{"id":"d","content" "%s"}' % A,
        b'{"id":"d","content":"%s"}{}' % A,
        b'{"content":"%s"}' % A,
        b'{"id":"d","content":{"content":"%s"}}' % A,
        b'{"id":"d","content":true}',
    ],
)
async def test_an_answer_that_is_no_document_breaks_the_contract(body: bytes) -> None:
    async with connected(app=app_of(Reply(body))) as ehr:
        with pytest.raises(UpstreamContractError):
            await ehr.document_digest("L0_1", TOLVAN, "d")


async def test_all_but_the_content_is_held_to_the_limit_of_any_answer() -> None:
    head, tail = b'{"id":"d","type":"', b'","content":"%s"}'
    room = b"x" * (BODY_LIMIT - len(head) - len(tail % b""))
    content = b"A" * (4 * 2**20)
    app = app_of(Reply(head + room + tail % content), Reply(head + room + b"x" + tail % content))
    async with quick(app=app) as ehr:
        found = await ehr.document_digest("L0_1", TOLVAN, "d")
        assert (found.size, found.sha256) == of(bytes(3 * 2**20))
        with pytest.raises(UpstreamContractError):
            await ehr.document_digest("L0_1", TOLVAN, "d")


async def test_the_content_is_held_to_the_limit_of_a_document() -> None:
    head, tail = b'{"id":"d","content":"', b'"}'
    content = b"A" * (DOCUMENT_LIMIT - len(head) - len(tail))
    app = app_of(Reply(head + content + tail), Reply(head + content + b"A" + tail))
    async with quick(app=app) as ehr:
        assert (await ehr.document_digest("L0_1", TOLVAN, "d")).sha256 is not None
        with pytest.raises(UpstreamContractError):
            await ehr.document_digest("L0_1", TOLVAN, "d")


async def test_a_refusal_of_a_document_is_no_larger_than_of_anything() -> None:
    async with quick(app=app_of(Reply(b" " * (BODY_LIMIT + 1), 400))) as ehr:
        with pytest.raises(UpstreamContractError):
            await ehr.document_digest("L0_1", TOLVAN, "d")
        with pytest.raises(UpstreamContractError):
            await ehr.document("L0_1", TOLVAN, "d")


WHOLE = answer(json.dumps({**FIELDS, "content": CONTENT}).encode())


def cut_at(end: int) -> Behaviour:
    """Return an upstream that hangs up in the middle of its answer."""

    async def hung_up(upstream: RawUpstream, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE[:end])
        await writer.drain()
        writer.write_eof()
        await upstream.over.wait()

    return hung_up


@pytest.mark.parametrize("missing", [1, 40, 200, len(CONTENT) + 20])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_read_that_is_tried_again_begins_anew(missing: int, times: int) -> None:
    broken = [cut_at(len(WHOLE) - missing)] * times
    async with (
        raw_upstream(*broken, WHOLE) as upstream,
        quick(origin=upstream.origin) as ehr,
    ):
        found = await ehr.document_digest("L0_1", TOLVAN, "d")
        assert len(upstream.requests) == times + 1
    assert (found.size, found.sha256) == of(FILE)


async def test_an_answer_that_never_comes_whole_is_no_document() -> None:
    async with (
        raw_upstream(cut_at(len(WHOLE) - 1), hang_up) as upstream,
        quick(origin=upstream.origin) as ehr,
    ):
        with pytest.raises(UpstreamUnavailableError):
            await ehr.document_digest("L0_1", TOLVAN, "d")
        assert len(upstream.requests) == 3


async def test_twenty_mebibytes_are_read_back_in_flat_memory() -> None:
    part = bytes(range(256)) * 255 + bytes(255) + b"xyz"  # of a length that three divides
    count = 20 * 1024 * 1024 // len(part)
    encoded, digest = base64.b64encode(part), sha256()
    for _ in range(count):
        digest.update(part)
    head, tail = b'{"id":"d","content":"', b'","title":"Labbsvar"}'

    async def whole(_upstream: RawUpstream, writer: asyncio.StreamWriter) -> None:
        length = len(head) + count * len(encoded) + len(tail)
        lines = f"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: {length}"
        writer.write(f"{lines}\r\n\r\n".encode() + head)
        for _ in range(count):
            writer.write(encoded)
            await writer.drain()
        writer.write(tail)

    async with raw_upstream(answer(), whole) as upstream, connected(origin=upstream.origin) as ehr:
        await ehr.care_units()  # loads what the first call needs
        tracemalloc.start()
        try:
            found = await ehr.document_digest("L0_1", TOLVAN, "d")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (found.size, found.sha256) == (count * len(part), digest.hexdigest())
    assert found.title == "Labbsvar"
    assert peak < 4 * 1024 * 1024
