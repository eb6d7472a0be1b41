"""What a worker holds of the ledger: drafts taken, moved and told of, one commit at a time."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from leyr_mcp.server import telemetry
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing import precheck, reconcile
from leyr_mcp.server.filing.audit import FAILED, About, AuditTrail, Who
from leyr_mcp.server.filing.owners import is_dead
from leyr_mcp.server.filing.payloads import Payload, digest_of
from leyr_mcp.server.filing.timing import Timing
from leyr_mcp.server.storage.store import OPEN, AuditEntry, Change, Draft, State, Store


class Hands:
    """One worker's surroundings, and its moves in the ledger."""

    def __init__(  # noqa: PLR0913 - its whole surroundings, each replaced by tests
        self,
        store: Store,
        ehr: Ehr,
        *,
        owner: str,
        trail: AuditTrail,
        environment: str | None,
        files: precheck.Files,
        timing: Timing,
        clock: Callable[[], datetime],
        rng: random.Random,
        changed: Callable[[str], None],
    ) -> None:
        self._store = store
        self._ehr = ehr
        self._owner = owner
        self._trail = trail
        self._who = Who(subject=owner, issuer="worker")
        self._environment = environment
        self._files = files
        self._timing = timing
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self._at_start = True
        self.verifying: set[str] = set()

    def _in(self, seconds: float) -> datetime:
        return self._clock() + timedelta(seconds=seconds)

    async def _take_over(self) -> bool:
        """End what dead processes of this machine hold, which would else last as long as a lease.

        A write that one of them began is in doubt from now on, and no sooner decided by that.
        """
        ended = False
        for draft in await self._store.drafts(states=tuple(OPEN)):
            if draft.lease_owner is not None and is_dead(draft.lease_owner):
                ended |= await self._store.move(
                    draft.id,
                    draft.state,
                    "unknown" if draft.state == "sending" else draft.state,
                    version=draft.version,
                    now=self._clock(),
                    change=Change(next_at=self._clock(), looked=0),
                    owner=draft.lease_owner,
                )
        return ended

    async def _take(self, states: tuple[State, ...], work_s: float) -> Draft | None:
        now = self._clock()
        until = now + timedelta(seconds=work_s + self._timing.margin_s)
        return await self._store.take_due(self._owner, states, now=now, lease_until=until)

    async def _payload(self, draft: Draft) -> Payload | None:
        """Return what a draft holds; what cannot be used here is given to a person."""
        payload = _opened(draft)
        if payload is not None and payload.environment == self._environment:
            return payload
        await self._human(draft, "damaged" if payload is None else "wrong_environment", FAILED)
        return None

    async def _doubt(self, draft: Draft, payload: Payload) -> reconcile.Doubt:
        owned = await self._store.owned_remote_ids(draft.patient_key, draft.kind)
        return reconcile.Doubt(
            payload=payload,
            since=draft.first_sent_at or draft.created_at,
            owned=owned - {draft.remote_id},
            reason=draft.reason,
        )

    async def _human(
        self,
        draft: Draft,
        reason: str,
        outcome: int,
        payload: Payload | None = None,
        *,
        told: str | None = None,
    ) -> None:
        audit = self._event(draft, payload, outcome)
        await self._move(draft, "needs_human", Change(reason=reason, told=told), audit)

    async def _move(
        self, draft: Draft, new: State, change: Change, audit: AuditEntry | None = None
    ) -> bool:
        """Commit a move of a draft that this worker holds; False if it no longer does."""
        moved = await self._store.move(
            draft.id,
            draft.state,
            new,
            version=draft.version,
            now=self._clock(),
            change=change,
            owner=self._owner,
            audit=audit,
        )
        self._changed(draft.id)
        if moved and (listening := telemetry.current()):
            listening.moved(draft.kind, draft.state, new)
        return moved

    def _event(
        self, draft: Draft, payload: Payload | None, result: int, record_id: str | None = None
    ) -> AuditEntry:
        whom = about(draft, payload, record_id)
        return self._trail.outcome(draft.kind, self._who, whom, result=result)

    def _checked_event(
        self, draft: Draft, payload: Payload, phase: Literal["look", "read_back"]
    ) -> AuditEntry:
        return self._trail.checked(draft.kind, self._who, about(draft, payload), phase=phase)


def about(draft: Draft, payload: Payload | None, record_id: str | None = None) -> About:
    """Return whose data a write is about, for the audit."""
    return About(
        patient=payload.patient if payload else None,
        care_unit=draft.care_unit_id,
        object_type=draft.kind,
        object_id=record_id,
    )


def _opened(draft: Draft) -> Payload | None:
    """Return what a draft holds, if it is what was approved."""
    try:
        payload = Payload.from_bytes(draft.payload)
    except StorageError:
        return None
    whole = digest_of(draft.payload) == draft.digest and payload.kind == draft.kind
    return payload if whole else None
