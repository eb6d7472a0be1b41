"""DICOM: what is read of the patient, in each way of writing it, and what is refused."""

from __future__ import annotations

import struct

import pytest

from leyr_mcp.server.files.formats import dicom as module
from leyr_mcp.server.files.formats.dicom import check_dicom
from leyr_mcp.server.files.verdict import UnfitError
from tests.support.other_files import (
    BIG,
    CAPTURE,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    OPEN,
    dataset,
    dicom,
    element,
)  # fmt: skip

TOLD = (
    "Patient name: Åkesson Tolvan\nPatient ID: 19121212-1212\nBirth date: 1912-12-12\n"
    "Study date: 2026-01-12\nModality: CR"
)
JPEG_INSIDE = "1.2.840.10008.1.2.4.50"
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def refused(data: bytes) -> str:
    with pytest.raises(UnfitError) as caught:
        check_dicom(data)
    return caught.value.reason


def mark(tag: int, length: int = 0) -> bytes:
    return element(tag, "", b"", length, explicit=False)


def part(*inside: bytes) -> bytes:
    """Return a part of a sequence whose end is marked."""
    return mark(ITEM, OPEN) + b"".join(inside) + mark(ITEM_END)


def sequence(*inside: bytes, explicit: bool = True, kind: str = "SQ") -> bytes:
    """Return a sequence whose end, as that of each part, is marked."""
    return element(0x00081111, kind, b"", OPEN, explicit=explicit) + b"".join(inside)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, JPEG_INSIDE, "1.2.3"])
def test_patient_and_study_are_told(syntax: str) -> None:
    assert check_dicom(dicom(syntax=syntax)) == TOLD


def test_implicit_elements_are_read_whatever_the_head_says() -> None:
    assert check_dicom(dicom(dataset(explicit=False), syntax=EXPLICIT)) == TOLD


@pytest.mark.parametrize("syntax", [DEFLATED, BIG])
def test_what_is_packed_or_turned_is_not_read(syntax: str) -> None:
    assert check_dicom(dicom(b"\x00\x08whatever", syntax=syntax)) == ""


@pytest.mark.parametrize("explicit", [True, False])
def test_sequences_are_passed_over(explicit: bool) -> None:  # noqa: FBT001 - a parameter
    other = element(0x00100010, "PN", b"Other", explicit=explicit)
    closed = mark(ITEM, len(other)) + other
    inner = sequence(part(other), mark(SEQUENCE_END), explicit=explicit)
    body = sequence(part(other), closed, part(inner), mark(SEQUENCE_END), explicit=explicit)
    body += element(0x00081140, "SQ", closed, explicit=explicit) + dataset(explicit=explicit)
    syntax = EXPLICIT if explicit else IMPLICIT
    assert check_dicom(dicom(body, syntax=syntax)) == TOLD


def test_what_follows_the_patient_is_not_read() -> None:
    pixels = element(0x7FE00010, "OW", b"", OPEN) + b"anything"
    assert check_dicom(dicom(dataset() + pixels)) == TOLD
    assert check_dicom(dicom(dataset() + pixels[:4])) == TOLD


def test_sequence_of_unknown_kind_ends_what_is_read() -> None:
    unknown = sequence(kind="UN")
    assert check_dicom(dicom(dataset() + unknown + b"anything")) == TOLD
    assert check_dicom(dicom(unknown + dataset())) == ""


BROKEN = {
    "value cut": dataset() + element(0x00101010, "AS", b"", 9),
    "length cut": dataset() + b"\x10\x00\x10\x10UN\x00\x00\x01",
    "tag cut": dataset() + b"\x10\x00",
    "no kind": dataset() + b"\x10\x00\x10\x1012\x00\x00",
    "kind in small letters": dataset() + b"\x10\x00\x10\x10as\x00\x00",
    "end without a beginning": mark(SEQUENCE_END),
    "sequence without an end": sequence(mark(ITEM, OPEN)),
    "end of nothing": sequence(mark(SEQUENCE_END), mark(SEQUENCE_END)),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_elements_that_cannot_be_read_are_broken(body: bytes) -> None:
    assert refused(dicom(element(0x00080005, "CS", b"") + body)) == "dicom_broken"


def test_head_is_checked() -> None:
    open_head = bytes(128) + b"DICM" + element(0x00020001, "OB", b"", OPEN)
    assert refused(open_head) == "dicom_broken"
    assert refused(dicom(media="")) == "dicom_broken"
    assert refused(bytes(128) + b"DICM" + dataset()) == "dicom_broken"
    assert refused(dicom()[:150]) == "dicom_broken"


def test_elements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ELEMENTS", 8)
    assert check_dicom(dicom()) == TOLD
    more = b"".join(element(0x00101010 + at, "AS", b"") for at in range(4))
    assert refused(dicom(dataset() + more)) == "too_complex"


def told(charset: bytes, name: bytes) -> str:
    body = element(0x00080005, "CS", charset) + element(0x00100010, "PN", name)
    return check_dicom(dicom(body)).removeprefix("Patient name: ")


def test_names_are_read_in_their_alphabet() -> None:
    assert told(b"ISO_IR 192", "Ökesson^Łukasz".encode()) == "Ökesson Łukasz"
    assert told(b"ISO_IR 101", "Łukasz".encode("iso8859-2")) == "Łukasz"
    assert told(b"\\ISO_IR 144", "Иван".encode("iso8859-5")) == "Иван"
    assert told(b"", b"Tolvansson^Tolvan ") == "Tolvansson Tolvan"
    assert told(b"ISO_IR 166", b"A\xff") == "A\ufffd"
    assert told(b"x" * 300, b"A") == "A"


def test_value_is_one_line_and_no_longer_than_it_may_be() -> None:
    assert told(b"", b"A\nPatient ID: 1\x1b\x00") == "A Patient ID: 1"
    assert told(b"", b"A" * 2_000) == "A" * 256


def test_first_value_counts_and_others_are_left_out() -> None:
    body = element(0x00100020, "LO", b"1") + element(0x00100020, "LO", b"2")
    assert check_dicom(dicom(body + element(0x00100030, "DA", b"1912"))) == (
        "Patient ID: 1\nBirth date: 1912"
    )
    assert check_dicom(dicom(element(0x00080016, "UI", CAPTURE.encode()))) == ""


def test_any_byte_in_front_of_it_is_refused() -> None:
    for at in (0, 64, 127):
        data = dicom()
        assert refused(data[:at] + b"\x01" + data[at + 1 :]) == "dicom_preamble"
    assert struct.unpack_from("<H", dicom(), 132) == (2,)
