"""What is looked at just before a write: that nothing that was approved has changed since.

Only reads happen here. A reading that fails decides nothing and is tried again later.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

from leyr_mcp.server.ehr import people
from leyr_mcp.server.ehr.models import Timeslot
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.errors import (
    InputError,
    StorageError,
    StoreAwayError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
)
from leyr_mcp.server.filing.classify import SLOT_TAKEN
from leyr_mcp.server.filing.compare import may_be, patient_change, same_time
from leyr_mcp.server.filing.entries import Check, Shown
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    Payload,
    Was,
    resource_ref,
)
from leyr_mcp.server.filing.reasons import REASONS


class Files(Protocol):
    """Staged files, by their names; one that is gone fails as it is read."""

    def read(self, name: str) -> AsyncIterable[bytes]:
        """Give a file in pieces."""
        ...

    async def drop(self, name: str) -> None:
        """Delete a file."""
        ...


@dataclass(frozen=True, slots=True)
class Go:
    """Nothing speaks against sending it."""


@dataclass(frozen=True, slots=True)
class Review:
    """The approval no longer fits what is there; a person looks again, at what is there now."""

    reason: str
    now: Payload

    def shown(self, before: bytes) -> bytes:
        """Return what a person is shown besides, with why this is asked again."""
        shown = Shown.from_bytes(before)
        check = Check(self.reason, "block", REASONS[self.reason].text)
        rest = tuple(found for found in shown.checks if found.code != check.code)
        return replace(shown, checks=(check, *rest)).to_bytes()


@dataclass(frozen=True, slots=True)
class Stop:
    """It cannot be sent as it is; a person decides."""

    reason: str


Verdict = Go | Review | Stop


async def check(ehr: Ehr, payload: Payload, file: AsyncIterable[bytes]) -> Verdict:
    """Return whether the record is still as the approver saw it.

    Raises:
        UpstreamError: It cannot be read now.
        StorageError: The draft is damaged.
    """
    if payload.patient is not None:
        payload.ref  # noqa: B018 - refuses a damaged one before anything is read
        verdict = await _patient(ehr, payload)
        if not isinstance(verdict, Go):
            return verdict
    match payload.item:
        case AppointmentItem() as item:
            return await _slot(ehr, payload, item)
        case ChangeItem() as item:
            return await _appointment(ehr, payload, item)
        case DocumentItem() as item:
            return await _file(item, file)
        case _:
            return Go()


async def _patient(ehr: Ehr, payload: Payload) -> Verdict:
    if ehr.capabilities.get_patient is False:
        return Go()
    try:
        read = await ehr.patient(payload.care_unit_id, payload.ref)
    except UpstreamNotSupportedError:
        return Go()
    except UpstreamNotFoundError:
        return Stop("patient_not_found")
    if not patient_change(payload, read):
        return Go()
    now = replace(
        payload,
        patient_name=people.full_name(read) or payload.patient_name,
        patient_birth_date=read.birth_date or payload.patient_birth_date,
    )
    return Review("patient_changed", now)


async def _slot(ehr: Ehr, payload: Payload, item: AppointmentItem) -> Verdict:
    resource = resource_ref(item.resource_id)
    try:
        slots = await ehr.timeslots(
            payload.care_unit_id,
            item.window,
            resource=resource,
            healthcare_service_id=item.healthcare_service_id,
        )
    except UpstreamNotSupportedError:
        return Go()
    return Go() if free(slots, item) else Stop(SLOT_TAKEN)


def free(slots: list[Timeslot], item: AppointmentItem) -> bool:
    """Return whether free times cover the whole of what is booked, one after the other."""
    free_until = item.start
    for slot in sorted(slots, key=lambda slot: slot.start):
        fits = may_be(slot.resource_id, item.resource_id) and may_be(
            slot.healthcare_service_id, item.healthcare_service_id
        )
        if fits and slot.start <= free_until:
            free_until = max(free_until, slot.end)
    return free_until >= item.end


async def _appointment(ehr: Ehr, payload: Payload, item: ChangeItem) -> Verdict:
    try:
        found = await ehr.appointment(payload.care_unit_id, item.appointment_id)
    except UpstreamNotSupportedError:
        return Go()
    except UpstreamNotFoundError:
        return Stop("appointment_not_found")
    same = found.status == item.was.status and same_time(found.start, item.was.start)
    if same:
        return Go()
    was = Was(start=found.start, status=found.status)
    return Review("appointment_changed", replace(payload, item=replace(item, was=was)))


async def _file(item: DocumentItem, file: AsyncIterable[bytes]) -> Verdict:
    try:
        async for _ in Exact(item, file):
            pass
    except StoreAwayError:
        raise
    except StorageError:
        return Stop("file_gone")
    except InputError:
        return Stop("file_changed")
    return Go()


class Exact:
    """The staged bytes; the last piece is withheld unless they are those that were approved.

    `each` is called after every other piece was taken.
    """

    def __init__(
        self,
        item: DocumentItem,
        file: AsyncIterable[bytes],
        each: Callable[[], None] = lambda: None,
    ) -> None:
        self._item = item
        self._file = file
        self._each = each

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen, held = sha256(), b""
        async for chunk in self._file:
            if held:
                yield held
                self._each()
            seen.update(chunk)
            held = chunk
        if seen.hexdigest() != self._item.sha256:
            raise InputError("The file changed after it was approved.")
        yield held
