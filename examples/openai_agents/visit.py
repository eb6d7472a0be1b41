"""A visit through the OpenAI Agents SDK, which cannot ask: the person approves in the terminal."""

import asyncio
import os
import subprocess
import sys

from agents.mcp import MCPServerStdio

PARAMS = {"command": "leyr-mcp", "args": [], "env": dict(os.environ)}


def person(draft_ids):
    """Have the person approve; in the sandbox no passphrase is asked for."""
    subprocess.run(["leyr-mcp", "approve", "--yes", *draft_ids], check=True)


async def main() -> int:
    async with MCPServerStdio(
        params=PARAMS, client_session_timeout_seconds=60, use_structured_content=True
    ) as server:

        async def call(tool, **arguments):
            result = await server.call_tool(tool, arguments)
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
        ids = [draft["draft_id"] for draft in drafts]
        waiting = (await call("file_drafts", draft_ids=ids))["waiting"]
        await asyncio.to_thread(person, waiting)
        done = await call("file_drafts", draft_ids=ids)
        notes = (await call("list_notes", patient_id=patient["patient_id"]))["notes"]
    return (
        0
        if len(done["filed"]) == 3 and [note["title"] for note in notes].count("Besök") == 1
        else 1
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
