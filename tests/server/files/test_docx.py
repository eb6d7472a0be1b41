"""Word's newer documents: sound to the last byte, and inert."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from xml.parsers import expat

import pytest

from leyr_mcp.server.files.formats import markup
from leyr_mcp.server.files.formats.archive import PIECE, Archive, _inflated
from leyr_mcp.server.files.formats.docx import check_docx
from leyr_mcp.server.files.verdict import UnfitError
from tests.support.word_files import (
    MAIN,
    TYPES,
    archive,
    document,
    docx,
    field,
    parts,
    streamed,
    types,
)  # fmt: skip

CAP = 4_000


def refused(data: bytes) -> str:
    with pytest.raises(UnfitError) as caught:
        check_docx(data, CAP)
    return caught.value.reason


def test_text_is_told_in_paragraphs() -> None:
    body = (
        "<w:p><w:pPr><w:tabs><w:tab w:val='left' w:pos='9'/></w:tabs></w:pPr>"
        "<w:r><w:t>Namn:</w:t><w:tab/><w:t>Tolvan</w:t></w:r><w:r><w:br/><w:t>Åre</w:t></w:r></w:p>"
        "<w:p><w:r><w:delText>bort</w:delText><w:instrText>PAGE</w:instrText></w:r></w:p>"
        "<w:tbl><w:tc><w:p><w:r><w:t>Hosta &amp; feber</w:t></w:r></w:p></w:tc></w:tbl>"
    )
    assert check_docx(docx(main=document(body)), CAP) == "Namn:\tTolvan\nÅre\n\nHosta & feber"


def test_text_is_told_up_to_its_cap() -> None:
    body = "".join(f"<w:p><w:r><w:t>{'a' * 100}</w:t></w:r></w:p>" for _ in range(100))
    assert len(check_docx(docx(main=document(body)), CAP)) == CAP
    assert check_docx(docx(main=document(body)), 0) == ""


def test_text_of_other_parts_is_not_told() -> None:
    assert check_docx(docx({"word/header1.xml": document()}), CAP) == "Hosta sedan en vecka."


@pytest.mark.parametrize(
    "code",
    [
        "LINK Excel.Sheet.8 a", "include a", "IMPORT a", "DATABASE a", "RD a", "EMBED Package",
        "HYPERLINK a", 'IF 1 = 1 "DDE a b"',
    ],
)  # fmt: skip
def test_field_that_fetches_is_refused_in_any_part(code: str) -> None:
    assert refused(docx({"word/footer1.xml": document(field(f" {code}"))})) == "docx_external"


def test_field_codes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "_FIELD_CODES", 20)
    assert refused(docx(main=document(field("PAGE" * 6)))) == "too_complex"


@pytest.mark.parametrize(
    "code", ["PAGE", 'TOC \\o "1-3"', "MERGEFIELD Addenda", 'HYPERLINK \\l "a"']
)
def test_other_fields_pass(code: str) -> None:
    assert check_docx(docx(main=document(field(code))), CAP) == ""


def test_link_inside_and_relations_without_a_type_pass() -> None:
    inside = '<Relationships><Relationship Id="a" Target="#mark"/><a/></Relationships>'
    assert check_docx(docx(relations=inside), CAP)


def test_elements_of_all_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "_ELEMENTS", 30)
    assert check_docx(docx(), CAP)
    assert refused(docx({"word/a.xml": "<a>" + "<b/>" * 30 + "</a>"})) == "too_complex"


def test_one_long_tag_is_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "_TOKEN", 2 * PIECE)
    long = os.urandom(2 * PIECE).hex()
    assert refused(docx({"word/a.xml": f"<a b='{long}'/>"})) == "too_complex"
    assert check_docx(docx({"word/a.xml": f"<a>{long}</a>"}), CAP)


def test_no_memory_is_too_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        CurrentByteIndex = 0

        def Parse(self, data: bytes, final: bool) -> None:  # noqa: N802, FBT001 - as expat has it
            problem = expat.ExpatError()
            problem.code = expat.errors.codes["out of memory"]
            raise problem

    monkeypatch.setattr(expat, "ParserCreate", Full)
    assert refused(docx()) == "too_complex"


def test_two_main_parts_are_one_too_many() -> None:
    more = f'<Override PartName="/word/b.xml" ContentType="{CONTENT}"/>'
    assert refused(docx({"word/b.xml": document()}, types=types(more))) == "docx_broken"


CONTENT = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def test_part_of_xml_by_its_type_is_read_as_xml() -> None:
    more = '<Override PartName="/word/a.dat" ContentType="text/xml"/><Other/>'
    assert refused(docx({"word/a.dat": "<a>"}, types=types(more))) == "docx_broken"
    assert check_docx(docx({"word/a.dat": "<a>"}), CAP)
    drawing = '<Default Extension="SVG" ContentType="image/svg+xml"/>'
    assert check_docx(docx({"word/media/a.svg": "<!DOCTYPE svg><svg/>"}, types=types(drawing)), CAP)


def changed(data: bytes, at: int, value: bytes) -> bytes:
    at = at if at >= 0 else len(data) + at
    return data[:at] + value + data[at + len(value) :]


DOCUMENT = docx()
TABLE = struct.unpack("<I", DOCUMENT[-6:-2])[0]
FLAWS = {
    "end of another disk": (-18, b"\x01"),
    "fewer parts here than in all": (-14, b"\x04"),
    "a table of another length": (-10, b"\xff"),
    "a table elsewhere": (-6, b"\x00"),
    "a table that is none": (TABLE, b"QK"),
    "a part on another disk": (TABLE + 34, b"\x01"),
    "a part of another start": (TABLE + 42, b"\x01"),
    "a part of another length": (TABLE + 20, b"\x01"),
    "another name in its header": (30, b"{"),
    "other flags in its header": (6, b"\x02"),
    "another method in its header": (8, b"\x00"),
    "another size in its header": (22, b"\x01"),
    "a header that is none": (0, b"PK\x03\x05"),
    "a longer name": (TABLE + 28, b"\xff\xff"),
}


@pytest.mark.parametrize(("at", "value"), FLAWS.values(), ids=FLAWS.keys())
def test_archive_that_contradicts_itself_is_broken(at: int, value: bytes) -> None:
    assert refused(changed(DOCUMENT, at, value)) == "docx_broken"


def test_parts_with_a_gap_between_them_are_broken() -> None:
    first = DOCUMENT.index(b"PK\x03\x04", 4)
    gap = DOCUMENT[:first] + b"\x00" + DOCUMENT[first:]
    assert refused(changed(gap, -6, struct.pack("<I", TABLE + 1))) == "docx_broken"


def test_rest_before_the_table_is_broken() -> None:
    rest = DOCUMENT[:TABLE] + b"\x00" + DOCUMENT[TABLE:]
    assert refused(changed(rest, -6, struct.pack("<I", TABLE + 1))) == "docx_broken"


def test_sizes_that_follow_must_be_right() -> None:
    data = streamed(parts())
    assert check_docx(data, CAP) == "Hosta sedan en vecka."
    at = data.index(b"PK\x07\x08")
    assert refused(changed(data, at + 4, b"\x00\x00")) == "docx_broken"
    assert refused(changed(data, 14, b"\x07")) == "docx_broken"


@pytest.mark.parametrize("form", ["<3I", "<I2Q"])
@pytest.mark.parametrize("mark", [b"", b"PK\x07\x08"])
def test_sizes_may_follow_in_each_form(form: str, mark: bytes) -> None:
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packed.compress(b"Hosta") + packed.flush()
    sums = (zlib.crc32(b"Hosta"), len(body), 5)
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 8, 8, 0, 0, 0, 0, 0, 1, 0) + b"a"
    part = local + body + mark + struct.pack(form, *sums)
    head = (b"PK\x01\x02", 20, 20, 8, 8, 0, 0, *sums, 1, 0, 0, 0, 0, 0, 0)
    table = struct.pack("<4s6H3I5H2I", *head) + b"a"
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(table), len(part), 0)
    made = Archive(part + table + end)
    assert b"".join(made.unpack(made.parts[0])) == b"Hosta"


def test_name_in_another_alphabet_is_read() -> None:
    assert check_docx(docx({"word/media/blå.png": b"a", "word/media/": b""}), CAP)


def test_name_that_is_no_text_is_broken() -> None:
    data = docx({"word/media/å.png": b"a"})
    assert refused(data.replace("å".encode(), b"\xff\xff")) == "docx_broken"


def test_packed_part_ends_with_its_last_byte() -> None:
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packed.compress(bytes(9 * PIECE)) + packed.flush()
    assert b"".join(_inflated(memoryview(body))) == bytes(9 * PIECE)
    for wrong in (body + b"\x00", body[:-1], b"\xff" * 9, b"", body + bytes(2 * PIECE)):
        with pytest.raises(UnfitError, match="docx_broken"):
            list(_inflated(memoryview(wrong)))


def test_what_is_held_back_at_the_end_is_not_lost() -> None:
    for size in range(PIECE, PIECE + 300):
        packed = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = packed.compress(bytes(size)) + packed.flush()
        assert sum(map(len, _inflated(memoryview(body)))) == size


def test_unpacked_size_counts_and_not_what_the_headers_say() -> None:
    data = docx({"word/media/a.png": bytes(3 << 20)})
    size = struct.pack("<I", 3 << 20)
    assert refused(data.replace(size, struct.pack("<I", 9))) == "docx_unpacked"
    assert check_docx(docx({"word/media/a.png": bytes(900_000)}), CAP)


def test_stored_part_is_summed_too() -> None:
    data = archive(parts(), zipfile.ZIP_STORED)
    assert refused(data.replace(b"vecka", b"dager")) == "docx_broken"


def test_archives_of_a_library_are_taken() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, part in parts().items():
            made.writestr(name, part)
    assert check_docx(held.getvalue(), CAP)
    assert [part.name for part in Archive(held.getvalue()).parts][:1] == [TYPES]
    assert MAIN in {part.name for part in Archive(held.getvalue()).parts}
