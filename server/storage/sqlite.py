"""The store in one SQLite file, shared by any number of processes on one machine.

Each store has one thread with one connection. Whatever is begun there is finished there: a caller
that is cancelled learns nothing, but leaves no half transaction. Only events that need not survive
a power cut go through a second connection, on the event loop's own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage import chain, leases, ledger
from leyr_mcp.server.storage.connection import BusyError, Connection
from leyr_mcp.server.storage.database import Database
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
    State,
)
from leyr_mcp.server.storage.worker import Worker

T = TypeVar("T")
_NOTHING = Change()


class SqliteStore:
    """The ledger and the chain in one file; in memory, for tests, without a path."""

    def __init__(self, path: Path | None, keys: Keys, *, timeout_s: float = 5.0) -> None:
        sealer = Sealer(keys)
        self._chain = chain.Chain(keys, sealer)
        self._ledger = ledger.Ledger(sealer, self._chain)
        self._database = Database(path, keys, timeout_s)
        self._worker: Worker | None = None
        self._path = path
        self._timeout_s = timeout_s
        # For events that need no power-safe commit, on the event loop's own thread: such a commit
        # writes a page to the cache and never waits, and costs a fifth of a hop to another thread.
        self._beside: Connection | None = None
        self._head_at = 0

    async def open(self) -> None:
        """Open, migrate, and prove that the key fits.

        Raises:
            StorageError: The key is wrong, the schema is newer, or the place cannot be written.
        """
        if self._worker is not None:
            return
        worker = self._worker = Worker("leyr-mcp-store")
        try:
            await worker.run(self._database.open)
            if self._path is not None:
                self._beside = Connection(str(self._path), self._timeout_s, waits=False)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close; what is committed stays."""
        worker, self._worker = self._worker, None
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.close()
        if worker is None:
            return
        closed = worker.run(self._close)
        try:
            await closed
        finally:
            worker.stop()

    def patient_key(self, patient: str) -> str:
        """Return the digest under which drafts and events of this patient are found."""
        return self._ledger.sealer.patient_key(patient)

    def dedupe_key(self, *parts: str) -> str:
        """Return the digest under which an identical repeat is found."""
        return self._ledger.sealer.dedupe_key(*parts)

    async def stage(self, new: NewDraft, *, now: datetime, audit: AuditEntry) -> tuple[Draft, bool]:
        """Return the draft under this key and whether it is new."""
        return await self._write(ledger.stage(self._ledger, new, now, audit))

    async def staged(self, dedupe: str, *, now: datetime) -> Draft | None:
        """Return the draft that `stage` would find under this key."""
        return await self._read(ledger.staged(self._ledger, dedupe, now))

    async def draft(self, draft_id: str) -> Draft | None:
        """Return a draft."""
        return await self._read(ledger.get(self._ledger, draft_id))

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
        return await self._read(ledger.listed(self._ledger, states, narrow, limit))

    async def counts(self) -> dict[State, int]:
        """Return how many drafts are in each state that has any."""
        return await self._read(ledger.counts())

    async def version(self, draft_id: str, version: int) -> bytes | None:
        """Return the payload of an earlier or the present version."""
        return await self._read(ledger.text_of(self._ledger, draft_id, version))

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
        return await self._write(
            ledger.revise(
                self._ledger,
                draft_id,
                version,
                ledger.Text(digest, payload, shown, state, dedupe),
                now,
                audit,
            )
        )

    async def approve(self, approval: Approval, *, now: datetime, audit: AuditEntry) -> bool:
        """Approve what waits, if version and digest are those of the approval."""
        return await self._write(ledger.approve(self._ledger, approval, now, audit))

    async def approval(self, approval_id: str) -> Approval | None:
        """Return an approval."""
        return await self._read(ledger.approval(approval_id))

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
        return await self._write(ledger.move(self._ledger, asked, now, audit))

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

        def job() -> Draft | None:
            db = self._database
            if not db.read(leases.claimable(owner, now, draft_id)):
                return None
            return self._store(leases.claim(self._ledger, lease, draft_id, now, audit))

        return await self._run(job)

    async def take_due(
        self, owner: str, states: Sequence[State], *, now: datetime, lease_until: datetime
    ) -> Draft | None:
        """Lease the oldest draft in one of the states that is due and that nobody holds."""
        lease = leases.Lease(owner, lease_until)

        def job() -> Draft | None:
            db = self._database
            if db.read(leases.due(states, now)) is None:
                return None
            # A power cut ends whoever holds a lease, so the lease need not survive it.
            return self._store(leases.take_due(self._ledger, lease, states, now), durable=False)

        return await self._run(job)

    async def expire_leases(self, *, now: datetime) -> int:
        """Move every `sending` whose lease has run out to `unknown`; count them."""

        def job() -> int:
            db = self._database
            return self._store(leases.expire_leases(now)) if db.read(leases.orphaned(now)) else 0

        return await self._run(job)

    async def notice(self, event_id: str, jobs: Sequence[str], *, now: datetime) -> bool:
        """Store that an event came, and have what may have waited for it looked after at once."""
        return await self._write(leases.notice(event_id, jobs, now))

    async def next_due(self) -> datetime | None:
        """Return when the next lease, look-up or retry is due."""
        return await self._read(leases.next_due())

    async def owned_remote_ids(self, patient_key: str, kind: Kind | None = None) -> frozenset[str]:
        """Return the record ids that filings of this patient already own."""
        return await self._read(ledger.owned_remote_ids(self._ledger, patient_key, kind))

    async def expire(self, *, now: datetime, drafts_before: datetime) -> int:
        """Expire unsent drafts not touched since `drafts_before` and drop their text."""
        return await self._write(ledger.expire(self._ledger, now, drafts_before))

    async def append(self, entry: AuditEntry, *, now: datetime, durable: bool) -> int:
        """Append to the chain and return the sequence number; `durable` survives a power cut."""
        if not durable and self._beside is not None:
            try:
                return self._kept(self._append_here(self._beside, entry, now))
            except BusyError:
                pass  # waited for in the store's thread
        return await self._write(self._chain.append(entry, now=now), durable=durable)

    def _append_here(self, connection: Connection, entry: AuditEntry, now: datetime) -> int:
        last = self._chain.tip
        if last is not None:
            statement, tip = self._chain.after(last, entry, now=now)
            if connection.once(statement, durable=False):
                self._chain.tip = tip
                return tip.seq
        return connection.write(self._chain.append(entry, now=now), durable=False)

    async def audit_rows(self, *, after: int = 0, limit: int = 1_000) -> list[AuditRow]:
        """Return links of the chain in order."""
        return await self._read(chain.rows_after(after, limit))

    async def commits(self) -> int:
        """Return a number that changes when any process commits."""
        return await self._run(self._database.commits)

    async def _run(self, job: Callable[[], T]) -> T:
        if self._worker is None:
            raise StorageError("The local store is not open.")
        return await self._worker.run(job)

    async def _read(self, work: Work[T]) -> T:
        return await self._run(lambda: self._database.read(work))

    async def _write(self, work: Work[T], *, durable: bool = True) -> T:
        return await self._run(lambda: self._store(work, durable=durable))

    def _store(self, work: Work[T], *, durable: bool = True) -> T:
        return self._kept(self._database.write(work, durable=durable))

    def _kept(self, value: T) -> T:
        worker, tip = self._worker, self._chain.tip
        if worker is not None and tip is not None and tip.seq >= self._head_at:
            self._head_at = tip.seq // chain.EVERY * chain.EVERY + chain.EVERY
            worker.later(self._database.put_head)
        return value

    def _close(self) -> None:
        try:
            if self._chain.tip is not None:
                self._database.put_head()
        finally:
            self._database.close()
