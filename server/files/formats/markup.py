"""XML of a Word document, read by expat in pieces: without entities, and only so much of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from xml.parsers import expat

from leyr_mcp.server.files.verdict import UnfitError

Attributes = Mapping[str, str]  # by name in small letters, without a prefix

_ELEMENTS = 1_500_000  # of all parts; 500 pages have half of it
_TOKEN = 4 * 1024 * 1024  # bytes of one tag or comment, which expat holds and reads again
_FIELD_CODES = 1_000_000  # characters, of one part
_ENCODINGS = {"utf-8", "utf-16"}  # what the format allows
# The first word of a field says what it does. Some are dangerous wherever they stand.
_ANYWHERE = re.compile(r"DDEAUTO|INCLUDETEXT|INCLUDEPICTURE|\bDDE\b", re.IGNORECASE)
_FIRST = re.compile(
    r"\s*(?:(?:LINK|INCLUDE|IMPORT|DATABASE|RD|EMBED)\b|HYPERLINK\b(?!\s*\\l\b))", re.IGNORECASE
)


class Handler:
    """What is told of the elements of a part; names come without a prefix."""

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Take the start of an element."""

    def end(self, name: str, /) -> None:
        """Take the end of an element."""

    def characters(self, text: str, /) -> None:
        """Take text."""


class Budget:
    """How many elements may still be read."""

    def __init__(self) -> None:
        self.left = _ELEMENTS


def read(pieces: Iterable[bytes], handlers: Sequence[Handler], budget: Budget) -> None:
    """Tell the handlers what stands in a part.

    Raises:
        UnfitError: It is no sound XML, or defines entities.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        budget.left -= 1
        if budget.left < 0:
            raise UnfitError("too_complex")
        plain = {_bare(key).lower(): value for key, value in attributes.items()}
        bare = _bare(name)
        for handler in handlers:
            handler.start(bare, plain)

    def end(name: str) -> None:
        for handler in handlers:
            handler.end(_bare(name))

    def characters(text: str) -> None:
        for handler in handlers:
            handler.characters(text)

    parser.XmlDeclHandler = _declared
    parser.StartDoctypeDeclHandler = _doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    _feed(parser, pieces)


def _feed(parser: expat.XMLParserType, pieces: Iterable[bytes]) -> None:
    given = 0
    try:
        for piece in pieces:
            parser.Parse(piece, False)  # noqa: FBT003 - not the last
            given += len(piece)
            if given - parser.CurrentByteIndex > _TOKEN:
                raise UnfitError("too_complex")
        parser.Parse(b"", True)  # noqa: FBT003 - the last
    except expat.ExpatError as problem:
        if problem.code == expat.errors.codes[expat.errors.XML_ERROR_NO_MEMORY]:
            raise UnfitError("too_complex") from None
        raise UnfitError("docx_broken") from None


def _declared(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise UnfitError("docx_broken")


def _doctype(_name: str, _system: str | None, _public: str | None, _internal: object) -> None:
    raise UnfitError("docx_entities")


def _bare(name: str) -> str:
    return name.rpartition(":")[2]


class Paragraphs(Handler):
    """The text of a document, a line for each paragraph, up to a length."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._length = 0
        self._said: list[str] = []
        self._in_text = False

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Take the start of an element."""
        self._in_text = name == "t"
        if name == "tab" and not attributes:  # else it is a stop of a ruler
            self._say("\t")
        elif name in {"br", "cr"}:
            self._say("\n")

    def end(self, name: str, /) -> None:
        """Take the end of an element."""
        self._in_text = False
        self._say("\n" if name == "p" else "")

    def characters(self, text: str, /) -> None:
        """Take text."""
        self._say(text if self._in_text else "")

    def told(self) -> str:
        """Return the text."""
        return "".join(self._said)[: self._cap].strip()

    def _say(self, text: str) -> None:
        if text and self._length < self._cap:
            self._said.append(text)
            self._length += len(text)


class Fields(Handler):
    """The codes of a document's fields: what Word puts in their place when it opens them."""

    def __init__(self) -> None:
        self._codes: list[str] = []
        self._length = 0
        self._in_code = False

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Take the start of an element."""
        self._in_code = name in {"instrText", "delInstrText"}
        if name == "fldChar":
            self._say("\n")
        elif name == "fldSimple":
            self._say(f"\n{attributes.get('instr', '')}\n")

    def end(self, _name: str, /) -> None:
        """Take the end of an element."""
        self._in_code = False

    def characters(self, text: str, /) -> None:
        """Take text."""
        if self._in_code:
            self._say(text)

    def check(self) -> None:
        """Refuse a field that fetches something from outside.

        Raises:
            UnfitError: There is one.
        """
        codes = "".join(self._codes)
        if _ANYWHERE.search(codes) or _ANYWHERE.search(codes.replace("\n", "")):
            raise UnfitError("docx_external")
        if any(_FIRST.match(code) for code in codes.split("\n")):
            raise UnfitError("docx_external")

    def _say(self, text: str) -> None:
        self._codes.append(text)
        self._length += len(text)
        if self._length > _FIELD_CODES:
            raise UnfitError("too_complex")
