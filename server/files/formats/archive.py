"""The archive that a Word document is: its table and its parts, read strictly.

Programs disagree about an archive whose table, headers and sizes do not say the same; such a one is
refused. Parts are unpacked in pieces, and only as far as all of them together may go.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct, error
from typing import NamedTuple

from leyr_mcp.server.files.verdict import UnfitError

MAX_PARTS = 2_000
MAX_UNPACKED = 200 * 1024 * 1024
_RATIO = 100
_FREE = 1024 * 1024  # what any document may unpack to: an empty one is small, and packs well
PIECE = 256 * 1024
_END = Struct("<4s4H2IH")
_ENTRY = Struct("<4s6H3I5H2I")
_LOCAL = Struct("<4s5H3I2H")
_STORED, _DEFLATED = 0, 8
_LOCKED, _LATER, _UTF8 = 0x2041, 0x0008, 0x0800  # flags: encrypted in any way, sizes follow, names
_UNKNOWN = (0, 0xFFFFFFFF)  # sizes where they follow
_FORBIDDEN = frozenset('\\:*?"<>|\x7f') | {chr(code) for code in range(32)}


class Part(NamedTuple):
    """One part: its name, and where and how its bytes stand."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int

    @property
    def sums(self) -> tuple[int, int, int]:
        """What is said of its bytes, in the order of the headers."""
        return self.crc, self.packed, self.size


class Archive:
    """An archive whose table and headers agree, without a gap or a rest.

    Raises:
        UnfitError: They do not, or it is encrypted, or has too many parts.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = min(MAX_UNPACKED, max(_FREE, _RATIO * len(data)))
        try:
            self.parts, self._bodies = self._read()
        except (error, UnicodeDecodeError):
            raise UnfitError("docx_broken") from None

    def unpack(self, part: Part) -> Iterator[bytes]:
        """Yield the bytes of a part in pieces.

        Raises:
            UnfitError: They are not what the headers say, or all parts are too large.
        """
        at = self._bodies[part.name]
        packed = memoryview(self._data)[at : at + part.packed]
        crc = size = 0
        for piece in _inflated(packed) if part.method == _DEFLATED else _cut(packed):
            crc, size = zlib.crc32(piece, crc), size + len(piece)
            self._left -= len(piece)
            if self._left < 0:
                raise UnfitError("docx_unpacked")
            yield piece
        if (crc, size) != (part.crc, part.size):
            raise UnfitError("docx_broken")

    def _read(self) -> tuple[list[Part], dict[str, int]]:
        table, count = self._table()
        at = table
        parts: list[Part] = []
        for _ in range(count):
            part, at = self._entry(at)
            parts.append(part)
        names = {part.name.removesuffix("/").lower() for part in parts}
        if at != len(self._data) - _END.size or len(names) != len(parts):
            raise UnfitError("docx_broken")
        bodies, at = {}, 0
        for part in sorted(parts, key=lambda each: each.header):
            bodies[part.name], at = self._place(part, at)
        if at != table:
            raise UnfitError("docx_broken")
        return parts, bodies

    def _table(self) -> tuple[int, int]:
        """Return where the table of parts begins, and how many it has."""
        mark, disk, first, here, count, size, at, comment = _END.unpack(self._data[-_END.size :])
        if mark != b"PK\x05\x06" or disk or first or comment or here != count:
            raise UnfitError("docx_broken")
        if at + size != len(self._data) - _END.size:
            raise UnfitError("docx_broken")
        if count > MAX_PARTS:
            raise UnfitError("docx_parts")
        return at, count

    def _entry(self, at: int) -> tuple[Part, int]:
        """Return what the table says of one part, and where its next entry begins."""
        mark, *fields = _ENTRY.unpack_from(self._data, at)
        _, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, _, header = fields
        start = at + _ENTRY.size
        raw = self._data[start : start + lengths[0]]
        if flags & _LOCKED:
            raise UnfitError("word_encrypted")
        if mark != b"PK\x01\x02" or disk or method not in {_STORED, _DEFLATED}:
            raise UnfitError("docx_broken")
        part = Part(_name(raw, flags), flags, method, crc, packed, size, header)
        return part, start + sum(lengths)

    def _place(self, part: Part, start: int) -> tuple[int, int]:
        """Return where the bytes of a part begin, and where the next part must begin."""
        mark, _, flags, method, _, _, *sums, name, extra = _LOCAL.unpack_from(self._data, start)
        at = start + _LOCAL.size
        raw = self._data[at : at + name]
        if mark != b"PK\x03\x04" or part.header != start or _name(raw, flags) != part.name:
            raise UnfitError("docx_broken")
        later = bool(flags & _LATER)
        agree = tuple(sums) == part.sums or (later and all(each in _UNKNOWN for each in sums))
        if not agree or (flags, method) != (part.flags, part.method):
            raise UnfitError("docx_broken")
        body = at + name + extra
        end = body + part.packed
        return body, end + (self._trailer(part, end) if later else 0)

    def _trailer(self, part: Part, at: int) -> int:
        """Return the length of what follows a part whose sizes were not known before."""
        for form in ("<3I", "<I2Q"):
            for mark in (b"PK\x07\x08", b""):
                trailer = mark + Struct(form).pack(*part.sums)
                if self._data.startswith(trailer, at):
                    return len(trailer)
        raise UnfitError("docx_broken")


def _name(raw: bytes, flags: int) -> str:
    name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
    steps = name.removesuffix("/").split("/")
    if _FORBIDDEN.intersection(name) or any(step in {"", ".", ".."} for step in steps):
        raise UnfitError("docx_broken")
    return name


def _cut(packed: memoryview) -> Iterator[bytes]:
    for at in range(0, len(packed), PIECE):
        yield bytes(packed[at : at + PIECE])


def _inflated(packed: memoryview) -> Iterator[bytes]:
    """Yield what is deflated, in pieces; it must end with its last byte."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for given in _cut(packed):
            rest = given
            while rest and not unpacker.eof:
                yield unpacker.decompress(rest, PIECE)
                rest = unpacker.unconsumed_tail
            if rest or unpacker.unused_data:
                raise UnfitError("docx_broken")
        while piece := unpacker.decompress(b"", PIECE):  # what it still held back
            yield piece
    except zlib.error:
        raise UnfitError("docx_broken") from None
    if not unpacker.eof:
        raise UnfitError("docx_broken")
