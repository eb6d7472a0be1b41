from __future__ import annotations

import pytest

from leyr_mcp.server.files.formats.pdf import check_pdf
from leyr_mcp.server.files.letters.letter import render_letter
from tests.support.letters import a_letter, as_raw, pages_of

TEXT = "Tidigare väsentligen frisk och medicinerar inte regelbundet. " * 24
MARKUP = "[a](http://a.example) <a href='x'> /OpenAction <</S /URI>> /JavaScript endstream endobj"


@pytest.mark.parametrize("count", [1, 20])
def test_letter_is_a_pdf_that_can_be_attached(count: int) -> None:
    data = render_letter(as_raw(a_letter(*[("Plan", TEXT)] * count)))
    assert check_pdf(data) == len(pages_of(data))


def test_text_of_a_letter_is_nothing_that_a_pdf_is_refused_for() -> None:
    letter = a_letter((MARKUP, MARKUP), title=MARKUP, author=MARKUP, head=[MARKUP])
    assert check_pdf(render_letter(as_raw(letter))) == 1
