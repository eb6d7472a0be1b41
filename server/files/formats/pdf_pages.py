"""How many pages a PDF has, told from its objects as they are come across."""

from __future__ import annotations

from leyr_mcp.server.files.formats.pdf_objects import Dictionary, Ref, Value
from leyr_mcp.server.files.verdict import UnfitError

MAX_PAGES = 500
_MAX_KIDS = 200_000  # of all versions of the tree


class PageTree:
    """What is known of the tree of pages; of each object, the version that comes last."""

    def __init__(self) -> None:
        self._root = (-1, -1)  # where it was told, and which object it is
        self._tops: dict[int, int] = {}
        self._kids: dict[int, list[int]] = {}
        self._kid_count = 0
        self._pages: set[int] = set()

    def add(self, number: int | None, value: Value, at: int) -> None:
        """Take in an object, or a trailer, which has no number.

        Raises:
            UnfitError: The tree is too large.
        """
        if not isinstance(value, Dictionary):
            return
        root = value.get("Root")
        if isinstance(root, Ref):
            self._root = max(self._root, (at, root.number))
        if number is None:
            return
        top = value.get("Pages")
        if isinstance(top, Ref):
            self._tops[number] = top.number
        if value.get("Type") == "Page":
            self._pages.add(number)
        kids = value.get("Kids")
        if isinstance(kids, list) and "Count" in value:
            self._kids[number] = [kid.number for kid in kids if isinstance(kid, Ref)]
            self._kid_count += len(self._kids[number])
            if self._kid_count > _MAX_KIDS:
                raise UnfitError("too_complex")

    def count(self) -> int:
        """Return how many pages the newest tree has; if it cannot be followed, how many there are.

        Raises:
            UnfitError: They are too many, or none.
        """
        if len(self._pages) > MAX_PAGES:
            raise UnfitError("pdf_pages")
        count = self._reachable() or len(self._pages)
        if count == 0:
            raise UnfitError("pdf_broken")
        return count

    def _reachable(self) -> int:
        seen: set[int] = set()
        waiting = [self._tops.get(self._root[1], -1)]
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                waiting.extend(self._kids.get(number, ()))
        return len(seen & self._pages)
