"""`leyr-mcp demo --backend cobalt`: a visit whose writes are queued, over real sockets.

Cobalt's stand-in serves on a port, a receiver of webhooks on another, and the server is reached
over its pipes; the person approves at the terminal with a passphrase, as in a clinic.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from leyr_mcp.server.cli.demo import Visit, bare_environment, played
from leyr_mcp.server.cli.terminal import Screen

if TYPE_CHECKING:
    from leyr_mcp.sandbox.cobalt.app import CobaltSandbox

_JOB_S = 4.0
_SUMMARY = (
    "Reason: blood pressure check.\n"
    "History: feels well, no side effects.\n"
    "Exam: blood pressure 134/82, pulse 68, regular.\n"
    "Assessment: well controlled hypertension.\n"
    "Plan: continue medication, follow-up as booked."
)


async def demo_cobalt(screen: Screen, *, as_json: bool) -> int:
    """Play the visit; return the exit code."""
    from leyr_mcp.sandbox.cobalt.app import CobaltSandbox  # noqa: PLC0415 - the demo alone
    from leyr_mcp.sandbox.cobalt.clinic import FIRST  # noqa: PLC0415
    from leyr_mcp.sandbox.serve import serving  # noqa: PLC0415

    box = CobaltSandbox()
    box.control.options.job_seconds = _JOB_S
    screen.line(screen.bold("leyr-mcp: a visit through Cobalt, in the sandbox"))
    screen.line()
    screen.paragraph(
        "Cobalt's stand-in answers on a port of this machine and takes four seconds for each "
        "write. A receiver takes its signed webhooks. Every patient is invented."
    )
    try:
        with tempfile.TemporaryDirectory(prefix="leyr-mcp-demo-") as folder:
            async with serving(box) as origin:
                env = bare_environment(folder) | box.settings(origin)
                env["COBALT_LOCATION_ID"] = FIRST
                async with _receiving(env):
                    return await played(screen, env, _Play(box), as_json=as_json)
    finally:
        box.close()


@asynccontextmanager
async def _receiving(env: dict[str, str]) -> AsyncIterator[None]:
    """Register an address with Cobalt, and receive there what it sends."""
    port = await _free_port()
    url = f"http://127.0.0.1:{port}/webhooks/cobalt"
    told = await _run(env, "webhooks", "--register", url, "--json")
    own = {**env, **json.loads(told)}
    receiver = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leyr_mcp.server", "webhooks", "--port", str(port), "--json"),
        env=own,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if receiver.stdout is not None:
            await receiver.stdout.readuntil(b"}")  # it says its address once it listens
        yield
    finally:
        receiver.terminate()
        await receiver.wait()


async def _free_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    number: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return number


async def _run(env: dict[str, str], *command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leyr_mcp.server", *command),
        env=env,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return output


class _Play:
    """The visit, step by step."""

    def __init__(self, box: CobaltSandbox) -> None:
        self._box = box
        self._passphrase = secrets.token_hex(8)

    async def __call__(self, visit: Visit) -> None:
        visit.says("The person who approves has set a passphrase before.")
        given = ("passphrase", "--stdin", "--name", "Dr. Demo")
        await visit.terminal(*given, typed=f"{self._passphrase}\n")

        visit.says("Ima Fixture is next. Is she in the record?")
        found = await visit.call("find_patient", last_name="Fixture")
        patient_id = found["patients"][0]["patient_id"]

        visit.says("Find a time for the follow-up, and book the first.")
        await visit.call("list_care_units")
        free = await visit.call("list_timeslots", healthcare_service_id="FU", limit=4)
        drafts = await _draft(visit, patient_id, free["timeslots"][0])

        visit.says("File all three: a person approves, and Cobalt takes them into its queue.")
        await visit.call("file_drafts", draft_ids=drafts)
        typed = f"{self._passphrase}\n"
        approving = asyncio.create_task(
            visit.terminal("approve", *drafts, "--passphrase-stdin", typed=typed)
        )
        await self._until_queued(len(drafts))

        visit.says("Queued is not filed, and the answer says so.")
        await visit.call("get_draft", draft_id=drafts[-1])
        await approving

        visit.says("A moment later all of it is in the record, once.")
        for draft_id in drafts:
            await visit.call("get_draft", draft_id=draft_id)
        await visit.call("list_appointments", patient_id=patient_id)
        await visit.call("file_drafts", draft_ids=drafts)
        self._tell_webhooks(visit)

        visit.says("And who did all this? The trail proves itself.")
        await visit.terminal("audit", "verify")

    async def _until_queued(self, count: int) -> None:
        """Wait until Cobalt has taken the writes, or at least was given time to."""
        queue = self._box.control.queue
        for _ in range(100):
            if len(queue.waiting()) >= count:
                return
            await asyncio.sleep(0.1)

    def _tell_webhooks(self, visit: Visit) -> None:
        tried = self._box.control.deliverer.log
        good = sum(attempt.told == "200" for attempt in tried)
        visit.note(f"Webhooks: {good} of {len(tried)} deliveries were taken.")
        if good < len(tried) or not good:
            visit.tally.unexpected.append("webhooks")


async def _draft(visit: Visit, patient_id: str, slot: dict[str, str]) -> list[str]:
    wanted: dict[str, Any] = {
        key: slot[key] for key in ("start", "end", "resource_id", "healthcare_service_id")
    }
    about: dict[str, Any] = {"patient_id": patient_id, "expect": "Fixture", "draft": True}
    booking = await visit.call("book_appointment", **wanted, **about)

    visit.says("Draft the summary of today's visit, and a letter.")
    note = await visit.call("write_note", title="Follow-up visit", content=_SUMMARY, **about)
    letter = await visit.call(
        "attach_document", title="Letter", text="Please bring your medication list.", **about
    )
    return [booking["draft_id"], letter["draft_id"], note["draft_id"]]
