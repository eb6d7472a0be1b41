"""A draft as everyone outside the ledger sees it: its row, what it holds, and what was found of it.

`Shown` is computed once, when a version is made, and stored with it; every question, page and
answer about a draft is made from these three alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing.audit import About, Who
from leyr_mcp.server.filing.payloads import Item, Payload, digest_of
from leyr_mcp.server.storage.store import Draft, State

Level = Literal["info", "warn", "block"]
# Whether `expect` was compared with the record: equal, could not be compared, or not given.
Expected = Literal["equal", "unverified", "absent"]
# In these a person has yet to see it, and its caller may still change or take it back.
UNSENT: tuple[State, ...] = ("draft", "awaiting_file", "awaiting_approval")
# On these a person can decide.
DECIDABLE: tuple[State, ...] = ("awaiting_approval", "draft")
# These a person can turn down.
DECLINABLE: tuple[State, ...] = (*DECIDABLE, "awaiting_file")
# What is not yet in the record and not yet given up, as `drafts://unsent` and the queue show it.
UNFINISHED: tuple[State, ...] = (
    *UNSENT, "approved", "sending", "accepted", "unknown", "needs_human",
)  # fmt: skip
_CONFIG = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `block` keeps a draft from being filed without a person's look."""

    code: str
    level: Level
    message: str
    field: str | None = None

    def as_dict(self) -> dict[str, str]:
        """Return it as answers show it."""
        found = {"code": self.code, "level": self.level, "message": self.message}
        return found if self.field is None else {**found, "field": self.field}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The file of a document: where its bytes lie, and what a person is told of it.

    Attributes:
        staged: The name of the staged file.
        name: What the file was called, cleaned; None if it was made here.
        pages: How many pages it has, where that is known.
        text: The beginning of its text, as far as it could be read.
        ours: Its text was written by the caller, and is not a file's from elsewhere.
        altered: What told where an image was taken, or stood behind it, was removed.
        made_from: The draft from which it was made, if it was.
        lacking: How many characters could not be printed and stand as an empty box.
        until: When it is deleted, decided on or not.
    """

    staged: str
    name: str | None = None
    pages: int | None = None
    text: str = field(default="", repr=False)
    ours: bool = False
    altered: bool = False
    made_from: str | None = None
    lacking: int = 0
    until: AwareDatetime | None = None

    __pydantic_config__ = _CONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a person is shown besides the payload.

    Attributes:
        expected: What came of comparing `expect`.
        checks: What was found, the gravest first.
        number: The patient's national number, masked.
        names: What people call the things that the payload names by id.
        key: The idempotency key, which forces a second copy of the same.
        source: The client through which it was drafted.
        written: The last version that its caller wrote, where a person wrote this one.
        attached: The file, where there is one.
    """

    expected: Expected = "absent"
    checks: tuple[Check, ...] = ()
    number: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    source: str | None = None
    written: int | None = None
    attached: Attached | None = None

    __pydantic_config__ = _CONFIG

    def to_bytes(self) -> bytes:
        """Return it as it is stored."""
        return _adapter().dump_json(self, exclude_none=True)

    @staticmethod
    def from_bytes(raw: bytes) -> Shown:
        """Return what was stored.

        Raises:
            StorageError: It is damaged.
        """
        try:
            return _adapter().validate_json(raw) if raw else Shown()
        except ValidationError:
            raise StorageError("A stored draft cannot be read.") from None

    @property
    def blocked(self) -> bool:
        """Whether something was found that only a person may pass over."""
        return any(check.level == "block" for check in self.checks)


@cache
def _adapter() -> TypeAdapter[Shown]:
    """Built when first needed: a server that only reads never pays for it."""
    return TypeAdapter(Shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A draft, opened."""

    draft: Draft
    payload: Payload
    shown: Shown
    already_filed: bool = False

    @property
    def id(self) -> str:
        """The draft's id."""
        return self.draft.id

    @property
    def about(self) -> About:
        """Whose data it holds, for the audit."""
        return About(
            patient=self.payload.patient,
            patient_key=self.draft.patient_key,
            care_unit=self.payload.care_unit_id,
            draft_id=self.id,
        )

    def again(self) -> Entry:
        """Return it as a like call made it before."""
        return replace(self, already_filed=self.draft.state == "filed")

    @property
    def bound(self) -> str:
        """What a person's answer about it is bound to; it changes with each wait."""
        draft = self.draft
        since = draft.updated_at.isoformat()
        return f"{draft.version} {draft.digest} {draft.state} {draft.attempt} {since}"

    @property
    def waits(self) -> bool:
        """Whether it waits for a person."""
        return self.draft.state == "awaiting_approval"


def staged_name(draft: Draft) -> str:
    """Return the name of a document's staged file; empty where it has none."""
    if draft.kind != "document":
        return ""
    try:
        attached = Shown.from_bytes(draft.shown).attached
    except StorageError:
        return ""
    return attached.staged if attached else ""


def opened(draft: Draft, *, already_filed: bool = False) -> Entry:
    """Return a draft, opened.

    Raises:
        StorageError: It is damaged, or its text was deleted when its time was over.
    """
    if digest_of(draft.payload) != draft.digest:  # what is shown must be what is approved
        raise StorageError("A stored draft cannot be read.")
    return Entry(
        draft=draft,
        payload=Payload.from_bytes(draft.payload),
        shown=Shown.from_bytes(draft.shown),
        already_filed=already_filed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a caller wants written, checked as far as that goes without the record.

    Attributes:
        patient: Whom it concerns; None for a patient who is yet to be created.
        expect: The family name or birth date of the patient that the caller believes in.
        draft: Keep it as a draft that nobody is asked about yet.
        key: The caller's own key, which forces a second copy of the same.
        removed: How many characters cleaning took out.
        attached: The file of a document; None where a person is yet to choose it.
    """

    care_unit_id: str
    item: Item
    patient: PatientRef | None = None
    expect: str | None = None
    draft: bool = False
    key: str | None = None
    removed: int = 0
    attached: Attached | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the file comes from: one of these, or none, and then a person chooses it."""

    path: str | None = None
    text: str | None = None
    draft: Entry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who decided, and through what: a host's own question, the review page, the terminal."""

    name: str
    channel: str
    who: Who


def principal(who: Who) -> str:
    """Return whose drafts these are: the same person in another tenant is somebody else."""
    if who.tenant is None:
        return f"{who.issuer}:{who.subject}"
    return json.dumps([who.tenant, who.issuer, who.subject], ensure_ascii=False)
