"""What the page can ask for: the queue, drafts, and a person's decision on them.

Each request names the version that its sender saw; a decision on anything else does nothing. Who
decides is asked for each time and remembered nowhere.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from leyr_mcp.server.boundary import Arguments, describe
from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.filing.attaching import Attaching
from leyr_mcp.server.filing.audit import NOTHING, About
from leyr_mcp.server.filing.desk import Desk
from leyr_mcp.server.filing.entries import DECIDABLE, DECLINABLE, Entry, Person
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.filing.payloads import (
    AppointmentItem,
    ChangeItem,
    DocumentItem,
    Item,
    NoteItem,
)
from leyr_mcp.server.filing.preview import STATE_NAMES
from leyr_mcp.server.filing.shelf import NO_SUCH_DRAFT
from leyr_mcp.server.filing.tickets import void
from leyr_mcp.server.storage.store import Kind, State
from leyr_mcp.server.text import Cleaned, clean
from leyr_mcp.server.web import views
from leyr_mcp.server.web.seats import NotRecognisedError, Seat

_MOST_DRAFTS = 500
_MOST_TEXT = 200_000
_MOST_TITLE = 200
_MOST_COMMENT = 2_000
_LONGEST_NAME = 255


def _matching(pattern: str, rule: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(rule)
        return value

    return AfterValidator(check)


DraftId = Annotated[str, _matching(r"d_[A-Za-z0-9]{1,40}", "is no draft's id")]
RecordId = Annotated[
    str, _matching(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,96}", "is not the form of a record's id")
]
Phrase = Annotated[str, Field(max_length=1_024)]


class Nothing(Arguments):
    """A request that says no more than what it wants."""


class Drafts(Arguments):
    """Which drafts."""

    draft_ids: Annotated[list[DraftId], Field(max_length=_MOST_DRAFTS)]


class Seen(Arguments):
    """A draft in the version that was seen."""

    draft_id: DraftId
    version: int
    digest: str


class Decision(Seen):
    """Yes or no to one draft."""

    approve: bool


class Decide(Arguments):
    """What a person decided, on all drafts, some or none."""

    decisions: Annotated[list[Decision], Field(min_length=1, max_length=100)]
    passphrase: Phrase | None = Field(default=None, repr=False)


class Edit(Seen):
    """The texts of a draft as a person wants them."""

    title: str | None = None
    texts: dict[str, str] | None = None
    comment: str | None = None


class Give(Seen):
    """The file that a draft waits for: what it is called; its bytes follow."""

    name: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]


class Resolve(Seen):
    """What becomes of a draft in doubt."""

    how: Literal["found", "send_again", "drop"]
    record_id: RecordId | None = None
    passphrase: Phrase | None = Field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the page can ask for; `decides` is what a stranger must not do."""

    model: type[Arguments]
    run: Callable[[Review, Any], Awaitable[dict[str, Any]]]
    decides: bool = False


class Review:
    """Answers the page's requests; every word of an answer is fit to be shown."""

    def __init__(
        self,
        open_desk: Callable[[], Desk],
        journal: Journal,
        seat: Seat,
        *,
        open_attaching: Callable[[], Attaching],
        zone: ZoneInfo,
    ) -> None:
        self._open_desk = open_desk
        self._journal = journal
        self._seat = seat
        self._open_attaching = open_attaching
        self._zone = zone

    async def call(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Do what was asked.

        Raises:
            ValidationError: The request is not in its form.
            LeyrMcpError: It cannot be done.
        """
        action = ACTIONS[name]
        return await action.run(self, action.model.model_validate(body))

    async def refused(self, cause: str, drafts: Sequence[str] = ()) -> None:
        """Store that somebody tried to decide who must not.

        Raises:
            StorageError: It was not stored.
        """
        _, trail = await self._journal.opened()
        about = About(draft_id=drafts[0]) if len(drafts) == 1 else NOTHING
        event = trail.local("approve", self._seat.who, about, error="invalid_argument")
        event.fields.update(channel=self._seat.channel, cause=cause, drafts=len(drafts))
        await trail.append(event)

    # What is shown

    async def queue(self, _ask: Nothing) -> dict[str, Any]:
        """Return everything unfinished, by patient."""
        entries = await self._desk.entries(
            self._seat.owner, kinds=self._kinds(), limit=_MOST_DRAFTS
        )
        await self._journal.answered("list_drafts", self._seat.who, _abouts(entries))
        return {
            **await self._seat.mode(),
            "patients": views.groups(entries, self._zone),
            "more": len(entries) == _MOST_DRAFTS,
        }

    async def drafts(self, ask: Drafts) -> dict[str, Any]:
        """Return drafts whole."""
        entries = [await self._entry(draft_id) for draft_id in ask.draft_ids]
        await self._journal.answered("get_draft", self._seat.who, _abouts(entries))
        return {
            **await self._seat.mode(),
            "drafts": [await self._whole(entry) for entry in entries],
        }

    async def states(self, ask: Drafts) -> dict[str, Any]:
        """Return where drafts stand, which tells nothing of a patient."""
        entries = [await self._entry(draft_id) for draft_id in ask.draft_ids]
        return {"states": [views.status(entry) for entry in entries]}

    # What a person decides

    async def decide(self, ask: Decide) -> dict[str, Any]:
        """Approve and decline; each draft tells what came of it.

        Raises:
            NotRecognisedError: Something was to be approved, and whoever asked is no approver.
        """
        ids = [decision.draft_id for decision in ask.decisions]
        if len(set(ids)) != len(ids):
            raise InputError("A draft can be decided on once.", field="decisions")
        approved = [decision.draft_id for decision in ask.decisions if decision.approve]
        person = await self._person(ask.passphrase, approved) if approved else self._seat.anyone()
        return {"results": [await self._decided(one, person) for one in ask.decisions]}

    async def edit(self, ask: Edit) -> dict[str, Any]:
        """Put a person's words in the place of a draft's; it must be approved after that."""
        entry = await self._current(ask, views.EDITABLE)
        item, removed = _edited(entry.payload.item, ask)
        new = await self._desk.edit(entry, item, self._seat.anyone())
        return {"draft": await self._whole(new), "removed": removed}

    async def give(self, body: Mapping[str, Any], pieces: AsyncIterable[bytes]) -> dict[str, Any]:
        """Take the file that a draft waits for; the draft waits for approval then.

        Raises:
            ValidationError: The request is not in its form.
            LeyrMcpError: It waits for none, or the file is not taken.
        """
        ask = Give.model_validate(body)
        entry = await self._current(ask, ("awaiting_file",))
        new = await self._open_attaching().give(entry, ask.name, pieces, self._seat.anyone())
        return {"draft": await self._whole(new)}

    async def resolve(self, ask: Resolve) -> dict[str, Any]:
        """Decide what becomes of a draft in doubt."""
        entry = await self._current(ask, ("needs_human",))
        if (ask.how == "found") != (ask.record_id is not None):
            raise InputError("Give the record's id if it was found there.", field="record_id")
        person = await self._person(ask.passphrase, [ask.draft_id])
        if ask.how == "found":
            await self._desk.found(entry, ask.record_id or "", person)
        elif ask.how == "send_again":
            await self._desk.send_again(entry, person)
        else:
            await self._desk.drop(entry, person)
        return {"draft": await self._whole(await self._entry(entry.id))}

    # Within

    @property
    def _desk(self) -> Desk:
        return self._open_desk()

    def _kinds(self) -> tuple[Kind, ...]:
        unseen = self._seat.unseen
        return tuple(kind for kind in get_args(Kind) if kind not in unseen) if unseen else ()

    async def _entry(self, draft_id: str) -> Entry:
        entry = await self._desk.entry(draft_id, self._seat.owner)
        if entry.draft.kind in self._seat.unseen:
            raise InputError(NO_SUCH_DRAFT, code="not_found", field="draft_id")
        return entry

    async def _whole(self, entry: Entry) -> dict[str, Any]:
        return views.whole(entry, await self._desk.earlier(entry), self._zone)

    async def _person(self, phrase: str | None, drafts: Sequence[str]) -> Person:
        """Return who decides; a stranger's attempt is stored."""
        try:
            return await self._seat.person(phrase)
        except NotRecognisedError as exc:
            await self.refused(exc.cause, drafts)
            raise

    async def _decided(self, decision: Decision, person: Person) -> dict[str, Any]:
        """Decide on one draft; a failure is told and leaves the others as they are."""
        try:
            entry = await self._current(decision, DECIDABLE if decision.approve else DECLINABLE)
            if decision.approve:
                await self._desk.submit(entry, person.who)  # approved is what was seen, not this
            decide = self._desk.approve if decision.approve else self._desk.decline
            if not await decide(entry, person):
                raise _stale(await self._entry(entry.id))
        except LeyrMcpError as exc:
            failure = describe(exc, what=f"{self._seat.channel}: decide")
            return {"draft_id": decision.draft_id, "done": False, "message": failure.message}
        now = await self._entry(decision.draft_id)
        return {"draft_id": decision.draft_id, "done": True, "status": views.status(now)}

    async def _current(self, seen: Seen, states: Sequence[State]) -> Entry:
        """Return a draft, if it is the version that was seen and still in such a state."""
        entry = await self._entry(seen.draft_id)
        same = (entry.draft.version, entry.draft.digest) == (seen.version, seen.digest)
        if not same or entry.draft.state not in states:
            raise _stale(entry, changed=not same)
        if not self._seat.fits(entry):
            raise void()
        return entry


ACTIONS: Mapping[str, Action] = {
    "queue": Action(Nothing, Review.queue),
    "drafts": Action(Drafts, Review.drafts),
    "states": Action(Drafts, Review.states),
    "decide": Action(Decide, Review.decide, decides=True),
    "edit": Action(Edit, Review.edit, decides=True),
    "resolve": Action(Resolve, Review.resolve, decides=True),
}


def _stale(entry: Entry, *, changed: bool = False) -> LeyrMcpError:
    if changed:
        text = "It was changed after you opened it, so nothing was done. Read the new version."
    else:
        text = f"It was decided on before, so nothing was done. It is now: {_name(entry)}."
    return LeyrMcpError(text, code="approval_void")


def _name(entry: Entry) -> str:
    return STATE_NAMES[entry.draft.state]


def _abouts(entries: Iterable[Entry]) -> list[About]:
    """Return whose data is shown: each patient once where many drafts are listed."""
    found = {
        (entry.payload.patient, entry.payload.care_unit_id): dataclasses.replace(
            entry.about, draft_id=None
        )
        for entry in entries
    }
    return list(found.values())


def _edited(item: Item, ask: Edit) -> tuple[Item, int]:
    """Return what a draft holds after an edit, and how many characters cleaning took out.

    Raises:
        InputError: It has no such text, or one is too long.
    """
    match item:
        case NoteItem():
            return _edited_note(item, ask)
        case DocumentItem() if ask.title is not None:
            title = _title(ask.title.strip())
            return dataclasses.replace(item, title=title.text), title.removed
        case AppointmentItem() | ChangeItem() if ask.comment is not None:
            if isinstance(item, ChangeItem) and item.action == "confirm":
                raise InputError("A confirmation has no comment.", field="comment")
            comment = _cleaned(ask.comment, _MOST_COMMENT, "comment")
            return dataclasses.replace(item, comment=comment.text or None), comment.removed
        case _:
            raise InputError("Nothing of this draft can be edited here.", field="draft_id")


def _edited_note(item: NoteItem, ask: Edit) -> tuple[NoteItem, int]:
    title = _title(item.title if ask.title is None else ask.title.strip())
    given = ask.texts or {}
    if not given.keys() <= item.content.keys():
        raise InputError("The note has no such field.", field="texts")
    texts = {
        name: _cleaned(given[name], _MOST_TEXT, "texts") if name in given else Cleaned(text)
        for name, text in item.content.items()
    }
    content = {name: found.text for name, found in texts.items()}
    if not any(text.strip() for text in content.values()):
        raise InputError("The note would say nothing. Decline it instead.", field="texts")
    removed = title.removed + sum(found.removed for found in texts.values())
    return dataclasses.replace(item, title=title.text, content=content), removed


def _title(text: str) -> Cleaned:
    title = _cleaned(text, _MOST_TITLE, "title")
    if not title.text or not title.text.isprintable():
        raise InputError("The title must be text on one line.", field="title")
    return title


def _cleaned(text: str, most: int, field: str) -> Cleaned:
    found = clean(text, cap=most)
    if found.truncated:
        raise InputError(f"The {field} may have {most:,} characters at most.", field=field)
    return found
