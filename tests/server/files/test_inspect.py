"""Which files are taken: the kind by the first bytes, against the name; and the collection."""

from __future__ import annotations

from typing import get_args

import pytest

from leyr_mcp.server.files import inspect as module
from leyr_mcp.server.files.inspect import detect, inspect
from leyr_mcp.server.files.kinds import DICOM, DOC, DOCX, JPEG, MAX_BYTES, PDF, PNG, TEXT, by_name
from leyr_mcp.server.files.verdict import Reason, UnfitError
from tests.support.image_files import jpeg, png
from tests.support.other_files import BENIGN_FILES, HOSTILE_FILES, dicom
from tests.support.word_files import doc, docx


def refused(data: bytes, promised: str) -> str:
    with pytest.raises(UnfitError) as caught:
        inspect(data, promised)
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "data", "reason"), HOSTILE_FILES.values(), ids=HOSTILE_FILES.keys()
)
def test_hostile_file_is_refused_for_its_reason(name: str, data: bytes, reason: Reason) -> None:
    kind = by_name(name)
    assert kind is not None
    assert refused(data, kind.format) == reason


@pytest.mark.parametrize(("name", "data"), BENIGN_FILES.values(), ids=BENIGN_FILES.keys())
def test_file_of_every_day_is_taken(name: str, data: bytes) -> None:
    kind = by_name(name)
    assert kind is not None
    assert detect(data) == kind.format
    found = inspect(data, kind.format)
    assert found.format == kind.format
    assert found.pages is None
    assert len(found.text) <= 4_000


def test_collection_has_every_reason_and_every_kind() -> None:
    reasons = {reason for _, _, reason in HOSTILE_FILES.values()}
    missing = set(get_args(Reason)) - reasons
    assert {reason for reason in missing if not reason.startswith("pdf_")} == {
        "no_ending",
        "too_many_bytes",
    }
    names = [name for name, _ in BENIGN_FILES.values()]
    assert {kind.format for name in names if (kind := by_name(name))} == {
        JPEG, PNG, DOC, DOCX, DICOM, TEXT,
    }  # fmt: skip
    assert len(HOSTILE_FILES) >= 45


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7", PDF), (jpeg(), JPEG), (png(), PNG), (doc(), DOC), (docx(), DOCX),
        (dicom(), DICOM), (b"%PDF-" + dicom()[5:], DICOM), (b"Hosta", TEXT),
        (b" %PDF-1.7", None), (b"<html>", None), (b"GIF89a\x00", None), (b"a\x00", None),
        (b"\xff\xfe", None), (b"\xff\xd8", None), (b"PK\x05\x06" + bytes(18), None),
    ],
)  # fmt: skip
def test_kind_is_known_by_the_first_bytes(data: bytes, kind: str | None) -> None:
    assert detect(data) == kind


def test_size_is_bounded_before_anything_is_looked_at() -> None:
    assert refused(b"\x00" * (MAX_BYTES + 1), PDF) == "too_many_bytes"
    assert inspect(b"a" * MAX_BYTES, TEXT).text == "a" * 4_000


@pytest.mark.parametrize("kind", [PDF, JPEG, PNG, DOC, DOCX, DICOM])
def test_text_promised_as_something_else_is_another_kind(kind: str) -> None:
    assert refused(b"Hosta sedan en vecka.", kind) == "other_ending"
    assert refused(b"<html>", kind) == "unknown_type"
    assert refused(b"", kind) == "empty"


def test_pdf_is_told_with_pages_and_its_first_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from leyr_mcp.server.files.formats import pdf, pdf_text  # noqa: PLC0415 - replaced here alone

    monkeypatch.setattr(pdf, "check_pdf", len)
    monkeypatch.setattr(pdf_text, "first_page_text", lambda _, cap: "a" * 7 if cap == 4_000 else "")
    found = inspect(b"%PDF-1.7", PDF)
    assert (found.format, found.pages, found.text, found.edits) == (PDF, 8, "a" * 7, ())
    monkeypatch.setattr(pdf_text, "first_page_text", lambda _data, _cap: None)
    assert inspect(b"%PDF-1.7", PDF).text == ""


def test_each_kind_has_a_check() -> None:
    assert module._CHECKS.keys() == {PDF, JPEG, PNG, DOC, DOCX, DICOM, TEXT}
