"""Which PDFs are taken: those that hold pages and nothing that runs, plays, opens or hides a file.

A table of contents is never trusted: every place where a reader could find an object is looked at,
inside streams and earlier versions too. What cannot be read for certain is not taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from leyr_mcp.server.files.formats.pdf_objects import (
    ALSO_SPACE,
    REGULAR,
    SPACE,
    Dictionary,
    Reader,
    Ref,
    Source,
    Value,
    name,
)
from leyr_mcp.server.files.formats.pdf_pages import PageTree
from leyr_mcp.server.files.verdict import Reason, UnfitError

MAX_OBJECTS = 100_000
_MAX_INDEX = 1024 * 1024  # bytes, of one object stream
_MAX_TRAIL = 1024

# Told first is what was told of first; an encrypted file can be broken only because it is.
_ORDER: tuple[Reason, ...] = (
    "pdf_encrypted",
    "pdf_script",
    "pdf_form",
    "pdf_attachment",
    "pdf_media",
    "pdf_action",
    "pdf_broken",
)
# Actions that stay in the document, reset a form or follow a web link on a click are no reason.
_KEYS: Mapping[str, Reason] = {
    "Encrypt": "pdf_encrypted",
    "JS": "pdf_script",
    "JavaScript": "pdf_script",
    "XFA": "pdf_form",
    "EF": "pdf_attachment",
    "EmbeddedFile": "pdf_attachment",
    "EmbeddedFiles": "pdf_attachment",
    "Collection": "pdf_attachment",
    "RichMediaContent": "pdf_media",
    "RichMediaSettings": "pdf_media",
    "Renditions": "pdf_media",
    "AlternatePresentations": "pdf_media",
    "Movie": "pdf_media",
    "Sound": "pdf_media",
    "3DD": "pdf_media",
    "AA": "pdf_action",
}
_KINDS: Mapping[str, Reason] = {
    "JavaScript": "pdf_script",
    "EmbeddedFile": "pdf_attachment",
    "FileAttachment": "pdf_attachment",
    "3D": "pdf_media",
    "GoTo3DView": "pdf_media",
    "MediaClip": "pdf_media",
    "Movie": "pdf_media",
    "PRC": "pdf_media",
    "Rendition": "pdf_media",
    "RichMedia": "pdf_media",
    "RichMediaExecute": "pdf_media",
    "Screen": "pdf_media",
    "Sound": "pdf_media",
    "U3D": "pdf_media",
    "GoToE": "pdf_action",
    "GoToR": "pdf_action",
    "ImportData": "pdf_action",
    "Launch": "pdf_action",
    "SubmitForm": "pdf_action",
}
_KIND_KEYS = frozenset({"S", "Type", "Subtype"})
_PACKING = frozenset({"N", "First", "Filter", "DecodeParms", "Predictor", "F", "DP"})
_PAGES = frozenset({"Root", "Pages", "Kids", "Count"})
_WANTED = _KEYS.keys() | _KIND_KEYS | _PACKING | _PAGES | {"OpenAction", "Next"}
# In what is no object by its head, these make one.
_HIDDEN: Mapping[str, Reason] = {
    **_KEYS,
    **_KINDS,
    "OpenAction": "pdf_action",
    "ObjStm": "pdf_broken",
    "First": "pdf_broken",
}

_HEADER = re.compile(rb"%PDF-(?:1\.\d|2\.0)")
_END = b"%%EOF"
_SPACES = b"\x00\t\n\x0c\r "
_GAP = rb"[" + SPACE + ALSO_SPACE + rb"]"
_BEFORE_HEAD = frozenset(_SPACES + b"\x80\xff0123456789")
_HEAD = re.compile(rb"(\d{1,10})" + _GAP + rb"+\d{1,10}" + _GAP + rb"*\Z")
_BARE_HEAD = re.compile(rb"(?:\A|[\r\n\d])" + _GAP + rb"*\Z")
_AFTER_HEAD = re.compile(_GAP + rb"|[()<>\[\]{}/%]")
_LOOK_BACK = 40
_NAME = re.compile(rb"/(" + REGULAR + rb"++)")
_LINE_END = re.compile(rb"\r?\n")
_INDEX = re.compile(rb"[\d" + SPACE + rb"]*+")
_PAIR = re.compile(rb"[" + SPACE + rb"]*\d+[" + SPACE + rb"]+\d+[" + SPACE + rb"]")
_INTEGER = re.compile(rb"\d+")
_MAX_DIGITS = 10


def check_pdf(data: bytes) -> int:
    """Return how many pages a PDF has.

    Raises:
        UnfitError: It is damaged, locked or too large, or holds more than pages.
    """
    end = data.rfind(_END)
    trail = data[max(end, 0) + len(_END) :]
    if _HEADER.match(data) is None or end < 0 or len(trail) > _MAX_TRAIL or trail.strip(_SPACES):
        raise UnfitError("pdf_broken")
    return _Inspection(data).pages()


class _Inspection:
    """One look at a whole file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._reader = Reader(frozenset(_WANTED), self._look)
        self._found: set[Reason] = set()
        self._objects = 0
        self._swept = False
        self._opening: set[int] = set()  # objects that are used when the file is opened
        self._harmless: dict[int, bool] = {}  # whether an object, in every version, may be so used
        self._tree = PageTree()

    def pages(self) -> int:
        """Return how many pages there are, or raise the first reason against the file."""
        for at in self._places(b"trailer"):
            self._trailer(at)
        for at in self._places(b"obj"):
            if self._data[at - 4] in _BEFORE_HEAD:
                self._head(at)
        if not all(self._harmless.get(number, False) for number in self._opening):
            self._found.add("pdf_action")
        for reason in _ORDER:
            if reason in self._found:
                raise UnfitError(reason)
        return self._tree.count()

    def _places(self, word: bytes) -> Iterator[int]:
        at = self._data.find(word)
        while at >= 0:
            yield at + len(word)
            at = self._data.find(word, at + len(word))

    def _trailer(self, at: int) -> None:
        self._count()
        if self._reader.follows(self._data, at, b"<<"):
            value, _ = self._reader.read(self._data, at)
            self._tree.add(None, value, at)

    def _head(self, at: int) -> None:
        """Look at what follows `obj`: an object, or perhaps one.

        The numbers before it can be hidden from us by a comment or by many spaces. If what follows
        is no value then, each name in the rest of the file counts.
        """
        self._count()
        start = at - len(b"obj")
        before = self._data[max(0, start - _LOOK_BACK) : start]
        head = _HEAD.search(before)
        if head:
            self._object(int(head[1]), at)
        elif not self._swept and _BARE_HEAD.search(before) and _AFTER_HEAD.match(self._data, at):
            try:
                self._object(None, at)
            except UnfitError as error:
                if error.reason != "pdf_broken":
                    raise
                self._sweep(at)

    def _sweep(self, at: int) -> None:
        self._swept = True
        for found in _NAME.finditer(self._data, at):
            reason = _HIDDEN.get(name(found[1]))
            if reason:
                self._found.add(reason)

    def _object(self, number: int | None, at: int) -> None:
        value, end = self._reader.read(self._data, at)
        self._keep(number, value, at)
        if isinstance(value, Dictionary):
            start = self._reader.follows(self._data, end, b"stream")
            if start is not None and _holds_objects(value):
                self._object_stream(value, start)

    def _object_stream(self, value: Dictionary, start: int) -> None:
        line_end = _LINE_END.match(self._data, start)
        packed = _packed(value)
        if line_end is None or packed is None:
            self._found.add("pdf_broken")
            return
        at = line_end.end()
        source: Source | None = self._data
        if packed:
            source, at = self._reader.unpack(self._data, at), 0
        if source is None:
            self._found.add("pdf_broken")
        elif "First" not in value and value.get("Type") != "ObjStm":
            # A colour profile has /N too. There is a reader that takes /First to be 0.
            if _PAIR.match(source, at):
                self._found.add("pdf_broken")
        else:
            self._members(value, source, at)

    def _members(self, value: Dictionary, source: Source, at: int) -> None:
        first, count = value.get("First"), value.get("N")
        if not isinstance(first, int) or not isinstance(count, int) or first < 0:
            self._found.add("pdf_broken")
            return
        self._reader.charge(first)
        if first > _MAX_INDEX:
            raise UnfitError("too_complex")
        index = bytes(source[at : at + first])
        numbers = _INTEGER.findall(index)
        longest = max(map(len, numbers), default=0)
        whole = _INDEX.fullmatch(index) and longest <= _MAX_DIGITS and len(numbers) % 2 == 0
        if not whole or len(numbers) < 2 * count:
            self._found.add("pdf_broken")
            return
        end = body = at + first
        for number, offset in zip(numbers[::2], numbers[1::2], strict=True):
            self._count()
            begin = body + int(offset)
            if not end <= begin <= self._reader.skip(source, end):
                raise UnfitError("pdf_broken")  # there are readers that go by the order alone
            member, end = self._reader.read(source, begin)
            self._keep(int(number), member, 0)

    def _count(self) -> None:
        self._objects += 1
        if self._objects > MAX_OBJECTS:
            raise UnfitError("too_complex")

    def _keep(self, number: int | None, value: Value, at: int) -> None:
        if isinstance(value, str):
            self._look("Type", value)  # a dictionary can say what it is by reference
        if number is not None:
            self._harmless[number] = _opens_quietly(value) and self._harmless.get(number, True)
        self._tree.add(number, value, at)

    def _look(self, key: str, value: Value) -> None:
        if value is None:
            return
        reason = _KEYS.get(key)
        if key in _KIND_KEYS and isinstance(value, str):
            reason = _KINDS.get(value)
        if key == "OpenAction" and isinstance(value, Ref):
            self._opening.add(value.number)
        elif key == "OpenAction" and not _opens_quietly(value):
            reason = "pdf_action"
        if reason:
            self._found.add(reason)


def _opens_quietly(value: Value) -> bool:
    """Whether what is done at opening is to show a page, and nothing after that."""
    if isinstance(value, Dictionary):
        return value.get("S") == "GoTo" and "Next" not in value and not value.repeated
    return value is None or isinstance(value, list)


def _holds_objects(value: Dictionary) -> bool:
    kind = value.get("Type")
    return isinstance(kind, Ref) or kind == "ObjStm" or "N" in value or "First" in value


def _packed(value: Dictionary) -> bool | None:
    """Whether an object stream is packed; None where readers could take it in different ways."""
    filters, settings = _only(value.get("Filter")), _only(value.get("DecodeParms"))
    if value.repeated or isinstance(value.get("Type"), Ref) or value.keys() & {"F", "DP"}:
        return None
    plain = isinstance(settings, Dictionary) and settings.get("Predictor", 1) == 1
    if filters not in (None, "FlateDecode", "Fl") or not (settings is None or plain):
        return None
    return filters is not None


def _only(value: Value) -> Value:
    """Return the one item of an array; the array if it has several, null if it has none."""
    if isinstance(value, list) and len(value) <= 1:
        return value[0] if value else None
    return value
