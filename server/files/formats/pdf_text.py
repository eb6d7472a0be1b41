"""The beginning of a PDF's text, as far as it can be told: a hint for a person, never a check."""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdf import PageObject

# What stands beside each other stays on one line, so that a row of a table reads as one.
_GAPS = re.compile(r"(?<=\S) {4,}")
_INDENTS = re.compile(r"^ {4,}", re.MULTILINE)
_BLANKS = re.compile(r"\n(?:[ \t]*\n){2,}")


def first_page_text(data: bytes, cap: int) -> str | None:
    """Return at most `cap` characters of the first page; None where no PDF reader is installed."""
    return _text(data, cap, pages=1)


def text_of(data: bytes, cap: int) -> str | None:
    """Return at most `cap` characters of all pages; None where no PDF reader is installed."""
    return _text(data, cap, pages=None)


def _text(data: bytes, cap: int, pages: int | None) -> str | None:
    try:
        import pypdf  # noqa: PLC0415 - optional, and slow to load
    except ImportError:
        return None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)  # it quotes the file
    found = ""
    # A strange file fails in any way; what was read by then stays.
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        for page in pypdf.PdfReader(BytesIO(data)).pages[:pages]:
            found += _page(page).strip("\n") + "\n"
            if len(found) > cap:
                break
    return found.strip("\n")[:cap]


def _page(page: PageObject) -> str:
    """Return a page's text as it is laid out, or in the order of the file where that fails."""
    try:
        laid = page.extract_text(extraction_mode="layout", layout_mode_strip_rotated=False)
    except Exception:  # noqa: BLE001 - as it may
        laid = ""
    if not laid.strip():
        laid = page.extract_text()
    return _BLANKS.sub("\n\n", _INDENTS.sub("    ", _GAPS.sub("    ", laid)))
