"""discard_draft: a draft taken back before it is filed."""

from __future__ import annotations

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.tools.params import DraftId
from leyr_mcp.tools.results import FilingResult, own, reply
from leyr_mcp.tools.spec import DISCARDS, ToolSpec


class Input(Arguments):
    """Which draft."""

    draft_id: DraftId


async def handle(context: ToolContext, args: Input) -> Reply:
    """Take back a draft, and an approval of it that was not used."""
    entry = await own(context, args.draft_id)
    return await reply(context, await context.desk.withdraw(entry.id, context.who))


SPEC = ToolSpec(
    name="discard_draft",
    title="Discard draft",
    description="Take back a draft that was not sent, for good. What is in the record stays there.",
    toolset="drafts",
    scope="ehr.draft",
    annotations=DISCARDS,
    input=Input,
    output=FilingResult,
    handler=handle,
)
