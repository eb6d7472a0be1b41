"""The server as the conformance suite tests it, over HTTP on loopback, with the suite's own tools.

The suite speaks HTTP only, and some of its scenarios call tools that no product has. Prints its
address and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import tempfile
from typing import Any

from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from mcp.types import Tool as ToolEntry
from uvicorn import Config, Server

from leyr_mcp.server import app
from leyr_mcp.server.cli.http import Address, make_node
from leyr_mcp.server.protocol import LeyrServer
from leyr_mcp.server.settings import load

_QUESTION = {"type": "object", "properties": {"a": {"type": "string"}}}


async def test_missing_capability(ctx: Context) -> str:
    """Needs sampling."""
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(-32021, "Missing required client capability", needed)
    return "ok"


async def test_logging_tool() -> str:
    """Sends no log notification."""
    return "ok"


async def test_streaming_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Progress, then a question."""
    await ctx.report_progress(1, 2, "half")
    form = ElicitRequestFormParams(message="?", requested_schema=_QUESTION)
    return InputRequiredResult(input_requests={"q": ElicitRequest(params=form)})


async def test_trigger_tool_change(ctx: Context) -> str:
    """Announces a changed list of tools."""
    await ctx.notify_tools_changed()
    return "ok"


async def test_trigger_prompt_change(ctx: Context) -> str:
    """Announces a changed list of prompts."""
    await ctx.notify_prompts_changed()
    return "ok"


_FIXTURES = {
    made.__name__: Tool.from_function(made)
    for made in (
        test_missing_capability,
        test_logging_tool,
        test_streaming_elicitation,
        test_trigger_tool_change,
        test_trigger_prompt_change,
    )
}


class ConformanceServer(LeyrServer):
    """The product, and the suite's tools beside its own."""

    async def list_tools(self) -> list[ToolEntry]:
        """Return the product's tools and the suite's."""
        own = [
            ToolEntry(name=tool.name, description=tool.description, input_schema=tool.parameters)
            for tool in _FIXTURES.values()
        ]
        return [*await super().list_tools(), *own]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Any = None
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool of the suite, else one of the product."""
        if name not in _FIXTURES:
            return await super().call_tool(name, arguments, context)
        result = await _FIXTURES[name].run(arguments, context, convert_result=True)
        assert isinstance(result, CallToolResult | InputRequiredResult)
        return result


async def main() -> None:
    """Serve a node as `leyr-mcp serve --http` does, over the sandbox on this machine."""
    vars(app)["LeyrServer"] = ConformanceServer  # what the composition root builds
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as sock,
    ):
        at = Address("127.0.0.1", sock.getsockname()[1])
        key = base64.b64encode(bytes(range(32))).decode()
        settings = load({"LEYR_MCP_STATE_DIR": folder, "LEYR_MCP_DATA_KEY": key})
        node, _ = make_node(settings, at)
        print(f"{at.origin}/mcp", flush=True)  # noqa: T201 - its address
        await Server(Config(node, log_level="warning")).serve(sockets=[sock])


if __name__ == "__main__":
    asyncio.run(main())
