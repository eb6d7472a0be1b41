"""Plain text broken into rows of a given width: paragraphs, bullets, tabs, words too long for one.

Nothing in a text is markup; how wide something is, the caller's measure says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Style(NamedTuple):
    """How text is drawn; `shade` is 0 for black and 1 for white."""

    font: str
    size: float
    leading: float
    shade: float = 0.0


class Run(NamedTuple):
    """Text that is drawn in one go, and where it begins."""

    x: float
    text: str
    style: Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What stands on one line.

    Attributes:
        runs: From left to right.
        leading: How high the row is.
        gap: The space above it, where it is not the first of a page.
        keep: Whether it stands on the same page as the row after it.
        ruled: Whether a thin rule is drawn below it.
    """

    runs: tuple[Run, ...]
    leading: float
    gap: float = 0.0
    keep: bool = False
    ruled: bool = False


Measure = Callable[[str, Style], float]

HANG = 12.0
_INDENT = 3.0  # for each space that a line begins with
_MOST_SPACES = 16
_STOPS = 4  # so many columns share the width
_APART = 4.0  # at least, between a text and the one after a tab
_LINE = re.compile(r"([ \t]*)(?:([-*•–])[ \t]+)?(.*)")
# A number is not parted from its sign nor from a short word after it, which may be its unit.
_PIECE = re.compile(r"\t|(?:[<>≤≥=±] )?[^ \t]*\d [^ \t\d]{1,9}(?![^ \t])|[^ \t]+")
_MARKS = {"-": "–", "–": "–", "*": "•", "•": "•"}


@dataclass(frozen=True, slots=True)
class Column:
    """The part of a page that text is wrapped into."""

    left: float
    right: float
    measure: Measure

    @property
    def width(self) -> float:
        """How wide it is."""
        return self.right - self.left

    def inside(self, indent: float) -> Column:
        """Return the column that begins further in."""
        return Column(self.left + indent, self.right, self.measure)

    def lines(self, text: str, style: Style) -> Iterator[list[Run]]:
        """Yield the runs of each row that one line of text is broken into."""
        filling = _Filling(self, style)
        for piece in _PIECE.findall(text):
            if piece == "\t":
                yield from filling.tab()
            else:
                yield from filling.word(piece)
        yield from filling.finished()


class _Filling:
    """A row while it is filled; each method yields the rows that became full by it."""

    def __init__(self, column: Column, style: Style) -> None:
        self._column = column
        self._style = style
        self._runs: list[Run] = []
        self._x = column.left  # where the run begins that is still open
        self._text = ""
        self._width = 0.0  # of that run
        self._space = column.measure(" ", style)

    def word(self, word: str) -> Iterator[list[Run]]:
        wide = self._column.measure(word, self._style)
        apart = self._space if self._text else 0.0
        if self._x + self._width + apart + wide <= self._column.right:
            self._text += f" {word}" if self._text else word
            self._width += apart + wide
            return
        yield from self.finished()
        if wide > self._column.width:
            *full, (word, wide) = self._cut(word)
            yield from ([Run(self._x, part, self._style)] for part, _ in full)
        self._text, self._width = word, wide

    def tab(self) -> Iterator[list[Run]]:
        left, width = self._column.left, self._column.width / _STOPS
        stop = int((self._x + self._width + _APART - left) / width) + 1
        if stop >= _STOPS:
            yield from self.finished()
            return
        self._close()
        self._x = left + stop * width

    def finished(self) -> Iterator[list[Run]]:
        self._close()
        if self._runs:
            yield self._runs
        self._runs, self._x = [], self._column.left

    def _close(self) -> None:
        if self._text:
            self._runs.append(Run(self._x, self._text, self._style))
        self._text, self._width = "", 0.0

    def _cut(self, word: str) -> Iterator[tuple[str, float]]:
        begin, width = 0, 0.0
        for place, character in enumerate(word):
            wide = self._column.measure(character, self._style)
            if width + wide > self._column.width:
                yield word[begin:place], width
                begin, width = place, 0.0
            width += wide
        yield word[begin:], width


def rows_of(text: str, style: Style, column: Column, *, gap: float = 0.0) -> Iterator[Row]:
    """Yield a text's rows; a blank line becomes half a line of space, `gap` stands above the first.

    No first or last row of a paragraph is left alone on a page.
    """
    above = gap
    for line in text.split("\n"):
        if not line.strip():
            above = max(above, style.leading * 0.5)
            continue
        rows = list(_rows_of_line(line, style, column))
        for place, runs in enumerate(rows):
            keep = len(rows) > 1 and place in {0, len(rows) - 2}
            yield Row(runs=tuple(runs), leading=style.leading, gap=above, keep=keep)
            above = 0.0


def _rows_of_line(line: str, style: Style, column: Column) -> Iterator[list[Run]]:
    spaces, mark, rest = _LINE.fullmatch(line).groups()  # type: ignore[union-attr] # always matches
    indent = _INDENT * min(len(spaces.expandtabs(4)), _MOST_SPACES)
    if mark is None:
        yield from column.inside(indent).lines(rest, style)
        return
    first = [Run(column.left + indent, _MARKS[mark], style)]
    for runs in column.inside(indent + HANG).lines(rest, style):
        yield first + runs
        first = []
    if first:
        yield first
