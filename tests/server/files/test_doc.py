"""Word's older documents: each sector accounted for, and none of the names that are not taken."""

from __future__ import annotations

import struct

import pytest

from leyr_mcp.server.files.formats.doc import check_doc, is_encrypted
from leyr_mcp.server.files.verdict import UnfitError
from tests.support.word_files import END, FREE, LOCKED, WORD, Compound, compound, doc, docx, entry


def refused(data: bytes) -> str:
    with pytest.raises(UnfitError) as caught:
        check_doc(data)
    return caught.value.reason


def changed(data: bytes, at: int, value: int, form: str = "<I") -> bytes:
    packed = struct.pack(form, value)
    return data[:at] + packed + data[at + len(packed) :]


DOCUMENT = doc()
DIRECTORY = (1 + struct.unpack_from("<I", DOCUMENT, 48)[0]) * 512
TABLE = (1 + struct.unpack_from("<I", DOCUMENT, 76)[0]) * 512
MAIN_STREAM = DIRECTORY + 128
SECTORS = len(DOCUMENT) // 512 - 1


def test_directory_is_where_these_tests_change_it() -> None:
    assert DOCUMENT[MAIN_STREAM:].startswith("WordDocument".encode("utf-16-le"))
    check_doc(DOCUMENT)
    check_doc(doc(version=4))


FLAWS = {
    "an unknown version": (26, 5, "<H"),
    "another order of bytes": (28, 0xFFFF, "<H"),
    "sectors of another length": (30, 12, "<H"),
    "small sectors of another length": (32, 7, "<H"),
    "another border of small streams": (56, 512, "<I"),
    "more tables than there are": (44, 2, "<I"),
    "fewer tables than there are": (44, 0, "<I"),
    "a table outside": (76, SECTORS, "<I"),
    "a directory outside": (48, SECTORS, "<I"),
    "a directory that is free": (48, FREE, "<I"),
    "no directory": (48, END, "<I"),
    "further tables outside": (68, 70_000, "<I"),
    "further tables in the table": (68, (TABLE // 512) - 1, "<I"),
    "a chain in a circle": (TABLE, 0, "<I"),
    "a chain that goes outside": (TABLE, SECTORS + 9, "<I"),
    "a chain that is too short": (TABLE, END, "<I"),
    "a root of another kind": (DIRECTORY + 66, 1, "<B"),
    "a second root": (MAIN_STREAM + 66, 5, "<B"),
    "an entry of an unknown kind": (MAIN_STREAM + 66, 3, "<B"),
    "a name that is too long": (MAIN_STREAM + 64, 66, "<H"),
    "a name of half a character": (MAIN_STREAM + 64, 9, "<H"),
    "a neighbour outside": (MAIN_STREAM + 72, 99, "<I"),
    "a stream in the sectors of another": (MAIN_STREAM + 116, 8, "<I"),
    "a stream longer than its sectors": (MAIN_STREAM + 120, 60_000, "<Q"),
    "a root longer than its sectors": (DIRECTORY + 120, 60_000, "<Q"),
    "a small stream outside": (MAIN_STREAM + 120, 100, "<Q"),
    "a small stream longer than its sectors": (MAIN_STREAM + 256 + 120, 200, "<Q"),
    "small streams without a table": (64, 0, "<I"),
}


@pytest.mark.parametrize(("at", "value", "form"), FLAWS.values(), ids=FLAWS.keys())
def test_file_that_contradicts_itself_is_broken(at: int, value: int, form: str) -> None:
    assert refused(changed(DOCUMENT, at, value, form)) == "doc_broken"


@pytest.mark.parametrize("length", [0, 8, 75, 512, 600, 1024, len(DOCUMENT) - 512])
def test_file_cut_anywhere_is_broken(length: int) -> None:
    assert refused(DOCUMENT[:length]) == "doc_broken"


def test_one_free_sector_may_follow_and_no_more() -> None:
    check_doc(DOCUMENT + bytes(512))
    assert refused(DOCUMENT + bytes(513)) == "doc_broken"
    assert refused(DOCUMENT + b"PK\x03\x04" * 1000) == "doc_broken"


def test_file_of_free_sectors_is_broken() -> None:
    empty = changed(DOCUMENT[:512] + b"\xff" * 512, 76, 0)
    assert refused(empty) == "doc_broken"


def test_further_lists_of_tables_are_followed() -> None:
    made = DOCUMENT + struct.pack("<128I", *[FREE] * 127, END)
    assert SECTORS < 128
    check_doc(changed(changed(made, 68, SECTORS), 72, 1))
    circle = DOCUMENT + struct.pack("<128I", *[FREE] * 127, SECTORS)
    assert refused(changed(circle, 68, SECTORS)) == "doc_broken"


def test_size_of_an_early_version_has_four_bytes() -> None:
    check_doc(changed(DOCUMENT, MAIN_STREAM + 124, 7))
    late = doc(version=4)
    stream = (1 + struct.unpack_from("<I", late, 48)[0]) * 4096 + 128
    assert refused(changed(late, stream + 124, 7)) == "doc_broken"


def test_small_streams_do_not_share_their_sectors() -> None:
    data = doc({"a": b"x", "b": b"x"})
    at = data.index("b".encode("utf-16-le") + bytes(62)) + 116
    assert refused(changed(data, at, 0)) == "doc_broken"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("MACROS/", "doc_macros"), ("vba/dir", "doc_macros"), ("_vba_project", "doc_macros"),
        ("PROJECT", "doc_macros"), ("PROJECTwm", "doc_macros"),
        ("objectpool/_1", "doc_embedded"), ("Package", "doc_embedded"),
        ("a/\x01ole10native", "doc_embedded"), ("Book", "other_ending"),
        ("encryptedpackage", "word_encrypted"), ("\x06DataSpaces/", "word_encrypted"),
    ],
)  # fmt: skip
def test_name_that_is_not_taken_is_found_wherever_it_hangs(name: str, reason: str) -> None:
    assert refused(doc({name: b"" if name.endswith("/") else b"a"})) == reason


def test_entry_that_hangs_nowhere_is_found() -> None:
    made = Compound()
    stream = made.add(WORD)
    rows = [
        entry("Root Entry", 5, 1),
        entry("WordDocument", 2, start=stream, size=len(WORD)),
        entry("Macros", 1),
    ]
    made.add_small(b"a")
    assert refused(made.file(rows)) == "doc_macros"


def test_main_stream_is_known_by_its_beginning() -> None:
    assert refused(doc(main=LOCKED)) == "word_encrypted"
    assert refused(doc(main=b"\xdc\xa5" + WORD[2:])) == "doc_broken"
    assert refused(doc(main=WORD[:9])) == "doc_broken"
    assert refused(doc(main=b"")) == "doc_broken"
    check_doc(doc(main=WORD[:100]))
    check_doc(doc({"a": bytes(900)}, main=WORD[:64]))
    assert refused(doc(main=LOCKED[:100])) == "word_encrypted"


def test_two_main_streams_are_one_too_many() -> None:
    assert refused(doc({"a/WordDocument": WORD})) == "doc_broken"


def test_storage_of_that_name_is_no_main_stream() -> None:
    assert refused(compound({"WordDocument/": b""})) == "other_ending"


def test_encrypted_form_of_the_newer_kind_is_told_apart() -> None:
    assert is_encrypted(compound({"EncryptedPackage": b"a"}))
    assert not is_encrypted(doc())
    assert not is_encrypted(doc()[:700])
    assert not is_encrypted(docx())
