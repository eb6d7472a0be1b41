"""A collection of files that are refused and of files that are taken, of all kinds but PDF."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Mapping

from leyr_mcp.server.files.verdict import Reason
from tests.support.image_files import (
    EOI,
    FRAME,
    GPS_WORDS,
    GREY,
    PIXELS,
    PROGRESSIVE,
    SIGNATURE,
    SOI,
    XMP,
    app1,
    chunk,
    exif,
    header,
    jpeg,
    png,
    segment,
)  # fmt: skip
from tests.support.word_files import (
    LOCKED,
    MAIN,
    archive,
    compound,
    doc,
    document,
    docx,
    field,
    parts,
    relations,
    streamed,
    types,
)  # fmt: skip

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
CAPTURE, WRAPPED_PDF = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.104.1"
_LONG = {"OB", "OW", "SQ", "UN", "UT"}
OPEN = 0xFFFFFFFF
PATIENT: tuple[tuple[int, str, str], ...] = (
    (0x00080005, "CS", "ISO_IR 100"),
    (0x00080016, "UI", CAPTURE),
    (0x00080020, "DA", "20260112"),
    (0x00080060, "CS", "CR"),
    (0x00100010, "PN", "Åkesson^Tolvan^^^=Akesson^Tolvan"),
    (0x00100020, "LO", "19121212-1212"),
    (0x00100030, "DA", "19121212"),
)


def element(
    tag: int, kind: str, value: bytes, length: int | None = None, *, explicit: bool = True
) -> bytes:
    """Return one DICOM element."""
    value += b"\x00" * (len(value) % 2)
    size = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack("<I", size) + value
    if kind in _LONG:
        return head + kind.encode() + struct.pack("<HI", 0, size) + value
    return head + kind.encode() + struct.pack("<H", size) + value


def dataset(found: tuple[tuple[int, str, str], ...] = PATIENT, *, explicit: bool = True) -> bytes:
    """Return elements with text."""
    return b"".join(
        element(tag, kind, text.encode("latin-1"), explicit=explicit) for tag, kind, text in found
    )


def dicom(data: bytes | None = None, *, syntax: str = EXPLICIT, media: str = CAPTURE) -> bytes:
    """Return a DICOM file."""
    head = element(0x00020001, "OB", b"\x00\x01")
    head += element(0x00020002, "UI", media.encode()) + element(0x00020010, "UI", syntax.encode())
    body = dataset(explicit=syntax != IMPLICIT) if data is None else data
    return bytes(128) + b"DICM" + head + body


JFIF_COMMENT = segment(0xFE, b"<script>PK\x03\x04")
OUTSIDE = ' TargetMode="External"'
_ENTITY = '<!DOCTYPE a [<!ENTITY b "c">]>'
_BIN = '<Override PartName="/word/{}" ContentType="{}"/>'
_LOCAL = re.compile(rb"PK\x03\x04|PK\x01\x02")


def flagged(made: bytes, flag: int) -> bytes:
    """Return an archive in whose headers a flag is set everywhere."""
    out = bytearray(made)
    for found in _LOCAL.finditer(made):
        at = found.start() + (6 if found[0] == b"PK\x03\x04" else 8)
        out[at] |= flag
    return bytes(out)


def main(body: str) -> bytes:
    """Return a document with a body."""
    return docx(main=document(body))


def related(kind: str, target: str, mode: str = "") -> bytes:
    """Return a document with a relation."""
    return docx(relations=relations((kind, target, mode)))


_TEXTS: Mapping[str, tuple[str, bytes, Reason]] = {
    "empty text": ("a.txt", b"", "empty"),
    "text in Latin 1": ("a.txt", "Blåmärke".encode("latin-1"), "text_encoding"),
    "text in UTF-16": ("a.txt", "Hosta".encode("utf-16"), "text_encoding"),
    "text cut in a character": ("a.txt", "Blå".encode()[:-1], "text_encoding"),
    "surrogate in text": ("a.txt", b"a\xed\xa0\x80", "text_encoding"),
    "overlong form in text": ("a.txt", b"a\xc0\xaf", "text_encoding"),
    "NUL in text": ("a.txt", b"Hosta\x00", "text_nul"),
    "text in UTF-16 without a mark": ("a.txt", "Hosta".encode("utf-16-le"), "text_nul"),
    "page": ("a.txt", b"\xef\xbb\xbf \n<!DocType html><script>", "text_other"),
    "page after invisible signs": ("a.txt", "\u200b\ufeff<HTML>".encode(), "text_other"),
    "page after many spaces": ("a.txt", b" " * 5000 + b"<script>", "text_other"),
    "drawing as text": ("a.txt", b'<svg onload="x()">', "text_other"),
    "program in PHP": ("a.txt", b"<?php x();", "text_other"),
    "rich text": ("a.txt", rb"{\rtf1\ansi}", "text_other"),
    "PostScript": ("a.txt", b"%!PS-Adobe-3.0", "text_other"),
    "shell program": ("a.txt", b"#!/bin/sh\nrm -r x", "text_other"),
    "mail as text": ("a.txt", b"MIME-Version: 1.0\n\n<html>", "text_other"),
    "PDF as text": ("a.txt", b"%PDF-1.7\n", "other_ending"),
    "image as text": ("a.txt", png(), "other_ending"),
    "program as text": ("a.txt", b"MZ\x90\x00\x03", "unknown_type"),
    "GIF as text": ("a.txt", b"GIF89a\x01\x00\x01\x00", "unknown_type"),
    "page as PDF": ("a.pdf", b"<html></html>", "unknown_type"),
    "text as PDF": ("a.pdf", b"Hosta sedan en vecka.", "other_ending"),
    "PDF behind other bytes": ("a.pdf", b"\x00\x01%PDF-1.7", "unknown_type"),
    "GIF as PNG": ("a.png", b"GIF89a\x01\x00\x01\x00", "unknown_type"),
    "TIFF as JPEG": ("a.jpg", b"II*\x00\x08\x00\x00\x00", "unknown_type"),
    "JPEG as PNG": ("a.png", jpeg(), "other_ending"),
    "PNG as JPEG": ("a.jpeg", png(), "other_ending"),
    "archive as PDF": ("a.pdf", archive({"a": "b"}), "other_ending"),
}
_SECOND_FRAME = jpeg(image=GREY.replace(FRAME, FRAME + b"\x01\x01\x11\x00" + FRAME, 1))
_IMAGES: Mapping[str, tuple[str, bytes, Reason]] = {
    "JPEG cut in its scan": ("a.jpg", jpeg()[:-3], "image_broken"),
    "JPEG cut in a segment": ("a.jpg", jpeg()[:60], "image_broken"),
    "JPEG cut after a marker": ("a.jpg", SOI + b"\xff\xe0", "image_broken"),
    "JPEG that ends at once": ("a.jpg", SOI + b"\xff\xff" + EOI[1:], "image_broken"),
    "JPEG without a scan": (
        "a.jpg",
        jpeg(image=GREY[: GREY.index(b"\xff\xda")] + EOI),
        "image_broken",
    ),
    "JPEG without a frame": (
        "a.jpg",
        jpeg(image=GREY.replace(b"\xff\xc0", b"\xff\xfe")),
        "image_broken",
    ),
    "JPEG with two frames": ("a.jpg", _SECOND_FRAME, "image_broken"),
    "JPEG whose frame follows its scan": (
        "a.jpg",
        jpeg(image=segment(0xDA, b"") + b"\x01" + GREY),
        "image_broken",
    ),
    "JPEG without height": (
        "a.jpg",
        jpeg(image=GREY.replace(b"\x08\x00\x04", b"\x08\x00\x00")),
        "image_broken",
    ),
    "JPEG with a short frame": ("a.jpg", jpeg(segment(0xC0, b"\x08")), "image_broken"),
    "JPEG with bytes between segments": ("a.jpg", jpeg(b"x"), "image_broken"),
    "JPEG with a restart between segments": ("a.jpg", jpeg(b"\xff\xd0"), "image_broken"),
    "JPEG with too short a length": ("a.jpg", jpeg(b"\xff\xfe\x00\x01"), "image_broken"),
    "JPEG with 41 million pixels": (
        "a.jpg",
        jpeg(image=GREY.replace(b"\x08\x00\x04\x00\x08", b"\x08\x19\x64\x19\x64")),
        "image_pixels",
    ),
    "JPEG with an archive": ("a.jpg", jpeg(after=archive({"a": "b"})), "image_more"),
    "JPEG with a page": ("a.jpg", jpeg(after=b"\x00\x00<script>"), "image_more"),
    "JPEG with a film": ("a.jpg", jpeg(after=b"\x00\x00\x00\x18ftypmp42"), "image_more"),
    "JPEG with many segments": ("a.jpg", jpeg(segment(0xFE, b"") * 20_001), "too_complex"),
    "PNG cut": ("a.png", png()[:-1], "image_broken"),
    "PNG without an end": ("a.png", png()[:-12], "image_broken"),
    "PNG with a wrong sum": ("a.png", png(PIXELS[:-1] + b"?"), "image_broken"),
    "PNG with a chunk without a name": ("a.png", png(chunk(b"a1b2")), "image_broken"),
    "PNG with an endless chunk": (
        "a.png",
        SIGNATURE + header() + b"\xff\xff\xff\xffIDAT",
        "image_broken",
    ),
    "PNG that needs what nobody knows": ("a.png", png(chunk(b"ABCD")), "image_broken"),
    "PNG with two headers": ("a.png", png(header()), "image_broken"),
    "PNG without a header": ("a.png", png(first=chunk(b"tIME")), "image_broken"),
    "PNG with a short header": ("a.png", png(first=chunk(b"IHDR", b"1")), "image_broken"),
    "PNG without pixels": ("a.png", SIGNATURE + header() + chunk(b"IEND"), "image_broken"),
    "PNG without width": ("a.png", png(first=header(0)), "image_broken"),
    "PNG of an unknown depth": (
        "a.png",
        png(first=header(rest=b"\x03\x00\x00\x00\x00")),
        "image_broken",
    ),
    "PNG of an unknown colour": (
        "a.png",
        png(first=header(rest=b"\x08\x07\x00\x00\x00")),
        "image_broken",
    ),
    "PNG of an unknown method": (
        "a.png",
        png(first=header(rest=b"\x08\x00\x01\x00\x00")),
        "image_broken",
    ),
    "PNG with 2 GB of pixels": ("a.png", png(first=header(40_001, 1_000)), "image_pixels"),
    "PNG whose end holds bytes": (
        "a.png",
        png()[:-12] + chunk(b"IEND", b"PK\x03\x04"),
        "image_broken",
    ),
    "PNG with an archive": ("a.png", png(after=archive({"a": "b"})), "image_more"),
    "PNG with zeros behind it": ("a.png", png(after=bytes(4)), "image_more"),
    "PNG whose text unpacks to 17 MB": (
        "a.png",
        png(chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(17 << 20)))),
        "too_complex",
    ),
}
_MACRO_TYPES = types(main="application/vnd.ms-word.document.macroEnabled.main+xml")
_SHEET = types(main="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml")
_TEMPLATE = types(
    main="application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml"
)
_DOCX: Mapping[str, tuple[str, bytes, Reason]] = {
    "archive of something": ("a.docx", archive({"a.txt": "b"}), "unknown_type"),
    "spreadsheet": ("a.docx", docx(types=_SHEET), "unknown_type"),
    "template": ("a.docx", docx(types=_TEMPLATE), "docx_broken"),
    "text that is no archive": ("a.docx", b"Hosta", "other_ending"),
    "first bytes of an archive": ("a.docx", b"PK\x03\x04", "docx_broken"),
    "archive with a comment": ("a.docx", docx()[:-2] + b"\x01\x00x", "docx_broken"),
    "archive with more behind it": ("a.docx", docx() + b"%PDF-1.7", "docx_broken"),
    "archive with more in front of it": ("a.docx", b"PK\x03\x04" + docx(), "docx_broken"),
    "archive with one name twice": ("a.docx", docx({"WORD/document.xml": "<a/>"}), "docx_broken"),
    "name that leads up": ("a.docx", docx({"word/../../a": "b"}), "docx_broken"),
    "name from the root": ("a.docx", docx({"/a": "b"}), "docx_broken"),
    "name with a backslash": ("a.docx", docx({"word\\a": "b"}), "docx_broken"),
    "packed by another method": ("a.docx", archive(parts(), zipfile.ZIP_BZIP2), "docx_broken"),
    "locked archive": ("a.docx", flagged(docx(), 1), "word_encrypted"),
    "wrong sum": (
        "a.docx",
        docx().replace(struct.pack("<I", zlib.crc32(document().encode())), b"abcd"),
        "docx_broken",
    ),
    "2,001 parts": ("a.docx", docx({f"word/{n}": b"" for n in range(1_996)}), "docx_parts"),
    "bomb": ("a.docx", docx({"word/media/a.png": bytes(2 << 20)}), "docx_unpacked"),
    "macros by type": ("a.docx", docx(types=_MACRO_TYPES), "docx_macros"),
    "macros by name": ("a.docx", docx({"word/VBAProject.bin": b"a"}), "docx_macros"),
    "macros by another name": (
        "a.docx",
        docx(
            {"word/a.dat": b"a"},
            types=types(_BIN.format("a.dat", "application/vnd.ms-office.vbaProject")),
        ),
        "docx_macros",
    ),
    "data of macros": ("a.docx", docx({"word/vbaData.xml": "<a/>"}), "docx_macros"),
    "relation to macros": ("a.docx", related("vbaProject", "a.dat"), "docx_macros"),
    "embedded file": ("a.docx", docx({"word/embeddings/a.xlsx": b"a"}), "docx_embedded"),
    "embedded object": ("a.docx", docx({"word/oleObject1.bin": b"a"}), "docx_embedded"),
    "control": ("a.docx", docx({"word/activeX/activeX1.xml": "<a/>"}), "docx_embedded"),
    "control of a form": (
        "a.docx",
        docx({"word/ctrlProps/ctrlProp1.xml": "<a/>"}),
        "docx_embedded",
    ),
    "embedded package": ("a.docx", related("package", "media/a.dat"), "docx_embedded"),
    "embedded page": ("a.docx", related("aFChunk", "a.html"), "docx_embedded"),
    "link": ("a.docx", related("hyperlink", "https://example.org/", OUTSIDE), "docx_external"),
    "template from elsewhere": (
        "a.docx",
        related("attachedTemplate", "file:///a.dotm", ' targetmode=" EXTERNAL"'),
        "docx_external",
    ),
    "image from elsewhere": (
        "a.docx",
        related("image", "https://example.org/a.png"),
        "docx_external",
    ),
    "image from a share": ("a.docx", related("image", "\\\\host\\a.png"), "docx_external"),
    "relations in UTF-16": (
        "a.docx",
        docx(
            relations=relations(("hyperlink", "a", OUTSIDE))
            .replace("UTF-8", "UTF-16")
            .encode("utf-16")
        ),
        "docx_external",
    ),
    "entity in the text": ("a.docx", docx(main=_ENTITY + "<a>&b;</a>"), "docx_entities"),
    "entity in relations": ("a.docx", docx(relations=_ENTITY + "<a/>"), "docx_entities"),
    "entity in a part of another name": (
        "a.docx",
        docx(
            {"word/a.dat": _ENTITY + "<a/>"}, types=types(_BIN.format("a.dat", "application/a+xml"))
        ),
        "docx_entities",
    ),
    "text that is no XML": ("a.docx", docx(main="<a>"), "docx_broken"),
    "text in an unknown encoding": (
        "a.docx",
        docx(main='<?xml version="1.0" encoding="x-a"?><a/>'),
        "docx_broken",
    ),
    "text in another encoding": (
        "a.docx",
        docx(main='<?xml version="1.0" encoding="latin-1"?><a/>'),
        "docx_broken",
    ),
    "field of a program": ("a.docx", main(field("DDEAUTO c:\\a.exe")), "docx_external"),
    "field in pieces": ("a.docx", main(field(" dde", "auto ", "c:\\a.exe")), "docx_external"),
    "field of another text": ("a.docx", main(field('INCLUDETEXT "a"')), "docx_external"),
    "simple field": ("a.docx", main('<w:fldSimple w:instr=" INCLUDEPICTURE a"/>'), "docx_external"),
    "field of a link": ("a.docx", main(field(' HYPERLINK "https://example.org"')), "docx_external"),
    "encrypted": (
        "a.docx",
        compound({"EncryptedPackage": b"a", "EncryptionInfo": b"b"}),
        "word_encrypted",
    ),
    "older document as newer": ("a.docx", doc(), "other_ending"),
    "damaged older document as newer": ("a.docx", doc()[:600], "other_ending"),
}
_DOC: Mapping[str, tuple[str, bytes, Reason]] = {
    "newer document as older": ("a.doc", docx(), "other_ending"),
    "rich text as older": ("a.doc", rb"{\rtf1\ansi}", "unknown_type"),
    "older document cut": ("a.doc", doc()[:-700], "doc_broken"),
    "older document with more behind it": ("a.doc", doc() + bytes(1024), "doc_broken"),
    "older document with a wrong text": ("a.doc", doc(main=b"PK" + bytes(4094)), "doc_broken"),
    "locked older document": ("a.doc", doc(main=LOCKED), "word_encrypted"),
    "locked newer document as older": (
        "a.doc",
        compound({"EncryptedPackage": b"a"}),
        "word_encrypted",
    ),
    "older macros": ("a.doc", doc({"Macros/VBA": b"a"}), "doc_macros"),
    "older project": ("a.doc", doc({"_VBA_PROJECT_CUR/": b""}), "doc_macros"),
    "older embedded object": ("a.doc", doc({"ObjectPool/_1": b"a"}), "doc_embedded"),
    "older embedded file": ("a.doc", doc({"\x01Ole10Native": b"a"}), "doc_embedded"),
    "older spreadsheet": ("a.doc", compound({"Workbook": b"a"}), "other_ending"),
    "older slides": ("a.doc", compound({"PowerPoint Document": b"a"}), "other_ending"),
    "installer": ("a.doc", compound({"a": b"a"}), "other_ending"),
}
_DICOM: Mapping[str, tuple[str, bytes, Reason]] = {
    "DICOM and program": ("a.dcm", b"MZ" + dicom()[2:], "dicom_preamble"),
    "DICOM and PDF": ("a.dcm", b"%PDF-1.7" + dicom()[8:], "dicom_preamble"),
    "PDF and DICOM": ("a.pdf", b"%PDF-1.7" + dicom()[8:], "other_ending"),
    "wrapped PDF": ("a.dcm", dicom(media=WRAPPED_PDF), "dicom_document"),
    "wrapped PDF by its second name": (
        "a.dcm",
        dicom(dataset(((0x00080016, "UI", WRAPPED_PDF),))),
        "dicom_document",
    ),
    "wrapped document by its content": (
        "a.dcm",
        dicom(dataset() + element(0x00420011, "OB", b"%PDF")),
        "dicom_document",
    ),
    "DICOM without a syntax": ("a.dcm", dicom(syntax=""), "dicom_broken"),
    "DICOM without content": ("a.dcm", dicom(b""), "dicom_broken"),
    "DICOM cut": ("a.dcm", dicom()[:-1], "dicom_broken"),
    "DICOM with a lone mark": ("a.dcm", dicom()[:132], "dicom_broken"),
    "image without the mark": ("a.dcm", bytes(128) + b"DICN", "unknown_type"),
}
HOSTILE_FILES: dict[str, tuple[str, bytes, Reason]] = {
    **_TEXTS,
    **_IMAGES,
    **_DOCX,
    **_DOC,
    **_DICOM,
}

BENIGN_FILES: dict[str, tuple[str, bytes]] = {
    "note": ("Anteckning.txt", "\ufeffHosta sedan en vecka. CRP <5, Hb >120.\r\n".encode()),
    "one letter": ("a.TXT", b"a"),
    "text with a tag inside": ("a.txt", b"Skriv <b>hosta</b> s\xc3\xa5 h\xc3\xa4r."),
    "JPEG": ("a.jpg", jpeg()),
    "JPEG with Exif": ("a.jpeg", jpeg(app1(exif()))),
    "JPEG with XMP": ("a.jpg", jpeg(segment(0xE1, XMP + GPS_WORDS))),
    "progressive JPEG": ("a.jpg", jpeg(image=PROGRESSIVE)),
    "JPEG of a phone": ("a.jpg", jpeg(after=bytes(3) + jpeg())),
    "JPEG of another phone": ("a.jpg", jpeg(after=b"\x00\x00\x01\x0aImage_UTC_Data1SEFHSEFT")),
    "JPEG with zeros behind it": ("a.jpg", jpeg(after=bytes(64))),
    "JPEG with a comment": ("a.jpg", jpeg(JFIF_COMMENT)),
    "PNG": ("a.png", png()),
    "PNG with texts": ("a.png", png(chunk(b"tEXt", b"Title\x00Wound"), chunk(b"tIME", bytes(7)))),
    "PNG in motion": ("a.png", png(chunk(b"acTL", struct.pack(">II", 1, 0)))),
    "newer document": ("Remiss.docx", docx()),
    "newer document in one go": ("a.docx", streamed(parts())),
    "newer document not packed": ("a.docx", archive(parts(), zipfile.ZIP_STORED)),
    "newer document with an image": ("a.docx", docx({"word/media/image1.png": png()})),
    "newer document with contents": ("a.docx", main(field(' HYPERLINK \\l "_Toc1" ', "PAGE"))),
    "newer document of the web": (
        "a.docx",
        archive(
            {
                **{name: part for name, part in parts().items() if name != MAIN},
                "word/document2.xml": document(),
                "[Content_Types].xml": types(name="/word/document2.xml"),
            }
        ),
    ),
    "older document": ("Remiss.doc", doc()),
    "older document with wide sectors": ("a.doc", doc(version=4)),
    "older document with an empty pool": ("a.doc", doc({"ObjectPool/": b""})),
    "DICOM": ("a.dcm", dicom()),
    "implicit DICOM": ("a.dcm", dicom(syntax=IMPLICIT)),
    "deflated DICOM": ("a.dcm", dicom(zlib.compress(dataset()), syntax=DEFLATED)),
}
