"""Whatever is done to a file, looking at it ends in findings or in a reason, and soon."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.files.inspect import inspect
from leyr_mcp.server.files.kinds import DICOM, DOC, DOCX, JPEG, PNG, TEXT, by_name
from leyr_mcp.server.files.verdict import UNFIT, Findings, UnfitError
from tests.support.image_files import app1, apply, chunk, exif, jpeg, png
from tests.support.other_files import BENIGN_FILES, HOSTILE_FILES, dicom
from tests.support.word_files import doc, document, docx, parts, streamed

SMALL = 200_000
_FILES = [*((n, d) for n, d, _ in HOSTILE_FILES.values()), *BENIGN_FILES.values()]
FILES = [
    (data, kind.format) for name, data in _FILES if (kind := by_name(name)) and len(data) < SMALL
]
SEEDS = {
    JPEG: jpeg(app1(exif())),
    PNG: png(chunk(b"eXIf", exif(">"))),
    DOCX: docx(),
    DOC: doc({"ObjectPool/": b"", "a": bytes(300)}),
    DICOM: dicom(),
    TEXT: b"\xef\xbb\xbfHosta sedan en vecka.",
}
EDGES = st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF])


def looked_at(data: bytes, promised: str) -> Findings | None:
    try:
        found = inspect(data, promised)
    except UnfitError as problem:
        return None if problem.reason in UNFIT else pytest.fail(problem.reason)
    assert found.format == promised
    assert len(found.text) <= 4_000
    last = 0
    for edit in found.edits:
        assert last <= edit.start < edit.end <= len(data)
        last = edit.end
    return found


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw a file with some bytes changed, taken out, put in or repeated."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(made) - 1, 0)))
        match draw(st.integers(0, 4)):
            case 0:
                made[at : at + 1] = bytes((draw(EDGES),))
            case 1:
                size = draw(st.sampled_from([2, 4]))
                made[at : at + size] = bytes((draw(EDGES),)) * size
            case 2:
                del made[at : at + draw(st.integers(1, 64))]
            case 3:
                made[at:at] = draw(st.binary(max_size=64))
            case _:
                made[at:at] = made[at : at + draw(st.integers(1, 600))]
    return bytes(made)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_changed_file_is_taken_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(SEEDS)))
    made = data.draw(mutated(SEEDS[kind]))
    found = looked_at(made, kind)
    if found and kind in {JPEG, PNG}:
        again = looked_at(apply(made, found.edits), kind)
        assert again is not None
        assert again.edits == ()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FILES).flatmap(lambda file: st.tuples(mutated(file[0]), st.just(file[1]))))
def test_changed_file_of_the_collection_is_taken_or_refused(file: tuple[bytes, str]) -> None:
    looked_at(*file)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(sorted(SEEDS)), st.integers(0, 140))
def test_anything_behind_the_first_bytes_is_taken_or_refused(
    tail: bytes, kind: str, kept: int
) -> None:
    looked_at(SEEDS[kind][:kept] + tail, kind)


@settings(max_examples=200, deadline=None)
@given(mutated(document().encode()))
def test_changed_xml_in_a_sound_archive_is_taken_or_refused(body: bytes) -> None:
    looked_at(docx(main=body), DOCX)
    looked_at(streamed({**parts(), "word/a.xml": body}), DOCX)


def test_files_of_the_collection_need_little_memory() -> None:
    tracemalloc.start()
    try:
        for data, kind in FILES:
            looked_at(data, kind)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * 1024 * 1024
