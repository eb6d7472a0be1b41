"""A client in memory, a server over the sandbox, and the sandbox's control, for one test body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

import httpx2
import pytest
from mcp import Client
from mcp.types import CallToolResult

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.control import Control, Recorded
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.server.app import App, build
from leyr_mcp.server.settings import load
from leyr_mcp.tools.toolsets import Choice
from tests.support.mcp_answers import Refused, check_answer, check_error

Mode = Literal["auto", "legacy"]

NOW = datetime(2026, 9, 14, 7, 30, tzinfo=UTC)  # a Monday, 09:30 in Stockholm, in working hours
TOLVAN = "191212121212"  # the first patient of the seed; the number is published by the vendor
UNITS = {"takecare": "10", "pasientsky": "L0_10"}

both_eras = pytest.mark.parametrize("mode", ["auto", "legacy"])


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a test holds: the client, the server behind it and the record behind the server."""

    client: Client
    app: App
    sandbox: Sandbox

    @property
    def control(self) -> Control:
        """The control plane of the sandbox."""
        return self.sandbox.control

    async def example(self, tool: str, who: str = TOLVAN) -> dict[str, Any]:
        """Return a call of a tool that succeeds, what it is about drafted before."""
        return await example(self.client.call_tool, self.control, tool, who)

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """Call a tool and return the answer, whatever it is."""
        return await self.client.call_tool(tool, arguments)

    async def ask(self, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
        """Return text and structured content of a call that must succeed."""
        return check_answer(await self.call(tool, **arguments))

    async def refused(self, tool: str, **arguments: Any) -> Refused:
        """Return the error of a call that must fail, its whole form checked."""
        return check_error(await self.call(tool, **arguments))

    def requests(self) -> list[Recorded]:
        """Return what the record system was asked so far."""
        return list(self.control.requests.entries)

    def fail(self, kind: str, **more: Any) -> None:
        """Let every request from now on meet a fault."""
        self.control.faults.add(Fault.model_validate({"kind": kind, "times": None, **more}))

    async def store(self, path: str, **body: Any) -> dict[str, Any]:
        """Write into the record as another system would, below the usual care unit."""
        unit = UNITS.get(self.sandbox.emr, "L0_1")
        base = f"http://sandbox.test/api/emrs/{self.sandbox.emr}/care-units/{unit}/"
        secret = {
            "x-leyr-client-id": self.sandbox.client_id,
            "x-leyr-client-secret": self.sandbox.client_secret,
        }
        transport = httpx2.ASGITransport(self.sandbox)
        async with httpx2.AsyncClient(transport=transport, headers=secret) as http:
            answer = await http.post(base + path, json=body)
        assert answer.is_success, answer.text
        found = answer.json()
        return cast("dict[str, Any]", found[0] if isinstance(found, list) else found)


@asynccontextmanager
async def app_of(
    emr: str = "webdoc", *, now: datetime = NOW, choice: Choice | None = None, **settings: str
) -> AsyncIterator[App]:
    """Yield a server over a fresh sandbox whose clock stands still."""
    found = load({"LEYR_MCP_BACKEND": "sandbox", "LEYR_EMR": emr, **settings})
    app = build(found, choice, clock=lambda: now, in_memory=True)
    try:
        yield app
    finally:
        await app.close()


def sandbox_of(app: App) -> Sandbox:
    """Return the sandbox that an app holds."""
    assert app.sandbox is not None
    return cast("Sandbox", app.sandbox.open())


@asynccontextmanager
async def session(
    mode: str,
    emr: str = "webdoc",
    *,
    now: datetime = NOW,
    choice: Choice | None = None,
    **settings: str,
) -> AsyncIterator[Session]:
    """Yield a client of one era, connected to a server over a fresh sandbox."""
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(app_of(emr, now=now, choice=choice, **settings))
        client = await stack.enter_async_context(Client(app.server, mode=cast("Mode", mode)))
        yield Session(client=client, app=app, sandbox=sandbox_of(app))


# These are about drafts, which must be there first; they ask the record system nothing.
OF_DRAFTS = frozenset({"get_draft", "file_drafts", "discard_draft"})


async def example(
    call: Callable[[str, dict[str, Any]], Awaitable[Any]],
    control: Control,
    tool: str,
    who: str = TOLVAN,
) -> dict[str, Any]:
    """Return a call of a tool that succeeds, drafting before what it is about."""
    calls = examples(control, who)
    if tool not in {"list_drafts", *OF_DRAFTS}:
        return calls[tool]
    drafted = await call("write_note", {**calls["write_note"], "draft": True})
    draft_id = drafted.structured_content["draft_id"]
    named = {"draft_ids": [draft_id]} if tool == "file_drafts" else {"draft_id": draft_id}
    return named if tool in OF_DRAFTS else calls[tool]


def examples(control: Control, who: str = TOLVAN) -> dict[str, dict[str, Any]]:
    """Return a call of each tool that succeeds, with ids of a seeded patient."""
    patient = f"emr_id:{control.patient(who).emr_id}"
    calls: dict[str, dict[str, Any]] = {
        "list_care_units": {},
        "find_patient": {"patient_id": patient},
        "list_timeslots": {"limit": 8},
        "list_appointments": {"patient_id": patient},
        "list_notes": {"patient_id": patient},
        "list_documents": {"patient_id": patient},
        "write_note": {"patient_id": patient, "title": "Besök", "content": "Mår bra."},
        "attach_document": {"patient_id": patient, "title": "Intyg", "text": "Frisk."},
        "list_drafts": {"patient_id": patient},
    }
    calls["create_patient"] = {"first_name": "Ny", "last_name": "Provsson"}
    calls["book_appointment"] = {
        "patient_id": patient,
        "start": "2026-09-17T10:00:00+02:00",
        "end": "2026-09-17T10:30:00+02:00",
        "resource_id": "1022",
        "healthcare_service_id": "301",
    }
    if booked := [a for a in control.appointments(who) if a.start_s > NOW.timestamp()]:
        calls["change_appointment"] = {"appointment_id": booked[0].id, "action": "cancel"}
    if notes := control.notes(who):
        calls["get_note"] = {"patient_id": patient, "note_id": notes[0].id}
    if documents := control.documents(who):
        calls["get_document"] = {"patient_id": patient, "document_id": documents[0].id}
    return calls
