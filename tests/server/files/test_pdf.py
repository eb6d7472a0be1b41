"""PDFs: what is taken, what is not and why, and that no file makes the check fail otherwise."""

from __future__ import annotations

import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.files.formats import pdf_objects, pdf_pages
from leyr_mcp.server.files.formats.pdf import check_pdf
from leyr_mcp.server.files.verdict import Reason, UnfitError
from tests.support.pdf_files import (
    BENIGN_PDFS,
    HOSTILE_PDFS,
    noise,
    object_stream,
    pages,
    pdf,
    stream,
    updated,
    with_object,
)

PAGES = {
    "reportlab": 2, "word": 3, "browser": 2, "linearised": 2, "tree_of_direct_parts": 2,
    "tree_by_reference": 2, "as_many_pages_as_may_be": 500,
}  # fmt: skip


def reason(data: bytes) -> Reason | None:
    """Return why a file is not taken."""
    try:
        check_pdf(data)
    except UnfitError as error:
        return error.reason
    return None


@pytest.mark.parametrize("name", BENIGN_PDFS)
def test_what_real_programs_write_is_taken(name: str) -> None:
    assert check_pdf(BENIGN_PDFS[name]) == PAGES.get(name, 1)


@pytest.mark.parametrize("name", HOSTILE_PDFS)
def test_what_holds_more_than_pages_is_refused(name: str) -> None:
    data, expected = HOSTILE_PDFS[name]
    assert reason(data) == expected


KINDS: dict[Reason, list[str]] = {
    "pdf_script": ["JavaScript"],
    "pdf_action": ["GoToE", "GoToR", "ImportData", "Launch", "SubmitForm"],
    "pdf_attachment": ["EmbeddedFile", "FileAttachment"],
    "pdf_media": [
        "3D", "GoTo3DView", "MediaClip", "Movie", "PRC", "Rendition", "RichMedia",
        "RichMediaExecute", "Screen", "Sound", "U3D",
    ],
}  # fmt: skip
KEYS: dict[Reason, list[str]] = {
    "pdf_encrypted": ["Encrypt"],
    "pdf_script": ["JS", "JavaScript"],
    "pdf_form": ["XFA"],
    "pdf_attachment": ["EF", "EmbeddedFile", "EmbeddedFiles", "Collection"],
    "pdf_media": [
        "RichMediaContent",
        "RichMediaSettings",
        "Renditions",
        "Movie",
        "Sound",
        "3DD",
        "AlternatePresentations",
    ],
    "pdf_action": ["AA", "OpenAction"],
}


@pytest.mark.parametrize("key", ["S", "Type", "Subtype"])
@pytest.mark.parametrize(("expected", "kind"), [(r, kind) for r in KINDS for kind in KINDS[r]])
def test_a_refused_kind_counts_however_it_is_told(key: str, expected: Reason, kind: str) -> None:
    assert reason(with_object(f"<< /{key} /{kind} >>".encode())) == expected
    assert reason(with_object(f"[[<< /{key} /{kind} >>]]".encode())) == expected
    assert reason(with_object(f"/{kind}".encode())) == expected


@pytest.mark.parametrize(
    "value", ["1", "(a)", "<00>", "/A", "[1]", "<< >>", "10 0 R", "true", "1.5"]
)
@pytest.mark.parametrize(("expected", "key"), [(r, key) for r in KEYS for key in KEYS[r]])
def test_a_refused_key_counts_whatever_stands_under_it(
    value: str, expected: Reason, key: str
) -> None:
    found = reason(with_object(f"<< /{key} {value} >>".encode()))
    assert found == (None if (key, value) == ("OpenAction", "[1]") else expected)


@pytest.mark.parametrize(
    "kind",
    ["GoTo", "URI", "Named", "Thread", "ResetForm", "Hide", "SetOCGState", "Trans", "P", "D"],
)
def test_a_link_and_what_only_changes_the_view_are_taken(kind: str) -> None:
    assert reason(with_object(b"<< /Type /Action /S /%b >>" % kind.encode())) is None


def test_a_lock_is_told_before_anything_else() -> None:
    locked = pdf(pages(catalog=b"/AA << /JS (x) >>"), b"/Encrypt 9 0 R")
    assert reason(locked) == "pdf_encrypted"


def test_the_pages_of_the_newest_version_are_counted() -> None:
    three = updated(pdf(pages(1)), pages(3))
    assert check_pdf(three) == 3
    assert check_pdf(updated(three, pages(2))) == 2


def test_pages_are_counted_once_where_the_tree_goes_round() -> None:
    round_about = {
        1: b"<< /Pages 2 0 R >>",
        2: b"<< /Count 9 /Kids [2 0 R 3 0 R 3 0 R 4 0 R] >>",
        3: b"<< /Type /Page >>",
        4: b"<< /Count 9 /Kids [2 0 R 3 0 R] >>",
    }
    assert check_pdf(pdf(round_about)) == 1


def test_a_tree_of_pages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    node = b"<< /Count 1 /Kids [" + b"1 0 R " * 100 + b"] >>"
    monkeypatch.setattr(pdf_pages, "_MAX_KIDS", 1_000)
    assert reason(pdf(pages() | dict.fromkeys(range(9, 18), node))) is None
    assert reason(pdf(pages() | dict.fromkeys(range(9, 19), node))) == "too_complex"


@pytest.mark.parametrize("unit", [b"1 ", b"/A<</B 1>>", b"[]", b"()"])
def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch, unit: bytes) -> None:
    monkeypatch.setattr(pdf_objects, "MAX_VALUES", 20_000)
    monkeypatch.setattr(pdf_objects, "MAX_VALUES_EACH", 5_000)
    one = b"[%b]" % (unit * 700)
    assert reason(with_object(one)) is None
    assert reason(with_object(b"[%b]" % (unit * 5_000))) == "too_complex"
    many = pdf(pages() | dict.fromkeys(range(9, 50), one))
    assert reason(many) == "too_complex"


def test_a_string_of_brackets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_objects, "MAX_VALUES_EACH", 5_000)
    assert reason(with_object(b"(" + b"()" * 2_000 + b")")) is None
    assert reason(with_object(b"(" + b"()" * 5_000 + b")")) == "too_complex"


@pytest.mark.parametrize("unit", [b"1 0 obj<<>>%", b"trailer%"])
def test_what_is_read_again_and_again_is_bounded(
    monkeypatch: pytest.MonkeyPatch, unit: bytes
) -> None:
    """Each object begins inside the comment behind the one before it."""
    monkeypatch.setattr(pdf_objects, "MAX_READ", 1_000_000)
    assert reason(with_object(b"null " + unit * 100)) is None
    assert reason(with_object(b"null " + unit * 1_000)) == "too_complex"


def test_what_is_unpacked_is_bounded_in_all_and_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_objects, "MAX_UNPACKED", 70_000)
    monkeypatch.setattr(pdf_objects, "MAX_UNPACKED_EACH", 40_000)
    large, larger = (object_stream({20: b" " * size + b"1"}) for size in (30_000, 50_000))
    assert reason(pdf(pages() | {9: large, 10: large})) is None
    assert reason(pdf(pages() | {9: large, 10: large, 11: large})) == "too_complex"
    assert reason(with_object(larger)) == "too_complex"


def test_a_packed_stream_that_never_ends_is_bounded() -> None:
    empty = b"\x78\x01" + b"\x00\x00\x00\xff\xff" * 100_000
    head = b"<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode >>"
    heads = b"".join(b"\n9 0 obj %b stream\n%b" % (head, empty) for _ in range(40))
    assert reason(pdf(pages()) + heads + b"\n%%EOF") == "pdf_broken"
    assert zlib.decompressobj().decompress(empty) == b""


def test_twenty_megabytes_of_image_take_no_time() -> None:
    data = with_object(stream(noise(20_000_000), b"/Subtype /Image /Filter /DCTDecode"))
    begun = time.process_time()
    assert check_pdf(data) == 1
    assert time.process_time() - begun < 1.5


def test_many_objects_take_little_time() -> None:
    element = b"<< /Type /StructElem /S /P /P 1 0 R /Pg 50 0 R /K [1 2] >>"
    data = pdf(pages() | dict.fromkeys(range(2000, 5_000), element))
    begun = time.process_time()
    assert check_pdf(data) == 1
    assert time.process_time() - begun < 5  # traced for coverage; ten times less without


SMALL = [data for data in BENIGN_PDFS.values() if len(data) < 20_000]
SMALL += [data for data, _ in HOSTILE_PDFS.values() if len(data) < 20_000]
PIECES = [
    b"<<", b">>", b"[", b"]", b"(", b")", b"%", b"obj", b"1 0 obj", b"endobj", b"stream\n", b"/S",
    b"trailer<<", b"#", b"/Type /ObjStm", b"/N 9", b"/First 9", b"R", b"9" * 30, b"\\", b"<",
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_a_changed_file_is_taken_or_refused_and_nothing_else(data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(SMALL)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        cut = data.draw(st.integers(0, 12))
        changed[at : at + cut] = data.draw(st.sampled_from(PIECES) | st.binary(max_size=3))
    reason(bytes(changed))


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=9), max_size=40))
def test_any_object_is_taken_or_refused_and_nothing_else(pieces: list[bytes]) -> None:
    for joint in (b"", b" "):
        assert reason(with_object(joint.join(pieces))) in {
            None, "pdf_broken", "too_complex",
        }  # fmt: skip
