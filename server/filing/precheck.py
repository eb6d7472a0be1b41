"""What is looked at just before a write: that nothing that was approved has changed since.

Only reads happen here. A reading that fails decides nothing and is tried again later.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import sha256

from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.errors import (
    InputError,
    StorageError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
)
from leyr_mcp.server.filing.classify import SLOT_TAKEN
from leyr_mcp.server.filing.compare import may_be, patient_change, same_time
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    Payload,
    resource_ref,
)

# Gives the bytes of a staged file by its name.
Staged = Callable[[str], AsyncIterable[bytes]]


@dataclass(frozen=True, slots=True)
class Go:
    """Nothing speaks against sending it."""


@dataclass(frozen=True, slots=True)
class Review:
    """The approval no longer fits what is there; a person looks again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """It cannot be sent as it is; a person decides."""

    reason: str


Verdict = Go | Review | Stop


async def check(ehr: Ehr, payload: Payload, staged: Staged) -> Verdict:
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
            return await _file(item, staged)
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
    return Review("patient_changed") if patient_change(payload, read) else Go()


async def _slot(ehr: Ehr, payload: Payload, item: AppointmentItem) -> Verdict:
    """See that free times cover the whole of what is booked, one after the other."""
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
    free_until = item.start
    for slot in sorted(slots, key=lambda slot: slot.start):
        fits = may_be(slot.resource_id, item.resource_id) and may_be(
            slot.healthcare_service_id, item.healthcare_service_id
        )
        if fits and slot.start <= free_until:
            free_until = max(free_until, slot.end)
    return Go() if free_until >= item.end else Stop(SLOT_TAKEN)


async def _appointment(ehr: Ehr, payload: Payload, item: ChangeItem) -> Verdict:
    try:
        found = await ehr.appointment(payload.care_unit_id, item.appointment_id)
    except UpstreamNotSupportedError:
        return Go()
    except UpstreamNotFoundError:
        return Stop("appointment_not_found")
    same = found.status == item.was.status and same_time(found.start, item.was.start)
    return Go() if same else Review("appointment_changed")


async def _file(item: DocumentItem, staged: Staged) -> Verdict:
    try:
        async for _ in Exact(item, staged):
            pass
    except (InputError, StorageError, OSError):
        return Stop("file_changed")
    return Go()


class Exact:
    """The staged bytes; the last piece is withheld unless they are those that were approved."""

    def __init__(self, item: DocumentItem, staged: Staged) -> None:
        self._item = item
        self._staged = staged

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen, held = sha256(), b""
        async for chunk in self._staged(self._item.staged):
            if held:
                yield held
            seen.update(chunk)
            held = chunk
        if seen.hexdigest() != self._item.sha256:
            raise InputError("The file changed after it was approved.")
        yield held
