"""A visit through LangChain's tools: the older protocol, the question answered by a callback."""

import asyncio
import os
import sys

from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp.types import ElicitResult

# This library's client calls itself "mcp".
ENV = {**os.environ, "LEYR_MCP_APPROVAL_HOSTS": "mcp"}


async def person(_mcp, params, _context):
    """Show the whole draft and say yes; a real client asks the person in front of it."""
    print("--- the person is asked ---", params.message, "--- and says yes ---", sep="\n")
    return ElicitResult(
        action="accept", content=dict.fromkeys(params.requestedSchema["properties"], True)
    )


async def main() -> int:
    server = {"transport": "stdio", "command": "leyr-mcp", "args": [], "env": ENV}
    client = MultiServerMCPClient({"leyr": server}, callbacks=Callbacks(on_elicitation=person))
    async with client.session("leyr") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}

        async def call(tool, **arguments):
            # As an agent would: a tool call in, a tool message out, with the facts as its artifact.
            message = await tools[tool].ainvoke(
                {"type": "tool_call", "id": "1", "name": tool, "args": arguments}
            )
            text = (
                message.content if isinstance(message.content, str) else message.content[0]["text"]
            )
            print(f"{tool}: {text.splitlines()[0]}")
            return message.artifact["structured_content"]

        (patient,) = (await call("find_patient", last_name="Tolvansson"))["patients"]
        whom = {"patient_id": patient["patient_id"], "expect": "Tolvansson", "draft": True}
        (slot,) = (await call("list_timeslots", part_of_day="morning", limit=1))["timeslots"]
        time = {key: slot[key] for key in ("start", "end", "resource_id", "healthcare_service_id")}
        drafts = [
            await call("book_appointment", **whom, **time),
            await call(
                "write_note",
                **whom,
                title="Besök",
                content="Blodtryck 134/82. Åter enligt bokning.",
            ),
            await call("attach_document", **whom, title="Provsvar", path="lab-report.pdf"),
        ]
        done = await call("file_drafts", draft_ids=[draft["draft_id"] for draft in drafts])
        notes = (await call("list_notes", patient_id=patient["patient_id"]))["notes"]
    return (
        0
        if len(done["filed"]) == 3 and [note["title"] for note in notes].count("Besök") == 1
        else 1
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
