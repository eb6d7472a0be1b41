"""What filing asks of a store, in whole transactions; SQLite and PostgreSQL each fill it.

Every method is one transaction. What it is given as `payload`, `shown`, `patient`, `reason` or
`remote_id` is sealed by the store and never stands in the clear in a column. A method that takes
an audit entry writes it in the same transaction, so that neither exists without the other; to an
event about a draft the store adds draft, kind, version, digest, state, attempt, approval and the
patient's key.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

Kind = Literal["note", "appointment", "change", "document", "patient"]
State = Literal[
    "draft",
    "awaiting_file",
    "awaiting_approval",
    "approved",
    "sending",
    "accepted",
    "filed",
    "unknown",
    "needs_human",
    "declined",
    "withdrawn",
    "expired",
]
# In these the same content may be staged again: nothing of it will be, or was, filed.
FREED: frozenset[State] = frozenset({"declined", "withdrawn", "expired"})
# In these a write is under way or in doubt, and nothing may touch it but the worker.
OPEN: frozenset[State] = frozenset({"approved", "sending", "accepted", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One event for the chain: `fields` hold no patient data, `patient` is sealed and keyed.

    `patient_key` stands for the patient where they are known by another id than this.
    """

    event: str
    action: str
    outcome: int
    fields: dict[str, Any] = field(default_factory=dict)
    patient: str | None = field(default=None, repr=False)
    patient_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """A link of the chain as it is stored; `body` is exactly what was authenticated."""

    seq: int
    body: bytes
    prev: bytes
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDraft:
    """What is staged. `dedupe` is the key under which an identical repeat finds the same draft.

    `shown` is what a person is shown besides the payload; no approval is bound to it.
    """

    kind: Kind
    state: State
    principal: str
    care_unit_id: str
    patient_key: str
    dedupe: str
    digest: str
    payload: bytes = field(repr=False)
    shown: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row of the ledger, payload opened."""

    id: str
    version: int
    kind: Kind
    state: State
    principal: str
    care_unit_id: str
    patient_key: str
    digest: str
    payload: bytes = field(repr=False)
    shown: bytes = field(default=b"", repr=False)
    created_at: datetime
    updated_at: datetime
    approval_id: str | None = None
    attempt: int = 0
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    next_at: datetime | None = None
    looked: int = 0
    job_id: str | None = None
    remote_id: str | None = None
    matched_by: str | None = None
    verified: str | None = None
    reason: str | None = None
    told: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's yes to one version of one draft; used once, for a day."""

    id: str
    draft_id: str
    version: int
    digest: str
    approver: str
    channel: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a move of the ledger sets besides the state; None leaves a column as it is.

    An empty `reason` ends the one that was there. `told` is what the record system said in its own
    words, for people alone.

    `unspend` gives the approval back: the request certainly never arrived, so the person's yes is
    still good for the next attempt.
    """

    reason: str | None = None
    told: str | None = field(default=None, repr=False)
    remote_id: str | None = None
    matched_by: str | None = None
    verified: str | None = None
    job_id: str | None = None
    next_at: datetime | None = None
    looked: int | None = None
    unspend: bool = False


class Piece(NamedTuple):
    """A piece of a shared file as it is stored, and whether it is the last one."""

    sealed: bytes
    last: bool


class Store(Protocol):
    """The ledger and the chain. Times are aware UTC and come from the caller's clock."""

    async def open(self) -> None:
        """Open, migrate, and prove that the key fits.

        Raises:
            StorageError: The key is wrong, the schema is newer, or the place cannot be written.
        """
        ...

    async def close(self) -> None:
        """Close; what is committed stays."""
        ...

    def patient_key(self, patient: str) -> str:
        """Return the keyed digest under which drafts and events of this patient are found."""
        ...

    def dedupe_key(self, *parts: str) -> str:
        """Return the keyed digest under which an identical repeat is found."""
        ...

    async def stage(self, new: NewDraft, *, now: datetime, audit: AuditEntry) -> tuple[Draft, bool]:
        """Return the draft under this key and whether it is new; the event is of a new one only.

        One that was last touched a day ago frees the key, unless a write is open.

        Raises:
            ValueError: The state is not one of an unsent draft.
        """
        ...

    async def staged(self, dedupe: str, *, now: datetime) -> Draft | None:
        """Return the draft that `stage` would find under this key."""
        ...

    async def draft(self, draft_id: str) -> Draft | None:
        """Return a draft."""
        ...

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
        ...

    async def counts(self) -> dict[State, int]:
        """Return how many drafts are in each state that has any."""
        ...

    async def version(self, draft_id: str, version: int) -> bytes | None:
        """Return the payload of an earlier or the present version."""
        ...

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
        """Make the next version of an unsent draft and void its approval.

        Unsent is what waits, or is approved and not yet picked up. None if it is not at `version`.

        With `dedupe` the repeats that find it are those of the new content; None if such a repeat
        finds another draft.

        Raises:
            ValueError: The state is not one of an unsent draft.
        """
        ...

    async def approve(self, approval: Approval, *, now: datetime, audit: AuditEntry) -> bool:
        """Move `awaiting_approval` to `approved`, if version and digest are the approval's.

        False also for an approval that has lapsed or whose id is known.
        """
        ...

    async def approval(self, approval_id: str) -> Approval | None:
        """Return an approval."""
        ...

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
        """Change the state if it is `old` at `version` (leased by `owner`, if given); or say False.

        `old` and `new` may be the same. A move ends the lease; one to `awaiting_approval` voids the
        approval. A `remote_id` that another filing of this patient and kind owns is refused too,
        but for the kinds `change` and `patient`, which name what exists.

        Raises:
            ValueError: To `sending`, or to `approved` out of anything but `sending`, `unknown` and
                itself; out of a final state; or to a freed one while a write is in doubt.
        """
        ...

    async def claim(
        self,
        owner: str,
        *,
        now: datetime,
        lease_until: datetime,
        audit: AuditEntry,
        draft_id: str | None = None,
    ) -> Draft | None:
        """Move the oldest due `approved` draft, or the one named, to `sending`.

        Its approval is spent, it is leased, `attempt` grows by one, and `last_sent_at` (the first
        time `first_sent_at` too) is set. None if it is not approved, not due, leased by another,
        or if another filing of the same patient, kind and digest is `sending`, `accepted` or
        `unknown`: either's record could be taken for the other's. An approval that lapsed sends
        its draft back to `awaiting_approval` instead.
        """
        ...

    async def take_due(
        self, owner: str, states: Sequence[State], *, now: datetime, lease_until: datetime
    ) -> Draft | None:
        """Lease the oldest draft in one of the states that is due and that nobody holds.

        Due is one whose `next_at` has come or is not set; a lease that has run out is nobody's.
        """
        ...

    async def expire_leases(self, *, now: datetime) -> int:
        """Move every `sending` whose lease has run out to `unknown`, due at once; count them."""
        ...

    async def next_due(self) -> datetime | None:
        """Return when the next lease, look-up or retry is due; a first sending is not counted."""
        ...

    async def notice(self, event_id: str, jobs: Sequence[str], *, now: datetime) -> bool:
        """Store that an event came, and have what may have waited for it looked after at once.

        That is every `accepted` draft of one of these jobs, and every `unknown` one: its job is not
        known. False if the event came before, and then nothing is changed.
        """
        ...

    async def owned_remote_ids(self, patient_key: str, kind: Kind | None = None) -> frozenset[str]:
        """Return the record ids that filings of this patient (and kind) already own."""
        ...

    async def expire(self, *, now: datetime, drafts_before: datetime) -> int:
        """Expire unsent drafts not touched since `drafts_before`; count them.

        The text of these, and of all that were final before then, is dropped: empty from then on.
        """
        ...

    async def append(self, entry: AuditEntry, *, now: datetime, durable: bool) -> int:
        """Append to the chain and return the sequence number; `durable` survives a power cut."""
        ...

    async def audit_rows(
        self, *, after: int = 0, limit: int = 1_000, node: str | None = None
    ) -> list[AuditRow]:
        """Return links of a node's chain in order; of this one's own without a node."""
        ...

    async def audit_nodes(self) -> list[str]:
        """Return the nodes that have a chain; where one machine alone has the store, at most ""."""
        ...

    async def commits(self) -> int:
        """Return a number that changes when any process commits."""
        ...

    async def put_piece(
        self, name: str, number: int, sealed: bytes, *, last: bool, now: datetime
    ) -> None:
        """Add a piece to a file that nodes share; the file is there once the last one is."""
        ...

    async def piece(self, name: str, number: int) -> Piece | None:
        """Return a piece of a shared file."""
        ...

    async def has_pieces(self, name: str) -> bool:
        """Return whether a shared file is there as a whole."""
        ...

    async def shared_files(self) -> int:
        """Return how many shared files there are, those that still come included."""
        ...

    async def drop_pieces(self, name: str) -> None:
        """Delete a shared file."""
        ...

    async def sweep_pieces(
        self, awaited: Collection[str], *, before: datetime, alone_before: datetime
    ) -> int:
        """Delete shared files that came before, and others than awaited `alone_before`; count."""
        ...
