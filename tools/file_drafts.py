"""file_drafts: several drafts of one patient, one question to a person, filed in their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.entries import Entry
from leyr_mcp.server.storage.store import FREED, Kind
from leyr_mcp.tools.params import DraftId
from leyr_mcp.tools.results import FilingResult, about, lines, own, result, settled
from leyr_mcp.tools.spec import WRITES, ToolSpec

# What a note tells of is in the record before the note is.
_ORDER: tuple[Kind, ...] = ("patient", "appointment", "change", "document", "note")
_MOST = 10
_FAILED = FREED | {"needs_human"}


def _different(ids: list[str]) -> list[str]:
    if len(set(ids)) != len(ids):
        raise ValueError("must name each draft once")
    return ids


class Answer(TypedDict):
    """What became of each draft, in the order in which they are filed."""

    results: list[FilingResult]
    filed: list[str]
    waiting: list[str]
    failed: list[str]


class Input(Arguments):
    """Which drafts."""

    draft_ids: Annotated[
        list[DraftId],
        Field(min_length=1, max_length=_MOST, description="Of one patient"),
        AfterValidator(_different),
    ]


async def handle(context: ToolContext, args: Input) -> Reply:
    """Have drafts approved, all in one question, and filed."""
    entries = [await own(context, draft_id, field="draft_ids") for draft_id in args.draft_ids]
    if len({entry.draft.patient_key for entry in entries}) > 1:
        raise InputError("All of these drafts must be of one patient.", field="draft_ids")
    entries.sort(key=lambda entry: _ORDER.index(entry.draft.kind))
    asked = [
        dataclasses.replace(
            await context.desk.submit(entry, context.who),
            already_filed=entry.draft.state == "filed",
        )
        for entry in entries
    ]
    return await _reply(context, await settled(context, asked))


async def _reply(context: ToolContext, entries: Sequence[Entry]) -> Reply:
    results = [await result(context, entry) for entry in entries]
    data = Answer(
        results=results,
        filed=[one["draft_id"] for one in results if one["status"] == "filed"],
        waiting=[one["draft_id"] for one in results if one["status"] not in _FAILED | {"filed"}],
        failed=[one["draft_id"] for one in results if one["status"] in _FAILED],
    )
    counts = [len(data["filed"]), len(data["waiting"]), len(data["failed"])]
    told = ["{} filed, {} waiting, {} failed.".format(*counts)]
    for entry, one in zip(entries, results, strict=True):
        head, *rest = lines(one)
        told += [f"{entry.draft.kind}, {head}", *rest]
    return Reply(data, "\n".join(told), about=about(entries))


SPEC = ToolSpec(
    name="file_drafts",
    title="File drafts",
    description="Have a person approve 1 to 10 drafts of one patient at once, and file those "
    "approved: bookings, then documents, then notes. Next: tell the user the status of each.",
    toolset="drafts",
    scope="ehr.file",
    annotations=WRITES,
    input=Input,
    output=Answer,
    handler=handle,
)
