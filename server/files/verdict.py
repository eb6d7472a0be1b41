"""What looking at a file comes to: what was found of it, or the one reason against it.

A reason is a word of this table, so that whoever looks, in whatever process, can say no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Reason = Literal[
    "empty",
    "too_many_bytes",
    "no_ending",
    "unknown_type",
    "other_ending",
    "too_complex",
    "text_encoding",
    "text_nul",
    "text_other",
    "pdf_broken",
    "pdf_pages",
    "pdf_encrypted",
    "pdf_script",
    "pdf_action",
    "pdf_attachment",
    "pdf_media",
    "pdf_form",
    "image_broken",
    "image_pixels",
    "image_more",
    "docx_broken",
    "docx_parts",
    "docx_unpacked",
    "docx_macros",
    "docx_embedded",
    "docx_external",
    "docx_entities",
    "word_encrypted",
    "doc_broken",
    "doc_macros",
    "doc_embedded",
    "dicom_broken",
    "dicom_preamble",
    "dicom_document",
]


class Unfit(NamedTuple):
    """Why a file is not taken, as its caller is told."""

    code: str
    message: str


_TYPE, _LARGE = "file_type", "file_too_large"
_LOCKED, _ACTIVE = "file_encrypted", "file_active_content"
UNFIT: Mapping[Reason, Unfit] = {
    "empty": Unfit(_TYPE, "The file is empty."),
    "too_many_bytes": Unfit(_LARGE, "The file has more than 20,971,520 bytes."),
    "no_ending": Unfit(
        _TYPE, "The file's name must end in pdf, jpg, jpeg, png, doc, docx, dcm or txt."
    ),
    "unknown_type": Unfit(_TYPE, "The file is none of the kinds that can be attached."),
    "other_ending": Unfit(_TYPE, "The file holds something else than its name says."),
    "too_complex": Unfit(_LARGE, "The file takes more work to look through than is allowed."),
    "text_encoding": Unfit(_TYPE, "The text is not written in UTF-8."),
    "text_nul": Unfit(_TYPE, "The text holds a NUL character, so it is no plain text."),
    "text_other": Unfit(_TYPE, "The text is a program or a page, no plain text."),
    "pdf_broken": Unfit(_TYPE, "The PDF is damaged."),
    "pdf_pages": Unfit(_LARGE, "The PDF has more than 500 pages."),
    "pdf_encrypted": Unfit(_LOCKED, "The PDF is encrypted."),
    "pdf_script": Unfit(_ACTIVE, "The PDF holds a script."),
    "pdf_action": Unfit(_ACTIVE, "The PDF does something by itself when it is opened or used."),
    "pdf_attachment": Unfit(_ACTIVE, "The PDF holds another file."),
    "pdf_media": Unfit(_ACTIVE, "The PDF holds sound, video or 3D content."),
    "pdf_form": Unfit(_ACTIVE, "The PDF holds a form that is a program (XFA)."),
    "image_broken": Unfit(_TYPE, "The image is damaged."),
    "image_pixels": Unfit(_LARGE, "The image has more than 40 million pixels."),
    "image_more": Unfit(_TYPE, "The image file holds something besides the image."),
    "docx_broken": Unfit(_TYPE, "The Word document is damaged."),
    "docx_parts": Unfit(_LARGE, "The Word document has more than 2,000 parts."),
    "docx_unpacked": Unfit(
        _LARGE, "The Word document unpacks to more than 200 MiB, or to 100 times its size."
    ),
    "docx_macros": Unfit(_ACTIVE, "The Word document holds macros."),
    "docx_embedded": Unfit(_ACTIVE, "The Word document holds another file or a control."),
    "docx_external": Unfit(_ACTIVE, "The Word document refers to something outside itself."),
    "docx_entities": Unfit(_ACTIVE, "The Word document defines XML entities."),
    "word_encrypted": Unfit(_LOCKED, "The Word document is encrypted."),
    "doc_broken": Unfit(_TYPE, "The Word document is damaged."),
    "doc_macros": Unfit(_ACTIVE, "The Word document holds macros."),
    "doc_embedded": Unfit(_ACTIVE, "The Word document holds another file or a control."),
    "dicom_broken": Unfit(_TYPE, "The DICOM file is damaged."),
    "dicom_preamble": Unfit(_TYPE, "The DICOM file begins with something else than its image."),
    "dicom_document": Unfit(_ACTIVE, "The DICOM file holds another document."),
}


class UnfitError(Exception):
    """The file is not taken."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Edit(NamedTuple):
    """A part of a file that is not sent as it is: cut out, or overwritten by one byte.

    Only what tells where an image was taken is ever edited.
    """

    start: int
    end: int
    fill: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a file that is taken holds.

    Attributes:
        format: Its media type.
        pages: How many pages, where it has pages.
        text: The beginning of its text, as far as it can be told: of its first page.
        edits: In ascending order, none overlapping.
    """

    format: str
    pages: int | None = None
    text: str = ""
    edits: tuple[Edit, ...] = ()
