"""Text as the letters' fonts can show it: composed, and a box for whatever they have no glyph for.

Invisible and direction characters have none either, so nothing stands in a letter unseen.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

FONTS = Path(__file__).parent / "fonts"
MISSING = "□"

_BREAKS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Composed word by word, as the time to compose a run of accents grows with its square.
_WORD = re.compile(r"\S{1,200}")


def shown(text: str) -> str:
    """Return `text` as it is drawn; newlines and tabs stay."""
    return _lacking().sub(MISSING, _composed(text))


def lacks(text: str) -> int:
    """Return how many characters of a text the fonts have not, each of which is drawn as a box."""
    return len(_lacking().findall(_composed(text)))


def on_one_line(text: str) -> str:
    """Return a name or title as it is drawn, on one line."""
    return " ".join(shown(text).split())


def _composed(text: str) -> str:
    return _WORD.sub(lambda m: unicodedata.normalize("NFC", m[0]), _BREAKS.sub("\n", text))


@cache
def _lacking() -> re.Pattern[str]:
    ranges = (FONTS / "coverage.txt").read_text(encoding="ascii").split()
    pairs = (r"\u" + r"-\u".join(pair.split("-")) for pair in ranges)
    return re.compile(rf"[^\n\t{''.join(pairs)}]")
