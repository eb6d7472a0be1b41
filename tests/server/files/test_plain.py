"""Plain text: what it may hold, and that nothing hides in front of or behind its beginning."""

from __future__ import annotations

import pytest

from leyr_mcp.server.files.formats.plain import check_text
from leyr_mcp.server.files.verdict import UnfitError

MIB = 1 << 20


def refused(data: bytes) -> str:
    with pytest.raises(UnfitError) as caught:
        check_text(data, 10)
    return caught.value.reason


def test_beginning_is_told_without_its_mark() -> None:
    assert check_text("\ufeffÅäö och mer än tio".encode(), 10) == "Åäö och me"
    assert check_text("\ufeff".encode(), 10) == ""
    assert check_text(b"abc", 0) == ""
    assert check_text(b"", 10) == ""


def test_character_on_the_border_of_two_pieces_is_whole() -> None:
    text = "a" * (MIB - 1) + "Å" + "b" * 10
    assert check_text(text.encode(), 2 * MIB) == text


@pytest.mark.parametrize("at", [0, MIB - 1, MIB, 2 * MIB - 1])
def test_fault_is_found_wherever_it_stands(at: int) -> None:
    clean = b"a" * (2 * MIB)
    assert refused(clean[:at] + b"\xff" + clean[at + 1 :]) == "text_encoding"
    assert refused(clean[:at] + b"\x00" + clean[at + 1 :]) == "text_nul"


@pytest.mark.parametrize(
    "text",
    [
        "<!doctype html>", "<HTML lang=sv>", "<script>", "<iframe/>", "<p>", "<!-- a", "<svg\n",
        "<?xml version='1.0'?>", "<?php", "<% a %>", "{\\RTF1", "%!PS", "#!/bin/sh", "%PDF-1.7",
        "mime-version: 1.0", "Content-Type: text/html", "@echo off", "<a>", "<b", "<h1>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "\ufeff", " \t\r\n\f", "\u200b\u00a0\u2028", "\n" * MIB])
def test_program_or_page_is_no_text(text: str, before: str) -> None:
    assert refused((before + text).encode()) == "text_other"


@pytest.mark.parametrize(
    "text",
    [
        "<5 mg", "<abc>", "<pH 7", "< p >", "#1", "# Rubrik", "{rtf}", "%", "MIME", "@", "<",
        "Sida: <html>", "<bra", "\x1b", "Echo normalt",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_passes(text: str) -> None:
    assert check_text(text.encode(), 100) == text
