"""A file becomes a draft: taken from where its caller says, or given by a person on the page."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.files.intake import Intake, Taken
from leyr_mcp.server.files.letters.glyphs import lacks
from leyr_mcp.server.files.letters.headings import heading
from leyr_mcp.server.files.staging import KEPT_S
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.desk import Desk
from leyr_mcp.server.filing.entries import (
    Attached,
    Entry,
    Person,
    Proposal,
    Source,
    staged_name,
)
from leyr_mcp.server.filing.payloads import DocumentItem, NoteItem
from leyr_mcp.server.storage.store import FREED


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """What stands on a PDF that is made of a draft besides the draft."""

    lines: tuple[str, ...]
    language: str
    zone: ZoneInfo


class Attaching:
    """Drafts documents."""

    def __init__(
        self,
        desk: Desk,
        intake: Intake,
        letterhead: Letterhead,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._desk = desk
        self._intake = intake
        self._letterhead = letterhead
        self._clock = clock

    async def attach(self, proposal: Proposal, source: Source, who: Who) -> Entry:
        """Return the draft of a document; what a like call staged is used, and this copy dropped.

        Raises:
            LeyrMcpError: The file is not taken, or the draft cannot be made.
        """
        if source.draft is not None:
            attached, taken = await self._printed(source.draft, proposal)
        elif source.text is not None:
            taken = await self._intake.from_text(source.text)
            attached = self._attached(taken, ours=True)
        elif source.path is not None:
            taken = await self._intake.from_path(source.path)
            attached = self._attached(taken)
        else:
            return await self._desk.stage(proposal, who)
        item = _with_file(proposal.item, taken)
        entry: Entry | None = None
        try:
            entry = await self._desk.stage(
                dataclasses.replace(proposal, item=item, attached=attached), who
            )
            if source.draft is not None:
                await self._see_unchanged(source.draft, entry, who)
            return entry
        finally:
            if entry is None or staged_name(entry.draft) != attached.staged:
                await self._intake.staging.drop(attached.staged)

    async def give(
        self, entry: Entry, name: str, pieces: AsyncIterable[bytes], person: Person
    ) -> Entry:
        """Return a draft that waited for its file, with the file that a person gave.

        Raises:
            LeyrMcpError: It does not wait for a file, or the file is not taken.
        """
        if entry.draft.state != "awaiting_file":
            raise InputError("This draft waits for no file.", field="draft_id")
        taken = await self._intake.from_pieces(name, pieces)
        attached = self._attached(taken)
        try:
            item = _with_file(entry.payload.item, taken)
            return await self._desk.edit(entry, item, person, attached)
        except BaseException:
            await self._intake.staging.drop(attached.staged)
            raise

    async def _printed(self, draft: Entry, proposal: Proposal) -> tuple[Attached, Taken]:
        """Return what a note of this patient becomes as a PDF.

        Raises:
            LeyrMcpError: It is another patient's, was given up, is no note, or cannot be printed.
        """
        item = draft.payload.item
        if not isinstance(item, NoteItem) or draft.draft.state in FREED:
            raise InputError(
                "Only a note that was not given up can be made a PDF of.", field="from_draft"
            )
        ref, unit = proposal.patient, proposal.care_unit_id
        if ref is None or not await self._desk.is_of(draft, unit, ref):
            raise InputError(
                "That draft is of another patient or care unit.",
                code="patient_mismatch",
                field="from_draft",
            )
        taken = await self._intake.from_letter(_letter(draft, item, self._letterhead))
        lacking = sum(map(lacks, (item.title, *item.content.values())))
        return self._attached(taken, ours=True, made_from=draft.id, lacking=lacking), taken

    async def _see_unchanged(self, source: Entry, made: Entry, who: Who) -> None:
        """Take back what was made of a note that changed meanwhile.

        Raises:
            LeyrMcpError: It did.
        """
        now = await self._desk.entry(source.id)
        if now.draft.version != source.draft.version:
            await self._desk.withdraw(made.id, who)
            raise LeyrMcpError(
                "The note changed while the PDF was made of it.",
                code="file_changed",
                field="from_draft",
            )

    def _attached(self, taken: Taken, **more: Any) -> Attached:
        return Attached(
            staged=taken.staged.name,
            name=taken.name,
            pages=taken.pages,
            text=taken.text,
            altered=taken.altered,
            until=self._clock() + timedelta(seconds=KEPT_S),
            **more,
        )


def _with_file(item: object, taken: Taken) -> DocumentItem:
    """Return a document with the file that was taken.

    Raises:
        InputError: It is no document.
    """
    if not isinstance(item, DocumentItem):
        raise InputError("Only a document takes a file.", field="draft_id")
    return dataclasses.replace(
        item, format=taken.format, size=taken.staged.size, sha256=taken.staged.sha256
    )


def _letter(entry: Entry, item: NoteItem, letterhead: Letterhead) -> dict[str, object]:
    """Return what the PDF of a note holds; the same version always gives the same."""
    payload = entry.payload
    born = payload.patient_birth_date
    return {
        "language": letterhead.language,
        "letterhead": list(letterhead.lines),
        "title": item.title,
        "patient": {
            "name": payload.patient_name or "",
            "born": born.isoformat() if born else None,
            "number": entry.shown.number,
        },
        "date": entry.draft.created_at.astimezone(letterhead.zone).date().isoformat(),
        "author": entry.shown.names.get("author"),
        "sections": [
            {"heading": heading(name, letterhead.language), "text": text}
            for name, text in item.content.items()
        ],
    }
