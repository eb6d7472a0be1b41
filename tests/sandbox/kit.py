"""What the sandbox tests share: a fixed time, a client in process, and the envelope's codes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import httpx2

from leyr_mcp.sandbox.app import Sandbox

NOW = datetime.fromisoformat("2026-03-02T07:00:00+01:00")  # a Monday, before opening
CREDENTIALS = {"x-leyr-client-id": "sandbox", "x-leyr-client-secret": "sandbox"}
TOLVAN = "se_personal_number:191212121212"
ORIGIN = "http://sandbox.test"


def at(moment: str) -> datetime:
    """Return an ISO text as a datetime."""
    return datetime.fromisoformat(moment)


@asynccontextmanager
async def client_of(box: Sandbox, unit: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client whose paths begin at a care unit of a sandbox, without a network."""
    unit = unit or {"takecare": "10", "pasientsky": "L0_10"}.get(box.emr, "L0_1")
    base = f"{ORIGIN}/api/emrs/{box.emr}/care-units/{unit}"
    transport = httpx2.ASGITransport(app=box)
    async with httpx2.AsyncClient(
        transport=transport, base_url=base, headers=CREDENTIALS
    ) as client:
        yield client


@asynccontextmanager
async def sandbox_client(emr: str = "webdoc") -> AsyncIterator[tuple[Sandbox, httpx2.AsyncClient]]:
    """Yield a fresh sandbox for a record system at the fixed time, and a client of it."""
    box = Sandbox(emr, clock=lambda: NOW)
    try:
        async with client_of(box) as client:
            yield box, client
    finally:
        box.close()


def codes(response: httpx2.Response) -> tuple[int, list[str]]:
    """Return the status and the detailed codes of a refusal, after checking its envelope."""
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == f"https://docs.leyr.io/api/error-handling/{body['code'].lower()}"
    assert len(body["instance"]) == 36
    assert body["title"]
    assert body["detail"]
    return response.status_code, [item["error_code"] for item in body.get("errors", [])]


def refused(response: httpx2.Response, *error_codes: str) -> bool:
    """Whether a response is a 400 with exactly these codes."""
    return codes(response) == (400, list(error_codes))


async def first_slot(client: httpx2.AsyncClient, **filters: str) -> dict[str, str]:
    """Return the first free timeslot."""
    slots: list[dict[str, str]] = (await client.get("/timeslots", params=filters)).json()
    return slots[0]


async def book(client: httpx2.AsyncClient, **changes: object) -> httpx2.Response:
    """Book the first free timeslot of a doctor for the first patient, with changes."""
    slot = await first_slot(client, healthcare_service_id="301")
    return await client.post("/appointments", json={**slot, "patient_id": TOLVAN, **changes})


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until something has come true, at most five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- what is waited for knows of no event
            await asyncio.sleep(0)
