"""The text of a PDF: as much as is asked for, and none where it cannot be read."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import pypdf
import pytest

from leyr_mcp.server.files.formats.pdf_text import first_page_text, text_of
from tests.support.pdf_files import BENIGN_PDFS, HOSTILE_PDFS, by_reportlab, pdf

LETTER = by_reportlab()


def test_the_first_page_is_told_alone() -> None:
    assert first_page_text(LETTER, 500) == "Remiss för Tolvan Tolvansson"


def test_all_pages_are_told_in_their_order() -> None:
    assert text_of(LETTER, 500) == "Remiss för Tolvan Tolvansson\nSida två"


@pytest.mark.parametrize("read", [first_page_text, text_of])
def test_no_more_is_told_than_is_asked_for(read: object) -> None:
    assert callable(read)
    assert read(LETTER, 6) == "Remiss"
    assert read(LETTER, 0) == ""


def test_without_a_reader_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    assert first_page_text(LETTER, 500) is None
    assert text_of(LETTER, 500) is None


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.7", LETTER[:300], pdf({1: b"<< /Pages 1 0 R >>"}), bytes(1000)]
)
def test_a_file_that_cannot_be_read_has_no_text(data: bytes) -> None:
    assert text_of(data, 500) == ""


@pytest.mark.parametrize("error", [RecursionError, MemoryError, KeyError])
def test_whatever_the_reader_fails_with_is_no_text(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        warnings.warn("quoting the file", stacklevel=1)
        raise error

    monkeypatch.setattr(pypdf, "PdfReader", fail)
    assert first_page_text(LETTER, 500) == ""


def test_nothing_is_logged_of_a_file(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for data in (
            LETTER[40:],
            LETTER.replace(b"xref", b"xxxx"),
            LETTER.replace(b"/Kids", b"/K"),
        ):
            text_of(data, 500)
    assert caplog.records == []


@pytest.mark.parametrize("name", BENIGN_PDFS)
def test_a_file_that_is_taken_can_be_read(name: str) -> None:
    text = first_page_text(BENIGN_PDFS[name], 500)
    assert text is not None
    assert "Tolvan Tolvansson" in text or name.startswith("tree_")


@pytest.mark.parametrize(
    "name", [name for name, (data, _) in HOSTILE_PDFS.items() if len(data) < 9_999]
)
def test_a_file_that_is_not_taken_does_no_harm_either(name: str) -> None:
    assert isinstance(text_of(HOSTILE_PDFS[name][0], 500), str)


def test_a_page_that_cannot_be_laid_out_is_told_in_the_order_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extract = pypdf.PageObject.extract_text

    def plain_only(page: pypdf.PageObject, **how: Any) -> str:
        if how:
            raise ZeroDivisionError
        return extract(page)

    monkeypatch.setattr(pypdf.PageObject, "extract_text", plain_only)
    raw = (Path(__file__).parents[3] / "sandbox" / "samples" / "lab-report.pdf").read_bytes()

    found = first_page_text(raw, 4_000)

    assert found is not None
    assert "Personnummer\n19121212-1212" in found


def test_what_stands_beside_each_other_stays_on_one_line() -> None:
    raw = (Path(__file__).parents[3] / "sandbox" / "samples" / "lab-report.pdf").read_bytes()

    found = first_page_text(raw, 4_000)

    assert found is not None
    assert "B-Hemoglobin (Hb)    141    g/L    134–170" in found
