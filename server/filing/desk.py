"""The desk: the only way from a draft into the record.

Tools, the terminal and the review page all come here. It stages what a caller proposes, lets a
person decide, and has the worker file it. Nothing that a model can send decides anything.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from leyr_mcp.server import telemetry
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.errors import (
    InputError,
    LeyrMcpError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
)
from leyr_mcp.server.files.staging import Staging
from leyr_mcp.server.filing import moves
from leyr_mcp.server.filing.audit import AuditTrail, Event, Who
from leyr_mcp.server.filing.drafting import Drafting, Plan
from leyr_mcp.server.filing.duty import Duty
from leyr_mcp.server.filing.entries import (
    UNFINISHED,
    UNSENT,
    Attached,
    Entry,
    Person,
    Proposal,
    Shown,
    opened,
    principal,
)
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.filing.payloads import DocumentItem, Item, Payload
from leyr_mcp.server.filing.shelf import Shelf
from leyr_mcp.server.filing.worker import Worker
from leyr_mcp.server.storage.store import (
    FREED,
    Approval,
    AuditEntry,
    Change,
    NewDraft,
    State,
    Store,
)

APPROVED_FOR = timedelta(hours=24)
KEPT_FOR = timedelta(days=30)
_TICK = timedelta(microseconds=1)
_MANY = 1_000
_SERVER = Who(subject="leyr-mcp", issuer="worker")


class Desk(Shelf):
    """Opens the store at the first draft; everything else works on what is stored."""

    def __init__(
        self,
        journal: Journal,
        ehr: Ehr,
        drafting: Drafting,
        *,
        files: Staging,
        make_worker: Callable[[Store, AuditTrail], Worker],
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(journal, drafting)
        self._ehr = ehr
        self._duty = Duty(journal, make_worker, self._tidy)
        self._clock = clock
        self.files = files
        self.policy = drafting.policy
        self._approved_at = datetime.min.replace(tzinfo=UTC)

    # The worker's life

    async def start(self) -> Worker:
        """Have the worker run in this process from now on; it goes on where a dead one stopped.

        Raises:
            StorageError: The store cannot be opened, or the desk was closed.
        """
        return await self._duty.start()

    async def noticed(self, event_id: str, jobs: Sequence[str]) -> bool:
        """Store that a record system told of jobs, and look at once; False if it did so before."""
        worker = await self.start()
        store, _ = await self._journal.opened()
        new = await store.notice(event_id, jobs, now=self._clock())
        worker.wake()
        return new

    async def close(self, drain_s: float = 0.0) -> None:
        """Stop the worker after what it has under way, for so long at most, and for good."""
        await self._duty.close(drain_s)

    # What a caller may do

    async def stage(self, proposal: Proposal, who: Who) -> Entry:
        """Return the draft of this proposal: made now, or the one that a like call made.

        Raises:
            LeyrMcpError: It cannot be written as it is: the wrong patient, no author, a taken time.
        """
        store, trail = await self._journal.opened()
        plan = await self._drafting.plan(proposal, who)
        payload, salt = plan.payload, ""
        while True:
            dedupe = store.dedupe_key(principal(who), *plan.key, salt)
            found = await store.staged(dedupe, now=self._clock())
            if found is None:
                break
            entry = opened(found).again()
            if not await self._drafting.is_over(entry):
                return await self._as_asked(await self._as_known(entry, plan, who), proposal, who)
            salt = found.id
        try:
            shown = await self._drafting.shown(plan, who, await self._like(plan))
        except LeyrMcpError:
            twin = await store.staged(dedupe, now=self._clock())
            if twin is None:
                raise
            # A like call came first, and what stands against this one may be what it filed.
            return await self._as_asked(opened(twin).again(), proposal, who)
        draft, new = await store.stage(
            NewDraft(
                kind=payload.kind,
                state=_first_state(proposal),
                principal=principal(who),
                care_unit_id=payload.care_unit_id,
                patient_key=store.patient_key(plan.whom),
                dedupe=dedupe,
                digest=payload.digest(),
                payload=payload.to_bytes(),
                shown=shown.to_bytes(),
            ),
            now=self._clock(),
            audit=trail.local("draft", who, moves.about(payload)),
        )
        if new:
            return opened(draft)
        return await self._as_asked(opened(draft).again(), proposal, who)

    async def revise(self, draft_id: str, proposal: Proposal, who: Who) -> Entry:
        """Put other content in the place of an unsent draft's; an approval is void by that.

        Raises:
            LeyrMcpError: There is no such draft, it was sent, it is of another patient, kind or
                care unit, or another draft holds the same.
        """
        store, trail = await self._journal.opened()
        before = await self.entry(draft_id, who)
        plan = await self._drafting.plan(proposal, who)
        payload = plan.payload
        moves.check_same(before, payload, store.patient_key(plan.whom))
        if payload.digest() == before.draft.digest:  # the same call again, as after a question
            return await self._as_asked(before.again(), proposal, who)
        if before.draft.attempt:  # the earlier text may be in the record; it is looked for by that
            raise moves.sent(before)
        like = [one for one in await self._like(plan) if one.id != before.id]
        shown = await self._drafting.shown(plan, who, like)
        return await self._revised(
            before,
            payload,
            shown,
            _first_state(proposal),
            trail.local("amend", who, moves.about(payload)),
            dedupe=store.dedupe_key(principal(who), *plan.key, ""),
        )

    async def _like(self, plan: Plan) -> list[Entry]:
        """Return the patient's other drafts that may be, or become, the same entry."""
        store, _ = await self._journal.opened()
        return await self._same_kind(plan.payload.kind, store.patient_key(plan.whom))

    async def submit(self, entry: Entry, who: Who) -> Entry:
        """Have a draft wait for a person, if it does not yet."""
        if entry.draft.state != "draft":
            return entry
        await self._moved(entry, "awaiting_approval", "draft", who)
        return await self.entry(entry.id)

    async def withdraw(self, draft_id: str, who: Who) -> Entry:
        """Take back what was not sent; an approval that was not used is void by that.

        Raises:
            LeyrMcpError: There is no such draft, or it was sent.
        """
        entry = await self.entry(draft_id, who)
        while entry.draft.state in (*UNSENT, "approved"):  # it may be approved at this moment
            await self._moved(entry, "withdrawn", "reject", who)
            entry = await self.entry(draft_id, who)
        if entry.draft.state not in FREED:
            raise moves.sent(entry)
        return entry

    async def outcome(self, entry: Entry, wait_s: float) -> Entry:
        """Return a draft once nothing moves it any more, or as it stands after so long."""
        worker = await self.start()
        found = await worker.outcome(entry.id, wait_s)
        return entry if found is None else opened(found, already_filed=entry.already_filed)

    # What a person decides

    async def approve(self, entry: Entry, person: Person) -> bool:
        """Have one version filed; False if it is no longer the one that waits."""
        worker = await self.start()
        store, trail = await self._journal.opened()
        # Never twice the same time, since what was approved first is sent first.
        now = self._approved_at = max(self._clock(), self._approved_at + _TICK)
        approval = Approval(
            id=f"a_{secrets.token_hex(10)}",
            draft_id=entry.id,
            version=entry.draft.version,
            digest=entry.draft.digest,
            approver=person.name,
            channel=person.channel,
            created_at=now,
            expires_at=now + APPROVED_FOR,
        )
        event = moves.by(person, trail.local("approve", person.who, moves.about(entry.payload)))
        approved = await store.approve(approval, now=now, audit=event)
        worker.wake()
        return approved

    async def decline(self, entry: Entry, person: Person) -> bool:
        """Let one version be filed by nobody; False if it is no longer the one that waits."""
        return await self._moved(entry, "declined", "reject", person)

    async def edit(
        self, entry: Entry, item: Item, person: Person, attached: Attached | None = None
    ) -> Entry:
        """Make the next version of a draft as a person wrote it; it waits for approval.

        `attached` is the file that the person gave for it.

        Raises:
            LeyrMcpError: It was changed or sent meanwhile, or that is of another kind.
        """
        _, trail = await self._journal.opened()
        payload = dataclasses.replace(entry.payload, item=item)
        if payload.kind != entry.draft.kind:
            raise InputError("That draft is of another kind.", field="draft_id")
        if payload.digest() == entry.draft.digest:
            return entry
        like = []
        if attached is not None:
            entry = dataclasses.replace(
                entry, shown=dataclasses.replace(entry.shown, attached=attached)
            )
            same = await self._same_kind(payload.kind, entry.draft.patient_key)
            like = [one for one in same if one.id != entry.id]
        shown = dataclasses.replace(
            await self._drafting.shown_again(entry, payload, like),
            written=entry.shown.written or entry.draft.version,
        )
        event = moves.by(person, trail.local("amend", person.who, moves.about(payload)))
        return await self._revised(entry, payload, shown, "awaiting_approval", event)

    async def found(self, entry: Entry, record_id: str, person: Person) -> str:
        """Close a draft in doubt: a person found it in the record. Returns what reading it said.

        Raises:
            LeyrMcpError: It is not in doubt, or there is no such entry of this patient.
        """
        from leyr_mcp.server.filing.sending import is_of_another, read_back  # noqa: PLC0415 - rare

        moves.check_in_doubt(entry)
        try:
            if await is_of_another(self._ehr, entry.payload, record_id):
                raise moves.of_another_patient()
            verified = await read_back(self._ehr, entry.payload, record_id)
        except UpstreamNotFoundError:
            raise InputError(
                "The record has no such entry.", code="not_found", field="record_id"
            ) from None
        except UpstreamNotSupportedError:
            verified = "unreadable"
        change = Change(remote_id=record_id, matched_by="person", verified=verified, reason="")
        if not await self._moved(entry, "filed", "amend", person, change):
            now = await self.entry(entry.id)
            if (now.draft.state, now.draft.version) == ("needs_human", entry.draft.version):
                raise InputError(
                    "That entry of the record belongs to another draft.", field="record_id"
                )
            raise moves.void(now)
        return verified

    async def send_again(self, entry: Entry, person: Person) -> Entry:
        """Have a draft in doubt wait for approval again, which orders it sent once more.

        Raises:
            LeyrMcpError: It is not in doubt.
        """
        moves.check_in_doubt(entry)
        if not await self._moved(entry, "awaiting_approval", "amend", person):
            raise moves.void(await self.entry(entry.id))
        return await self.entry(entry.id)

    async def drop(self, entry: Entry, person: Person) -> None:
        """Give a draft in doubt up.

        Raises:
            LeyrMcpError: It is not in doubt.
        """
        moves.check_in_doubt(entry)
        if not await self._moved(entry, "withdrawn", "reject", person):
            raise moves.void(await self.entry(entry.id))

    # Within

    async def _as_asked(self, entry: Entry, proposal: Proposal, who: Who) -> Entry:
        return entry if proposal.draft else await self.submit(entry, who)

    async def _as_known(self, entry: Entry, plan: Plan, who: Who) -> Entry:
        """Return an unsent draft with the patient as the record has them by now.

        An approval of what it said before would only bring it back.
        """
        seen, before = plan.seen, entry.payload
        if seen is None or entry.draft.state not in UNSENT:
            return entry
        payload = dataclasses.replace(
            before,
            patient_name=seen.name or before.patient_name,
            patient_birth_date=seen.birth_date or before.patient_birth_date,
        )
        if payload == before:
            return entry
        _, trail = await self._journal.opened()
        shown = await self._drafting.shown_again(entry, payload)
        event = trail.local("amend", who, moves.about(payload))
        try:
            return await self._revised(entry, payload, shown, entry.draft.state, event)
        except LeyrMcpError:  # a like call did the same, or a person decided, at this moment
            return (await self.entry(entry.id)).again()

    async def _revised(
        self,
        before: Entry,
        payload: Payload,
        shown: Shown,
        state: State,
        event: AuditEntry,
        *,
        dedupe: str | None = None,
    ) -> Entry:
        store, _ = await self._journal.opened()
        draft = await store.revise(
            before.id,
            before.draft.version,
            digest=payload.digest(),
            payload=payload.to_bytes(),
            shown=shown.to_bytes(),
            state=state,
            now=self._clock(),
            audit=event,
            dedupe=dedupe,
        )
        if draft is None:
            twin = await store.staged(dedupe, now=self._clock()) if dedupe else None
            if twin is not None and twin.id != before.id:
                raise moves.twin(twin)
            now = await self.entry(before.id)
            raise moves.sent(now) if now.draft.version == before.draft.version else moves.void(now)
        await self._void_made_from(before)
        return opened(draft)

    async def _moved(
        self, entry: Entry, new: State, event: Event, by: Who | Person, change: Change | None = None
    ) -> bool:
        store, trail = await self._journal.opened()
        who = by.who if isinstance(by, Person) else by
        audit = trail.local(event, who, moves.about(entry.payload))
        moved = await store.move(
            entry.id,
            entry.draft.state,
            new,
            version=entry.draft.version,
            now=self._clock(),
            change=change,
            audit=moves.by(by, audit) if isinstance(by, Person) else audit,
        )
        if moved and (listening := telemetry.current()):
            listening.moved(entry.draft.kind, entry.draft.state, new)
        if moved and entry.shown.attached and new in (*FREED, "filed"):
            await self.files.drop(entry.shown.attached.staged)
        return moved

    async def _tidy(self) -> None:
        """Expire what nobody decided on, delete text whose time is over, and files after a day."""
        store, _ = await self._journal.opened()
        now = self._clock()
        await store.expire(now=now, drafts_before=now - KEPT_FOR)
        documents = await self.entries(states=UNFINISHED, kinds=("document",), limit=_MANY)
        attached = {one.shown.attached.staged: one for one in documents if one.shown.attached}
        await self.files.sweep(attached, now_s=now.timestamp())
        for name, entry in attached.items():
            if entry.draft.state in UNSENT and not await self.files.has(name):
                await self._moved(entry, "expired", "reject", _SERVER, Change(reason="file_gone"))

    async def _void_made_from(self, source: Entry) -> None:
        """Take back the unsent files that were made from what a note held before."""
        if source.draft.kind != "note":
            return
        for entry in await self.entries(
            states=(*UNSENT, "approved"),
            patient_key=source.draft.patient_key,
            kinds=("document",),
            limit=_MANY,
        ):
            attached = entry.shown.attached
            if attached and attached.made_from == source.id:
                reason = Change(reason="source_changed")
                await self._moved(entry, "withdrawn", "reject", _SERVER, reason)


def _first_state(proposal: Proposal) -> State:
    if isinstance(proposal.item, DocumentItem) and proposal.attached is None:
        return "awaiting_file"
    return "draft" if proposal.draft else "awaiting_approval"
