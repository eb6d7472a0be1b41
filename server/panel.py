"""The review panel as the protocol sees it: for which clients there is one, and what it adds.

A client that shows panels (MCP Apps) and was named by the operator gets three things more: where
the panel is, on each tool that drafts; a tool that the panel alone is to call; and with each draft
a ticket, in a part of the answer that models do not read. No other client sees any of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.extension import Extension
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.types import CallToolResult, TextContent
from pydantic import Field

from leyr_mcp.server.boundary import ERROR_META, Arguments, describe, refused
from leyr_mcp.server.errors import LeyrMcpError

if TYPE_CHECKING:
    from leyr_mcp.server.boundary import ToolContext
    from leyr_mcp.server.filing.audit import Who
    from leyr_mcp.server.web.panel import Panel

# As the library has them in a module of its own, which takes its time to load.
EXTENSION_ID = "io.modelcontextprotocol/ui"
APP_MIME_TYPE = "text/html;profile=mcp-app"
URI = "ui://review/panel.html"
TOOL = "review_panel"
REVIEW_META = "leyr-mcp/review"
ANSWER_META = "leyr-mcp/panel"
_MOST_TICKETS = 100
_LONGEST = 240
_UI = {"resourceUri": URI}
# Nothing may be loaded from anywhere, and nothing asked of anybody but the client.
_RESOURCE = {"ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}}

Action = Literal["drafts", "states", "decide", "edit"]


class Input(Arguments):
    """What a panel asks for."""

    action: Action
    tickets: Annotated[
        list[Annotated[str, Field(max_length=_LONGEST)]],
        Field(max_length=_MOST_TICKETS, repr=False),
    ]
    body: dict[str, Any]


class PanelExtension(Extension):
    """Tells clients that there are panels."""

    identifier = EXTENSION_ID


class Panels:
    """Which clients have a panel, and what it adds to their lists and answers."""

    def __init__(
        self, hosts: Collection[str], drafting: Collection[str], open_panel: Callable[[], Panel]
    ) -> None:
        self._hosts = frozenset(hosts)
        self._drafting = frozenset(drafting)
        self._open = open_panel

    def of(self, context: Any) -> bool:
        """Return whether the client of this request has the panel."""
        params = context.session.client_params if context is not None else None
        if not self._drafting or not params or not params.client_info:
            return False
        return params.client_info.name in self._hosts and _shows_panels(params.capabilities)

    def drafts(self, tool: str) -> bool:
        """Return whether the panel belongs to the answers of a tool."""
        return tool in self._drafting

    def listed(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return a list of tools as a client with the panel gets it."""
        tools = [
            {**tool, "_meta": {**tool.get("_meta", {}), "ui": _UI}}
            if tool["name"] in self._drafting
            else tool
            for tool in found["tools"]
        ]
        return {**found, "tools": [*tools, _ENTRY]}

    def document(self) -> ReadResourceContents:
        """Return the panel itself."""
        return ReadResourceContents(
            content=self._open().document(), mime_type=APP_MIME_TYPE, meta=_RESOURCE
        )

    async def stamped(self, result: CallToolResult, who: Who) -> CallToolResult:
        """Return the answer of a tool that drafts with what the panel needs to show the drafts.

        What was drafted is drafted, so an answer goes out without a panel where that fails.
        """
        draft_ids = _drafts_of(result.structured_content or {})
        if not draft_ids:
            return result
        try:
            given = await self._open().handed_out(draft_ids, who)
        except LeyrMcpError as exc:
            describe(exc, what=f"{TOOL}: tickets")
            return result
        result.meta = {**(result.meta or {}), REVIEW_META: given}
        return result

    async def call(
        self, arguments: dict[str, Any], context: ToolContext, who: Who
    ) -> CallToolResult:
        """Do what a panel asks for; all of the answer stands where models do not read."""
        meta: dict[str, Any] = dict(context.meta)
        try:
            asked = Input.model_validate(arguments)
            answer = await self._open().call(asked.action, asked.tickets, asked.body, who)
        except Exception as exc:  # noqa: BLE001 - the panel is told of any failure
            failure = describe(exc, what=TOOL, model=Input)
            await refused(context, TOOL, who, None, failure.code)
            meta[ERROR_META] = failure.as_dict()
            content = TextContent(type="text", text=failure.text)
            return CallToolResult(content=[content], is_error=True, _meta=meta)
        meta[ANSWER_META] = answer.data
        if answer.tickets:
            meta[REVIEW_META] = {"tickets": answer.tickets}
        return CallToolResult(content=[TextContent(type="text", text="ok")], _meta=meta)


def _shows_panels(capabilities: Any) -> bool:
    declared = (capabilities.extensions or {}).get(EXTENSION_ID) if capabilities else None
    types = declared.get("mimeTypes") if isinstance(declared, dict) else None
    return isinstance(types, list) and APP_MIME_TYPE in types


def _drafts_of(data: dict[str, Any]) -> list[str]:
    """Return the drafts that an answer tells of."""
    if "results" in data:
        return [one["draft_id"] for one in data["results"]]
    return [data["draft_id"]] if "draft_id" in data else []


_ENTRY: dict[str, Any] = {
    "name": TOOL,
    "title": "Review panel",
    "description": "For the review panel alone. It does nothing without the panel's own tickets.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "action": {"type": "string", "enum": ["drafts", "states", "decide", "edit"]},
            "tickets": {"type": "array", "items": {"type": "string"}},
            "body": {"type": "object"},
        },
        "required": ["action", "tickets", "body"],
        "additionalProperties": False,
    },
    "annotations": {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": False,
        "openWorldHint": True,
    },
    "_meta": {"ui": {**_UI, "visibility": ["app"]}},
}
