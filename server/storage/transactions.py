"""What every store does alike: the ledger's transactions, run by an engine's own means.

An engine says how a transaction runs and what `append` costs it least; the transactions themselves
are the same ones, word for word.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar

from leyr_mcp.server.storage import chain, leases, ledger, pieces
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.rows import Work
from leyr_mcp.server.storage.seal import Sealer
from leyr_mcp.server.storage.store import (
    Approval,
    AuditEntry,
    AuditRow,
    Change,
    Draft,
    Kind,
    NewDraft,
    Piece,
    State,
)

T = TypeVar("T")
_NOTHING = Change()


class LedgerStore(ABC):
    """The ledger and the chain over some engine."""

    def __init__(self, keys: Keys, node: str = chain.ALONE) -> None:
        sealer = Sealer(keys)
        self._node = node
        self._chain = chain.Chain(keys, sealer, node)
        self._ledger = ledger.Ledger(sealer, self._chain)

    @abstractmethod
    async def _read(self, make: Callable[[], Work[T]]) -> T:
        """Run statements that only read."""

    @abstractmethod
    async def _write(self, make: Callable[[], Work[T]], *, durable: bool = True) -> T:
        """Run statements in one transaction."""

    @abstractmethod
    async def _attempt(
        self,
        asked: Callable[[], Work[object]],
        make: Callable[[], Work[T]],
        *,
        otherwise: T,
        durable: bool = True,
    ) -> T:
        """Run statements in one transaction if what is asked first, without a lock, is true."""

    @abstractmethod
    async def _write_beside(self, make: Callable[[], Work[T]], *, durable: bool) -> T:
        """Run statements that touch neither ledger nor chain, in one transaction."""

    def patient_key(self, patient: str) -> str:
        """Return the digest under which drafts and events of this patient are found."""
        return self._ledger.sealer.patient_key(patient)

    def dedupe_key(self, *parts: str) -> str:
        """Return the digest under which an identical repeat is found."""
        return self._ledger.sealer.dedupe_key(*parts)

    async def stage(self, new: NewDraft, *, now: datetime, audit: AuditEntry) -> tuple[Draft, bool]:
        """Return the draft under this key and whether it is new."""
        return await self._write(lambda: ledger.stage(self._ledger, new, now, audit))

    async def staged(self, dedupe: str, *, now: datetime) -> Draft | None:
        """Return the draft that `stage` would find under this key."""
        return await self._read(lambda: ledger.staged(self._ledger, dedupe, now))

    async def draft(self, draft_id: str) -> Draft | None:
        """Return a draft."""
        return await self._read(lambda: ledger.get(self._ledger, draft_id))

    async def drafts(
        self,
        *,
        states: Sequence[State] = (),
        patient_key: str | None = None,
        principal: str | None = None,
        care_unit_id: str | None = None,
        kinds: Sequence[Kind] = (),
        limit: int = 100,
    ) -> list[Draft]:
        """Return drafts, the latest first; what is None or empty narrows nothing."""
        narrow = {
            "patient_key": patient_key,
            "principal": principal,
            "care_unit_id": care_unit_id,
            "kind": tuple(kinds) or None,
        }
        return await self._read(lambda: ledger.listed(self._ledger, states, narrow, limit))

    async def counts(self) -> dict[State, int]:
        """Return how many drafts are in each state that has any."""
        return await self._read(ledger.counts)

    async def version(self, draft_id: str, version: int) -> bytes | None:
        """Return the payload of an earlier or the present version."""
        return await self._read(lambda: ledger.text_of(self._ledger, draft_id, version))

    async def revise(  # noqa: PLR0913 - the parts of one version, each named
        self,
        draft_id: str,
        version: int,
        *,
        digest: str,
        payload: bytes,
        shown: bytes = b"",
        state: State,
        now: datetime,
        audit: AuditEntry,
        dedupe: str | None = None,
    ) -> Draft | None:
        """Make the next version of an unsent draft and void its approval."""
        text = ledger.Text(digest, payload, shown, state, dedupe)
        return await self._write(
            lambda: ledger.revise(self._ledger, draft_id, version, text, now, audit)
        )

    async def approve(self, approval: Approval, *, now: datetime, audit: AuditEntry) -> bool:
        """Approve what waits, if version and digest are those of the approval."""
        return await self._write(lambda: ledger.approve(self._ledger, approval, now, audit))

    async def approval(self, approval_id: str) -> Approval | None:
        """Return an approval."""
        return await self._read(lambda: ledger.approval(approval_id))

    async def move(
        self,
        draft_id: str,
        old: State,
        new: State,
        *,
        version: int,
        now: datetime,
        change: Change | None = None,
        owner: str | None = None,
        audit: AuditEntry | None = None,
    ) -> bool:
        """Change the state if it is `old` at `version` (and leased by `owner`, if given)."""
        asked = ledger.Move(draft_id, old, new, version, owner, change or _NOTHING)
        return await self._write(lambda: ledger.move(self._ledger, asked, now, audit))

    async def claim(
        self,
        owner: str,
        *,
        now: datetime,
        lease_until: datetime,
        audit: AuditEntry,
        draft_id: str | None = None,
    ) -> Draft | None:
        """Move the oldest due `approved` draft, or the one named, to `sending`."""
        lease = leases.Lease(owner, lease_until)
        return await self._attempt(
            lambda: leases.claimable(owner, now, draft_id),
            lambda: leases.claim(self._ledger, lease, draft_id, now, audit),
            otherwise=None,
        )

    async def take_due(
        self, owner: str, states: Sequence[State], *, now: datetime, lease_until: datetime
    ) -> Draft | None:
        """Lease the oldest draft in one of the states that is due and that nobody holds."""
        lease = leases.Lease(owner, lease_until)
        # A power cut ends whoever holds a lease, so the lease need not survive it.
        return await self._attempt(
            lambda: leases.due(states, now),
            lambda: leases.take_due(self._ledger, lease, states, now),
            otherwise=None,
            durable=False,
        )

    async def expire_leases(self, *, now: datetime) -> int:
        """Move every `sending` whose lease has run out to `unknown`; count them."""
        return await self._attempt(
            lambda: leases.orphaned(now), lambda: leases.expire_leases(now), otherwise=0
        )

    async def notice(self, event_id: str, jobs: Sequence[str], *, now: datetime) -> bool:
        """Store that an event came, and have what may have waited for it looked after at once."""
        return await self._write(lambda: leases.notice(event_id, jobs, now))

    async def next_due(self) -> datetime | None:
        """Return when the next lease, look-up or retry is due."""
        return await self._read(leases.next_due)

    async def owned_remote_ids(self, patient_key: str, kind: Kind | None = None) -> frozenset[str]:
        """Return the record ids that filings of this patient already own."""
        return await self._read(lambda: ledger.owned_remote_ids(self._ledger, patient_key, kind))

    async def expire(self, *, now: datetime, drafts_before: datetime) -> int:
        """Expire unsent drafts not touched since `drafts_before` and drop their text."""
        return await self._write(lambda: ledger.expire(self._ledger, now, drafts_before))

    async def audit_rows(
        self, *, after: int = 0, limit: int = 1_000, node: str | None = None
    ) -> list[AuditRow]:
        """Return links of a node's chain in order; of this one's own without a node."""
        of = self._node if node is None else node
        return await self._read(lambda: chain.rows_after(of, after, limit))

    async def audit_nodes(self) -> list[str]:
        """Return the nodes that have a chain."""
        return await self._read(chain.nodes)

    async def put_piece(
        self, name: str, number: int, sealed: bytes, *, last: bool, now: datetime
    ) -> None:
        """Add a piece to a shared file; the file is there once the last one is."""
        piece = Piece(sealed, last)
        await self._write_beside(lambda: pieces.put(name, number, piece, now), durable=last)

    async def piece(self, name: str, number: int) -> Piece | None:
        """Return a piece of a shared file."""
        return await self._read(lambda: pieces.get(name, number))

    async def has_pieces(self, name: str) -> bool:
        """Return whether a shared file is there as a whole."""
        return await self._read(lambda: pieces.has(name))

    async def shared_files(self) -> int:
        """Return how many shared files there are."""
        return await self._read(pieces.count)

    async def drop_pieces(self, name: str) -> None:
        """Delete a shared file."""
        await self._write_beside(lambda: pieces.drop(name), durable=False)

    async def sweep_pieces(
        self, awaited: Collection[str], *, before: datetime, alone_before: datetime
    ) -> int:
        """Delete the shared files whose time is over, sooner where nothing waits; count them."""
        return await self._write_beside(
            lambda: pieces.sweep(awaited, before, alone_before), durable=False
        )
