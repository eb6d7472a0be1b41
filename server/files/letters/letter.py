"""A draft as a letter to hand out: an A4 PDF of text alone, without any action or link.

The texts are anyone's, so none of them is read as markup, and each character stands there as
itself or as a box. The same letter always gives the same bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

from leyr_mcp.server.files.letters.glyphs import FONTS, lacks, on_one_line, shown
from leyr_mcp.server.files.letters.layout import (
    BOLD,
    HEIGHT,
    MARGIN,
    REGULAR,
    RIGHT,
    WIDTH,
    Letter,
    Page,
    paged,
)
from leyr_mcp.server.files.letters.wrapping import Style

__all__ = ["lacks", "lay_out", "read_letter", "render_letter"]

_FILES = {REGULAR: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf"}
_LOCALES = {"sv": "sv-SE", "nb": "nb-NO", "en": "en-GB"}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def render_letter(raw: bytes) -> bytes:
    """Return the PDF of a letter given as JSON.

    Raises:
        ImportError: The extra `pdf` is not installed.
        ValueError: It is no letter, or takes more than 60 pages ("too long").
    """
    letter = read_letter(raw)
    return _drawn(letter, lay_out(letter))


def read_letter(raw: bytes) -> Letter:
    """Return the letter that stands in JSON, its texts as they are drawn.

    Raises:
        ValueError: It is no letter.
    """
    given = json.loads(raw.decode("utf-8"))
    try:
        return _read(given)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not a letter") from error


def lay_out(letter: Letter) -> list[Page]:
    """Return what stands where on each page.

    Raises:
        ImportError: The extra `pdf` is not installed.
        ValueError: It takes more than 60 pages ("too long").
    """
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415 - an extra, and slow to load

    _register_fonts()

    def measure(text: str, style: Style) -> float:
        return pdfmetrics.stringWidth(text, style.font, style.size)

    return paged(letter, measure)


@cache
def _register_fonts() -> None:
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415 - an extra, and slow to load
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415 - as above

    for name, file in _FILES.items():
        pdfmetrics.registerFont(TTFont(name, str(FONTS / file)))


def _read(given: Mapping[str, Any]) -> Letter:
    language, patient = given["language"], given["patient"]
    if language not in _LOCALES:
        raise KeyError(language)
    return Letter(
        language=language,
        letterhead=tuple(filter(None, map(on_one_line, given["letterhead"]))),
        title=on_one_line(given["title"]),
        name=on_one_line(patient["name"]),
        born=_day(patient["born"] or "", language),
        number=on_one_line(patient["number"] or ""),
        date=_day(given["date"], language),
        author=on_one_line(given["author"] or ""),
        sections=tuple(
            (on_one_line(section["heading"]), shown(section["text"]))
            for section in given["sections"]
        ),
    )


def _day(written: str, language: str) -> str:
    """Return a day as the language writes it; what is no day stays as it is."""
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return on_one_line(written)
    if language == "nb":
        return f"{day:%d.%m.%Y}"
    if language == "en":
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
    return day.isoformat()


def _drawn(letter: Letter, pages: Sequence[Page]) -> bytes:
    from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415 - an extra, and slow to load

    out = io.BytesIO()
    canvas = Canvas(
        out,
        pagesize=(WIDTH, HEIGHT),
        pageCompression=1,
        pdfVersion=(1, 4),  # the first that tells the language
        invariant=1,  # no time of making, no random id
        initialFontName=REGULAR,  # type: ignore[arg-type] # the stubs mistake it for a number
        lang=_LOCALES[letter.language],
    )
    canvas.setTitle(letter.title)
    for said_of_itself in (canvas.setAuthor, canvas.setSubject, canvas.setCreator):
        said_of_itself("")
    for page in pages:
        canvas.setLineWidth(0.6)
        canvas.setStrokeGray(0.55)
        for rule in page.rules:
            canvas.line(MARGIN, rule.y, RIGHT, rule.y)
        for text in page.texts:
            canvas.setFont(text.style.font, text.style.size)
            canvas.setFillGray(text.style.shade)
            canvas.drawString(text.x, text.y, text.text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()
