"""What a worker does with one draft: check, claim and send it, or find out what became of it.

Each step is committed before the next begins, so another process can go on from any of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from leyr_mcp.server.ehr.port import Failed, Stored
from leyr_mcp.server.errors import StorageError, StoreAwayError, UpstreamError
from leyr_mcp.server.filing import precheck, reconcile
from leyr_mcp.server.filing.audit import FAILED, OK, REFUSED
from leyr_mcp.server.filing.checkpoints import checkpoint
from leyr_mcp.server.filing.classify import (
    SLOT_TAKEN,
    Accepted,
    Done,
    InDoubt,
    NotReceived,
    Outcome,
    Refused,
    needs_sign_in,
)
from leyr_mcp.server.filing.compare import EQUAL, UNREADABLE
from leyr_mcp.server.filing.entries import staged_name
from leyr_mcp.server.filing.hands import Hands, about
from leyr_mcp.server.filing.payloads import ChangeItem, Payload
from leyr_mcp.server.filing.reasons import SIGN_IN
from leyr_mcp.server.filing.sending import (
    Send,
    is_told_whole,
    prepare,
    read_back,
    report_strange,
    send_once,
    told_difference,
)
from leyr_mcp.server.storage.store import Change, Draft, Kind, State

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


class Steps(Hands):
    """The two things that can be done next: send one draft, look for one."""

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
            return self._put_off(draft, exc)
        except TimeoutError:
            return self._later(draft.looked, "upstream_busy", None)
        except StoreAwayError:  # the whole step is taken again
            raise
        except StorageError:
            return precheck.Stop("damaged")
        except Exception as exc:  # noqa: BLE001 - nothing was sent, so a person is told
            report_strange(exc)
            return precheck.Stop("internal")

    async def _earlier(
        self, doubt: reconcile.Doubt
    ) -> precheck.Stop | reconcile.Hit | Change | None:
        """Look once before the same is sent again: an earlier attempt may have arrived."""
        found = await reconcile.look(self._ehr, doubt)
        if found.hits:
            return found.hits[0] if len(found.hits) == 1 else precheck.Stop("duplicate_upstream")
        if found.queued is not None:  # it is on its way to the record, and will be found there
            return self._later(0, "twin_open", _TWIN_S)
        item = doubt.payload.item
        if isinstance(item, ChangeItem) and item.action == "confirm":
            return precheck.Stop("code_spent")  # a code is never sent twice
        return None

    def _put_off(self, draft: Draft, exc: UpstreamError) -> Change:
        if needs_sign_in(exc):
            return self._later(draft.looked, SIGN_IN, self._timing.sign_in_s)
        return self._later(draft.looked, exc.code, exc.retry_after_s)

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
            audit=self._trail.intent(draft.kind, self._who, about(draft, payload)),
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
                change = Change(job_id=job_id, next_at=self._ask_in(0), looked=0)
                await self._move(draft, "accepted", change, self._event(draft, payload, OK))
            case Refused(code):
                await self._human(draft, code, REFUSED, payload)
            case NotReceived(reason, lasting=True):
                later = self._later(0, reason, self._timing.sign_in_s)
                change = Change(reason=reason, next_at=later.next_at, looked=0, unspend=True)
                await self._move(draft, "approved", change, self._event(draft, payload, REFUSED))
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
                await self._files.drop(staged)
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
        found = await self._looked(doubt)
        checkpoint("looked")
        audit = self._checked_event(draft, payload, "look")
        match reconcile.conclude(found, doubt, grace_over=began >= over):
            case reconcile.Filed(hit):
                await self._filed(draft, payload, hit.change())
            case reconcile.Queued(job_id):
                change = Change(job_id=job_id, next_at=self._ask_in(0), looked=0)
                await self._move(draft, "accepted", change, audit)
            case reconcile.Human(reason):
                await self._human(draft, reason, FAILED, payload)
            case reconcile.Again() if draft.attempt < _MOST_SENDS:
                change = Change(next_at=self._in(0), looked=0, unspend=True)
                await self._move(draft, "approved", change, audit)
            case reconcile.Again():
                await self._human(draft, "not_found_after_timeout", FAILED, payload)
            case _:
                # One look falls on the end of the grace, so that its end decides.
                next_at = self._in(reconcile.pause_s(draft.looked))
                if began < over:
                    next_at = min(next_at, max(over, self._in(0)))
                change = Change(next_at=next_at, looked=draft.looked + 1)
                await self._move(draft, "unknown", change, audit)

    async def _looked(self, doubt: reconcile.Doubt) -> reconcile.Found:
        try:
            async with asyncio.timeout(self._timing.round_s):
                return await reconcile.look(self._ehr, doubt)
        except Exception as exc:  # noqa: BLE001 - a look that failed says nothing
            report_strange(exc)
            if needs_sign_in(exc):
                return reconcile.Found(unclear=SIGN_IN)
            return reconcile.Found(unclear="lookup_failed")

    async def _ask(self, draft: Draft, payload: Payload) -> None:
        """Ask what became of a queued job; nothing is ever sent again from here."""
        age_s = (self._clock() - (draft.last_sent_at or draft.created_at)).total_seconds()
        told: Stored | Failed | None = None
        since = draft.first_sent_at or draft.created_at
        try:
            async with asyncio.timeout(self._timing.round_s):
                told = await self._ehr.job(draft.care_unit_id, draft.job_id or "", since=since)
        except Exception as exc:  # noqa: BLE001 - not told is not told
            report_strange(exc)
        checkpoint("asked")
        match told:
            case Stored() as stored:
                await self._finished(draft, payload, stored)
            case Failed(words):
                await self._human(draft, "job_failed", REFUSED, payload, told=words)
            case _ if age_s >= self._timing.job_limit_s:
                await self._human(draft, "job_timed_out", FAILED, payload)
            case _:
                change = Change(next_at=self._ask_in(age_s), looked=draft.looked + 1)
                await self._move(draft, "accepted", change)

    def _ask_in(self, age_s: float) -> datetime:
        return self._in(self._timing.job_pause_s(age_s))

    async def _finished(self, draft: Draft, payload: Payload, stored: Stored) -> None:
        verified = told_difference(payload, stored)
        if verified in (EQUAL, UNREADABLE) and not is_told_whole(payload, stored):
            verified = await self._read_back(payload, stored.record_id)
        record_id = stored.record_id
        if verified.startswith("differs"):
            owned = await self._store.owned_remote_ids(draft.patient_key, draft.kind)
            change = Change(reason="stored_differently", remote_id=record_id, verified=verified)
            if record_id in owned:  # it belongs to one draft, so this one would be asked for ever
                change = Change(reason="duplicate_upstream")
            audit = self._event(draft, payload, FAILED)
            await self._move(draft, "needs_human", change, audit)
        else:
            change = Change(remote_id=record_id, matched_by="job", verified=verified)
            await self._filed(draft, payload, change)
