"""A document's answer without its content, of which only the size and the SHA-256 are kept.

The content is found and decoded in the bytes as they arrive, so it is never in memory as a whole.
Nothing outside of it is changed: what is passed on is JSON just where the answer was.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from collections.abc import Callable
from hashlib import sha256

_KEY = b"content"
_SPACE = b" \t\r\n"
_SIGN = re.compile(rb'["\[\]{}:,]')
# Up to the quote that ends a string, or half an escape. Possessive: anything else is not linear.
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class Digest:
    """The size and the SHA-256 of what base64 stands for, taken in pieces."""

    def __init__(self) -> None:
        self._sum = sha256()
        self._size = 0
        self._rest = b""
        self._padded = False
        self._broken = False

    @property
    def size(self) -> int | None:
        """How many bytes it is; None for what is no base64."""
        return None if self._broken or self._rest else self._size

    @property
    def sha256(self) -> str:
        """Its SHA-256 in hexadecimal; empty, which is nothing's, for what is no base64."""
        return "" if self._broken or self._rest else self._sum.hexdigest()

    def feed(self, text: bytes) -> None:
        """Take the next piece."""
        block = self._rest + text
        whole = len(block) - len(block) % 4
        self._rest = block[whole:]
        if whole and not self._broken:
            self._take(block[:whole])

    def _take(self, block: bytes) -> None:
        try:
            raw = a2b_base64(block, strict_mode=True)
        except Error:
            self._broken = True
            return
        padding = len(block) // 4 * 3 - len(raw)
        # Some versions of Python take more of it than fills up four.
        self._broken = self._padded or padding > 2  # noqa: PLR2004 - two at most fill up four
        self._padded = padding > 0
        self._size += len(raw)
        self._sum.update(raw)


class ContentFilter:
    """Passes a document's JSON on with an empty string for its content, and digests that.

    The document is the answer, or the first of an array, as `parse_one` has it. A key that is
    written with escapes is not recognised. Where the content comes twice, the last is digested.
    """

    def __init__(self) -> None:
        self.content: Digest | None = None
        self._read: Callable[[bytes, int, list[bytes]], int] = self._start
        self._held = b""  # half an escape, until its other half is here
        self._depth = 0
        self._members = 0  # the depth at which the document's own keys stand
        self._key = b""
        self._key_comes = True
        self._in_key = False
        self._digest: Digest | None = None

    def feed(self, piece: bytes) -> bytes:
        """Return what of the next piece is passed on."""
        piece = self._held + piece
        self._held = b""
        kept: list[bytes] = []
        at = 0
        while at < len(piece):
            at = self._read(piece, at, kept)
        return b"".join(kept)

    def _start(self, piece: bytes, at: int, kept: list[bytes]) -> int:
        """Read up to the document's brace; an answer without one is passed on as it is."""
        begins = len(piece) - len(piece[at:].lstrip(_SPACE))
        sign = piece[begins : begins + 1]
        kept.append(piece[at : begins + 1])
        self._depth += len(sign)
        if sign == b"{":
            self._members = self._depth
            self._read = self._outside
        elif sign and (sign != b"[" or self._depth > 1):
            self._read = self._after
        return begins + len(sign)

    def _outside(self, piece: bytes, at: int, kept: list[bytes]) -> int:
        """Read up to the next string, or to the document's end."""
        for found in _SIGN.finditer(piece, at):
            sign, end = found[0], found.end()
            if sign == b'"':
                kept.append(piece[at:end])
                self._open()
                return end
            self._count(sign)
            if self._depth < self._members:
                kept.append(piece[at:end])
                self._read = self._after
                return end
        kept.append(piece[at:])
        return len(piece)

    def _count(self, sign: bytes) -> None:
        if sign in b"{[":
            self._depth += 1
        elif sign in b"}]":
            self._depth -= 1
        elif self._depth == self._members:
            self._key_comes = sign == b","

    def _open(self) -> None:
        self._read = self._inside
        own = self._depth == self._members
        self._in_key = own and self._key_comes
        self._digest = None
        if self._in_key:
            self._key = b""
        elif own and self._key == _KEY:
            self._digest = self.content = Digest()

    def _inside(self, piece: bytes, at: int, kept: list[bytes]) -> int:
        """Read up to the end of a string."""
        end = _text_end(piece, at)
        kept.append(self._kept(piece[at:end]))
        if piece[end : end + 1] == b'"':
            kept.append(b'"')
            self._read = self._outside
            return end + 1
        self._held = piece[end:]
        return len(piece)

    def _kept(self, text: bytes) -> bytes:
        if self._digest is not None:
            # Some writers of JSON escape each slash; any other escape is no base64.
            self._digest.feed(text.replace(b"\\/", b"/"))
            return b""
        if self._in_key:
            self._key = (self._key + text)[: len(_KEY) + 1]
        return text

    def _after(self, piece: bytes, at: int, kept: list[bytes]) -> int:
        kept.append(piece[at:])
        return len(piece)


def _text_end(piece: bytes, at: int) -> int:
    """Return where a string's text ends: at its quote, at half an escape, or with the piece."""
    quote = piece.find(b'"', at)
    end = len(piece) if quote < 0 else quote
    # Without another escape than of a slash, that is it; several times as fast as the expression.
    if piece.count(b"\\", at, end) == piece.count(b"\\/", at, end):
        return end
    found = _TEXT.match(piece, at)
    return found.end() if found else end
