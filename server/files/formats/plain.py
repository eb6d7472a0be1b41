"""Plain text: UTF-8 without NUL, and no program or page that a viewer would run."""

from __future__ import annotations

import codecs
import re

from leyr_mcp.server.files.verdict import UnfitError

# What is no text by its first bytes, so that it is not called a damaged one.
FOREIGN = (
    b"GIF8", b"II*\x00", b"MM\x00*", b"BM", b"RIFF", b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe",
    b"PK\x05\x06", b"PK\x07\x08", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!",
    b"SQLite format 3", b"MSCF", b"OggS", b"ID3", b"\x00\x00\x01\x00", b"\x00asm",
)  # fmt: skip
_PIECE = 1 << 20
_HEAD = 64
# A BOM, and what shows nothing, in front of a program keeps no viewer from seeing it.
_BLANK = "\ufeff\u200b\u200c\u200d\u2060\u00a0 \t\r\n\f\v\x1c\x1d\x1e\x1f\x85\u2028\u2029"
# The tags are those by which browsers tell a page: MIME Sniffing Standard, section 7.1.
_PROGRAM = re.compile(
    r"<!doctype|<(?:html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--|svg|"
    r"meta|link|object|embed|img|math|frameset)(?:[\s>/]|$)|<\?|<%|\{\\rtf|%!ps|%pdf|#!|mime-version:|"
    r"content-type:|@echo |<job>|<package>",
    re.IGNORECASE,
)


def check_text(data: bytes, cap: int) -> str:
    """Return at most the first `cap` characters of a text, without a byte order mark.

    Raises:
        UnfitError: It is no plain text.
    """
    begins, head = "", ""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, max(len(data), 1), _PIECE):
            piece = decoder.decode(data[at : at + _PIECE], final=at + _PIECE >= len(data))
            if "\x00" in piece:
                raise UnfitError("text_nul")
            begins += piece[: cap + 1 - len(begins)]
            if len(head) < _HEAD:
                head = (head + piece).lstrip().lstrip(_BLANK)[:_HEAD]
    except UnicodeDecodeError:
        raise UnfitError("text_encoding") from None
    if _PROGRAM.match(head):
        raise UnfitError("text_other")
    return begins.removeprefix("\ufeff")[:cap]
