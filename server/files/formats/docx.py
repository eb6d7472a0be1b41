"""Word's newer documents: a sound archive, sound XML, and nothing in it that acts or leads outside.

What a part is follows from its name, from its entry in the list of types, and from the relations
that name it; any of the three refuses the file.
"""

from __future__ import annotations

from leyr_mcp.server.files.formats.archive import Archive, Part
from leyr_mcp.server.files.formats.markup import (
    Attributes,
    Budget,
    Fields,
    Handler,
    Paragraphs,
    read,
)
from leyr_mcp.server.files.verdict import Reason, UnfitError

_TYPES = "[Content_Types].xml"
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_MACROS = "application/vnd.ms-word.document.macroenabled.main+xml"
# In names, types and relations alike, as they all come from the same words.
_MARKS: tuple[tuple[str, Reason], ...] = (
    ("vbaproject", "docx_macros"),
    ("vbadata", "docx_macros"),
    ("embeddings/", "docx_embedded"),
    ("oleobject", "docx_embedded"),
    ("activex", "docx_embedded"),
    ("ctrlprop", "docx_embedded"),
    ("controlproperties", "docx_embedded"),
    ("afchunk", "docx_embedded"),
)
_RELATIONS: dict[str, Reason] = {
    "package": "docx_embedded",
    "control": "docx_embedded",
    "attachedtemplate": "docx_external",
    "subdocument": "docx_external",
}


def check_docx(data: bytes, cap: int) -> str:
    """Return at most the first `cap` characters of a document's text.

    Raises:
        UnfitError: It is damaged, too large, or holds what is not taken.
    """
    archive, budget = Archive(data), Budget()
    types = _types(archive, budget)
    main = types.main()
    text = Paragraphs(cap)
    for part in archive.parts:
        _check_words(part.name, types.of(part.name))
        if not types.is_markup(part.name):
            for _ in archive.unpack(part):  # its sum is still to be right
                pass
            continue
        handlers: list[Handler] = [_Relations()] if part.name.lower().endswith(".rels") else []
        fields = Fields()
        handlers += [fields, text] if part.name.lower() == main else [fields]
        read(archive.unpack(part), handlers, budget)
        fields.check()
    return text.told()


def _check_words(*words: str) -> None:
    for word in words:
        for mark, reason in _MARKS:
            if mark in word.lower():
                raise UnfitError(reason)


def _types(archive: Archive, budget: Budget) -> _Types:
    part: Part | None = next((each for each in archive.parts if each.name == _TYPES), None)
    if part is None:
        raise UnfitError("unknown_type")  # an archive of something else
    types = _Types({each.name.lower() for each in archive.parts})
    read(archive.unpack(part), [types], budget)
    return types


class _Types(Handler):
    """The list of types: of which type each part is, by its name or by its ending."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._by_name: dict[str, str] = {}
        self._by_ending: dict[str, str] = {}

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Take one entry."""
        kind = attributes.get("contenttype", "").strip().lower()
        if name == "Override":
            self._by_name[attributes.get("partname", "").removeprefix("/").lower()] = kind
        elif name == "Default":
            self._by_ending[attributes.get("extension", "").lower()] = kind

    def of(self, name: str) -> str:
        """Return the type of a part; empty if none is told."""
        found = self._by_name.get(name.lower())
        return self._by_ending.get(name.lower().rpartition(".")[2], "") if found is None else found

    def is_markup(self, name: str) -> bool:
        """Return whether a part is XML, by its name or its type; a drawing (SVG) is a picture."""
        kind = self.of(name)
        if kind.startswith("application/") and kind.endswith("xml"):
            return True
        return kind == "text/xml" or name.lower().endswith((".xml", ".rels"))

    def main(self) -> str:
        """Return the name of the part that the document is."""
        kinds = {name: self.of(name) for name in self._names}
        if _MACROS in kinds.values():
            raise UnfitError("docx_macros")
        found = [name for name, kind in kinds.items() if kind == _MAIN]
        if not found and not any("wordprocessingml" in kind for kind in kinds.values()):
            raise UnfitError("unknown_type")
        if len(found) != 1:
            raise UnfitError("docx_broken")
        return found[0]


class _Relations(Handler):
    """Relations of a part to others: all of them inside, and none to what is not taken."""

    def start(self, _name: str, attributes: Attributes, /) -> None:
        """Take one relation."""
        if attributes.get("targetmode", "").strip().lower() == "external":
            raise UnfitError("docx_external")
        target = attributes.get("target", "").strip().lower()
        if ":" in target.partition("/")[0] or target.startswith(("//", "\\")):
            raise UnfitError("docx_external")
        kind = attributes.get("type", "").strip().lower()
        if (reason := _RELATIONS.get(kind.rpartition("/")[2])) is not None:
            raise UnfitError(reason)
        _check_words(kind, target)
