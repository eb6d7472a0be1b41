"""Whether an audit chain is whole: each link's code, their order, both ends.

It is read once, from the first link to the last, and nothing of it is kept. What is found names a
place and a kind of damage; whoever has the key can still write another history, which only the head
in its second place then tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from leyr_mcp.server.filing.audit import pages, parsed
from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.store import AuditRow, Store

Fault = Literal["edited", "deleted", "inserted", "reordered", "rewritten", "start", "cut"]
_SAID: Mapping[Fault, str] = {
    "edited": "was changed, or added at the end",
    "deleted": "is missing",
    "inserted": "was put in",
    "reordered": "stands in another place than it was written",
    "rewritten": "and what follows does not bear this chain's key, or is of another history",
    "start": "is not the first: what came before is missing or was changed",
    "cut": "is missing at the end",
}
_MOST = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, from which event on, and for how many in a row."""

    fault: Fault
    seq: int
    count: int = 1

    @property
    def message(self) -> str:
        """Say it in a sentence."""
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        return f"Event {self.seq}{more} {_SAID[self.fault]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a chain proved: how many events it holds, and what is wrong with it.

    Without a head a cut end does not show.
    """

    count: int
    last: int
    findings: tuple[Finding, ...]
    against_head: bool

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@dataclass(slots=True)
class _Block:
    """Links in a row whose code does not fit their place, told apart without keeping them.

    One that bears the code of another place is genuine and was moved: by how far, and how that
    changes from one to the next, says what was taken out or put in before it. If the places that
    were left and those that were taken are the same, nothing but the order changed.
    """

    first: int
    shift: int = 0
    odd: int = 0  # how many in a row do not go on from the last that did
    odd_at: int = 0
    forged: bool = False
    linked: bool = True
    moved_only: bool = True
    balance: int = 0
    squares: int = 0
    found: list[Finding] = field(default_factory=list)

    def add(self, seq: int, origin: int | None, *, follows: bool) -> None:
        """Take a link, with the place whose code it bears, if any."""
        if origin is None:
            self._strange(seq)
            self.linked &= follows or self.odd == 1
            self.forged, self.moved_only = True, False
            return
        self.balance += origin - seq
        self.squares += origin * origin - seq * seq
        change = origin - seq - self.shift
        if change < -self.odd:  # an earlier one once more, or one that stood before
            self._strange(seq)
            return
        self._tell_odd(put_in=-change)
        if change > 0:
            self._note("deleted", seq, change)
        self.shift = origin - seq

    def close(self, last: int, *, at_end: bool) -> list[Finding]:
        """Return what was found, the last of it at `last`; at the end nothing goes on from it."""
        if self.moved_only and not (at_end and (self.balance or self.squares)):
            return [Finding("reordered", self.first, last - self.first + 1)]
        if not at_end:
            self._tell_odd(put_in=self.shift)
            if self.shift < 0:  # so that the next one is in its place again
                self._note("deleted", last + 1, -self.shift)
        elif self.odd and not self.forged:
            self._note("inserted", self.odd_at, self.odd)
        elif self.odd:
            rewritten = self.linked and self.odd > 1
            self._note("rewritten" if rewritten else "edited", self.odd_at, self.odd)
        return self.found

    def _strange(self, seq: int) -> None:
        if not self.odd:
            self.odd_at, self.linked, self.forged = seq, True, False
        self.odd += 1

    def _tell_odd(self, *, put_in: int) -> None:
        """Tell of the odd ones once it shows how many of them have no place of their own."""
        if put_in > 0:
            self._note("inserted", self.odd_at, put_in)
        if self.odd > max(put_in, 0):
            self._note("edited", self.odd_at + max(put_in, 0), self.odd - max(put_in, 0))
        self.odd = 0

    def _note(self, fault: Fault, seq: int, count: int) -> None:
        if len(self.found) < _MOST:
            self.found.append(Finding(fault, seq, count))


class Verifier:
    """Reads a chain once, in order, and keeps none of it."""

    def __init__(self, keys: Keys, head: chain.Head | None = None, node: str = chain.ALONE) -> None:
        self._key = chain.key_of(keys, node)
        self._head = head
        self._head_at = head.seq if head else 0
        self._count = 0
        self._last = 0
        self._mac = chain.START
        self._block: _Block | None = None
        self._found: list[Finding] = []

    def feed(self, page: list[AuditRow]) -> None:
        """Take the next links."""
        key, link, head_at = self._key, chain.link, self._head_at
        self._count += len(page)
        for row in page:
            seq, mac, prev = row.seq, row.mac, row.prev
            if (
                seq == self._last + 1
                and prev == self._mac
                and seq != head_at
                and self._block is None
                and isinstance(row.body, bytes)  # a damaged column may hold anything
                and link(key, seq, prev, row.body) == mac
            ):
                self._last, self._mac = seq, mac
            else:
                self._look(row)

    def verdict(self) -> Verdict:
        """Return what the links so far prove."""
        shift = self._block.shift if self._block else 0
        self._close(at_end=True)
        missing = self._head_at - self._last
        if missing > 0 and missing != shift:  # what was taken out before is told already
            self._note(Finding("cut", self._last + 1, missing))
        return Verdict(
            count=self._count,
            last=self._last,
            findings=tuple(self._found),
            against_head=self._head is not None,
        )

    def _look(self, row: AuditRow) -> None:
        """Take a link that is not simply the next one."""
        origin = self._origin(row)
        follows = row.prev == self._mac
        if row.seq != self._last + 1:
            self._close(at_end=False)
            self._gap(row.seq)
            follows = True  # what it followed is not here to compare with
        if origin != row.seq:
            self._block = self._block or _Block(row.seq)
            self._block.add(row.seq, origin, follows=follows)
        else:
            after_odd = self._block is not None
            self._close(at_end=False)
            if not follows and not after_odd:
                self._note(Finding("start" if row.seq == 1 else "rewritten", row.seq))
            elif self._head and row.seq == self._head.seq and row.mac != self._head.mac:
                self._note(Finding("rewritten", row.seq))
        self._last, self._mac = row.seq, row.mac

    def _gap(self, seq: int) -> None:
        if seq <= self._last:
            self._note(Finding("reordered", seq))
        elif self._last:
            self._note(Finding("deleted", self._last + 1, seq - self._last - 1))
        else:
            self._note(Finding("start", seq))

    def _origin(self, row: AuditRow) -> int | None:
        """Return the place whose code a link bears: its own, another that it names, or none."""
        if self._bears(row, row.seq):
            return row.seq
        named = (parsed(row) or {}).get("seq")
        return named if isinstance(named, int) and self._bears(row, named) else None

    def _bears(self, row: AuditRow, seq: int) -> bool:
        try:
            return chain.link(self._key, seq, row.prev, row.body) == row.mac
        except (TypeError, OverflowError):
            return False

    def _close(self, *, at_end: bool) -> None:
        if self._block is not None:
            for finding in self._block.close(self._last, at_end=at_end):
                self._note(finding)
            self._block = None

    def _note(self, finding: Finding) -> None:
        if len(self._found) < _MOST:
            self._found.append(finding)


def verify(links: Iterable[AuditRow], keys: Keys, head: chain.Head | None = None) -> Verdict:
    """Return whether these links are a whole chain, from its first one to its head."""
    verifier = Verifier(keys, head)
    for row in links:
        verifier.feed([row])
    return verifier.verdict()


async def verify_store(
    store: Store,
    keys: Keys,
    head: chain.Head | None = None,
    step: Callable[[int], None] = lambda _count: None,
    node: str = chain.ALONE,
) -> Verdict:
    """Return whether a node's chain is whole; read the head before, for a chain grows.

    `step` is told how many events were read each time.
    """
    verifier = Verifier(keys, head, node)
    async for page in pages(store, node):
        verifier.feed(page)
        step(len(page))
    return verifier.verdict()
