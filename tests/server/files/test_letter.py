from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFontFile

from leyr_mcp.server.files.letters.glyphs import FONTS
from leyr_mcp.server.files.letters.layout import HEIGHT, MARGIN, RIGHT, TEXT, Page, Placed
from leyr_mcp.server.files.letters.letter import lacks, lay_out, read_letter, render_letter
from tests.support.letters import LETTERHEAD, a_letter, as_raw, pages_of

SWEDISH = (
    ("Besöksorsak", "Söker för huvudvärk och trötthet sedan två dagar."),
    ("Bedömning", "Huvudvärk. ÅÄÖ åäö é, ≥ 97 %, 36,8 °C, ½ tablett → 1, 25 µg, 120 €, ≤ 5."),
    ("Plan", "- Vila, vätska.\n- Åter vid försämring."),
)  # fmt: skip
NORWEGIAN = (
    ("Kontaktårsak", "Henvist for smerter i venstre kne gjennom tre måneder."),
    ("Vurdering", "ÆØÅ æøå: ømhet, lårmuskel. Sámegiella: ÁČĐŊŠŦŽ áčđŋšŧž."),
    ("Plan", "- Ny time i høst"),
)
PARAGRAPH = "Tidigare väsentligen frisk och medicinerar inte regelbundet. " * 6


def pages(*sections: tuple[str, str], **other: Any) -> list[Page]:
    return lay_out(read_letter(as_raw(a_letter(*sections, **other))))


def rows(*sections: tuple[str, str], **other: Any) -> list[list[Placed]]:
    """What stands on each row, from the top down, without the foot of a page."""
    found: dict[tuple[int, float], list[Placed]] = {}
    for number, page in enumerate(pages(*sections, **other)):
        for text in page.texts[:-1]:
            found.setdefault((number, -text.y), []).append(text)
    return [found[place] for place in sorted(found)]


def said(*sections: tuple[str, str], **other: Any) -> list[list[str]]:
    return [[one.text for one in row] for row in rows(*sections, **other)]


def text_rows(text: str) -> list[list[str]]:
    """The rows of a section's text."""
    return [[one.text for one in row] for row in rows(("", text)) if row[-1].style == TEXT]


def placed(text: str, found: list[Page]) -> Placed:
    return next(one for page in found for one in page.texts if one.text == text)


def right_end(text: Placed) -> float:
    return text.x + pdfmetrics.stringWidth(text.text, text.style.font, text.style.size)


def assert_on_paper(found: list[Page]) -> None:
    for page in found:
        for text in page.texts:
            assert text.x >= MARGIN - 0.01
            assert right_end(text) <= RIGHT + 0.01
            assert 30 < text.y < HEIGHT - 30
        body = [text.y for text in page.texts if text.style == TEXT]
        assert min(body, default=MARGIN) >= MARGIN


def test_swedish_letter_shows_everything_in_order_on_one_page() -> None:
    (page,) = pages_of(render_letter(as_raw(a_letter(*SWEDISH))))
    expected = [
        *LETTERHEAD, "Läkarbesök", "Patient", "Tolvan Tolvansson",
        "född 1912-12-12 · 19121212-••••", "Datum", "2026-03-02", "Skriven av", "Läkare Ehn",
        "Besöksorsak", "Söker för huvudvärk", "Bedömning",
        "ÅÄÖ åäö é, ≥ 97 %, 36,8 °C, ½ tablett → 1, 25 µg, 120 €,", "≤ 5.",
        "Plan", "– Vila, vätska.", "– Åter vid försämring.", "Sida 1 av 1",
    ]  # fmt: skip
    flat = " ".join(page.split())
    places = [flat.find(part) for part in expected]
    assert -1 not in places
    assert places == sorted(places)


def test_norwegian_letter_shows_its_own_words_and_sami_letters() -> None:
    raw = as_raw(a_letter(*NORWEGIAN, language="nb", author="Lege Øyvind Eksempelsen"))
    (page,) = pages_of(render_letter(raw))
    for part in (
        "Pasient", "født 12.12.1912", "Dato", "02.03.2026", "Skrevet av", "Øyvind Eksempelsen",
        "Kontaktårsak", "ÆØÅ æøå: ømhet, lårmuskel.", "ÁČĐŊŠŦŽ áčđŋšŧž.", "Side 1 av 1",
    ):  # fmt: skip
        assert part in page


def test_english_letter_writes_its_days_in_words() -> None:
    (page,) = pages_of(render_letter(as_raw(a_letter(("Plan", "Rest."), language="en"))))
    for part in ("born 12 December 1912", "2 March 2026", "Written by", "Page 1 of 1"):
        assert part in page


@pytest.mark.parametrize(
    ("language", "foot"), [("sv", "Sida {} av 3"), ("nb", "Side {} av 3"), ("en", "Page {} of 3")]
)
def test_long_letter_numbers_its_pages_and_says_on_each_whose_it_is(
    language: str, foot: str
) -> None:
    sections = [(f"Rubrik {number}", "\n\n".join([PARAGRAPH] * 3)) for number in range(1, 7)]
    found = pages_of(render_letter(as_raw(a_letter(*sections, language=language))))
    assert [foot.format(number) in page for number, page in enumerate(found, 1)] == [True] * 3
    assert ["Tolvan Tolvansson · Läkarbesök" in page for page in found] == [False, True, True]
    whole = " ".join(" ".join(found).split())
    assert whole.count("Tidigare väsentligen frisk") == 6 * 3 * 6
    assert [f"Rubrik {number}" in whole for number in range(1, 7)] == [True] * 6


def test_same_letter_gives_the_same_bytes() -> None:
    raw = as_raw(a_letter(*SWEDISH))
    first = render_letter(raw)
    render_letter(as_raw(a_letter(*NORWEGIAN)))
    assert render_letter(raw) == first


def test_letter_tells_its_title_and_language_and_nothing_else_of_itself() -> None:
    reader = PdfReader(io.BytesIO(render_letter(as_raw(a_letter(*NORWEGIAN, language="nb")))))
    assert str(reader.root_object["/Lang"]) == "nb-NO"
    assert reader.metadata is not None
    assert reader.metadata.title == "Läkarbesök"
    assert not reader.metadata.author
    assert not reader.metadata.creator
    assert not reader.metadata.subject


def test_both_fonts_are_embedded_and_no_other_is_named() -> None:
    reader = PdfReader(io.BytesIO(render_letter(as_raw(a_letter(*SWEDISH)))))
    fonts = [font.get_object() for font in reader.pages[0]["/Resources"]["/Font"].values()]  # type: ignore[index] # a dictionary
    assert sorted(font["/BaseFont"].split("+")[-1] for font in fonts) == [
        "DejaVuSans",
        "DejaVuSans-Bold",
    ]
    assert all("/FontFile2" in font["/FontDescriptor"] for font in fonts)


def test_without_letterhead_the_title_stands_at_the_top() -> None:
    with_head, without = pages(*SWEDISH), pages(*SWEDISH, head=())
    top = placed("Läkarbesök", without).y
    assert top > HEIGHT - MARGIN - 20
    assert without[0].rules == []
    assert len(with_head[0].rules) == 1
    assert placed("Läkarbesök", with_head).y < with_head[0].rules[0].y < top
    assert pages(*SWEDISH, head=("", " \n ")) == without


def test_letterhead_begins_bold_and_large() -> None:
    first, second = (placed(line, pages()).style for line in LETTERHEAD[:2])
    assert "Bold" in first.font
    assert first.size > second.size
    assert "Bold" not in second.font


def test_what_is_not_known_takes_no_room() -> None:
    bare = {"name": "", "born": None, "number": None}
    assert said(head=(), title="", patient=bare, author=None) == [["Datum", "2026-03-02"]]
    one = said(head=(), title="", author=None, patient=bare | {"number": "4711"})
    assert one == [["4711"], ["Datum", "2026-03-02"]]
    assert said(("", ""), ("", "Vila."), head=(), author=None)[-1] == ["Vila."]


def test_day_that_is_none_stays_as_it_is() -> None:
    assert ["Datum", "i går"] in said(date="i går")


def test_page_of_a_letter_without_names_has_nothing_at_its_head() -> None:
    found = pages(("", PARAGRAPH * 20), title="", patient={"name": "", "born": "", "number": ""})
    assert len(found) > 1
    assert found[1].rules == []
    assert found[1].texts[0].style == TEXT


def test_long_name_is_cut_at_the_head_of_a_page() -> None:
    found = pages(("", PARAGRAPH * 20), title="Mycket långt " * 40)
    head = found[1].texts[0]
    assert head.text.startswith("Tolvan Tolvansson · Mycket långt")
    assert head.text.endswith("…")
    assert_on_paper(found)


def test_heading_stands_with_two_rows_of_its_text() -> None:
    for before in range(30, 60):
        found = pages(("", "Rad.\n" * before), ("Rubrik", PARAGRAPH))
        page = next(page for page in found if any(t.text == "Rubrik" for t in page.texts))
        after = page.texts[[t.text for t in page.texts].index("Rubrik") + 1 :]
        assert sum(text.style == TEXT for text in after) >= 2
    assert len(found) > 1


def test_no_row_of_a_paragraph_stands_alone_on_a_page() -> None:
    for before in range(30, 60):
        found = pages(("", "Rad.\n" * before + PARAGRAPH))
        counts = [sum(t.style == TEXT and t.text != "Rad." for t in p.texts) for p in found]
        assert 1 not in counts


def test_paragraphs_stand_apart_and_lines_do_not() -> None:
    found = pages(("", "ett\ntvå\n\n\ntre"))
    ys = [placed(text, found).y for text in ("ett", "två", "tre")]
    assert ys[0] - ys[1] == pytest.approx(TEXT.leading)
    assert ys[1] - ys[2] == pytest.approx(1.5 * TEXT.leading)


def test_bullets_hang() -> None:
    found = pages(("", "- " + PARAGRAPH + "\n  * inre\n- \n-5 grader\n-"))
    marks = [text for text in found[0].texts if text.text in ("–", "•")]
    assert [mark.text for mark in marks] == ["–", "•", "–"]
    body = [t for t in found[0].texts if t.style == TEXT and "frisk" in t.text]
    assert len({text.x for text in body}) == 1
    assert body[0].x > marks[0].x
    assert placed("inre", found).x > body[0].x
    assert placed("-5 grader", found).x == placed("-", found).x == MARGIN


def test_spaces_at_the_beginning_indent_up_to_a_bound() -> None:
    found = pages(("", "a\n  b\n\tc\n" + " " * 500 + "d"))
    xs = [placed(text, found).x for text in "abcd"]
    assert xs == sorted(xs)
    assert xs[0] == MARGIN
    assert xs[3] < MARGIN + 60


def test_tabs_set_columns() -> None:
    found = pages(("", "Hb\t141 g/L\t134–170\nP-Glukos\t5,4 mmol/L\t4,2–6,3"))
    assert placed("141 g/L", found).x == placed("5,4 mmol/L", found).x
    assert placed("134–170", found).x == placed("4,2–6,3", found).x
    assert text_rows("a\tb\tc\td\te\t\tf") == [["a", "b", "c", "d"], ["e", "f"]]
    assert text_rows("\t") == []


def test_words_are_wrapped_and_none_is_lost() -> None:
    words = [f"ord{number}" + "å" * (number % 17) for number in range(400)]
    found = text_rows(" ".join(words))
    assert [word for row in found for text in row for word in text.split()] == words
    assert len(found) > 10


def test_number_is_not_parted_from_its_sign_and_unit() -> None:
    for length in range(40, 75):
        found = text_rows("a" * length + " < 5 mg/L och 10 mm.")
        assert any("< 5 mg/L" in row[0] for row in found)
        assert any("10 mm." in row[0] for row in found)


def test_long_word_is_broken_and_whole() -> None:
    word = "".join(chr(ord("a") + place % 26) for place in range(10_000))
    found = text_rows(f"Se {word} nedan")
    assert found[0] == ["Se"]
    assert "".join(row[0] for row in found[1:]) == f"{word} nedan"
    assert_on_paper(pages(("", word), title=word, head=[word], author=word))


@pytest.mark.parametrize(
    "text",
    [
        "<b>fet</b> &amp; <a href='x'>y</a> <para> <img src=a> %PDF-1.7 (parentes \\( \\n",
        "[label](http://a.example) ![](b) <script>alert(1)</script> {{x}} %(s)s {0}",
        "/JavaScript /OpenAction <</S /URI>> endstream endobj BT ET Tj",
    ],
)
def test_markup_is_text(text: str) -> None:
    data = render_letter(as_raw(a_letter((text, text), title=text, author=text, head=[text])))
    (page,) = pages_of(data)
    assert page.count("".join(text.split())) == 0
    assert "".join(page.split()).count("".join(text.split())) == 5
    assert "/Annots" not in PdfReader(io.BytesIO(data)).pages[0]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a\x00b\x07c\x1b[31m", "a□b□c□[31m"),
        ("a\u202eb\u200bc\u00add\ufeff", "a□b□c□d□"),
        ("שלום مرحبا", "□□□□ □□□□□"),
        ("ja 😀 漢字", "ja □ □□"),
        ("\ud800 x \udfff", "□ x □"),
        ("A\u030angstro\u0308m e\u0301", "Ångström é"),
        ("1\u00a0000\u202fkr", "1\u00a0000\u202fkr"),
        ("ett\rtvå\u2028tre\x0bfyra", "ett|två|tre|fyra"),
    ],
)
def test_what_the_font_lacks_is_a_box(text: str, drawn: str) -> None:
    assert "|".join(row[0] for row in text_rows(text)) == drawn
    assert lacks(text) == drawn.count("□")
    title = read_letter(as_raw(a_letter(title=text))).title
    assert title == " ".join(drawn.replace("|", " ").split())


def test_box_itself_can_be_drawn() -> None:
    assert lacks("□ \n\t") == 0


def test_list_of_what_the_fonts_have_is_true() -> None:
    ranges = (FONTS / "coverage.txt").read_text(encoding="ascii").split()
    ends = [[int(end, 16) for end in pair.split("-")] for pair in ranges]
    listed = {code for first, last in ends for code in range(first, last + 1)}
    for file in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
        assert set(TTFontFile(str(FONTS / file)).charToGlyph) - {0xFFFF} == listed
        assert (FONTS / file).stat().st_size < 250_000
    assert "Bitstream" in (FONTS / "LICENSE.txt").read_text(encoding="utf-8")


HOSTILE: dict[str, str] = {
    "words": "ordet är långt " * 14_000,
    "one word": "x" * 200_000,
    "accents": "\u0301\u0316" * 100_000,
    "words of accents": ("\u0316\u0301" * 200 + " ") * 500,
    "lines": "\n" * 200_000,
    "short lines": "a\n" * 100_000,
    "tabs": "\t" * 200_000,
    "columns": "a\t" * 100_000,
    "bullets": "- \n" * 70_000,
    "bullets in a row": "- " * 100_000,
    "numbers": "< 1 a " * 35_000,
    "boxes": "😀漢" * 50_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_drawn_on_sixty_pages_or_refused(text: str) -> None:
    start = time.process_time()
    try:
        found = len(pages_of_any(render_letter(as_raw(a_letter(("Plan", text))))))
    except ValueError as error:
        assert str(error) == "too long"  # noqa: PT017 - either end is right, none but these
        found = 60
    assert found <= 60
    assert time.process_time() - start < 5


def pages_of_any(data: bytes) -> list[object]:
    return list(PdfReader(io.BytesIO(data)).pages)


def test_sixty_pages_are_drawn_and_one_more_is_not() -> None:
    per_page = sum(text.style == TEXT for text in pages(("", "a\n" * 200))[1].texts)
    for count in (0, 10):
        many = "a\n" * (per_page * 58 + count)
        assert len(pages(("", many))) <= 60
    with pytest.raises(ValueError, match=r"^too long$"):
        pages(("", "a\n" * per_page * 61))
    with pytest.raises(ValueError, match=r"^too long$"):
        pages(title="Titel " * 20_000)


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "no language": lambda letter: letter.pop("language"),
    "other language": lambda letter: letter.update(language="xx"),
    "no patient": lambda letter: letter.update(patient=None),
    "number for text": lambda letter: letter.update(title=1),
    "no sections": lambda letter: letter.update(sections=None),
    "text for sections": lambda letter: letter.update(sections="abc"),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_letter_is_refused(spoil: Callable[[dict[str, Any]], object]) -> None:
    letter = a_letter(*SWEDISH)
    spoil(letter)
    with pytest.raises(ValueError, match="not a letter"):
        render_letter(as_raw(letter))


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'"abc"'])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of json, of the codec, or of our own
        render_letter(raw)


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "reportlab.pdfbase", None)
    with pytest.raises(ImportError):
        render_letter(as_raw(a_letter(*SWEDISH)))


PIECES = st.sampled_from(
    ["ord ", "\n", "\n\n", "\t", "- ", "* ", " ", "5 mg ", "x" * 90, "å", "é", "\u0301", "\u202e",
     "😀", "≥ ", "<b>", "(", "\\", "\x00", "\u00a0", "\ud800"]
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(
    st.one_of(st.text(max_size=400), st.lists(PIECES, max_size=200).map("".join)),
    st.sampled_from(["sv", "nb", "en"]),
)
def test_nothing_stands_beside_the_paper(text: str, language: str) -> None:
    patient = {"name": text[:300], "born": text[:20], "number": text[:40]}
    letter = a_letter((text[:200], text), (text, ""), language=language, title=text[:300],
                      patient=patient, author=text[:100], head=text.split("\n"))  # fmt: skip
    raw = json.dumps(letter).encode()
    assert_on_paper(lay_out(read_letter(raw)))
    assert render_letter(raw).startswith(b"%PDF-")
