"""Where an image was taken, as cameras write it down: the GPS part of Exif, and words in XMP.

Exif is a TIFF file inside the image: lists of entries that point to each other by their place, so
nothing is moved in it; the GPS part is overwritten, and the rest (how the image is turned) stays.
"""

from __future__ import annotations

import re
from struct import Struct

from leyr_mcp.server.files.verdict import Edit

MAX_PIXELS = 40_000_000
MAX_EDITS = 1_000  # of one file; an image as cameras make it needs ten

_GPS, _DETAILS = 0x8825, 0x8769
_POINTERS = (4, 13)  # the types of an entry that points to a list: LONG and IFD
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ENTRY, _INLINE = 12, 4  # bytes of an entry, and of a value that stands in it
_LISTS = 8  # cameras write four
_WORD = re.compile(rb"gps", re.IGNORECASE)

Span = tuple[int, int]
Entry = tuple[int, int, int, int]  # tag, type, count, and the value or where it stands


class _BrokenError(Exception):
    """The Exif cannot be read, so nobody knows what it holds."""


def mentions_place(text: bytes) -> bool:
    """Return whether a text, in whatever width of characters, speaks of GPS."""
    return _WORD.search(text.replace(b"\x00", b"")) is not None


def place_in(exif: bytes) -> list[Edit] | None:
    """Return what is to be overwritten so that Exif tells no place; None where that is unsafe."""
    try:
        kept, gone = _spans(exif)
    except _BrokenError:
        return None
    merged: list[Span] = []
    for start, end in sorted(gone):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    for one in kept:
        if any(one[0] < end and start < one[1] for start, end in merged):
            return None
    return [Edit(start, end, 0) for start, end in merged]


def _spans(exif: bytes) -> tuple[list[Span], list[Span]]:
    """Return the lists of entries that stay, and all that tells a place."""
    tiff = _Tiff(exif)
    kept: list[Span] = [(0, 8)]
    places: set[int] = set()
    waiting, seen = [(tiff.first, True)], set[int]()
    while waiting:
        at, chained = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        entries = tiff.entries(at)
        kept.append((at, at + 2 + _ENTRY * len(entries)))
        places.update(_pointers(entries, _GPS))
        waiting += [(each, False) for each in _pointers(entries, _DETAILS)]
        if chained and (after := tiff.number(kept[-1][1])):  # the inner ones often lack it
            waiting.append((after, True))
        if len(seen) + len(places) > _LISTS:
            raise _BrokenError
    return kept, [span for at in places for span in tiff.everything(at)]


def _pointers(entries: list[Entry], wanted: int) -> set[int]:
    """Return where the lists are that entries of one tag point to."""
    found = [entry for entry in entries if entry[0] == wanted]
    if any(kind not in _POINTERS or count != 1 for _, kind, count, _ in found):
        raise _BrokenError
    return {value for *_, value in found}


class _Tiff:
    """The numbers of a TIFF file, in its own byte order."""

    def __init__(self, data: bytes) -> None:
        order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(data[:4])
        if order is None:
            raise _BrokenError
        self._data = data
        self._count, self._long = Struct(order + "H"), Struct(order + "I")
        self._entry = Struct(order + "HHII")
        self.first = self.number(4)

    def number(self, at: int) -> int:
        """Return the number at a place."""
        return self._unpacked(self._long, at)

    def entries(self, at: int) -> list[Entry]:
        """Return the entries of a list."""
        end = at + 2 + _ENTRY * self._unpacked(self._count, at)
        if end > len(self._data):
            raise _BrokenError
        return list(self._entry.iter_unpack(self._data[at + 2 : end]))

    def everything(self, at: int) -> list[Span]:
        """Return where a list of entries and what they point to stand, if anything does."""
        entries = self.entries(at)
        spans = [(at, at + 2 + _ENTRY * len(entries))] if entries else []
        for _, kind, count, value in entries:
            size = _SIZES.get(kind, len(self._data)) * count
            if size <= _INLINE:
                continue
            if value + size > len(self._data):
                raise _BrokenError
            spans.append((value, value + size))
        return spans

    def _unpacked(self, form: Struct, at: int) -> int:
        if at + form.size > len(self._data):
            raise _BrokenError
        number: int = form.unpack_from(self._data, at)[0]
        return number
