"""Letters as they are given to be rendered."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from pypdf import PdfReader

LETTERHEAD = ("Ekens vårdcentral", "Storgatan 12, 123 45 Provstad", "Telefon 00-123 45 67")


def a_letter(
    *sections: tuple[str, str], language: str = "sv", head: Sequence[str] = LETTERHEAD, **other: Any
) -> dict[str, Any]:
    """Return a letter to a patient of the sandbox; `other` replaces its fields."""
    return {
        "language": language,
        "letterhead": list(head),
        "title": "Läkarbesök",
        "patient": {"name": "Tolvan Tolvansson", "born": "1912-12-12", "number": "19121212-••••"},
        "date": "2026-03-02",
        "author": "Läkare Ehn",
        "sections": [{"heading": heading, "text": text} for heading, text in sections],
    } | other


def as_raw(letter: Any) -> bytes:
    """Return a letter as JSON."""
    return json.dumps(letter).encode()


def pages_of(pdf: bytes) -> list[str]:
    """Return the text of each page."""
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]
