"""Word documents built by hand: the newer ones are archives, the older ones compound files."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

TYPES = "[Content_Types].xml"
MAIN = "word/document.xml"
RELATIONS = "word/_rels/document.xml.rels"
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
WHEN = (2026, 1, 12, 8, 30, 0)


def types(*more: str, main: str = _KIND, name: str = f"/{MAIN}") -> str:
    """Return the list of types of a document."""
    return (
        f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="{name}" ContentType="{main}"/>{"".join(more)}</Types>'
    )


def relations(*targets: tuple[str, str, str]) -> str:
    """Return the relations (last word of the type, target, mode) of a part."""
    rows = "".join(
        f'<Relationship Id="r{number}" Type="{_OFFICE}/{kind}" Target="{target}"{mode}/>'
        for number, (kind, target, mode) in enumerate(targets)
    )
    return f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{rows}</Relationships>'


def document(body: str = "<w:p><w:r><w:t>Hosta sedan en vecka.</w:t></w:r></w:p>") -> str:
    """Return the main part of a document."""
    return f'{_HEAD}<w:document xmlns:w="{_W}"><w:body>{body}</w:body></w:document>'


def field(*codes: str) -> str:
    """Return a paragraph with a field whose code stands in several runs."""
    runs = "".join(f"<w:r><w:instrText>{code}</w:instrText></w:r>" for code in codes)
    begin, end = (f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>' for kind in ("begin", "end"))
    return f"<w:p>{begin}{runs}{end}</w:p>"


def parts(**changed: str | bytes | None) -> dict[str, str | bytes]:
    """Return the parts of a small document, some changed: types, main, relations."""
    made: dict[str, str | bytes] = {
        TYPES: types(),
        "_rels/.rels": relations(("officeDocument", MAIN, "")),
        MAIN: document(),
        RELATIONS: relations(("styles", "styles.xml", "")),
        "word/styles.xml": f'{_HEAD}<w:styles xmlns:w="{_W}"/>',
    }
    names = {"types": TYPES, "main": MAIN, "relations": RELATIONS}
    for key, content in changed.items():
        if content is None:
            del made[names[key]]
        else:
            made[names[key]] = content
    return made


def archive(files: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of some files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, WHEN)
            info.compress_type = method
            made.writestr(info, content, compresslevel=1)
    return held.getvalue()


def docx(more: Mapping[str, str | bytes] | None = None, **changed: str | bytes | None) -> bytes:
    """Return a document with more parts, and some changed."""
    return archive({**parts(**changed), **(more or {})})


class _Pipe(io.RawIOBase):
    """A place to write to that cannot go back, so that sizes follow each part."""

    def __init__(self) -> None:
        self.held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, given: object, /) -> int:
        assert isinstance(given, bytes | bytearray | memoryview)
        self.held += given
        return len(given)


def streamed(files: Mapping[str, str | bytes]) -> bytes:
    """Return an archive written in one go: the sizes stand behind each part."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name, WHEN), content, zipfile.ZIP_DEFLATED)
    return bytes(pipe.held)


FREE, END, IN_TABLE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
WORD = struct.pack("<HHHHHH", 0xA5EC, 0xC1, 0, 0x41D, 0, 0x0200) + bytes(4084)
LOCKED = WORD[:10] + struct.pack("<H", 0x0300) + WORD[12:]


class Compound:
    """A compound file in the making: streams in sectors, small ones in small sectors."""

    def __init__(self, version: int = 3) -> None:
        self.version = version
        self.length = {3: 512, 4: 4096}[version]
        self.sectors: list[bytes] = []
        self.table: list[int] = []
        self.small = bytearray()
        self.small_table: list[int] = []

    def add(self, data: bytes) -> int:
        """Put bytes into sectors of their own; return the first."""
        cut = [data[at : at + self.length] for at in range(0, len(data), self.length)]
        first = len(self.sectors)
        for piece in cut:
            self.sectors.append(piece.ljust(self.length, b"\x00"))
            self.table.append(len(self.sectors))
        if cut:
            self.table[-1] = END
        return first if cut else END

    def add_small(self, data: bytes) -> int:
        """Put bytes into small sectors; return the first."""
        first = len(self.small_table)
        for at in range(0, len(data), 64):
            self.small += data[at : at + 64].ljust(64, b"\x00")
            self.small_table.append(len(self.small_table) + 1)
        self.small_table[-1] = END
        return first

    def file(self, directory: list[bytes]) -> bytes:
        """Return the file, with its directory; the root's own stream is filled in here."""
        root = self.add(bytes(self.small))
        directory[0] = directory[0][:116] + struct.pack("<IQ", root, len(self.small))
        numbers = struct.pack(f"<{len(self.small_table)}I", *self.small_table)
        padding = b"\xff" * (-len(numbers) % self.length)
        small = self.add(numbers + padding)
        empty = entry("", 0)
        directory += [empty] * (-len(directory) % (self.length // 128))
        first = self.add(b"".join(directory))
        table, each = len(self.sectors), self.length // 4
        count = -(-table // (each - 1))  # sectors of the table, which has itself in it too
        known = [*self.table, *[IN_TABLE] * count]
        known += [FREE] * (count * each - len(known))
        packed = struct.pack(f"<{len(known)}I", *known)
        self.sectors.append(packed)
        head = struct.pack(
            "<8s16x5H6x9I", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, self.version, 0xFFFE,
            {3: 9, 4: 12}[self.version], 6, 0, count, first, 0, 4096, small,
            int(bool(self.small_table)), END, 0,
        )  # fmt: skip
        head += struct.pack("<109I", *range(table, table + count), *[FREE] * (109 - count))
        return head.ljust(self.length, b"\x00") + b"".join(self.sectors)


def entry(
    name: str, kind: int, child: int = FREE, start: int = 0, size: int = 0, right: int = FREE
) -> bytes:
    """Return one entry of a compound file's directory."""
    raw = name.encode("utf-16-le")
    length = len(raw) + 2 if name else 0
    return struct.pack(
        "<64sHBB3I16xI16xIQ", raw, length, kind, 1, FREE, right, child, 0, start, size
    )


def compound(streams: Mapping[str, bytes], version: int = 3) -> bytes:
    """Return a compound file of streams; `storage/stream` stands in a storage."""
    made = Compound(version)
    rows: list[tuple[str, int, int, int, str]] = [("Root Entry", 5, 0, 0, "")]
    for path, data in streams.items():
        above, _, name = path.rpartition("/")
        if above and above not in [row[0] for row in rows if row[1] == 1]:
            rows.append((above, 1, 0, 0, ""))
        if name:
            small = 0 < len(data) < 4096
            start = made.add_small(data) if small else made.add(data)
            rows.append((name, 2, start, len(data), above))
    directory = []
    for number, (name, kind, start, size, above) in enumerate(rows):
        inside = name if kind == 1 else ""
        children = [at for at, row in enumerate(rows) if at and row[4] == inside]
        beside = [at for at, row in enumerate(rows) if at > number and row[4] == above]
        child = children[0] if kind != 2 and children else FREE
        right = beside[0] if number and beside else FREE
        directory.append(entry(name, kind, child, start, size, right))
    return made.file(directory)


def doc(more: Mapping[str, bytes] | None = None, *, main: bytes = WORD, version: int = 3) -> bytes:
    """Return an older document with more streams."""
    streams = {"WordDocument": main, "1Table": bytes(5000), "\x01CompObj": bytes(106)}
    return compound({**streams, **(more or {})}, version)
