"""A visit through pydantic-ai: a scripted model calls the tools, a handler says yes."""

import asyncio
import os
import sys

from fastmcp.client.transports import StdioTransport
from mcp.types import Implementation
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel

# A client whose own question counts as approval must be named to the server.
ENV = {**os.environ, "LEYR_MCP_APPROVAL_HOSTS": "visit-example"}


async def person(message, _type, params, _context):
    """Show the whole draft and say yes; a real client asks the person in front of it."""
    print("--- the person is asked ---", message, "--- and says yes ---", sep="\n")
    return dict.fromkeys(params.requested_schema["properties"], True)


def visit():
    """Yield what a model would call, and be sent what each call answered."""
    (patient,) = (yield "find_patient", {"last_name": "Tolvansson"})["patients"]
    whom = {"patient_id": patient["patient_id"], "expect": "Tolvansson", "draft": True}
    (slot,) = (yield "list_timeslots", {"part_of_day": "morning", "limit": 1})["timeslots"]
    time = {key: slot[key] for key in ("start", "end", "resource_id", "healthcare_service_id")}
    note = {"title": "Besök", "content": "Blodtryck 134/82. Åter enligt bokning."}
    drafts = [
        (yield "book_appointment", {**whom, **time}),
        (yield "write_note", {**whom, **note}),
        (yield "attach_document", {**whom, "title": "Provsvar", "path": "lab-report.pdf"}),
    ]
    done = yield "file_drafts", {"draft_ids": [draft["draft_id"] for draft in drafts]}
    notes = (yield "list_notes", {"patient_id": patient["patient_id"]})["notes"]
    once = [one["title"] for one in notes].count("Besök") == 1
    return "filed once" if len(done["filed"]) == 3 and once else "not as it should be"


script = visit()


def model(messages, _info):
    """Go on with the script; a refusal comes as a part that is no tool's return, and ends it."""
    last = messages[-1].parts[-1]
    if not isinstance(last, ToolReturnPart) and len(messages) > 1:
        return ModelResponse(parts=[TextPart("refused")])
    try:
        tool, arguments = script.send(last.content if len(messages) > 1 else None)
    except StopIteration as end:
        return ModelResponse(parts=[TextPart(end.value)])
    print(f"{tool}({', '.join(arguments)})")
    return ModelResponse(parts=[ToolCallPart(tool, arguments)])


async def main() -> int:
    server = StdioTransport(command="leyr-mcp", args=[], env=ENV)
    me = Implementation(name="visit-example", version="1")
    toolset = MCPToolset(server, client_info=me, elicitation_handler=person)
    result = await Agent(FunctionModel(model), toolsets=[toolset]).run("File the visit.")
    print(result.output)
    return 0 if result.output == "filed once" else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
