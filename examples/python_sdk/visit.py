"""A visit through the official Python SDK: found, drafted, approved in the client, filed once."""

import asyncio
import os
import sys

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import ElicitResult, Implementation

# A client whose own question counts as approval must be named to the server.
ENV = {**os.environ, "LEYR_MCP_APPROVAL_HOSTS": "visit-example"}


async def person(_context, params):
    """Show the whole draft and say yes; a real client asks the person in front of it."""
    print("--- the person is asked ---", params.message, "--- and says yes ---", sep="\n")
    return ElicitResult(
        action="accept", content=dict.fromkeys(params.requested_schema["properties"], True)
    )


async def main() -> int:
    server = StdioServerParameters(command="leyr-mcp", env=ENV)
    me = Implementation(name="visit-example", version="1")
    async with Client(stdio_client(server), client_info=me, elicitation_callback=person) as client:

        async def call(tool, **arguments):
            result = await client.call_tool(tool, arguments)
            print(f"{tool}: {result.content[0].text.splitlines()[0]}")
            if result.is_error:
                raise SystemExit(1)
            return result.structured_content

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
