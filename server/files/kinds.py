"""The seven kinds of files that are taken, and by which names."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BYTES = 20 * 1024 * 1024  # counted before base64
PDF = "application/pdf"
JPEG = "image/jpeg"
PNG = "image/png"
DOC = "application/msword"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
DICOM = "application/dicom"
TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind: how it is sent, what people call it, and how its names end."""

    format: str
    name: str
    endings: tuple[str, ...]


KINDS: tuple[FileKind, ...] = (
    FileKind(PDF, "PDF", ("pdf",)),
    FileKind(JPEG, "JPEG image", ("jpg", "jpeg")),
    FileKind(PNG, "PNG image", ("png",)),
    FileKind(DOC, "Word document", ("doc",)),
    FileKind(DOCX, "Word document", ("docx",)),
    FileKind(DICOM, "DICOM image", ("dcm",)),
    FileKind(TEXT, "plain text", ("txt",)),
)
FORMATS = frozenset(kind.format for kind in KINDS)


def by_name(name: str) -> FileKind | None:
    """Return the kind that a file's name promises; None where it promises none of them."""
    _, dot, ending = name.rpartition(".")
    wanted = ending.lower() if dot else ""
    return next((kind for kind in KINDS if wanted in kind.endings), None)


def by_format(given: str) -> FileKind | None:
    """Return the kind of a media type."""
    return next((kind for kind in KINDS if kind.format == given), None)
