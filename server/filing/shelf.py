"""Drafts as they are kept: read, listed and counted; nothing here changes one."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.errors import InputError, StorageError
from leyr_mcp.server.filing import moves
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.drafting import Drafting
from leyr_mcp.server.filing.entries import UNFINISHED, Entry, opened, principal
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.filing.payloads import Payload
from leyr_mcp.server.storage.store import Approval, Kind, State

NO_SUCH_DRAFT = "There is no such draft."
_LIKE = 100  # so many of the latest are compared

_log = logging.getLogger("leyr_mcp.filing")


class Shelf:
    """Opens the store at the first draft."""

    def __init__(self, journal: Journal, drafting: Drafting) -> None:
        self._journal = journal
        self._drafting = drafting

    async def entry(self, draft_id: str, who: Who | None = None) -> Entry:
        """Return a draft, which must be the caller's own if one is named.

        Raises:
            LeyrMcpError: There is no such draft.
        """
        store, _ = await self._journal.opened()
        draft = await store.draft(draft_id)
        if draft is None or (who is not None and draft.principal != principal(who)):
            raise InputError(NO_SUCH_DRAFT, code="not_found", field="draft_id")
        if not draft.payload:
            raise InputError(
                f"The text of this draft was deleted when its time was over; it is {draft.state}.",
                code="not_found",
                field="draft_id",
            )
        return opened(draft)

    async def entries(
        self,
        who: Who | None = None,
        *,
        states: Sequence[State] = UNFINISHED,
        patient: str | None = None,
        patient_key: str | None = None,
        care_unit_id: str | None = None,
        kinds: Sequence[Kind] = (),
        limit: int = 100,
    ) -> list[Entry]:
        """Return drafts, the latest first, but those whose text was deleted.

        `patient` is the name that `whom` gives. What is damaged is left out and logged.
        """
        store, _ = await self._journal.opened()
        if patient is not None:
            patient_key = store.patient_key(patient)
        found = list[Entry]()
        for draft in await store.drafts(
            states=states,
            patient_key=patient_key,
            principal=None if who is None else principal(who),
            care_unit_id=care_unit_id,
            kinds=kinds,
            limit=limit,
        ):
            if not draft.payload:
                continue
            try:
                found.append(opened(draft))
            except StorageError:
                _log.warning("filing: draft %s cannot be read", draft.id)
        return found

    async def earlier(self, entry: Entry, version: int | None = None) -> Payload | None:
        """Return what a version held, that before this one if none is named; None for no such."""
        store, _ = await self._journal.opened()
        raw = await store.version(entry.id, version or entry.draft.version - 1)
        return Payload.from_bytes(raw) if raw else None

    async def is_of(self, entry: Entry, care_unit_id: str, ref: PatientRef) -> bool:
        """Return whether a draft is of this patient there, however one names them."""
        store, _ = await self._journal.opened()
        key = store.patient_key(await self.whom(care_unit_id, ref))
        return (entry.draft.care_unit_id, entry.draft.patient_key) == (care_unit_id, key)

    async def whom(self, care_unit_id: str, ref: PatientRef) -> str:
        """Return the name under which a patient's drafts are kept, however one names them."""
        return await self._drafting.whom(care_unit_id, ref)

    async def approval(self, entry: Entry) -> Approval | None:
        """Return who approved the present version, if somebody did."""
        store, _ = await self._journal.opened()
        approval_id = entry.draft.approval_id
        return None if approval_id is None else await store.approval(approval_id)

    async def counts(self) -> dict[State, int]:
        """Return how many drafts are in each state that has any."""
        store, _ = await self._journal.opened()
        return await store.counts()

    async def _same_kind(self, kind: Kind, patient_key: str) -> list[Entry]:
        if kind not in ("note", "document"):  # others are compared with what the record has
            return []
        found = await self.entries(states=(), patient_key=patient_key, kinds=(kind,), limit=_LIKE)
        return [entry for entry in found if moves.may_be_filed(entry.draft)]
