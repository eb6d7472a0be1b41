"""Word's older documents: a file system in a file (a compound file), of which all is accounted for.

The text itself is not read. What is refused is known by the names in its directory, which are all
looked at, wherever they hang in its tree.
"""

from __future__ import annotations

from array import array
from struct import Struct, error
from typing import NamedTuple

from leyr_mcp.server.files.verdict import Reason, UnfitError

_HEADER = Struct("<8s16s5H6x9I")  # up to where the table's sectors are listed: 109 of them follow
_LISTED = 109
_ENTRY = Struct("<64sHBB3I16sI16sIQ")
_FREE, _END, _LAST = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFA
_SECTORS = {3: 9, 4: 12}  # by version: two to the power of this is a sector's length
_SMALL, _SMALL_SHIFT = 4096, 6  # shorter streams stand in small sectors inside the root's stream
_SIZES = {3: 0xFFFFFFFF, 4: 0xFFFFFFFFFFFFFFFF}  # how much of a stream's size counts
_ORDER = 0xFFFE
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_KINDS = frozenset({_STORAGE, _STREAM, _ROOT})
_FIB = Struct("<H8xH")
_WORD, _WORD_LOCKED = 0xA5EC, 0x0100  # what its main stream begins with, and a flag in it
_REASONS: dict[Reason, frozenset[str]] = {
    "word_encrypted": frozenset({"encryptedpackage", "encryptioninfo", "\x06dataspaces"}),
    "other_ending": frozenset({"workbook", "book", "powerpoint document"}),
    "doc_macros": frozenset(
        {"macros", "vba", "_vba_project", "_vba_project_cur", "project", "projectwm"}
    ),
    "doc_embedded": frozenset({"\x01ole10native", "ole10native", "package"}),
}


class Entry(NamedTuple):
    """One name of the directory."""

    name: str
    kind: int
    child: int
    start: int
    size: int


def check_doc(data: bytes) -> None:
    """Check an older Word document.

    Raises:
        UnfitError: It is damaged, encrypted, or holds what is not taken.
    """
    file = _Compound(data)
    entries = file.entries
    names = {entry.name for entry in entries}
    for reason, refused in _REASONS.items():
        if names & refused:
            raise UnfitError(reason)
    if any(entry.name == "objectpool" and entry.child != _FREE for entry in entries):
        raise UnfitError("doc_embedded")
    main = [each for each in entries if each.name == "worddocument" and each.kind == _STREAM]
    if not main:
        raise UnfitError("other_ending")
    begins = file.beginning(main[0])
    if len(main) > 1 or len(begins) < _FIB.size:
        raise UnfitError("doc_broken")
    magic, flags = _FIB.unpack_from(begins)
    if magic != _WORD:
        raise UnfitError("doc_broken")
    if flags & _WORD_LOCKED:
        raise UnfitError("word_encrypted")


def is_encrypted(data: bytes) -> bool:
    """Return whether a compound file is a Word document's encrypted form."""
    try:
        return any(each.name in _REASONS["word_encrypted"] for each in _Compound(data).entries)
    except UnfitError:
        return False


class _Compound:
    """A compound file in which each sector belongs to one thing, and which ends with its last.

    Raises:
        UnfitError: It is not like that.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            self._read()
        except (error, IndexError):
            raise _broken() from None

    def _read(self) -> None:
        _, _, _, version, order, shift, small, *numbers = _HEADER.unpack_from(self._data)
        _, tables, first, _, cutoff, small_first, small_tables, more, _ = numbers
        if _SECTORS.get(version) != shift or order != _ORDER:
            raise _broken()
        if (small, cutoff) != (_SMALL_SHIFT, _SMALL):
            raise _broken()
        self._length = 1 << shift
        self._count = -(-(len(self._data) - self._length) // self._length)
        self._used = bytearray(self._count)
        self._table = self._numbers(self._listed(tables, more))
        self._check_rest()
        self._small_table = self._numbers(self._chain(small_first) if small_tables else [])
        self.entries = self._entries(self._chain(first), _SIZES[version])
        self._check_streams()

    def beginning(self, entry: Entry) -> bytes:
        """Return the first bytes of a stream, at most as many as a small sector has."""
        most = min(1 << _SMALL_SHIFT, entry.size)
        if entry.size >= _SMALL or not most:
            return self._sector(entry.start)[:most]
        sector, within = divmod(entry.start << _SMALL_SHIFT, self._length)
        return self._sector(self._root[sector])[within : within + most]

    def _sector(self, number: int) -> bytes:
        at = (number + 1) * self._length
        return self._data[at : at + self._length]

    def _use(self, number: int) -> int:
        """Take a sector for one thing; no other may have it, so that no chain goes in a circle."""
        if number >= self._count or self._used[number]:
            raise _broken()
        self._used[number] = 1
        return number

    def _listed(self, count: int, more: int) -> list[int]:
        """Return the sectors of the table, as header and further lists tell them."""
        numbers = list(Struct(f"<{_LISTED}I").unpack_from(self._data, 76))
        while more < _LAST:
            *found, more = self._numbers([self._use(more)])
            numbers += found
        sectors = [number for number in numbers if number != _FREE]
        if len(sectors) != count or any(number != _FREE for number in numbers[count:]):
            raise _broken()
        return [self._use(number) for number in sectors]

    def _numbers(self, sectors: list[int]) -> array[int]:
        """Return the numbers that stand in some sectors."""
        found = array("I")
        for sector in sectors:
            found.extend(Struct(f"<{self._length // 4}I").unpack(self._sector(sector)))
        return found

    def _chain(self, start: int) -> list[int]:
        """Return the sectors of a chain."""
        found: list[int] = []
        while start != _END:
            found.append(self._use(start))
            start = self._table[start]
        return found

    def _check_rest(self) -> None:
        """Refuse what stands behind the last sector that is in use."""
        last = self._count - 1
        while last >= 0 and (last >= len(self._table) or self._table[last] == _FREE):
            last -= 1
        if self._count - 1 - last > 1:
            raise _broken()

    def _entries(self, sectors: list[int], sizes: int) -> list[Entry]:
        """Return the entries of the directory; the first one, and no other, is the root."""
        data = b"".join(self._sector(sector) for sector in sectors)
        count = len(data) // _ENTRY.size
        found = []
        for raw, length, kind, _, *kin, _, _, _, start, size in _ENTRY.iter_unpack(data):
            if kind == 0:
                continue
            inside = all(each == _FREE or each < count for each in kin)
            if kind not in _KINDS or not inside or length > len(raw) or length % 2:
                raise _broken()
            name = raw[: max(length - 2, 0)].decode("utf-16-le", "replace").lower()
            found.append(Entry(name, kind, kin[-1], start, size & sizes))
        roots = [number for number, entry in enumerate(found) if entry.kind == _ROOT]
        if roots != [0]:
            raise _broken()
        return found

    def _check_streams(self) -> None:
        """Refuse streams that are not where, or not as long as, the directory says."""
        root, *others = self.entries
        self._root = self._chain(root.start) if root.size else []
        if root.size > len(self._root) * self._length:
            raise _broken()
        small = bytearray(root.size >> _SMALL_SHIFT)
        for entry in others:
            if entry.kind != _STREAM or not entry.size:
                continue
            if entry.size >= _SMALL:
                held = len(self._chain(entry.start)) * self._length
            else:
                held = self._small_chain(entry.start, small) << _SMALL_SHIFT
            if held < entry.size:
                raise _broken()

    def _small_chain(self, start: int, used: bytearray) -> int:
        """Return how many small sectors a chain has."""
        count = 0
        while start != _END:
            if used[start]:
                raise _broken()
            used[start] = 1
            start = self._small_table[start]
            count += 1
        return count


def _broken() -> UnfitError:
    return UnfitError("doc_broken")
