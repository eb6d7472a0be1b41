from __future__ import annotations

import pytest

from leyr_mcp.server.files.letters.glyphs import lacks
from leyr_mcp.server.files.letters.headings import heading


@pytest.mark.parametrize(
    ("field", "sv", "nb", "en"),
    [
        ("reason_for_visit", "Besöksorsak", "Kontaktårsak", "Reason for visit"),
        ("reason_of_visit", "Besöksorsak", "Kontaktårsak", "Reason for visit"),
        ("current_status", "Aktuell status", "Aktuell status", "Current status"),
        ("Assessment", "Bedömning", "Vurdering", "Assessment"),
        ("plan", "Plan", "Plan", "Plan"),
        ("allergies", "Allergier", "Allergier", "Allergies"),
        ("unstructured", "", "", ""),
    ],
)
def test_common_field_has_a_heading_in_each_language(field: str, sv: str, nb: str, en: str) -> None:
    assert [heading(field, language) for language in ("sv", "nb", "en")] == [sv, nb, en]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("knee_and_hip", "Knee and hip"),
        ("öron_NÄSA", "Öron NÄSA"),
        ("__x__", "X"),
        ("", ""),
        ("___", ""),
    ],
)
def test_other_field_is_called_by_its_name(field: str, said: str) -> None:
    assert heading(field, "sv") == said


def test_language_that_is_not_known_takes_english() -> None:
    assert heading("plan", "xx") == "Plan"
    assert heading("assessment", "xx") == "Assessment"


def test_every_heading_can_be_drawn() -> None:
    fields = ("family_history", "follow_up", "vital_signs", "question", "lab_results")
    assert all(lacks(heading(field, lang)) == 0 for field in fields for lang in ("sv", "nb", "en"))
