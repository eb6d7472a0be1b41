"""Makes minimal Word documents: as a package of XML parts, and as a compound file of Word 97.

Sources of the latter: MS-DOC (what the streams hold) and MS-CFB (how they stand in the file).
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from uuid import UUID

SECTOR = 512
TEXT_AT = 1024
LEAST = 4096  # a shorter stream would have to stand in the small sectors
FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
SWEDISH = 0x041D
CLASS = UUID("00020906-0000-0000-c000-000000000046")  # Word.Document.8


XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
TYPES = f"""<Types xmlns="{PACKAGE}/content-types">\
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>\
<Default Extension="xml" ContentType="application/xml"/>\
<Override PartName="/word/document.xml" ContentType="\
application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>\
<Override PartName="/word/styles.xml" ContentType="\
application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/>\
</Types>"""
STYLES = f"""<w:styles xmlns:w="{WORD}">\
<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/>\
<w:rPr><w:sz w:val="22"/></w:rPr></w:style>\
<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/>\
<w:pPr><w:spacing w:after="120"/></w:pPr><w:rPr><w:b/><w:sz w:val="34"/></w:rPr></w:style>\
<w:style w:type="paragraph" w:styleId="Heading2"><w:name w:val="heading 2"/>\
<w:pPr><w:spacing w:before="240"/></w:pPr><w:rPr><w:b/><w:sz w:val="24"/></w:rPr></w:style>\
</w:styles>"""
PAGE = """<w:sectPr><w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1417" w:right="1417" \
w:bottom="1417" w:left="1417" w:header="708" w:footer="708" w:gutter="0"/></w:sectPr>"""


def word_2007(paragraphs: Sequence[tuple[str, str]]) -> bytes:
    """Return a document of paragraphs, each with its style or none.

    Its parts are stored as they are, so that no compression library's version shows in it.
    """
    body = "".join(_paragraph(style, text) for style, text in paragraphs)
    parts = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": _relation("officeDocument", "word/document.xml"),
        "word/document.xml": (
            f'<w:document xmlns:w="{WORD}"><w:body>{body}{PAGE}</w:body></w:document>'
        ),
        "word/_rels/document.xml.rels": _relation("styles", "styles.xml"),
        "word/styles.xml": STYLES,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 0  # else the system that made it stands there
            archive.writestr(entry, (XML + content).encode())
    return out.getvalue()


def _paragraph(style: str, text: str) -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"


def _relation(kind: str, target: str) -> str:
    return (
        f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{OFFICE}/{kind}" Target="{target}"/></Relationships>'
    )


def word_97(text: str) -> bytes:
    """Return a document; each paragraph of `text` ends in a carriage return."""
    raw = text.encode("cp1252")
    tables = _Tables(raw)
    stream = bytearray(tables.fib())
    stream += bytes(TEXT_AT - len(stream)) + raw
    stream += bytes(-len(stream) % SECTOR)
    stream += _characters(raw) + _paragraphs(raw)
    return _compound({"WordDocument": bytes(stream), "1Table": tables.data})


class _Tables:
    """The table stream, and where in it each table stands."""

    def __init__(self, raw: bytes) -> None:
        self.data = b""
        self._raw = raw
        self._places: dict[int, tuple[int, int]] = {}
        end = TEXT_AT + len(raw)
        page = (end + SECTOR - 1) // SECTOR
        piece = struct.pack("<HIH", 0, TEXT_AT * 2 | 0x40000000, 0)  # one byte per character
        pieces = struct.pack("<II", 0, len(raw)) + piece
        self._add(1, _styles())
        self._add(6, struct.pack("<II", 0, len(raw)) + struct.pack("<HIHI", 0, FREE, 0, FREE))
        self._add(12, struct.pack("<III", TEXT_AT, end, page))
        self._add(13, struct.pack("<III", TEXT_AT, end, page + 1))
        self._add(15, _fonts())
        self._add(31, bytes(500))
        self._add(33, b"\x02" + struct.pack("<I", len(pieces)) + pieces)

    def _add(self, number: int, table: bytes) -> None:
        self._places[number] = (len(self.data), len(table))
        self.data += table + bytes(-len(table) % 2)

    def fib(self) -> bytes:
        """Return the block of information that the document begins with."""
        flags = 0x0200 | 0x1000  # the stream is named 1Table; characters are extended
        head = struct.pack("<HHHHHHHI", 0xA5EC, 0xC1, 0, SWEDISH, 0, flags, 0xBF, 0)
        head += struct.pack("<BBHHII", 0, 0, 0, 0, TEXT_AT, TEXT_AT + len(self._raw))
        words = struct.pack("<14H", *[0] * 13, SWEDISH)
        longs = [0] * 22
        longs[0], longs[3] = TEXT_AT + len(self._raw), len(self._raw)
        places = [self._places.get(number, (0, 0)) for number in range(93)]
        return b"".join(
            (
                head,
                struct.pack("<H", 14) + words,
                struct.pack("<H22I", 22, *longs),
                struct.pack("<H", 93) + b"".join(struct.pack("<II", *place) for place in places),
                struct.pack("<H", 0),
            )
        )


def _characters(raw: bytes) -> bytes:
    """Return the page that says how characters look: all alike."""
    page = struct.pack("<IIB", TEXT_AT, TEXT_AT + len(raw), 0)
    return page + bytes(SECTOR - 1 - len(page)) + b"\x01"


def _paragraphs(raw: bytes) -> bytes:
    """Return the page that says where paragraphs end and how they look: all alike."""
    ends = [TEXT_AT + place + 1 for place, byte in enumerate(raw) if byte == 0x0D]
    page = struct.pack(f"<{len(ends) + 1}I", TEXT_AT, *ends) + bytes(13 * len(ends))
    return page + bytes(SECTOR - 1 - len(page)) + bytes([len(ends)])


def _styles() -> bytes:
    """Return a style sheet with the two styles that every document has."""
    info = struct.pack("<9H", 15, 10, 1, 0x5B, 15, 0, 0, 0, 0)
    normal = _style(0, 1, 2, 0, "Normal", struct.pack("<HHH", 2, 0, 0))
    default = _style(65, 2, 1, 10, "Default Paragraph Font", struct.pack("<H", 0))
    empty = struct.pack("<H", 0)
    sheet = normal + empty * 9 + default + empty * 4
    return struct.pack("<H", len(info)) + info + sheet


def _style(number: int, kind: int, parts: int, following: int, name: str, look: bytes) -> bytes:
    named = struct.pack("<H", len(name)) + name.encode("utf-16-le") + b"\x00\x00"
    size = 10 + len(named) + len(look)
    base = struct.pack("<HHHHH", number, kind | 0xFFF0, parts | following << 4, size, 0)
    return struct.pack("<H", size) + base + named + look


def _fonts() -> bytes:
    name = "Times New Roman\0".encode("utf-16-le")
    font = struct.pack("<BHBB", 0x16, 400, 0, 0) + bytes(10 + 24) + name
    return struct.pack("<HH", 1, 0) + bytes([len(font)]) + font


def _compound(streams: dict[str, bytes]) -> bytes:
    """Return a file of the streams, which are given from the longest name to the shortest."""
    padded = {name: data + bytes(max(LEAST - len(data), -len(data) % SECTOR))
              for name, data in streams.items()}  # fmt: skip
    table = [FAT, END]  # the table itself, then the folder
    starts = {}
    for name, data in padded.items():
        starts[name] = len(table)
        table += [*range(len(table) + 1, len(table) + len(data) // SECTOR), END]
    table += [FREE] * (SECTOR // 4 - len(table))
    first, second = padded
    folder = (
        _entry("Root Entry", 5, (FREE, FREE, 1), END, 0, CLASS.bytes_le)
        + _entry(first, 2, (2, FREE, FREE), starts[first], len(padded[first]))
        + _entry(second, 2, (FREE, FREE, FREE), starts[second], len(padded[second]), black=False)
        + _entry("", 0, (FREE, FREE, FREE), 0, 0, black=False)
    )
    return _header() + struct.pack(f"<{len(table)}I", *table) + folder + b"".join(padded.values())


def _header() -> bytes:
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack("<IIIIIIIIII", 0, 1, 1, 0, LEAST, END, 0, END, 0, 0)
    return head + struct.pack("<I", FREE) * 108


def _entry(
    name: str,
    kind: int,
    links: Sequence[int],
    start: int,
    size: int,
    class_id: bytes = bytes(16),
    *,
    black: bool = True,
) -> bytes:
    wide = name.encode("utf-16-le")
    length = len(wide) + 2 if name else 0
    left, right, child = links
    head = wide + bytes(64 - len(wide)) + struct.pack("<HBB", length, kind, int(black))
    return head + struct.pack("<III", left, right, child) + class_id + bytes(20) + struct.pack(
        "<IQ", start, size
    )  # fmt: skip
