"""PNG: every chunk in its place and whole, nothing after the last, and none that tells a place.

No pixel is decoded; how many there are is read from the header.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterator

from leyr_mcp.server.files.formats.exif import MAX_EDITS, MAX_PIXELS, mentions_place, place_in
from leyr_mcp.server.files.verdict import Edit, UnfitError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FRAME = 12  # length, type and checksum of a chunk
_CHUNKS = 100_000
_INFLATED = 16 * 1024 * 1024  # of all compressed texts of one image
_NEEDED = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}  # by colour
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_PROFILES = ("raw profile type exif", "raw profile type app1")  # as ImageMagick writes Exif

Chunk = tuple[bytes, int, int]  # its type, where it starts, where it ends


def check_png(data: bytes) -> tuple[Edit, ...]:
    """Return what is not sent of a PNG.

    Raises:
        UnfitError: It is damaged, too large, or holds more than an image.
    """
    seen: set[bytes] = set()
    edits: list[Edit] = []
    texts = _Texts()
    for number, (kind, start, end) in enumerate(_chunks(data)):
        if (number == 0) != (kind == b"IHDR"):
            raise UnfitError("image_broken")
        body = data[start + 8 : end - 4] if kind not in {b"IDAT", b"fdAT"} else b""
        if kind == b"IHDR":
            _check_header(body)
        elif kind[0] & 0x20 == 0 and kind not in _NEEDED:  # a capital: needed to show the image
            raise UnfitError("image_broken")
        tells = kind == b"eXIf" and place_in(body) != []
        if tells or (kind in _TEXTS and texts.tell(kind, body)):
            edits.append(Edit(start, end))
        seen.add(kind)
        if number > _CHUNKS or len(edits) > MAX_EDITS:
            raise UnfitError("too_complex")
    if b"IDAT" not in seen:
        raise UnfitError("image_broken")
    return tuple(edits)


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to the last one, which ends the file."""
    view, at, kind = memoryview(data), len(_SIGNATURE), b""
    while kind != b"IEND":
        length = int.from_bytes(view[at : at + 4], "big")
        end = at + _FRAME + length
        kind = bytes(view[at + 4 : at + 8])
        if end > len(data) or not kind.isalpha():
            raise UnfitError("image_broken")
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise UnfitError("image_broken")
        if kind == b"IEND" and end != len(data):
            raise UnfitError("image_more")
        if kind == b"IEND" and length:
            raise UnfitError("image_broken")
        yield kind, at, end
        at = end


def _check_header(body: bytes) -> None:
    if len(body) != 13:  # noqa: PLR2004 - as are all numbers here, PNG's own: section 11.2.2
        raise UnfitError("image_broken")
    width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    depth, colour, method, filtering, interlace = body[8:]
    if not width or not height or depth not in _DEPTHS.get(colour, ()):
        raise UnfitError("image_broken")
    if method or filtering or interlace > 1:
        raise UnfitError("image_broken")
    if width * height > MAX_PIXELS:
        raise UnfitError("image_pixels")


class _Texts:
    """The texts of one image, of which only so much is unpacked."""

    def __init__(self) -> None:
        self._left = _INFLATED

    def tell(self, kind: bytes, body: bytes) -> bool:
        """Return whether a text tells a place, or may."""
        keyword, _, rest = body.partition(b"\x00")
        text = self._text(kind, rest)
        if text is None or mentions_place(keyword) or mentions_place(text):
            return True
        if keyword.decode("latin-1").lower() not in _PROFILES:
            return False
        exif = _profile(text)
        return exif is None or mentions_place(exif) or _exif_tells(exif)

    def _text(self, kind: bytes, rest: bytes) -> bytes | None:
        """Return the text after the keyword; None where it cannot be read."""
        if kind == b"tEXt":
            return rest
        if kind == b"zTXt":
            return self._inflated(rest[1:])
        packed = rest[:1] == b"\x01"  # then come the method, a language and a translation
        parts = rest[2:].split(b"\x00", 2)
        return self._inflated(parts[2]) if packed and len(parts) > 2 else rest  # noqa: PLR2004

    def _inflated(self, packed: bytes) -> bytes | None:
        unpacker = zlib.decompressobj()
        try:
            text = unpacker.decompress(packed, self._left + 1)
        except zlib.error:
            return None
        self._left -= len(text)
        if self._left < 0:
            raise UnfitError("too_complex")
        return text if unpacker.eof else None


def _profile(text: bytes) -> bytes | None:
    """Return the bytes of a profile: its name and length, then hexadecimal digits in lines."""
    try:
        return binascii.unhexlify(text.split(None, 2)[2].translate(None, b" \t\r\n"))
    except (ValueError, IndexError):
        return None


def _exif_tells(profile: bytes) -> bool:
    return place_in(profile.removeprefix(b"Exif\x00\x00")) != []
