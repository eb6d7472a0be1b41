"""What a file holds: its kind by its first bytes, held against its name; then that kind's check.

The kind is decided here alone. What a caller says of it, and its name, must only agree.
"""

from __future__ import annotations

from collections.abc import Callable

from leyr_mcp.server.files.formats.plain import FOREIGN, check_text
from leyr_mcp.server.files.kinds import DICOM, DOC, DOCX, JPEG, MAX_BYTES, PDF, PNG, TEXT
from leyr_mcp.server.files.verdict import Findings, UnfitError

TEXT_CAP = 4_000  # characters of a file's text that are told

_SIGNATURES = {
    b"%PDF-": PDF,
    b"\xff\xd8\xff": JPEG,
    b"\x89PNG\r\n\x1a\n": PNG,
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": DOC,
    b"PK\x03\x04": DOCX,
}


def detect(data: bytes) -> str | None:
    """Return the kind that the first bytes are of; None where they are of none that is taken."""
    if data[128:132] == b"DICM":  # before the others: what stands in front of it may be anything
        return DICOM
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return kind
    try:
        check_text(data, 0)
    except UnfitError:
        return None
    return TEXT


def inspect(data: bytes, promised: str) -> Findings:
    """Return what a file holds whose name promises a kind.

    Raises:
        UnfitError: It is not taken.
    """
    if not data:
        raise UnfitError("empty")
    if len(data) > MAX_BYTES:
        raise UnfitError("too_many_bytes")
    kind = detect(data)
    if kind == DOC and promised == DOCX:
        _locked(data)
    if kind is None and promised == TEXT and not data.startswith(FOREIGN):
        kind = TEXT  # its own check says what is wrong with it
    if kind is None:
        raise UnfitError("unknown_type")
    if kind != promised:
        raise UnfitError("other_ending")
    return _CHECKS[kind](data)


def _locked(data: bytes) -> None:
    """Refuse a Word document that is encrypted: it is the other container then."""
    from leyr_mcp.server.files.formats.doc import is_encrypted  # noqa: PLC0415 - each kind loads its own

    if is_encrypted(data):
        raise UnfitError("word_encrypted")


def _pdf(data: bytes) -> Findings:
    from leyr_mcp.server.files.formats.pdf import check_pdf  # noqa: PLC0415 - each kind loads its own
    from leyr_mcp.server.files.formats.pdf_text import first_page_text  # noqa: PLC0415

    pages = check_pdf(data)
    return Findings(format=PDF, pages=pages, text=first_page_text(data, TEXT_CAP) or "")


def _jpeg(data: bytes) -> Findings:
    from leyr_mcp.server.files.formats.jpeg import check_jpeg  # noqa: PLC0415 - each kind loads its own

    return Findings(format=JPEG, edits=check_jpeg(data))


def _png(data: bytes) -> Findings:
    from leyr_mcp.server.files.formats.png import check_png  # noqa: PLC0415 - each kind loads its own

    return Findings(format=PNG, edits=check_png(data))


def _doc(data: bytes) -> Findings:
    from leyr_mcp.server.files.formats.doc import check_doc  # noqa: PLC0415 - each kind loads its own

    check_doc(data)
    return Findings(format=DOC)


def _docx(data: bytes) -> Findings:
    from leyr_mcp.server.files.formats.docx import check_docx  # noqa: PLC0415 - each kind loads its own

    return Findings(format=DOCX, text=check_docx(data, TEXT_CAP))


def _dicom(data: bytes) -> Findings:
    from leyr_mcp.server.files.formats.dicom import check_dicom  # noqa: PLC0415 - each kind loads its own

    return Findings(format=DICOM, text=check_dicom(data)[:TEXT_CAP])


def _text(data: bytes) -> Findings:
    return Findings(format=TEXT, text=check_text(data, TEXT_CAP))


_CHECKS: dict[str, Callable[[bytes], Findings]] = {
    PDF: _pdf, JPEG: _jpeg, PNG: _png, DOC: _doc, DOCX: _docx, DICOM: _dicom, TEXT: _text,
}  # fmt: skip
