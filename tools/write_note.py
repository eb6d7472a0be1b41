"""write_note: a note, drafted, approved by a person, and filed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.entries import Proposal
from leyr_mcp.server.filing.payloads import NoteItem
from leyr_mcp.server.text import clean
from leyr_mcp.tools.params import (
    GROWS,
    CareUnitId,
    DraftId,
    Expect,
    KeepDraft,
    Key,
    PatientId,
    cleaned,
    line,
)
from leyr_mcp.tools.results import FilingResult, filed, reply
from leyr_mcp.tools.spec import WRITES, ToolSpec

TEMPLATES = (
    "leyr_unstructured",
    "leyr_acute_visit",
    "leyr_new_visit_psychology",
    "leyr_follow_up_visit_psychology",
    "leyr_care_status",
)
_FREE, *_STRUCTURED = TEMPLATES
_OTHERS = f"Structured: {', '.join(_STRUCTURED)}"
_ONLY = "unstructured"  # the one field of the free template
_MOST = 200_000
_MOST_FIELDS = 50
_NAME_CAP = 100
_TITLE_CAP = 200


class Input(Arguments):
    """What is written, for whom."""

    patient_id: PatientId
    title: Annotated[str, line(_TITLE_CAP)]
    content: Annotated[str, Field(description="The text; or fields")] | None = None
    fields: (
        Annotated[dict[str, str], Field(description="By field of a structured template")] | None
    ) = None
    template_id: Annotated[str, Field(description=_OTHERS), line(96)] = _FREE
    draft_id: Annotated[DraftId, Field(description="Revise that draft")] | None = None
    draft: KeepDraft = False
    idempotency_key: Key | None = None
    expect: Expect | None = None
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Draft a note, or the next version of one, and have it approved and filed."""
    texts, removed = _texts(args)
    title = cleaned(args.title, _TITLE_CAP, "title")
    proposal = Proposal(
        care_unit_id=await context.units.resolve(args.care_unit_id),
        item=NoteItem(title=title.text, template_id=args.template_id, content=texts),
        patient=context.patient_ref(args.patient_id),
        expect=args.expect,
        draft=args.draft,
        key=args.idempotency_key,
        removed=removed + title.removed,
    )
    if args.draft_id:
        entry = await context.desk.revise(args.draft_id, proposal, context.who)
    else:
        entry = await context.desk.stage(proposal, context.who)
    return await reply(context, await filed(context, entry))


def _texts(args: Input) -> tuple[dict[str, str], int]:
    """Return the cleaned texts by field, and how many characters cleaning took out.

    Raises:
        InputError: There is none, there are two kinds, or it is too long.
    """
    if (args.content is None) == (args.fields is None):
        raise InputError("Give exactly one of content and fields.", field="content")
    if args.content is not None and args.template_id != _FREE:
        raise InputError("A structured template takes fields, not content.", field="fields")
    given = _fields(args.fields) if args.fields is not None else {_ONLY: args.content or ""}
    field = "content" if args.fields is None else "fields"
    if sum(map(len, given.values())) > _MOST:
        raise _length(field)
    cleaned = {name: clean(text, cap=_MOST * GROWS) for name, text in given.items()}
    texts = {name: found.text for name, found in cleaned.items()}
    if not any(map(str.strip, texts.values())) or sum(map(len, texts.values())) > _MOST:
        raise _length(field)
    return texts, sum(found.removed for found in cleaned.values())


def _fields(given: Mapping[str, str]) -> Mapping[str, str]:
    """Return texts by field.

    Raises:
        InputError: There are too many, or a name is none that a template could have.
    """
    if not 0 < len(given) <= _MOST_FIELDS:
        raise InputError(f"There must be 1 to {_MOST_FIELDS} fields.", field="fields")
    for name in given:
        plain = name.isprintable() and name == name.strip() and clean(name) == (name, 0, False)
        if not (plain and 0 < len(name) <= _NAME_CAP):
            raise InputError(
                f"The name of a field must be 1 to {_NAME_CAP} printable characters on one line.",
                field="fields",
            )
    return given


def _length(field: str) -> InputError:
    return InputError(f"The text must have 1 to {_MOST:,} characters.", field=field)


SPEC = ToolSpec(
    name="write_note",
    title="Write note",
    description="Draft a note, which a person approves before it is filed, unsigned. Write only "
    "what the user said. Next: tell the user the status and where to approve.",
    toolset="notes",
    scope="ehr.draft",
    annotations=WRITES,
    input=Input,
    output=FilingResult,
    handler=handle,
    needs="notes",
)
