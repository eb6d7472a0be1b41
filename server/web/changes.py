"""What changed between two versions of a draft, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal, TypedDict

from leyr_mcp.server.filing.preview import Preview

Mark = Literal["same", "gap", "removed", "added"]
_CONTEXT = 2
# Comparing takes longer than in proportion; what is longer is shown whole, old and new.
_MOST_PAIRS = 160_000


class Line(TypedDict):
    """One line, and whether it is in both versions or in one."""

    mark: Mark
    text: str


class Part(TypedDict):
    """A part of a draft that differs."""

    label: str
    lines: list[Line]


def changes(before: Preview, after: Preview) -> list[Part]:
    """Return the parts of a draft that differ between two versions."""
    old, new = _parts(before), _parts(after)
    labels = [*new, *(label for label in old if label not in new)]
    return [
        Part(label=label, lines=compared(old.get(label, ""), new.get(label, "")))
        for label in labels
        if old.get(label) != new.get(label)
    ]


def compared(before: str, after: str) -> list[Line]:
    """Return the lines of two texts: those that differ, and a few around them."""
    old, new = _lines(before), _lines(after)
    head = _alike(old, new)
    tail = _alike(old[head:][::-1], new[head:][::-1])
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    found = [_line("same", text) for text in old[:head]]
    found += _middle(middle_old, middle_new)
    found += [_line("same", text) for text in old[len(old) - tail :]]
    return list(_shortened(found))


def _parts(preview: Preview) -> dict[str, str]:
    parts = {"Patient": preview.patient, "Title": preview.title}
    for fact in (*preview.facts, *preview.texts):
        parts[fact.label] = fact.value
    return parts


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _alike(old: list[str], new: list[str]) -> int:
    """Return with how many equal lines both begin."""
    for count, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            return count
    return min(len(old), len(new))


def _middle(old: list[str], new: list[str]) -> Iterator[Line]:
    if len(old) * len(new) > _MOST_PAIRS:
        steps = [("replace", 0, len(old), 0, len(new))]
    else:
        steps = list(SequenceMatcher(None, old, new, autojunk=False).get_opcodes())
    for name, old_from, old_to, new_from, new_to in steps:
        if name == "equal":
            yield from (_line("same", text) for text in old[old_from:old_to])
        else:
            yield from (_line("removed", text) for text in old[old_from:old_to])
            yield from (_line("added", text) for text in new[new_from:new_to])


def _shortened(lines: list[Line]) -> Iterator[Line]:
    """Leave out equal lines that are far from any that differ, and say how many."""
    near = set[int]()
    for at, line in enumerate(lines):
        if line["mark"] != "same":
            near.update(range(at - _CONTEXT, at + _CONTEXT + 1))
    left_out = list[Line]()
    for at, line in enumerate(lines):
        if at not in near:
            left_out.append(line)
            continue
        yield from _gap(left_out)
        left_out = []
        yield line
    yield from _gap(left_out)


def _gap(left_out: list[Line]) -> list[Line]:
    return left_out if len(left_out) <= 1 else [_line("gap", f"{len(left_out)} equal lines")]


def _line(mark: Mark, text: str) -> Line:
    return Line(mark=mark, text=text)
