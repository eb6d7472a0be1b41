"""A server over Cobalt's sandbox, its receiver of webhooks on a socket, and a person."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp import Client

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.server.app import App, build
from leyr_mcp.server.ehr.cobalt.backend import CobaltEhr
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.settings import load
from leyr_mcp.server.values import Secret
from leyr_mcp.server.web.serving import Listener
from leyr_mcp.server.web.webhooks import PATH, WebhookApp

IMA = "mrn:MRN-10005"
PERSON = Person(name="Dr. Test", channel="review", who=Who(subject="test"))
CREDENTIALS = {"client_id": "sandbox", "client_secret": "sandbox", "access_token": "sandbox"}
WITHIN_S = 15.0
_KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What a test holds."""

    app: App
    client: Client
    box: CobaltSandbox
    hook: str

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool."""
        return await self.client.call_tool(tool, arguments)

    async def note(self, text: str = "Feels well.", **more: Any) -> Entry:
        """Return a note that waits for a person."""
        given = {"patient_id": IMA, "title": "Check", "content": text, **more}
        return await self._drafted("write_note", given)

    async def letter(self, text: str = "Bring your list.", **more: Any) -> Entry:
        """Return a document that waits for a person."""
        given = {"patient_id": IMA, "title": "Letter", "text": text, **more}
        return await self._drafted("attach_document", given)

    async def booking(self, turn: int = 0) -> Entry:
        """Return a booking that waits for a person."""
        free = await self.call("list_timeslots", healthcare_service_id="FU", resource_id="9001")
        slot = free.structured_content["timeslots"][turn]
        names = ("start", "end", "resource_id", "healthcare_service_id")
        given = {"patient_id": IMA, **{name: slot[name] for name in names}}
        return await self._drafted("book_appointment", given)

    async def cancellation(self) -> Entry:
        """Return the cancellation of the seed's appointment that waits for a person."""
        listed = await self.call("list_appointments", patient_id=IMA)
        known = listed.structured_content["appointments"][0]["appointment_id"]
        given = {"appointment_id": known, "action": "cancel"}
        return await self._drafted("change_appointment", given)

    async def approve(self, entry: Entry) -> None:
        """Approve it, as a person does on the page."""
        assert await self.app.desk().approve(await self.app.desk().entry(entry.id), PERSON)

    async def entry(self, entry: Entry) -> Entry:
        """Return it as it stands."""
        return await self.app.desk().entry(entry.id)

    async def until(self, entry: Entry, *states: str, within_s: float = WITHIN_S) -> Entry:
        """Return it once it is in one of these states."""
        found = entry
        async with asyncio.timeout(within_s):
            while (found := await self.entry(entry)).draft.state not in states:  # noqa: ASYNC110 - as a person would
                await asyncio.sleep(0.02)
        return found

    def stored(self, kind: Any) -> list[dict[str, Any]]:
        """Return what is in the record of what was written in this test."""
        found = self.box.control.stored(kind)
        return [one for one in found if one.get("source") != "ehr_sync"]

    def writes(self) -> int:
        """Return how many writes Cobalt was sent."""
        reads = ("GET", "DELETE")
        return sum(
            entry.method not in reads and not entry.path.endswith(("/fetch", "/webhook"))
            for entry in self.box.control.requests.entries
        )

    async def post(self, body: bytes, **headers: str) -> int:
        """Send something to the receiver, as anybody could."""
        async with httpx2.AsyncClient(trust_env=False) as web:
            return (await web.post(self.hook, content=body, headers=headers)).status_code

    async def _drafted(self, tool: str, given: dict[str, Any]) -> Entry:
        result = await self.call(tool, **given)
        assert not result.is_error, result.content
        return await self.app.desk().entry(result.structured_content["draft_id"])


@asynccontextmanager
async def cobalt_desk(*, webhooks: bool = True, **settings: str) -> AsyncIterator[Desk]:
    """Open one whose jobs take a moment; with `webhooks` Cobalt sends them to the receiver."""
    app = build(load(_settings(settings)), in_memory=True)
    assert app.sandbox is not None
    box = app.sandbox.open()
    assert isinstance(box, CobaltSandbox)
    box.control.options.job_seconds = 0.15
    box.control.switch({"first_limit_s": 1.0, "retry_after_s": 0.01, "retry_limit_s": 1.0})
    assert isinstance(app.ehr, CobaltEhr)
    secret = await app.ehr.register_webhook("https://nowhere.invalid/")
    for one in box.control.store.all("webhook"):
        box.control.store.remove("webhook", one["id"])
    listener = await Listener.open(
        "127.0.0.1", 0, WebhookApp((Secret(secret),), app.desk().noticed)
    )
    hook = f"{listener.origin}{PATH}"
    if webhooks:
        await app.ehr.register_webhook(hook)
    try:
        async with Client(app.server) as client:
            yield Desk(app=app, client=client, box=box, hook=hook)
    finally:
        box.control.deliverer.stop()
        await listener.stop()
        await app.close(drain_s=5.0)


def _settings(more: dict[str, str]) -> dict[str, str]:
    return {
        "LEYR_EMR": "cobalt",
        "LEYR_MCP_DATA_KEY": _KEY,
        "LEYR_MCP_WRITE_DEADLINE_S": "1.5",
        "LEYR_MCP_GRACE_S": "4.5",
        **more,
    }
