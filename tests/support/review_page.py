"""A review page over a record of its own, and what a browser would send to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.app import App, build
from leyr_mcp.server.ehr.identifiers import parse_patient
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.entries import Entry, Person, Proposal
from leyr_mcp.server.filing.passphrase import Passphrase
from leyr_mcp.server.filing.payloads import Item, NoteItem
from leyr_mcp.server.settings import load
from tests.support.mcp_session import NOW, TOLVAN, app_of, sandbox_of

PHRASE = "correct horse battery"
APPROVER = "Anna Ek"
ASSISTANT = Who(subject="tester", client="claude-code")


@dataclass(slots=True, kw_only=True)
class Clock:
    """A clock that a test sets."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A page, the server behind it and the record behind the server."""

    app: App
    box: Sandbox
    clock: Clock
    keeper: Passphrase

    async def note(
        self,
        text: str = "Mår bra.",
        *,
        title: str = "Besök",
        patient: str = TOLVAN,
        draft: bool = False,
        **fields: Any,
    ) -> Entry:
        """Draft a note as an assistant does."""
        item = NoteItem(
            title=title, template_id="leyr_unstructured", content={"unstructured": text}
        )
        return await self.stage(item, patient, draft=draft, **fields)

    async def stage(self, item: Item, patient: str = TOLVAN, **fields: Any) -> Entry:
        """Draft anything."""
        typed = patient if ":" in patient else f"se_personal_number:{patient}"
        ref = parse_patient(typed, today=self.clock().date(), environment=None)
        proposal = Proposal(care_unit_id="L0_1", item=item, patient=ref, **fields)
        return await self.app.desk().stage(proposal, ASSISTANT)

    async def in_doubt(self) -> Entry:
        """Return a draft that the record system refused, so that a person must decide."""
        entry = await self.note()
        self.box.control.faults.add(Fault(kind="emr_401", method="POST"))
        desk = self.app.desk()
        assert await desk.approve(entry, Person(name=APPROVER, channel="test", who=ASSISTANT))
        found = await desk.outcome(entry, 10.0)
        assert found.draft.state == "needs_human"
        return found

    def fail(self, kind: str) -> None:
        """Let every request to the record meet a fault from now on."""
        self.box.control.faults.add(Fault.model_validate({"kind": kind, "times": None}))

    async def url(self, draft_id: str | None = None) -> str:
        """Return the page's address, served from now on."""
        found = await self.app.page().url(draft_id)
        assert found is not None
        return found


@asynccontextmanager
async def sandbox_desk() -> AsyncIterator[Desk]:
    """Yield a page in sandbox mode, where approving needs no passphrase."""
    async with app_of() as app:
        keeper = Passphrase(Path("/nonexistent"), clock=lambda: NOW)
        yield Desk(app=app, box=sandbox_of(app), clock=Clock(), keeper=keeper)


@asynccontextmanager
async def clinic_desk(
    folder: Path, *, phrase: str | None = PHRASE, **settings: str
) -> AsyncIterator[Desk]:
    """Yield a page of a server that speaks to a record over HTTP and asks for a passphrase."""
    clock = Clock()
    box = Sandbox("webdoc", clock=clock)
    keeper = Passphrase(folder / "state", clock=clock)
    if phrase is not None:
        keeper.set(phrase, name=APPROVER)
    async with serving(box) as origin:
        found = {
            "LEYR_MCP_BACKEND": "leyr",
            "LEYR_BASE_URL": f"{origin}/api",
            "LEYR_CLIENT_ID": box.client_id,
            "LEYR_CLIENT_SECRET": box.client_secret,
            "LEYR_EMR": "webdoc",
            "LEYR_CARE_UNIT_ID": "L0_1",
            "LEYR_RESOURCE_ID": "1021",
            "LEYR_MCP_STATE_DIR": str(folder / "state"),
            **settings,
        }
        app = build(load(found), clock=clock, in_memory=True)
        try:
            yield Desk(app=app, box=box, clock=clock, keeper=keeper)
        finally:
            await app.close()
    box.close()


class Browser:
    """Speaks to a page as the page's own script does."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        parts = urlsplit(url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.base = f"{self.origin}{parts.path}"
        self.http = http

    async def post(self, action: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Send a request; a header given replaces the one that a browser sends."""
        sent = {"origin": self.origin, "sec-fetch-site": "same-origin"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(
            f"{self.base}api/{action}", json=body if body is not None else {}, headers=sent | named
        )

    async def ask(self, action: str, body: Any = None) -> dict[str, Any]:
        """Return the answer of a request that must succeed."""
        answer = await self.post(action, body)
        assert answer.status_code == 200, answer.text
        return cast("dict[str, Any]", answer.json())

    async def refused(self, action: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """Return status and sentence of a request that must fail."""
        answer = await self.post(action, body, **headers)
        assert answer.status_code != 200
        return answer.status_code, answer.json()["error"]["message"]

    async def approve(self, entry: Entry, phrase: str | None = PHRASE, **more: Any) -> Any:
        """Approve one draft as it is and return what came of it."""
        found = await self.ask("decide", decided(entry, phrase=phrase, **more))
        return found["results"][0]


@asynccontextmanager
async def browser(desk: Desk) -> AsyncIterator[Browser]:
    """Yield a browser on the page."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield Browser(await desk.url(), http)


def seen(entry: Entry) -> dict[str, Any]:
    """Return how a request names the version that its sender saw."""
    return {"draft_id": entry.id, "version": entry.draft.version, "digest": entry.draft.digest}


def decided(*entries: Entry, phrase: str | None = PHRASE, approve: bool = True) -> dict[str, Any]:
    """Return a decision on these drafts."""
    decisions = [{**seen(entry), "approve": approve} for entry in entries]
    return {"decisions": decisions} | ({"passphrase": phrase} if phrase is not None else {})
