"""Where each text and rule of a letter stands on its pages; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from leyr_mcp.server.files.letters.wrapping import Column, Measure, Row, Run, Style, rows_of

WIDTH, HEIGHT = 595.28, 841.89  # A4
MARGIN = 62.4  # 22 mm
RIGHT = WIDTH - MARGIN
MOST_PAGES = 60
REGULAR, BOLD = "LetterRegular", "LetterBold"

CLINIC = Style(BOLD, 13.0, 18.0)
ADDRESS = Style(REGULAR, 9.0, 12.5, 0.3)
TITLE = Style(BOLD, 17.0, 23.0)
LABEL = Style(REGULAR, 10.0, 15.0, 0.35)
VALUE = Style(REGULAR, 10.0, 15.0)
NAME = Style(BOLD, 10.0, 15.0)
HEADING = Style(BOLD, 11.5, 17.0)
TEXT = Style(REGULAR, 10.5, 14.6)
SMALL = Style(REGULAR, 8.5, 11.0, 0.35)

_LABELS = 86.0  # how wide the column of the labels is
_TOP = HEIGHT - MARGIN
_HEAD = HEIGHT - 43.0
_FOOT = 34.0
_BASE = 0.29  # of the leading stands below the baseline


class Words(NamedTuple):
    """What a letter itself says in its language."""

    patient: str
    born: str
    date: str
    author: str
    page: str


WORDS = {
    "sv": Words("Patient", "född", "Datum", "Skriven av", "Sida {} av {}"),
    "nb": Words("Pasient", "født", "Dato", "Skrevet av", "Side {} av {}"),
    "en": Words("Patient", "born", "Date", "Written by", "Page {} of {}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A letter with all its texts as they are drawn."""

    language: str
    letterhead: tuple[str, ...]
    title: str
    name: str
    born: str
    number: str
    date: str
    author: str
    sections: tuple[tuple[str, str], ...]


class Rule(NamedTuple):
    """A thin line across the page."""

    y: float


class Placed(NamedTuple):
    """A run of text and its baseline."""

    x: float
    y: float
    text: str
    style: Style


@dataclass(slots=True)
class Page:
    """All that is drawn on one page, in reading order."""

    texts: list[Placed] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)


def paged(letter: Letter, measure: Measure) -> list[Page]:
    """Return the pages of a letter.

    Raises:
        ValueError: It takes more than 60.
    """
    column = Column(MARGIN, RIGHT, measure)
    pages = _filled(_rows(letter, column), _running(letter, column))
    said = WORDS[letter.language].page
    for number, page in enumerate(pages, start=1):
        text = said.format(number, len(pages))
        page.texts.append(Placed(RIGHT - measure(text, SMALL), _FOOT, text, SMALL))
    return pages


def _running(letter: Letter, column: Column) -> str:
    """Return what stands at the head of each page but the first, cut to one row."""
    whole = " · ".join(part for part in (letter.name, letter.title) if part)
    lines = list(column.inside(column.measure("…", SMALL)).lines(whole, SMALL))
    cut = "…" if len(lines) > 1 else ""
    return f"{lines[0][0].text}{cut}" if lines else ""


def _rows(letter: Letter, column: Column) -> Iterator[Row]:
    yield from _letterhead(letter.letterhead, column)
    yield from _kept(rows_of(letter.title, TITLE, column, gap=20.0))
    yield from _about(letter, column)
    for heading, text in letter.sections:
        yield from _section(heading, text, column)


def _letterhead(lines: Sequence[str], column: Column) -> Iterator[Row]:
    styles = [CLINIC] + [ADDRESS] * len(lines)
    rows = [
        row
        for line, style in zip(lines, styles, strict=False)
        for row in rows_of(line, style, column)
    ]
    for place, row in enumerate(rows, start=1):
        yield Row(runs=row.runs, leading=row.leading, ruled=place == len(rows))


def _about(letter: Letter, column: Column) -> Iterator[Row]:
    words = WORDS[letter.language]
    born = f"{words.born} {letter.born}" if letter.born else ""
    identity = " · ".join(part for part in (born, letter.number) if part)
    table = (
        (words.patient, letter.name, NAME),
        ("", identity, VALUE),
        (words.date, letter.date, VALUE),
        (words.author, letter.author, VALUE),
    )
    gap = 8.0
    for label, value, style in table:
        for row in rows_of(value, style, column.inside(_LABELS), gap=gap):
            head = (Run(column.left, label, LABEL),) if label else ()
            yield Row(runs=head + row.runs, leading=row.leading, gap=gap)
            label, gap = "", 0.0  # noqa: PLW2901 - a label stands once, at its value's first row


def _section(heading: str, text: str, column: Column) -> Iterator[Row]:
    yield from _kept(rows_of(heading, HEADING, column, gap=17.0))
    for place, row in enumerate(rows_of(text, TEXT, column, gap=3.0 if heading else 17.0)):
        # A heading brings two rows of its text along.
        keep = row.keep or (place == 0 and bool(heading))
        yield Row(runs=row.runs, leading=row.leading, gap=row.gap, keep=keep)


def _kept(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield Row(runs=row.runs, leading=row.leading, gap=row.gap, keep=True)


def _filled(rows: Iterable[Row], running: str) -> list[Page]:
    pages = [Page()]
    y = _TOP
    for group in _groups(rows):
        if y - _height(group) < MARGIN and y < _TOP:
            y = _turned(pages, running)
        for row in group:
            if y - row.leading - _above(row, y) < MARGIN:  # a group that no page can hold
                y = _turned(pages, running)
            y -= _above(row, y) + row.leading
            _place(pages[-1], row, y)
            if row.ruled:
                y -= 7.0
                pages[-1].rules.append(Rule(y))
    return pages


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows that stand on one page together, or as many as fill it."""
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if not row.keep or _height(group) > _TOP - MARGIN:
            yield group
            group = []
    if group:
        yield group


def _height(group: Sequence[Row]) -> float:
    return sum(row.gap + row.leading for row in group)


def _above(row: Row, y: float) -> float:
    return row.gap if y < _TOP else 0.0


def _turned(pages: list[Page], running: str) -> float:
    """Begin a page and return where its text begins."""
    if len(pages) == MOST_PAGES:
        raise ValueError("too long")
    page = Page()
    if running:
        page.texts.append(Placed(MARGIN, _HEAD, running, SMALL))
        page.rules.append(Rule(_HEAD - 6.0))
    pages.append(page)
    return _TOP


def _place(page: Page, row: Row, y: float) -> None:
    base = y + _BASE * row.leading
    page.texts.extend(Placed(run.x, base, run.text, run.style) for run in row.runs)
