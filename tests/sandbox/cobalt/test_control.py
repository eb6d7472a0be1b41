"""The control plane over HTTP, faults, and the command, for the Cobalt sandbox."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import httpx2
import pytest

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.serve import serving
from tests.sandbox.cobalt.kit import CREDENTIALS, IMA, NOW, note, sandbox

CONTROL = "http://sandbox.test/_sandbox"


async def ask(client: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    answer = await client.request(method, f"{CONTROL}{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_it_tells_what_it_is_and_what_can_be_asked() -> None:
    async with sandbox() as (_, client):
        told = await ask(client, "GET", "")
        assert (told["emr"], told["faults"]) == ("cobalt", 0)
        assert "POST /_sandbox/outcomes" in told["controls"]
        assert "GET /_sandbox/sms" not in told["controls"]


async def test_jobs_are_seen_and_carried_out() -> None:
    async with sandbox() as (_, client):
        await client.post("/patient-notes", json=note())
        (job,) = await ask(client, "GET", "/jobs")
        assert (job["kind"], job["mrn"]) == ("note", IMA)
        assert await ask(client, "POST", "/jobs") == {"carried_out": 1}
        assert len((await ask(client, "GET", f"/state?patient={IMA}"))["notes"]) == 1


async def test_moving_the_clock_carries_out_what_is_due() -> None:
    async with sandbox() as (box, client):
        await client.post("/patient-notes", json=note())
        await ask(client, "POST", "/clock/advance", {"seconds": 5})
        assert len(box.control.stored("note")) == 1


async def test_outcomes_and_deliveries_are_ordered_read_and_emptied() -> None:
    async with sandbox() as (box, client):
        (told,) = await ask(client, "POST", "/outcomes", {"result": "fail", "reason": "No."})
        assert told["reason"] == "No."
        await ask(client, "POST", "/deliveries", {"result": "lose"})
        assert len((await ask(client, "GET", "/deliveries"))["next"]) == 1
        assert await ask(client, "DELETE", "/outcomes") == []
        assert box.control.outcomes == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/outcomes", {"result": "explode"}),
        ("/deliveries", {}),
        ("/deliveries", {"result": "lose", "x": 1}),
    ],
)
async def test_an_order_that_is_none_is_refused(path: str, body: dict[str, Any]) -> None:
    async with sandbox() as (_, client):
        answer = await client.post(f"{CONTROL}{path}", json=body)
        assert answer.status_code == 400


async def test_the_sign_in_can_be_ended_and_renewed() -> None:
    async with sandbox() as (_, client):
        assert await ask(client, "PUT", "/login") == {"login_required": True}
        assert (await client.get("/patients")).status_code == 403
        assert await ask(client, "DELETE", "/login") == {"login_required": False}
        assert await ask(client, "GET", "/login") == {"login_required": False}


async def test_switches_are_changed_and_a_reset_undoes_all() -> None:
    async with sandbox() as (box, client):
        assert (await ask(client, "PATCH", "/options", {"job_seconds": 0}))["job_seconds"] == 0
        refused = await client.patch(f"{CONTROL}/options", json={"speed": 1})
        assert refused.status_code == 400
        await client.post("/patient-notes", json=note())
        await ask(client, "POST", "/outcomes", {"result": "never"})
        await ask(client, "POST", "/reset")
        assert box.control.options.job_seconds == 2
        assert not box.control.stored("note")
        assert not box.control.outcomes
        await ask(client, "POST", "/seed")
        with pytest.raises(KeyError):
            box.control.state("nobody")
        with pytest.raises(KeyError):
            box.control.content("none")


async def test_no_secret_is_kept_in_the_log_of_requests() -> None:
    async with sandbox() as (_, client):
        await client.get("/patients", params={"mrn": IMA})
        (entry,) = await ask(client, "GET", "/requests")
        assert entry["operation"] == "cobalt-patients"
        assert entry["headers"]["client_secret"] == entry["headers"]["access_token"] == "***"


@pytest.mark.parametrize(
    ("kind", "status"), [("429", 429), ("503", 503), ("unauthorized", 401), ("500_after", 500)]
)
async def test_a_fault_answers_as_cobalt_does(kind: Any, status: int) -> None:
    async with sandbox() as (box, client):
        box.control.faults.add(Fault(kind=kind, operation="cobalt-patient_note", retry_after=7))
        answer = await client.post("/patient-notes", json=note())
        assert (answer.status_code, answer.json()["success"]) == (status, False)
        assert len(box.control.queue.waiting()) == (kind == "500_after")


async def test_a_late_commit_queues_a_write_though_nobody_was_told() -> None:
    async with sandbox() as (box, client):
        box.control.faults.add(Fault(kind="late_commit", seconds=60))
        with pytest.raises(ConnectionResetError):
            await client.post("/patient-notes", json=note())
        assert not box.control.queue.waiting()
        box.control.late_commits.run()
        assert len(box.control.queue.waiting()) == 1


async def test_it_is_served_on_a_socket() -> None:
    box = CobaltSandbox(clock=lambda: NOW)
    try:
        async with (
            serving(box) as origin,
            httpx2.AsyncClient(headers=CREDENTIALS, trust_env=False) as client,
        ):
            box.control.faults.add(Fault(kind="reset_before"))
            with pytest.raises(httpx2.TransportError):
                await client.get(f"{origin}/v1/locations")
            answer = await client.get(f"{origin}/v1/locations")
            assert answer.json()["success"]
            assert box.settings(origin)["COBALT_BASE_URL"] == f"{origin}/v1"
    finally:
        box.close()


async def test_the_command_serves_it_and_says_how_it_is_reached() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leyr_mcp.server", "sandbox", "--emr", "cobalt", "--port", "0"),
        "--json",
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(15):
            told = json.loads(await process.stdout.readuntil(b"}"))
        async with httpx2.AsyncClient(trust_env=False, headers=CREDENTIALS) as client:
            answer = await client.get(f"{told['COBALT_BASE_URL']}/locations")
        assert answer.json()["success"]
        assert told["LEYR_MCP_TIMEZONE"] == "America/Chicago"
    finally:
        process.terminate()
        assert await process.wait() == 0
