"""Images built by hand: JPEG, PNG and the Exif in them, sound or not."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence

from leyr_mcp.server.files.verdict import Edit

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
# Eight by four grey pixels, from the first table to the end of the image.
GREY = base64.b64decode(
    "/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNbXYW1hpCeo6utq2eAvMm6pseZqKuk"
    "/8AACwgABAAIAQERAP/EABQAAQAAAAAAAAAAAAAAAAAAAAX/xAAYEAEAAwEAAAAAAAAAAAAAAAABABFBIf/aAAgBAQAA"
    "PwBQEXq27k//2Q=="
)
PROGRESSIVE = base64.b64decode(
    "/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNbXYW1hpCeo6utq2eAvMm6pseZqKuk"
    "/8IACwgABAAIAQERAP/EABQAAQAAAAAAAAAAAAAAAAAAAAT/2gAIAQEAAAABV//EABQQAQAAAAAAAAAAAAAAAAAAAAD/"
    "2gAIAQEAAQUCf//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEABj8Cf//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAI"
    "AQEAAT8hf//aAAgBAQAAABB//8QAGBABAAMBAAAAAAAAAAAAAAAAAQARQSH/2gAIAQEAAT8QBF6tu5P/2Q=="
)
FRAME = b"\xff\xc0\x00\x0b\x08\x00\x04\x00\x08"  # marker, length, precision, height, width
XMP = b"http://ns.adobe.com/xap/1.0/\x00"
XMP_MORE = b"http://ns.adobe.com/xmp/extension/\x00"
GPS_WORDS = b'<x:xmpmeta><rdf:Description exif:GPSLatitude="59,20N"/></x:xmpmeta>'

ORIENTATION, DETAILS, GPS = 0x0112, 0x8769, 0x8825
SHORT, LONG, ASCII, RATIONAL = 3, 4, 2, 5
Entry = tuple[int, int, int, int]


def segment(marker: int, body: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def jpeg(*segments: bytes, image: bytes = GREY, after: bytes = b"") -> bytes:
    """Return a JPEG with some segments in front of its tables."""
    head = segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
    return SOI + head + b"".join(segments) + image + after


def app1(exif: bytes) -> bytes:
    """Return the segment that Exif stands in."""
    return segment(0xE1, b"Exif\x00\x00" + exif)


def entries(order: str, *found: Entry, after: int | None = 0) -> bytes:
    """Return a list of Exif entries, and where the next list is, if that is written."""
    packed = [struct.pack(order + "H", len(found))]
    for tag, kind, count, value in found:
        short = kind == SHORT and order == ">"  # it stands in front in its four bytes
        packed.append(
            struct.pack(order + "HHII", tag, kind, count, value << 16 if short else value)
        )
    if after is not None:
        packed.append(struct.pack(order + "I", after))
    return b"".join(packed)


def tiff(order: str, parts: Mapping[int, bytes], first: int = 8) -> bytes:
    """Return a TIFF file with parts at given places."""
    head = {"<": b"II*\x00", ">": b"MM\x00*"}[order] + struct.pack(order + "I", first)
    made = bytearray(max(at + len(part) for at, part in parts.items()))
    made[: len(head)] = head
    for at, part in parts.items():
        made[at : at + len(part)] = part
    return bytes(made)


def exif(order: str = "<", *places: Entry, extra: Sequence[Entry] = ()) -> bytes:
    """Return Exif that says how an image is turned and, in its GPS part, where it was taken."""
    main = [(ORIENTATION, SHORT, 1, 6), (DETAILS, LONG, 1, 100), *extra]
    parts = {
        8: entries(order, *main, (GPS, LONG, 1, 160), after=260),
        100: entries(order, (0x9003, ASCII, 20, 120), after=None),
        120: b"2026:01:12 08:30:00\x00",
        160: entries(order, *(places or PLACES), after=None),
        220: struct.pack(order + "6I", 59, 1, 20, 1, 13, 1),
        260: entries(order, (0x0103, SHORT, 1, 6)),
    }
    return tiff(order, parts)


PLACES: tuple[Entry, ...] = ((1, ASCII, 2, 0x4E), (2, RATIONAL, 3, 220), (0x1D, ASCII, 1, 0))


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int = 8, height: int = 4, rest: bytes = b"\x08\x00\x00\x00\x00") -> bytes:
    """Return the first chunk of a PNG."""
    return chunk(b"IHDR", struct.pack(">II", width, height) + rest)


PIXELS = chunk(b"IDAT", zlib.compress(b"\x00" + bytes(8) + (b"\x00" + b"\x7f" * 8) * 3))
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(*chunks: bytes, first: bytes | None = None, after: bytes = b"") -> bytes:
    """Return a PNG with some chunks in front of its pixels."""
    start = header() if first is None else first
    return SIGNATURE + start + b"".join(chunks) + PIXELS + chunk(b"IEND") + after


def profile(body: bytes) -> bytes:
    """Return Exif as ImageMagick writes it in a text: in hexadecimal digits."""
    digits = body.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\nexif\n%8d\n%s\n" % (len(body), lines)


def apply(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Return a file as it is sent."""
    made = bytearray(data)
    for edit in reversed(edits):
        filled = b"" if edit.fill is None else bytes((edit.fill,)) * (edit.end - edit.start)
        made[edit.start : edit.end] = filled
    return bytes(made)
