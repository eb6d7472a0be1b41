"""The vendor's own examples of each write, out of a tool, a yes and a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from mcp import Client

from leyr_mcp.server.app import App, build
from leyr_mcp.server.settings import load
from tests.support.mcp_answers import check_answer
from tests.support.mcp_asking import HOST, Form, User, user, yes
from tests.support.mcp_session import Mode, both_eras
from tests.support.upstream_raw import RawRequest, RawUpstream, answer, raw_upstream

BEFORE = datetime.fromisoformat("2024-03-20T08:00:00+01:00")
UNIT = "/api/emrs/webdoc/care-units/care-unit-123"
PATIENT = "se_personal_number:191212121212"
SLOT = {
    "start": "2024-03-25T14:00:00+01:00",
    "end": "2024-03-25T14:30:00+01:00",
    "resource_id": "doctor-789",
    "healthcare_service_id": "service-101",
}
BOOKING = {
    "start": SLOT["start"],
    "end": SLOT["end"],
    "patient_id": PATIENT,
    "resource_id": "doctor-789",
    "healthcare_service_id": "service-101",
    "comment": "First consultation",
}
NOTE_TEXT = """Patient presents with mild headache and fatigue.
Symptoms:
- Headache (mild, frontal region)
- Fatigue for 2 days
- No fever
Assessment:
Likely tension headache, possibly related to stress and lack of sleep.
Plan:
- Recommend adequate rest and hydration
- Over-the-counter pain relief as needed
- Follow-up if symptoms persist beyond 1 week
"""
NOTE = {
    "template_id": "leyr_unstructured",
    "title": "Consultation Summary",
    "created_by_id": "resource-123",
    "content": {"unstructured": NOTE_TEXT},
}
NOTES = f"{UNIT}/patients/{PATIENT}/medical-notes"
PDF = (Path(__file__).parents[2] / "sandbox" / "samples" / "lab-report.pdf").read_bytes()
DOCUMENT = {
    "content": base64.b64encode(PDF).decode("utf-8"),
    "format": "application/pdf",
    "title": "Blood Test Results",
    "type": "Lab Result",
    "created_by_id": "resource-123",
}
DOCUMENTS = f"{UNIT}/patients/{PATIENT}/documents"
STORED = {**SLOT, "id": "a1", "status": "booked", "care_unit_id": "care-unit-123"}
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", f"{UNIT}/patients/{PATIENT}"): {
        "id": "leyr-1",
        "emr_id": "abc_12345",
        "first_name": "Tolvan",
        "last_name": "Tolvansson",
    },
    ("GET", f"{UNIT}/timeslots"): [SLOT],
    ("GET", f"{UNIT}/appointments/a1"): STORED,
    ("POST", f"{UNIT}/appointments"): [STORED],
    ("GET", f"{NOTES}/n1"): {"id": "n1", **NOTE},
    ("POST", NOTES): {"id": "n1", "created_by_id": "resource-123"},
    ("GET", f"{DOCUMENTS}/d1"): {"id": "d1", **DOCUMENT},
    ("POST", DOCUMENTS): {
        "id": "d1",
        "title": "Blood Test Results",
        "type": "Lab Result",
        "format": "application/pdf",
    },
}


async def _by_path(upstream: RawUpstream, writer: asyncio.StreamWriter) -> None:
    """Answer the request that came last, an empty list where nothing else is said."""
    request = upstream.requests[-1]
    found = ANSWERS.get((request.method, request.target.partition("?")[0]), [])
    writer.write(answer(json.dumps(found).encode()))
    await writer.drain()


@dataclass(frozen=True)
class Seed:
    """A client with a person at it, and the wire behind the server."""

    client: Client
    upstream: RawUpstream
    person: User = field(default_factory=lambda: user(yes))

    async def written(self, tool: str, **call: Any) -> tuple[RawRequest, dict[str, Any]]:
        """Call a tool and return the one write that came of it, and the answer."""
        _, data = check_answer(await self.client.call_tool(tool, call))
        (request,) = [r for r in self.upstream.requests if r.method != "GET"]
        return request, data


def _app(origin: str, **more: str) -> App:
    settings = load(
        {
            **more,
            "LEYR_BASE_URL": f"{origin}/api",
            "LEYR_CLIENT_ID": "your-client-id",
            "LEYR_CLIENT_SECRET": "your-client-secret",
            "LEYR_EMR": "webdoc",
            "LEYR_CARE_UNIT_ID": "care-unit-123",
            "LEYR_RESOURCE_ID": "resource-123",
        }
    )
    return build(settings, clock=lambda: BEFORE, in_memory=True)


@asynccontextmanager
async def seeded(mode: str, **settings: str) -> AsyncIterator[Seed]:
    """Yield a client whose person says yes, connected to a server before a raw socket."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(raw_upstream(_by_path))
        app = _app(upstream.origin, **settings)
        stack.push_async_callback(app.close)
        person = user(yes)
        client = Client(
            app.server,
            mode=cast("Mode", mode),
            elicitation_callback=person,
            client_info=HOST,
        )
        yield Seed(await stack.enter_async_context(client), upstream, person)


def check_wire(request: RawRequest, target: str, body: dict[str, Any]) -> None:
    """Assert that a write is the example's request: its line, its headers, its JSON in order."""
    assert request.line == f"POST {target} HTTP/1.1"
    assert request.headers["x-leyr-client-id"] == "your-client-id"
    assert request.headers["x-leyr-client-secret"] == "your-client-secret"
    assert request.headers["Content-Type"] == "application/json"
    sent = json.loads(request.body)
    assert sent == body
    assert list(sent) == list(body)


def question(person: User) -> str:
    """Return the one question that was asked."""
    (form,) = person.asked
    assert isinstance(form, Form)
    return form.message


@both_eras
async def test_booking_is_the_seeds_request(mode: str) -> None:
    async with seeded(mode) as it:
        request, data = await it.written("book_appointment", **BOOKING, expect="Tolvansson")
        check_wire(request, f"{UNIT}/appointments", BOOKING)
        assert "First consultation" in question(it.person)
    assert (data["status"], data["record_id"]) == ("filed", "a1")
    assert data["appointment"]["status"] == "booked"


@both_eras
async def test_note_is_the_seeds_request(mode: str) -> None:
    async with seeded(mode) as it:
        request, data = await it.written(
            "write_note",
            patient_id=PATIENT,
            title=NOTE["title"],
            content=NOTE_TEXT,
            expect="Tolvansson",
        )
        check_wire(request, NOTES, NOTE)
        assert "frontal region" in question(it.person)
    assert (data["status"], data["record_id"]) == ("filed", "n1")


@both_eras
async def test_document_is_the_seeds_request(mode: str, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "lab_results.pdf").write_bytes(PDF)
    async with seeded(mode, LEYR_MCP_ROOTS=str(tmp_path / "root")) as it:
        request, data = await it.written(
            "attach_document",
            patient_id=PATIENT,
            title=DOCUMENT["title"],
            type=DOCUMENT["type"],
            path="lab_results.pdf",
            expect="Tolvansson",
        )
        check_wire(request, DOCUMENTS, DOCUMENT)
        assert request.headers["Content-Length"] == str(len(request.body))
        assert "Transfer-Encoding" not in request.headers
        assert "Laboratoriesvar" in question(it.person)
    assert (data["status"], data["record_id"], data["verified"]) == ("filed", "d1", "equal")


@both_eras
async def test_without_a_yes_no_write_leaves(mode: str) -> None:
    async with seeded(mode) as it:
        for tool, call in (
            ("book_appointment", {**BOOKING, "draft": True}),
            ("write_note", {"patient_id": PATIENT, "title": "x", "content": "y", "draft": True}),
            ("attach_document", {"patient_id": PATIENT, "title": "x", "text": "y", "draft": True}),
        ):
            _, data = check_answer(await it.client.call_tool(tool, call))
            assert data["status"] == "draft"
        assert {request.method for request in it.upstream.requests} == {"GET"}
        assert it.person.asked == []
