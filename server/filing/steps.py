"""What a worker does with one draft: check, claim and send it, or find out what became of it.

Each step is committed before the next begins, so another process can go on from any of them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.errors import StorageError, UpstreamError
from leyr_mcp.server.filing import precheck, reconcile
from leyr_mcp.server.filing.audit import FAILED, OK, REFUSED, About, AuditTrail, Who
from leyr_mcp.server.filing.checkpoints import checkpoint
from leyr_mcp.server.filing.classify import (
    SLOT_TAKEN,
    Accepted,
    Done,
    InDoubt,
    NotReceived,
    Outcome,
    Refused,
)
from leyr_mcp.server.filing.compare import UNREADABLE
from leyr_mcp.server.filing.entries import staged_name
from leyr_mcp.server.filing.owners import is_dead
from leyr_mcp.server.filing.payloads import ChangeItem, Payload, digest_of
from leyr_mcp.server.filing.sending import Send, prepare, read_back, report_strange, send_once
from leyr_mcp.server.filing.timing import JOB_LIMIT_S, Timing, job_pause_s
from leyr_mcp.server.storage.store import OPEN, AuditEntry, Change, Draft, Kind, State, Store

_log = logging.getLogger("leyr_mcp.filing")

# A filing may still end as filed from these, if its own late answer says so.
_LATE: frozenset[State] = frozenset(
    {"sending", "accepted", "unknown", "needs_human", "approved", "awaiting_approval"}
)
# A change is sent once, whatever comes of it.
_SENDS: dict[Kind, int] = {"change": 1}
_MOST_SENDS = 3
_BACKOFF_S, _LONGEST_S = 0.25, 8.0
_STORE_PAUSES_S = (0.2, 1.0)
_TWIN_S = 5.0

# Tells what became of a job that the record system queued; None as long as it does not know.
Follow = Callable[[Draft, Payload], Awaitable[Outcome | None]]


class Steps:
    """The two things that can be done next: send one draft, look for one."""

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
        follow: Follow | None,
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
        self._follow = follow
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self._at_start = True
        self.verifying: set[str] = set()

    async def send_one(self) -> bool:
        """Take the approved draft that waits longest as far as it goes; False if there is none."""
        draft = await self._take(("approved",), 2 * self._timing.round_s)
        if draft is None:
            return False
        checkpoint("due")
        payload = await self._payload(draft)
        if payload is None:
            return True
        verdict = await self._checked(draft, payload)
        checkpoint("checked")
        match verdict:
            case precheck.Review() as review:
                await self._review(draft, payload, review)
            case precheck.Stop(reason):
                await self._human(draft, reason, REFUSED, payload)
            case reconcile.Hit() as hit:
                await self._filed(draft, payload, hit.change())
            case Change() as later:
                await self._move(draft, "approved", later)
            case send:
                await self._claim_and_send(draft, payload, send)
        return True

    async def look_one(self) -> bool:
        """Find out what became of one write; False if none is due."""
        taken_over, self._at_start = self._at_start and await self._take_over(), False
        if await self._store.expire_leases(now=self._clock()) or taken_over:
            checkpoint("expired")
        draft = await self._take(("unknown", "accepted"), self._timing.round_s)
        if draft is None:
            return False
        checkpoint("taken")
        payload = await self._payload(draft)
        if payload is not None and draft.state == "accepted":
            await self._ask(draft, payload)
        elif payload is not None:
            await self._reconcile(draft, payload)
        checkpoint("concluded")
        return True

    # Before a write

    async def _checked(
        self, draft: Draft, payload: Payload
    ) -> precheck.Review | precheck.Stop | reconcile.Hit | Change | Send:
        """Return what sends it, or what stands against that; a change only puts it off."""
        doubt = await self._doubt(draft, payload) if draft.attempt else None
        try:
            async with asyncio.timeout(2 * self._timing.round_s):
                file = self._files.read(staged_name(draft))
                send = prepare(self._ehr, payload, file)
                if doubt is not None and (earlier := await self._earlier(doubt)):
                    return earlier
                verdict = await precheck.check(self._ehr, payload, file)
                return send if isinstance(verdict, precheck.Go) else verdict
        except UpstreamError as exc:
            return self._later(draft.looked, exc.code, exc.retry_after_s)
        except TimeoutError:
            return self._later(draft.looked, "upstream_busy", None)
        except StorageError:
            return precheck.Stop("damaged")
        except Exception as exc:  # noqa: BLE001 - nothing was sent, so a person is told
            report_strange(exc)
            return precheck.Stop("internal")

    async def _earlier(self, doubt: reconcile.Doubt) -> precheck.Stop | reconcile.Hit | None:
        """Look once before the same is sent again: an earlier attempt may have arrived."""
        found = await reconcile.look(self._ehr, doubt)
        if found.hits:
            return found.hits[0] if len(found.hits) == 1 else precheck.Stop("duplicate_upstream")
        item = doubt.payload.item
        if isinstance(item, ChangeItem) and item.action == "confirm":
            return precheck.Stop("code_spent")  # a code is never sent twice
        return None

    def _later(self, tries: int, reason: str, after_s: float | None) -> Change:
        """Return what puts a draft off, longer each time."""
        longest = min(_LONGEST_S, _BACKOFF_S * 2.0 ** min(tries, 10))
        pause = max(self._rng.uniform(0, longest), after_s or 0.0)
        return Change(reason=reason, next_at=self._in(pause), looked=tries + 1)

    async def _review(self, draft: Draft, payload: Payload, review: precheck.Review) -> None:
        """Have a person look again: at the next version, which holds what the record says now."""
        now = self._clock()
        try:
            shown = review.shown(draft.shown)
        except StorageError:
            await self._human(draft, "damaged", FAILED, payload)
            return
        made = await self._store.revise(
            draft.id,
            draft.version,
            digest=review.now.digest(),
            payload=review.now.to_bytes(),
            shown=shown,
            state="awaiting_approval",
            now=now,
            audit=self._event(draft, payload, REFUSED),
        )
        if made is not None:  # else somebody changed it or took it back meanwhile
            await self._store.move(
                draft.id,
                made.state,
                made.state,
                version=made.version,
                now=now,
                change=Change(reason=review.reason),
            )
        self._changed(draft.id)

    # The write

    async def _claim_and_send(self, draft: Draft, payload: Payload, send: Send) -> None:
        now, lease_s = self._clock(), self._timing.deadline_s(draft.kind) + self._timing.margin_s
        claimed = await self._store.claim(
            self._owner,
            now=now,
            lease_until=now + timedelta(seconds=lease_s),
            audit=self._trail.intent(draft.kind, self._who, _about(draft, payload)),
            draft_id=draft.id,
        )
        if claimed is None:  # revoked or lapsed, which moved it; or its twin is under way
            await self._move(draft, "approved", self._later(0, "twin_open", _TWIN_S))
            return
        checkpoint("claimed")
        with self._verification(draft.id):
            try:
                left = self._left_to_send(claimed) if claimed.version == draft.version else 0.0
                outcome = await send_once(send, left) if left > 0 else NotReceived("stale_claim")
            except asyncio.CancelledError:
                with suppress(Exception):  # else the lease, when it ends, says the same
                    await self._record(claimed, payload, InDoubt("cancelled"))
                raise
            checkpoint("answered")
            await self._record(claimed, payload, outcome)
            checkpoint("recorded")
            if isinstance(outcome, Done):
                await self._verify(claimed, payload, outcome.record_id)

    def _left_to_send(self, claimed: Draft) -> float:
        """Return how long a write may take from now on, or 0 if its claim is no longer fresh.

        The grace runs from the claim, so the deadline does too. If the machine slept since, others
        may have judged by the lease that this process is dead.
        """
        age_s = max(0.0, (self._clock() - (claimed.last_sent_at or self._clock())).total_seconds())
        fresh = age_s <= self._timing.stale_s
        return self._timing.deadline_s(claimed.kind) - age_s if fresh else 0.0

    async def _record(self, draft: Draft, payload: Payload, outcome: Outcome) -> None:
        """Commit what a write came to; what is known now is not given up at the first failure."""
        for pause in _STORE_PAUSES_S:
            try:
                return await self._commit(draft, payload, outcome)
            except StorageError as exc:
                report_strange(exc)
                await asyncio.sleep(pause)
        return await self._commit(draft, payload, outcome)

    async def _commit(self, draft: Draft, payload: Payload, outcome: Outcome) -> None:
        match outcome:
            case Done(record_id):
                await self._filed(draft, payload, Change(remote_id=record_id))
            case Accepted(job_id):
                change = Change(job_id=job_id, next_at=self._in(job_pause_s(0)), looked=0)
                await self._move(draft, "accepted", change, self._event(draft, payload, OK))
            case Refused(code):
                await self._human(draft, code, REFUSED, payload)
            case NotReceived(reason, after_s) if draft.attempt < _SENDS.get(
                draft.kind, _MOST_SENDS
            ):
                later = self._later(draft.attempt, reason, after_s)
                change = Change(reason=reason, next_at=later.next_at, looked=0, unspend=True)
                await self._move(draft, "approved", change, self._event(draft, payload, FAILED))
            case NotReceived(reason):
                await self._human(draft, reason, FAILED, payload)
            case doubt:
                first = 0.0 if doubt.reason == SLOT_TAKEN else reconcile.pause_s(0)
                change = Change(reason=doubt.reason, next_at=self._in(first), looked=0)
                await self._move(draft, "unknown", change, self._event(draft, payload, FAILED))

    async def _filed(self, draft: Draft, payload: Payload, change: Change) -> None:
        """Commit that it is stored, though its lease may have ended before the answer came."""
        audit = self._event(draft, payload, OK, change.remote_id)
        if await self._move(draft, "filed", change, audit):
            if staged := staged_name(draft):
                self._files.drop(staged)
                checkpoint("dropped")
            return
        now = await self._store.draft(draft.id)
        same = now is not None and (now.version, now.attempt) == (draft.version, draft.attempt)
        if now is None or not same or now.state not in _LATE:
            if now is None or now.remote_id != change.remote_id:
                _log.warning("filing: an answer came after its draft was decided otherwise")
            return
        owned = await self._store.owned_remote_ids(draft.patient_key, draft.kind)
        new: State = "filed"
        change = replace(change, reason="")
        if change.remote_id in owned:  # the record system gave one entry for two writes
            new, change = "needs_human", Change(reason="duplicate_upstream")
            audit = self._event(draft, payload, FAILED)
        await self._store.move(
            draft.id,
            now.state,
            new,
            version=now.version,
            now=self._clock(),
            change=change,
            audit=audit,
        )
        self._changed(draft.id)

    async def _verify(self, draft: Draft, payload: Payload, record_id: str) -> None:
        """Compare what is stored with what was approved; a difference is told, nothing undone."""
        change = Change(verified=await self._read_back(payload, record_id))
        await self._store.move(
            draft.id,
            "filed",
            "filed",
            version=draft.version,
            now=self._clock(),
            change=change,
            audit=self._checked_event(draft, payload, "read_back"),
        )
        checkpoint("verified")

    async def _read_back(self, payload: Payload, record_id: str) -> str:
        try:
            async with asyncio.timeout(self._timing.round_s):
                return await read_back(self._ehr, payload, record_id)
        except Exception as exc:  # noqa: BLE001 - it is stored, whatever the reading says
            report_strange(exc)
            return UNREADABLE

    @contextmanager
    def _verification(self, draft_id: str) -> Iterator[None]:
        """Have those who wait for the draft wait for its read-back too."""
        self.verifying.add(draft_id)
        try:
            yield
        finally:
            self.verifying.discard(draft_id)
            self._changed(draft_id)

    # After a doubt

    async def _reconcile(self, draft: Draft, payload: Payload) -> None:
        began = self._clock()
        over = (draft.last_sent_at or draft.created_at) + self._timing.grace(draft.kind)
        doubt = await self._doubt(draft, payload)
        try:
            async with asyncio.timeout(self._timing.round_s):
                found = await reconcile.look(self._ehr, doubt)
        except Exception as exc:  # noqa: BLE001 - a look that failed says nothing
            found = reconcile.Found(unclear="lookup_failed")
            report_strange(exc)
        checkpoint("looked")
        audit = self._checked_event(draft, payload, "look")
        match reconcile.conclude(found, doubt, grace_over=began >= over):
            case reconcile.Filed(hit):
                await self._filed(draft, payload, hit.change())
            case reconcile.Human(reason):
                await self._human(draft, reason, FAILED, payload)
            case reconcile.Again() if draft.attempt < _MOST_SENDS:
                change = Change(next_at=self._in(0), looked=0, unspend=True)
                await self._move(draft, "approved", change, audit)
            case reconcile.Again():
                await self._human(draft, "not_found_after_timeout", FAILED, payload)
            case _:
                # One look falls on the end of the grace, so that its end decides.
                next_at = min(self._in(reconcile.pause_s(draft.looked)), max(over, self._in(0)))
                change = Change(next_at=next_at, looked=draft.looked + 1)
                await self._move(draft, "unknown", change, audit)

    async def _ask(self, draft: Draft, payload: Payload) -> None:
        """Ask what became of a queued job; nothing is ever sent again from here."""
        age_s = (self._clock() - (draft.last_sent_at or draft.created_at)).total_seconds()
        told: Outcome | None = None
        try:
            async with asyncio.timeout(self._timing.round_s):
                told = await self._follow(draft, payload) if self._follow else None
        except Exception as exc:  # noqa: BLE001 - not told is not told
            report_strange(exc)
        checkpoint("asked")
        match told:
            case Done(record_id):
                await self._finished(draft, payload, record_id)
            case Refused(code):
                await self._human(draft, code, REFUSED, payload)
            case _ if age_s >= JOB_LIMIT_S:
                await self._human(draft, "job_timed_out", FAILED, payload)
            case _:
                change = Change(next_at=self._in(job_pause_s(age_s)), looked=draft.looked + 1)
                await self._move(draft, "accepted", change)

    async def _finished(self, draft: Draft, payload: Payload, record_id: str) -> None:
        verified = await self._read_back(payload, record_id)
        if verified.startswith("differs"):
            change = Change(reason="stored_differently", remote_id=record_id, verified=verified)
            audit = self._event(draft, payload, FAILED)
            await self._move(draft, "needs_human", change, audit)
        else:
            change = Change(remote_id=record_id, matched_by="job", verified=verified)
            await self._filed(draft, payload, change)

    # The ledger

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
        self, draft: Draft, reason: str, outcome: int, payload: Payload | None = None
    ) -> None:
        audit = self._event(draft, payload, outcome)
        await self._move(draft, "needs_human", Change(reason=reason), audit)

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
        return moved

    def _event(
        self, draft: Draft, payload: Payload | None, result: int, record_id: str | None = None
    ) -> AuditEntry:
        about = _about(draft, payload, record_id)
        return self._trail.outcome(draft.kind, self._who, about, result=result)

    def _checked_event(
        self, draft: Draft, payload: Payload, phase: Literal["look", "read_back"]
    ) -> AuditEntry:
        return self._trail.checked(draft.kind, self._who, _about(draft, payload), phase=phase)


def _about(draft: Draft, payload: Payload | None, record_id: str | None = None) -> About:
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
