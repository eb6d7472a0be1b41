"""One member of a configuration file set or taken out, and every other byte left as it is.

The files are JSON, some with comments and commas after the last member, as editors allow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_DECODER = json.JSONDecoder()
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_LAST_COMMA = re.compile(r'"(?:[^"\\\n]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)
_INDENT = re.compile(r"^([ \t]+)\S", re.MULTILINE)
_SPACE = " \t\r\n"


class NotJsonError(ValueError):
    """The text is no JSON object, comments and last commas allowed."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class _Object:
    """An object's braces in the text, and its members."""

    start: int
    end: int
    members: tuple[_Member, ...]

    def find(self, name: str) -> _Member | None:
        return next((one for one in reversed(self.members) if one.name == name), None)


def parsed(text: str) -> dict[str, Any]:
    """Return what a text holds; nothing at all is an empty object.

    Raises:
        NotJsonError: It is no object.
    """
    if not text.strip():
        return {}
    try:
        found = json.loads(_plain(text))
    except (ValueError, RecursionError) as exc:
        raise NotJsonError from exc
    if not isinstance(found, dict):
        raise NotJsonError
    return found


def placed(text: str, section: str, name: str, value: Any) -> str:
    """Return the text with this member in a section, which is made if there is none.

    Raises:
        NotJsonError: It is no object, or the section is none.
    """
    if not parsed(text):
        text = text if text.strip() else "{}\n"
    plain = _plain(text)
    root = _object(plain, _start(plain))
    held = root.find(section)
    if held is None:
        return _inserted(text, root, section, {name: value})
    inner = _section(plain, held)
    known = inner.find(name)
    if known is None:
        return _inserted(text, inner, name, value)
    return (
        text[: known.value] + _dumped(text, value, _margin(text, known.start)) + text[known.end :]
    )


def without(text: str, section: str, name: str) -> str:
    """Return the text without this member; as it is where there is none.

    Raises:
        NotJsonError: It is no object, or the section is none.
    """
    if not parsed(text):
        return text
    plain = _plain(text)
    held = _object(plain, _start(plain)).find(section)
    inner = _section(plain, held) if held else None
    known = inner.find(name) if inner else None
    if inner is None or known is None:
        return text
    for start, end in sorted(_spans(text, inner, known), reverse=True):
        text = text[:start] + text[end:]
    return text


def _section(plain: str, held: _Member) -> _Object:
    if plain[held.value] != "{":
        raise NotJsonError
    return _object(plain, held.value)


def _plain(text: str) -> str:
    """Return plain JSON of the same length: comments and last commas become spaces."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found if found[0] == '"' else re.sub(r"[^\n]", " ", found)

    bare = _TOKEN.sub(blank, text)

    def last(match: re.Match[str]) -> str:
        at = match.start() - 1
        while at >= 0 and bare[at] in _SPACE:
            at -= 1
        follows = match.group() == "," and at >= 0 and bare[at] not in "{[,:"
        return " " if follows else match.group()

    return _LAST_COMMA.sub(last, bare)


def _start(plain: str) -> int:
    return len(plain) - len(plain.lstrip())


def _skip(plain: str, at: int) -> int:
    while plain[at] in _SPACE:
        at += 1
    return at


def _object(plain: str, start: int) -> _Object:
    """Return the object that begins here, in text that was read before."""
    found = list[_Member]()
    at = _skip(plain, start + 1)
    try:
        while plain[at] != "}":
            name, end = _DECODER.raw_decode(plain, at)
            value = _skip(plain, _skip(plain, end) + 1)
            _, end = _DECODER.raw_decode(plain, value)
            found.append(_Member(name, at, value, end))
            at = _skip(plain, end)
            at = _skip(plain, at + 1) if plain[at] == "," else at
    except (ValueError, IndexError) as exc:  # pragma: no cover - it was read as a whole before
        raise NotJsonError from exc
    return _Object(start, at, tuple(found))


def _inserted(text: str, where: _Object, name: str, value: Any) -> str:
    """Return the text with a new last member of an object."""
    line = "\r\n" if "\r\n" in text else "\n"
    outer = _margin(text, where.start)
    first = where.members[0].start if where.members else None
    own_line = first is not None and not text[_line(text, first) : first].strip()
    inner = _margin(text, first) if first is not None and own_line else outer + _unit(text)
    last = len(text[: where.end].rstrip(_SPACE))
    member = f"{json.dumps(name)}: {_dumped(text, value, inner)}"
    end = "" if line in text[last : where.end] else line + outer
    text = f"{text[:last]}{line}{inner}{member}{end}{text[last:]}"
    if where.members and "," not in _between(text, where.members[-1].end, last):
        at = where.members[-1].end
        text = f"{text[:at]},{text[at:]}"
    return text


def _between(text: str, start: int, end: int) -> str:
    """Return what stands there besides comments."""
    return _TOKEN.sub("", text[start:end])


def _spans(text: str, inner: _Object, known: _Member) -> Iterator[tuple[int, int]]:
    """Yield what is cut out with a member: itself, its comma, and its line if it has one."""
    others = [one for one in inner.members if one.start < known.start]
    after = _comma(text, known.end, inner.end)
    end = known.end if after is None else after + 1
    if after is None and others:
        comma = _comma(text, others[-1].end, known.start)
        if comma is not None:
            yield comma, comma + 1
    start, begin = known.start, _line(text, known.start)
    rest = re.compile(r"[ \t]*(\r?\n)?").match(text, end)
    if not text[begin:start].strip() and rest is not None and rest.group(1):
        start, end = begin, rest.end()
    yield start, end


def _comma(text: str, start: int, end: int) -> int | None:
    """Return where the first comma stands that is part of no comment."""
    bare = _TOKEN.sub(lambda match: " " * len(match.group()), text[start:end])
    found = re.match(r"\s*,", bare)
    return start + found.end() - 1 if found else None


def _line(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _margin(text: str, at: int) -> str:
    """Return the white space with which the line begins that this stands on."""
    line = text[_line(text, at) : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    found = _INDENT.search(text)
    return found.group(1) if found else "  "


def _dumped(text: str, value: Any, margin: str) -> str:
    line = "\r\n" if "\r\n" in text else "\n"
    unit = _unit(text)
    shown = json.dumps(value, indent=unit, ensure_ascii=False)
    return shown.replace("\n", f"{line}{margin}")
