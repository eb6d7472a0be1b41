"""DICOM: a head that says what follows, and the first elements of it, in which the patient stands.

The image itself is not read. An object that only wraps another document (PDF, CDA) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import error, unpack_from
from typing import NamedTuple

from leyr_mcp.server.files.verdict import UnfitError

_START = 132  # after the preamble and DICM
_DOCUMENT = "1.2.840.10008.5.1.4.1.1.104."  # storage of an encapsulated document, of any kind
_IMPLICIT = "1.2.840.10008.1.2"
_UNREAD = {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}  # deflated, and big endian
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_ITEMS = 0xFFFE  # the group of what stands between the parts of a sequence
_ENDS = {0xFFFEE00D, 0xFFFEE0DD}  # of one part, of a sequence
_SYNTAX, _MEDIA_CLASS, _CLASS, _CHARSET = 0x00020010, 0x00020002, 0x00080016, 0x00080005
_WRAPPED = 0x00420011
_NAME = 0x00100010
_HEAD_ENDS, _DATA_ENDS = 0x00030000, 0x00420012
_OPEN = 0xFFFFFFFF  # a length that is not told: the end is marked
_ELEMENTS = 100_000
_VALUE = 256  # bytes of a value that are told
_TOLD = {
    _NAME: "Patient name",
    0x00100020: "Patient ID",
    0x00100030: "Birth date",
    0x00080020: "Study date",
    0x00080060: "Modality",
}
_CHARSETS = {
    "ISO_IR 100": "latin-1", "ISO_IR 101": "iso8859-2", "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4", "ISO_IR 144": "iso8859-5", "ISO_IR 192": "utf-8",
}  # fmt: skip
_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)")


class Element(NamedTuple):
    """One element: group and element as one number, the length of its value, where that stands."""

    tag: int
    length: int
    at: int


def check_dicom(data: bytes) -> str:
    """Return what a DICOM file says of patient and study, a line each.

    Raises:
        UnfitError: It is damaged, or no image.
    """
    if data[:128].strip(b"\x00"):
        raise UnfitError("dicom_preamble")
    try:
        return _read(data)
    except error:
        raise UnfitError("dicom_broken") from None


def _read(data: bytes) -> str:
    head: dict[int, str] = {}
    at = _START
    for element in _elements(data, _START, _HEAD_ENDS, explicit=True):
        if element.length == _OPEN:
            raise UnfitError("dicom_broken")
        head[element.tag] = _uid(data, element)
        at = element.at + element.length
    if head.get(_MEDIA_CLASS, "").startswith(_DOCUMENT):
        raise UnfitError("dicom_document")
    syntax = head.get(_SYNTAX, "")
    if not syntax or not head.get(_MEDIA_CLASS) or at == len(data):
        raise UnfitError("dicom_broken")
    if syntax in _UNREAD:
        return ""
    # Some write implicit elements whatever they say; these have no letters there.
    return _told(data, at, explicit=syntax != _IMPLICIT and data[at + 4 : at + 6].isalpha())


def _told(data: bytes, at: int, *, explicit: bool) -> str:
    found: dict[int, bytes] = {}
    for element in _elements(data, at, _DATA_ENDS, explicit=explicit):
        wraps = element.tag == _CLASS and _uid(data, element).startswith(_DOCUMENT)
        if wraps or element.tag == _WRAPPED:
            raise UnfitError("dicom_document")
        if element.length != _OPEN:
            found.setdefault(element.tag, _value(data, element))
    charset = found.get(_CHARSET, b"").decode("ascii", "replace").split("\\")[-1].strip("\x00 ")
    lines = []
    for tag, name in _TOLD.items():
        text = found.get(tag, b"").decode(_CHARSETS.get(charset, "ascii"), "replace")
        if tag == _NAME:  # other forms of it follow, in other scripts
            text = text.partition("=")[0].replace("^", " ")
        if text := _plain(text):
            lines.append(f"{name}: {text}")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return a value in one line, and a day with dashes."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    day = _DAY.fullmatch(text)
    return text if day is None else "-".join(day.groups())


def _value(data: bytes, element: Element) -> bytes:
    return data[element.at : element.at + min(element.length, _VALUE)]


def _uid(data: bytes, element: Element) -> str:
    return _value(data, element).decode("ascii", "replace").strip("\x00 ")


def _elements(data: bytes, at: int, ends: int, *, explicit: bool) -> Iterator[Element]:
    """Yield the elements that stand in no sequence, up to the first that is not wanted."""
    depth = count = 0
    while at < len(data):
        tag = _tag(data, at)
        if not depth and _is_past(tag, ends):
            return
        kind, length, at = _form(data, at, explicit=explicit and tag >> 16 != _ITEMS)
        if length == _OPEN and kind == b"UN":  # written as if it were implicit
            return
        if length != _OPEN and at + length > len(data):
            raise UnfitError("dicom_broken")
        if not depth:
            yield Element(tag, length, at)
        at += 0 if length == _OPEN else length
        depth += (length == _OPEN) - (tag in _ENDS)
        count += 1
        if count > _ELEMENTS:
            raise UnfitError("too_complex")
    if depth:
        raise UnfitError("dicom_broken")


def _is_past(tag: int, ends: int) -> bool:
    if tag >> 16 == _ITEMS:
        raise UnfitError("dicom_broken")
    return tag >= ends


def _tag(data: bytes, at: int) -> int:
    group, number = unpack_from("<HH", data, at)
    return int(group << 16 | number)


def _form(data: bytes, at: int, *, explicit: bool) -> tuple[bytes, int, int]:
    """Return kind and length of an element, and where its value stands."""
    if not explicit:
        return b"", unpack_from("<I", data, at + 4)[0], at + 8
    kind = data[at + 4 : at + 6]
    if not kind.isalpha() or not kind.isupper():
        raise UnfitError("dicom_broken")
    if kind in _LONG:
        return kind, unpack_from("<I", data, at + 8)[0], at + 12
    return kind, unpack_from("<H", data, at + 6)[0], at + 8
