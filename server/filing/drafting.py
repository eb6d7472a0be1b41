"""How a proposal becomes a draft: the patient read and compared, the author, the findings.

Nothing is stored here. What is proposed twice gives the same key, however the patient is named.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Appointment
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.ehr.units import Units
from leyr_mcp.server.errors import (
    InputError,
    LeyrMcpError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
)
from leyr_mcp.server.filing import findings, fits, subject
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.compare import AWAITING, GONE, may_be, same_time
from leyr_mcp.server.filing.entries import Entry, Proposal, Shown
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    NoteItem,
    PatientItem,
    Payload,
)
from leyr_mcp.server.filing.subject import Seen

Policy = Literal["required", "trusted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a draft will hold, and under which key a repeat of the same proposal finds it."""

    proposal: Proposal
    payload: Payload
    seen: Seen | None
    whom: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two proposals the same, whatever else the record says by then."""
        return self.whom, self.payload.kind, _content(self.payload), self.proposal.key or ""


class Drafting:
    """Reads what a draft needs to know of the record."""

    def __init__(
        self,
        ehr: Ehr,
        units: Units,
        *,
        clock: Callable[[], datetime],
        zone: ZoneInfo,
        author: str,
        sandbox: bool,
        environment: Literal["test", "production"] | None,
        policy: Policy,
    ) -> None:
        self._ehr = ehr
        self._units = units
        self._clock = clock
        self._zone = zone
        self._author = author
        self._sandbox = sandbox
        self._environment = environment
        self.policy = policy

    async def plan(self, proposal: Proposal, who: Who | None = None) -> Plan:
        """Return what a proposal of somebody comes to.

        Raises:
            LeyrMcpError: It is about another patient than its caller believes, has no author, or
                is nothing that this record system takes.
            UpstreamError: The patient cannot be read.
        """
        fits.check(proposal.item, self._ehr.capabilities)
        seen = await self._seen(proposal)
        payload = await self._payload(proposal, seen, who)
        return Plan(proposal=proposal, payload=payload, seen=seen, whom=_whom(payload, seen))

    async def shown(self, plan: Plan, who: Who, like: Sequence[Entry] = ()) -> Shown:
        """Return what a person is to be shown besides; `like` are the patient's other drafts.

        Raises:
            LeyrMcpError: `slot_taken`.
            UpstreamError: The record cannot be read.
        """
        seen = plan.seen
        if seen is not None:
            expected = seen.expected
        else:  # nobody was read with whom it could be compared
            expected = "unverified" if plan.proposal.expect else "absent"
        checks, names = await asyncio.gather(
            findings.at_staging(
                self._ehr,
                plan.payload,
                seen,
                expected,
                today=self._today(),
                zone=self._zone,
                removed=plan.proposal.removed,
                attached=plan.proposal.attached,
            ),
            findings.names(self._units, plan.payload),
        )
        return Shown(
            expected=expected,
            checks=(*findings.repeats(plan.payload, like), *checks),
            number=seen.number.masked if seen and seen.number else None,
            names=names,
            key=plan.proposal.key,
            source=who.client,
            attached=plan.proposal.attached,
        )

    async def shown_again(
        self, entry: Entry, payload: Payload, like: Sequence[Entry] = ()
    ) -> Shown:
        """Return the same for a version that a person wrote; what `expect` came to stays."""
        seen = None
        if payload.patient is not None:
            seen = await subject.look(
                self._ehr,
                payload.care_unit_id,
                payload.ref,
                None,
                today=self._today(),
                environment=self._environment,
            )
        checks = await findings.at_staging(
            self._ehr,
            payload,
            seen,
            entry.shown.expected,
            today=self._today(),
            zone=self._zone,
            removed=0,
            attached=entry.shown.attached,
        )
        checks = (*findings.repeats(payload, like), *checks)
        return dataclasses.replace(entry.shown, checks=checks)

    async def whom(self, care_unit_id: str, ref: PatientRef) -> str:
        """Return under which name a patient's drafts are kept.

        Raises:
            UpstreamError: The patient cannot be read, or there is none.
        """
        seen = await subject.look(
            self._ehr, care_unit_id, ref, None, today=self._today(), environment=self._environment
        )
        return seen.canonical

    async def is_over(self, entry: Entry) -> bool:
        """Return whether what was filed is gone by now, so that the same may be filed anew."""
        item, known = entry.payload.item, entry.draft.remote_id
        if entry.draft.state != "filed" or not known:
            return False
        if not isinstance(item, AppointmentItem | ChangeItem):
            return False
        try:
            now = await self._ehr.appointment(entry.payload.care_unit_id, known)
        except UpstreamNotSupportedError:
            return False
        except UpstreamNotFoundError:
            return True
        if isinstance(item, ChangeItem):
            return _undone(item, now)
        return now.status in GONE

    async def _seen(self, proposal: Proposal) -> Seen | None:
        trusted = self.policy == "trusted" and not isinstance(proposal.item, PatientItem)
        if trusted and not proposal.expect:
            raise InputError(
                "expect is needed here: the family name or birth date of the patient.",
                field="expect",
            )
        if proposal.patient is None:
            if trusted:
                raise _not_compared()
            return None
        seen = await subject.look(
            self._ehr,
            proposal.care_unit_id,
            proposal.patient,
            proposal.expect,
            today=self._today(),
            environment=self._environment,
        )
        if trusted and seen.expected != "equal":
            raise _not_compared()
        return seen

    async def _payload(self, proposal: Proposal, seen: Seen | None, who: Who | None) -> Payload:
        authored = isinstance(proposal.item, NoteItem | DocumentItem)
        authored = authored and self._ehr.capabilities.names_author
        return Payload(
            environment=self._environment,
            care_unit_id=proposal.care_unit_id,
            item=proposal.item,
            patient=str(proposal.patient) if proposal.patient else None,
            patient_name=seen.name if seen else None,
            patient_birth_date=seen.birth_date if seen else None,
            author=await self._author_at(proposal.care_unit_id, who) if authored else None,
        )

    async def _author_at(self, care_unit_id: str, who: Who | None) -> str:
        if who is not None and who.author:
            return who.author
        if self._author:
            return self._author
        if self._sandbox:
            return (await self._units.unit(care_unit_id)).resources[0].id
        raise LeyrMcpError(
            "Nobody is set in whose name notes and documents are written.",
            code="not_supported",
            next_step="Tell the operator to set LEYR_RESOURCE_ID.",
        )

    def _today(self) -> date:
        return self._clock().astimezone(self._zone).date()


def _not_compared() -> LeyrMcpError:
    return LeyrMcpError(
        "expect could not be compared with the record.", code="patient_mismatch", field="expect"
    )


def _undone(item: ChangeItem, now: Appointment) -> bool:
    """Return whether a change that was filed is no longer in effect; what is not told still is."""
    if item.action == "confirm":
        return False  # a code is spent
    if item.action == "cancel":
        return now.status not in (*GONE, AWAITING)
    return (
        (item.start is not None and not same_time(now.start, item.start))
        or (item.end is not None and not same_time(now.end, item.end))
        or not may_be(now.resource_id, item.resource_id)
        or (now.comment is not None and item.comment not in (None, now.comment))
    )


def _whom(payload: Payload, seen: Seen | None) -> str:
    """Return under which name the patient's drafts are kept, however the caller named them."""
    if seen is not None:
        return seen.canonical
    if isinstance(payload.item, PatientItem):
        person = payload.item
        return f"new:{person.external_id or person.first_name + ' ' + person.last_name}"
    return f"unknown:{payload.care_unit_id}"


def _content(payload: Payload) -> str:
    """Return the digest of what is to be written, whatever the record says of the patient."""
    bare = dataclasses.replace(
        payload, patient=None, patient_name=None, patient_birth_date=None, author=None
    )
    return bare.digest()
