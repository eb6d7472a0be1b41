"""The audit trail: who did what, to whose data, when; and how it is read and listed again.

What a tool call amounts to stands in one table. A read or a refusal is one event, appended before
the answer. A write is two, an intent and an outcome, and both are entries that the ledger stores in
the very transaction that they tell of. No event ever holds text of a note.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

from leyr_mcp.server.errors import CODES, LeyrMcpError
from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.seal import Sealer
from leyr_mcp.server.storage.store import AuditEntry, AuditRow, Kind, Store
from leyr_mcp.server.text import short
from leyr_mcp.server.users import User

Event = Literal[
    "search",
    "read",
    "draft",
    "approve",
    "reject",
    "file",
    "amend",
    "book",
    "attach",
    "emergency",
    "auth",
    "config",
    "verify",
]
Action = Literal["C", "R", "U", "E"]
# A write is intended and has an outcome; the record is looked through for it, or it is read back.
Phase = Literal["intent", "outcome", "look", "read_back"]
# The purposes of use that HL7 has named: treatment, emergency, administration of the system.
Purpose = Literal["TREAT", "ETREAT", "HSYSADMIN"]

OK, REFUSED, FAILED = 0, 4, 8
_PAGE = 1_000
# Codes that say that something broke; every other one says that the call was turned down.
_BROKEN = frozenset(
    {
        "upstream_busy",
        "upstream_unreachable",
        "upstream_bad_response",
        "upstream_auth",
        "busy",
        "audit_unavailable",
        "storage_full",
        "internal",
    }
)


class Act(NamedTuple):
    """What is done, how it is classed, and which categories of data it touches."""

    event: Event
    action: Action
    categories: tuple[str, ...] = ()


_SCHEDULING = ("scheduling",)
_NOTES = ("notes",)
_DOCUMENTS = ("documents",)
_DRAFTS = ("drafts",)

# Every tool; a write tool only drafts, and what is then filed stands in the table below.
TOOL_ACTS: Mapping[str, Act] = {
    "list_care_units": Act("read", "R"),
    "find_patient": Act("search", "E", ("demographics",)),
    "create_patient": Act("draft", "C", ("demographics", "contact")),
    "list_timeslots": Act("read", "R", _SCHEDULING),
    "list_appointments": Act("read", "R", _SCHEDULING),
    "book_appointment": Act("draft", "C", _SCHEDULING),
    "change_appointment": Act("draft", "C", _SCHEDULING),
    "list_notes": Act("read", "R", _NOTES),
    "get_note": Act("read", "R", _NOTES),
    "write_note": Act("draft", "C", _NOTES),
    "list_documents": Act("read", "R", _DOCUMENTS),
    "get_document": Act("read", "R", _DOCUMENTS),
    "attach_document": Act("draft", "C", _DOCUMENTS),
    "list_drafts": Act("read", "R", _DRAFTS),
    "get_draft": Act("read", "R", _DRAFTS),
    "file_drafts": Act("file", "E", _DRAFTS),
    "discard_draft": Act("draft", "U", _DRAFTS),
    "review_panel": Act("approve", "E", _DRAFTS),
}
_UNKNOWN = Act("read", "R")  # a call of a tool that there is not can only be refused
FILING_ACTS: Mapping[Kind, Act] = {
    "note": Act("file", "C", _NOTES),
    "document": Act("attach", "C", _DOCUMENTS),
    "appointment": Act("book", "C", _SCHEDULING),
    "change": Act("book", "U", _SCHEDULING),
    "patient": Act("file", "C", ("demographics", "contact")),
}
LOCAL_ACTS: Mapping[Event, Act] = {
    "draft": Act("draft", "C", _DRAFTS),
    "approve": Act("approve", "U", _DRAFTS),
    "reject": Act("reject", "U", _DRAFTS),
    "amend": Act("amend", "U", _DRAFTS),
    "emergency": Act("emergency", "E"),
    "auth": Act("auth", "E"),
    "config": Act("config", "U"),
    "read": Act("read", "R", ("audit",)),
    "verify": Act("verify", "E", ("audit",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who acts, as known at that time, and through what.

    `author` is in whose name they write, where that is known of them; `tenant` whose they are,
    where one issuer serves several.
    """

    subject: str
    issuer: str = "local"
    name: str | None = None
    role: str | None = None
    client: str | None = None
    client_version: str | None = None
    network: str | None = None
    author: str | None = None
    tenant: str | None = None

    def signed_in(self, user: User) -> Who:
        """Return the same, as the user who signed in."""
        return replace(
            self,
            subject=user.subject,
            issuer=user.issuer,
            name=user.name,
            client=user.client,
            author=user.author_id,
            tenant=user.tenant,
        )

    @lru_cache(maxsize=64)  # noqa: B019 - a value, and few of them, in call after call
    def fields(self) -> dict[str, Any]:
        """Return it as events hold it; a client's words about itself are cut and cleaned."""
        user = {
            "issuer": self.issuer,
            "subject": self.subject,
            "name": _short(self.name),
            "role": _short(self.role),
            "tenant": _short(self.tenant),
        }
        client = {"name": _short(self.client), "version": _short(self.client_version)}
        return _told({"user": _told(user), "client": _told(client), "network": self.network})


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is acted on. `patient` is a typed id and will be sealed; all else stays in the clear.

    `patient_key` is the key under which a draft keeps them, however its caller named them.
    `object_id` and `object_hash` name a thing in the record or a draft, and never quote it.
    """

    patient: str | None = field(default=None, repr=False)
    patient_key: str | None = None
    care_unit: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    object_version: int | None = None
    object_hash: str | None = None
    draft_id: str | None = None
    approval_id: str | None = None
    request_id: str | None = None
    purpose: Purpose = "TREAT"

    def fields(self) -> dict[str, Any]:
        """Return it as events hold it, the patient apart."""
        thing = {
            "type": self.object_type,
            "id": _short(self.object_id),
            "version": self.object_version,
            "hash": self.object_hash,
        }
        return _told(
            {
                "care_unit": self.care_unit,
                "object": _told(thing),
                "draft_id": self.draft_id,
                "approval_id": self.approval_id,
                "request_id": _short(self.request_id),
                "purpose": self.purpose,
            }
        )


NOTHING = About()


@cache
def local_user() -> str:
    """Return who is signed in to this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in some containers
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _told(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, {})}


def _short(text: str | None) -> str | None:
    return short(text) or None if text else None


class AuditTrail:
    """Writes events of one instance of this server, which acts on one record system.

    From the boundary: `await read(...)` or `await refused(...)` before the answer goes out. From
    filing: hand `intent(...)`, `outcome(...)` and `local(...)` to the store together with the
    change that they tell of.
    """

    def __init__(
        self, store: Store, *, clock: Callable[[], datetime], device: str, origin: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._fixed = {"device": device, "origin": origin}

    async def read(self, tool: str, who: Who, about: About = NOTHING) -> int:
        """Store that a tool's answer is about to go out.

        Raises:
            StorageError: It was not stored, so nothing may go out.
        """
        return await self.append(self._entry(TOOL_ACTS[tool], who, about), durable=False)

    async def refused(
        self, tool: str, who: Who, about: About = NOTHING, *, error: str = "internal"
    ) -> int:
        """Store that a call ended without an answer, under its error code.

        Raises:
            StorageError: It was not stored.
        """
        entry = self._entry(TOOL_ACTS.get(tool, _UNKNOWN), who, about, error=error)
        return await self.append(entry, durable=False)

    def intent(self, kind: Kind, who: Who, about: About) -> AuditEntry:
        """Return the event of a write that is about to be sent."""
        return self._entry(FILING_ACTS[kind], who, about, phase="intent")

    def outcome(
        self, kind: Kind, who: Who, about: About, *, error: str | None = None, result: int = OK
    ) -> AuditEntry:
        """Return the event of a write's end; `error` says why it was not done, or `result` that."""
        entry = self._entry(FILING_ACTS[kind], who, about, phase="outcome", error=error)
        return entry if error else replace(entry, outcome=result)

    def checked(
        self, kind: Kind, who: Who, about: About, *, phase: Literal["look", "read_back"]
    ) -> AuditEntry:
        """Return the event of reading the record for what a write left there."""
        act = Act("verify", "R", FILING_ACTS[kind].categories)
        return self._entry(act, who, about, phase=phase)

    def local(
        self, event: Event, who: Who, about: About = NOTHING, *, error: str | None = None
    ) -> AuditEntry:
        """Return the event of something done here: a draft, an approval, a sign-in."""
        return self._entry(LOCAL_ACTS[event], who, about, error=error)

    async def append(self, entry: AuditEntry, *, durable: bool = True) -> int:
        """Store an event that belongs to no change of the ledger.

        Raises:
            StorageError: It was not stored.
        """
        return await self._store.append(entry, now=self._clock(), durable=durable)

    def _entry(
        self,
        act: Act,
        who: Who,
        about: About,
        *,
        phase: Phase | None = None,
        error: str | None = None,
    ) -> AuditEntry:
        # Only codes of the closed list: what else was given could be somebody's text.
        code = None if error is None else error if error in CODES else "internal"
        return AuditEntry(
            event=act.event,
            action=act.action,
            outcome=OK if code is None else FAILED if code in _BROKEN else REFUSED,
            fields={
                **self._fixed,
                **who.fields(),
                **about.fields(),
                **_told({"phase": phase, "error": code}),
                "data_categories": list(act.categories),
            },
            patient=about.patient,
            patient_key=about.patient_key,
        )


async def rows(store: Store) -> AsyncIterator[tuple[str, AuditRow]]:
    """Yield every chain, one node's after the other's, a page at a time."""
    for node in await store.audit_nodes():
        async for page in pages(store, node):
            for row in page:
                yield node, row


async def pages(store: Store, node: str | None = None) -> AsyncIterator[list[AuditRow]]:
    """Yield a whole chain in order, as the store hands it out."""
    after = 0
    while page := await store.audit_rows(after=after, limit=_PAGE, node=node):
        yield page
        after = page[-1].seq


class Reader:
    """Reads events back; opens the patient only where it is asked to."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._sealer = Sealer(keys)

    async def events(self, *, with_patients: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Yield every event with its link; one that cannot be read says so."""
        async for node, row in rows(self._store):
            yield self._event(node, row, with_patients=with_patients)

    async def of_patient(self, patients: Collection[str]) -> AsyncIterator[dict[str, Any]]:
        """Yield every event of a patient, named by one or more typed ids, the latest last."""
        keys = {self._sealer.patient_key(patient) for patient in patients}
        marks = [key.encode() for key in keys]
        found = list[dict[str, Any]]()
        async for node, row in rows(self._store):
            # Most are another patient's: searching is quicker than reading each.
            if isinstance(row.body, bytes) and any(mark in row.body for mark in marks):
                event = self._event(node, row, with_patients=False)
                if event.get("patient_key") in keys:
                    found.append(event)
        # Each node's are in order already, and stay so though its clock was set back.
        if len({event.get("node") for event in found}) > 1:
            found.sort(key=lambda event: str(event.get("time")))
        for event in found:
            yield event

    def _event(self, node: str, row: AuditRow, *, with_patients: bool) -> dict[str, Any]:
        event = parsed(row)
        link = {"seq": row.seq, "prev": _hex(row.prev), "mac": _hex(row.mac)}
        if node != chain.ALONE:
            link = {"node": node, **link}
        if event is None or not isinstance(row.body, bytes):
            return {**link, "damaged": True}
        patient = event.pop("patient", None)
        if with_patients and patient is not None:
            event |= self._patient({**event, "patient": patient})
        return {**event, **link}

    def _patient(self, event: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"patient": chain.open_patient(self._sealer, event)}
        except (LeyrMcpError, LookupError, TypeError, ValueError):
            return {"damaged": True}


def _hex(code: object) -> str:
    """Return a code as text; a damaged column may hold anything."""
    return code.hex() if isinstance(code, bytes) else ""


def parsed(row: AuditRow) -> dict[str, Any] | None:
    """Return what an event says, or None where it is damaged."""
    try:
        event = json.loads(row.body)
    except (ValueError, TypeError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
