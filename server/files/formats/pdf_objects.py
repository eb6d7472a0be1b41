"""Reading the values of PDF objects out of bytes, whatever tables of contents say where they lie.

Only what a rule may ask for is kept of a value, so that memory stays small whatever a file holds.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from leyr_mcp.server.files.verdict import UnfitError

MAX_VALUES = 3_000_000  # in a whole file
MAX_VALUES_EACH = 400_000  # in one object
MAX_READ = 256 * 1024 * 1024  # bytes; more than a file has where objects lie inside each other
MAX_UNPACKED = 64 * 1024 * 1024
MAX_UNPACKED_EACH = 32 * 1024 * 1024
MAX_DEPTH = 60
_KEPT = 600  # items of an array: more than the pages that a file may have
_CHUNK = 16 * 1024

SPACE = rb"\x00\t\n\x0c\r "
ALSO_SPACE = rb"\x80\xff"  # for PDFium; so these are nothing here, outside of strings
REGULAR = rb"[^" + SPACE + ALSO_SPACE + rb"()<>\[\]{}/%]"


class Ref(NamedTuple):
    """What stands for another object."""

    number: int


class Dictionary(dict[str, "Value"]):
    """The wanted keys of a dictionary; of a key that is there twice, the later value."""

    __slots__ = ("repeated",)

    def __init__(self) -> None:
        super().__init__()
        self.repeated = False


# Names are `str`. Strings, reals and truth values all become OPAQUE: no rule looks into them.
Value: TypeAlias = "str | int | bytes | Ref | list[Value] | Dictionary | None"
Source: TypeAlias = bytes | bytearray
OPAQUE: Final = b""

_BETWEEN = rb"(?:[" + SPACE + rb"]++|%[^\r\n]*+)*+"
_TOKEN = re.compile(
    _BETWEEN + rb"(?:"
    rb"(\d{1,10}+)[" + SPACE + rb"]++\d{1,10}+[" + SPACE + rb"]++R(?!" + REGULAR + rb")|"
    rb"([+-]?\d{1,10}+)(?!" + REGULAR + rb")|"
    rb"/(" + REGULAR + rb"*+)|"
    rb"([-+.\d]" + REGULAR + rb"*+)|"
    rb"(<[0-9A-Fa-f" + SPACE + rb"]*+>)|"
    rb"(\()|(\[)|(<<)|(\]|>>)|"
    rb"(" + REGULAR + rb"++))"
)
_REF, _INT, _NAME, _NUMBER, _HEX, _STRING, _ARRAY, _DICTIONARY, _CLOSE, _WORD = range(1, 11)
_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(rb"#(?![0-9A-Fa-f]{2})")
_BRACKET = re.compile(rb"[^()\\]*+(?:\\.[^()\\]*+)*+([()])", re.DOTALL)
_SKIP = re.compile(_BETWEEN)
_WORDS: dict[bytes, Value] = {b"true": OPAQUE, b"false": OPAQUE, b"null": None}


def name(raw: bytes) -> str:
    """Return the name that is written so; escapes such as `#41` are letters like any other."""
    if b"#" in raw:
        raw = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), raw)
    return raw.decode("latin-1")


class Reader:
    """Reads values, shows each pair of a wanted key and its value, and bounds the whole work."""

    def __init__(self, wanted: frozenset[str], look: Callable[[str, Value], None]) -> None:
        self._wanted = wanted
        self._look = look
        self._values = MAX_VALUES
        self._each = 0
        self._bytes = MAX_READ
        self._unpacked = MAX_UNPACKED

    def read(self, data: Source, at: int) -> tuple[Value, int]:
        """Return the value that begins there, and where it ends; an empty object is null.

        Raises:
            UnfitError: It is none, or it takes too much work.
        """
        self._each = before = min(self._values, MAX_VALUES_EACH)
        token = self._token(data, at)
        if token[_WORD] == b"endobj":
            value, end = None, token.start(_WORD)
        else:
            value, end = self._value(data, token, 0)
        self._values -= before - self._each
        self.charge(end - at)
        return value, end

    def skip(self, data: Source, at: int) -> int:
        """Return where space and comments end that stand there."""
        skipped = _SKIP.match(data, at)
        end = skipped.end() if skipped else at
        self.charge(end - at)
        return end

    def follows(self, data: Source, at: int, word: bytes) -> int | None:
        """Return where a word ends, if it is what stands there next."""
        end = self.skip(data, at)
        return end + len(word) if data.startswith(word, end) else None

    def unpack(self, data: Source, at: int) -> bytearray | None:
        """Return what is packed there by zlib, or None if it is damaged.

        Raises:
            UnfitError: It is too much.
        """
        engine = zlib.decompressobj()
        limit = min(self._unpacked, MAX_UNPACKED_EACH)
        out = bytearray()
        while not engine.eof:
            piece = data[at : at + _CHUNK]  # small: what lies behind the end is copied
            at += _CHUNK
            self.charge(_CHUNK)
            try:
                out += engine.decompress(piece, limit - len(out) + 1)
            except zlib.error:
                return None
            if not piece:
                return None
            if len(out) > limit:
                raise UnfitError("too_complex")
        self._unpacked -= len(out)
        return out

    def charge(self, size: int) -> None:
        """Count bytes that are looked at.

        Raises:
            UnfitError: They are too many.
        """
        self._bytes -= size
        if self._bytes < 0:
            raise UnfitError("too_complex")

    def _token(self, data: Source, at: int) -> re.Match[bytes]:
        self._each -= 1
        if self._each < 0:
            raise UnfitError("too_complex")
        token = _TOKEN.match(data, at)
        if token is None:
            raise UnfitError("pdf_broken")
        return token

    def _value(self, data: Source, token: re.Match[bytes], depth: int) -> tuple[Value, int]:
        kind = token.lastindex
        if depth > MAX_DEPTH:
            raise UnfitError("too_complex")
        if kind == _ARRAY:
            return self._array(data, token.end(), depth + 1)
        if kind == _DICTIONARY:
            return self._dictionary(data, token.end(), depth + 1)
        if kind == _STRING:
            return OPAQUE, self._string_end(data, token.end())
        return _simple(token), token.end()

    def _array(self, data: Source, at: int, depth: int) -> tuple[Value, int]:
        items: list[Value] = []
        while True:
            token = self._token(data, at)
            if token[_CLOSE] == b"]":
                return items, token.end()
            value, at = self._value(data, token, depth)
            if len(items) < _KEPT:
                items.append(OPAQUE if isinstance(value, list) else value)

    def _dictionary(self, data: Source, at: int, depth: int) -> tuple[Value, int]:
        found = Dictionary()
        while True:
            token = self._token(data, at)
            if token[_CLOSE] == b">>":
                return found, token.end()
            if token.lastindex != _NAME:
                raise UnfitError("pdf_broken")
            key = _name(token)
            value, at = self._value(data, self._token(data, token.end()), depth)
            if key in self._wanted:
                found.repeated |= key in found
                found[key] = value
                self._look(key, value)

    def _string_end(self, data: Source, at: int) -> int:
        depth = 1
        while depth:
            bracket = _BRACKET.match(data, at)
            if bracket is None:
                raise UnfitError("pdf_broken")
            at = bracket.end()
            depth += 1 if bracket[1] == b"(" else -1
            self._each -= 1
            if self._each < 0 or depth > MAX_DEPTH:
                raise UnfitError("too_complex")
        return at


def _simple(token: re.Match[bytes]) -> Value:
    kind = token.lastindex
    if kind == _NAME:
        return _name(token)
    if kind == _REF:
        return Ref(int(token[_REF]))
    if kind == _INT:
        return int(token[_INT])
    if kind in {_NUMBER, _HEX}:
        return OPAQUE
    if kind == _WORD and token[_WORD] in _WORDS:
        return _WORDS[token[_WORD]]
    raise UnfitError("pdf_broken")


def _name(token: re.Match[bytes]) -> str:
    if _BAD_ESCAPE.search(token[_NAME]):  # readers disagree on what it is
        raise UnfitError("pdf_broken")
    return name(token[_NAME])
