"""Queued writes: when they happen, how each can end, and that no two processes do one twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.cobalt.clinic import FIRST
from leyr_mcp.sandbox.cobalt.jobs import CHANGED
from leyr_mcp.sandbox.cobalt.options import Outcome
from tests.sandbox.cobalt.kit import FOLDER, IMA, NOW, events, note, sandbox

BOOKING = {
    "mrn": IMA,
    "location": FIRST,
    "provider": "9001",
    "type": "FU",
    "datetime": "2026-03-03T09:00:00-06:00",
    "prevent_double_booking": "true",
}
PATIENT = {
    "first_name": "Nora",
    "last_name": "Newly-Made",
    "dob": "1990-01-01",
    "sex": "female",
    "phone": "312-555-9999",
}


async def attach(client: httpx2.AsyncClient, **fields: str) -> httpx2.Response:
    form = {"folder_name": FOLDER, "patient_mrn": IMA, **fields}
    return await client.post("/documents", data=form, files={"document": ("a.txt", b"hello")})


async def kinds(client: httpx2.AsyncClient) -> list[str]:
    return [one["event_type"] for one in await events(client, sort="created_at")]


async def test_a_write_takes_its_time_by_the_clock_of_the_sandbox() -> None:
    async with sandbox() as (box, client):
        job = (await client.post("/patient-notes", json=note())).json()["job_id"]
        assert await events(client, job_id=str(job)) == []
        box.control.advance(1.9)
        assert await events(client, job_id=str(job)) == []
        box.control.advance(0.2)
        (event,) = await events(client, job_id=str(job))
        assert event["event_type"] == "patient_note.created"


async def test_a_timer_finishes_it_without_any_request() -> None:
    async with sandbox(clock=None) as (box, client):
        box.control.options.job_seconds = 0.01
        await client.post("/patient-notes", json=note())
        async with asyncio.timeout(5):
            while not box.control.events():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.005)


async def test_an_appointment_is_pending_then_scheduled() -> None:
    async with sandbox() as (box, client):
        told = (await client.post("/appointments", json=BOOKING)).json()
        query = {"start_date": "2026-03-03", "end_date": "2026-03-03", "patient_mrn": IMA}
        (one,) = (await client.get("/appointments", params=query)).json()["appointments"]
        assert (one["id"], one["status"], one["ehr_appointment_id"]) == (
            told["appointment_id"],
            "pending",
            None,
        )
        box.control.run_jobs()
        (one,) = (await client.get("/appointments", params=query)).json()["appointments"]
        assert one["status"] == "scheduled"
        assert one["ehr_appointment_id"]
        (event,) = await events(client)
        assert event["data"]["appointment_id"] == told["appointment_id"]


async def test_a_double_booking_is_told_by_event_and_leaves_it_failed() -> None:
    async with sandbox() as (box, client):
        for mrn in (IMA, "MRN-10006"):
            await client.post("/appointments", json={**BOOKING, "mrn": mrn})
        box.control.run_jobs()
        first, second = await events(client, sort="created_at")
        assert first["event_type"] == "appointment.failed"
        assert first["data"]["conflict_type"] == "double_booking"
        assert second["event_type"] == "appointment.created"
        statuses = {
            a["mrn"]: a["status"]
            for a in box.control.stored("appointment")
            if a["source"] == "cobalt_operation"
        }
        assert set(statuses.values()) == {"failed", "scheduled"}


async def test_only_status_or_note_of_a_scheduled_appointment_can_be_changed() -> None:
    async with sandbox() as (box, client):
        made = (await client.post("/appointments", json=BOOKING)).json()["appointment_id"]
        path = f"/appointments/{made}"
        later = {"datetime": "2026-03-03T10:00:00-06:00"}
        assert (await client.patch(path, json=later)).json()["message"] == "Appointment updated"
        box.control.run_jobs()
        assert (await client.patch(path, json=later)).status_code == 400
        assert (await client.patch(path, json={"status": "what"})).status_code == 400
        assert (await client.patch("/appointments/none", json={"note": "x"})).status_code == 404
        assert (await client.patch(path, json={"status": "CANC"})).json()["job_id"]
        box.control.run_jobs()
        (updated, created) = await events(client)
        assert created["data"]["date_time"] == later["datetime"]
        assert (updated["event_type"], updated["data"]["status"]) == ("appointment.updated", "CANC")


async def test_a_document_is_stored_byte_for_byte() -> None:
    async with sandbox() as (box, client):
        known = (await attach(client, notes="Letter")).json()["document_id"]
        assert (await client.get(f"/documents/{known}")).status_code == 404
        box.control.run_jobs()
        answer = await client.get(f"/documents/{known}")
        assert answer.content == b"hello"
        assert answer.headers["content-type"] == "text/plain"
        assert answer.headers["content-disposition"].startswith("attachment")
        (event,) = await events(client)
        assert event["data"] == {"document_id": known, "patient_mrn": IMA, "folder_name": FOLDER}
        assert box.control.content(known) == b"hello"


@pytest.mark.parametrize("fields", [{"folder_name": "Nowhere"}, {"patient_mrn": "MRN-0"}])
async def test_a_document_that_finds_no_place_fails(fields: dict[str, str]) -> None:
    async with sandbox() as (box, client):
        await attach(client, **fields)
        box.control.run_jobs()
        (event,) = await events(client)
        assert event["event_type"] == "document.upload_failed"
        assert event["data"]["failure_reason"]


async def test_a_patient_is_pending_then_active_and_no_second_one_is_made() -> None:
    async with sandbox() as (box, client):
        for _ in range(2):
            assert (await client.post("/patients", json=PATIENT)).json()["patient_id"]
        box.control.run_jobs()
        assert sorted(await kinds(client)) == ["patient.created", "patient.failed"]
        found = (await client.get("/patients", params={"last_name": "newly"})).json()["patients"]
        assert sorted(one["status"] for one in found) == ["active", "failed"]


async def test_whom_only_the_record_knows_is_found_by_a_live_fetch() -> None:
    async with sandbox() as (box, client):
        wanted = {"last_name": "Livefetch"}
        assert (await client.get("/patients", params=wanted)).json()["patients"] == []
        answer = await client.post("/patients/fetch", json={"search_by": "name", **wanted})
        assert (answer.status_code, type(answer.json()["job_id"])) == (202, str)
        box.control.run_jobs()
        (event,) = await events(client, job_id=answer.json()["job_id"])
        assert event["event_type"] == "patient.live_fetch_completed"
        assert event["data"]["patient_count"] == 2
        assert event["data"]["patients"][0]["date_of_birth"] == "1985-05-25"
        assert len((await client.get("/patients", params=wanted)).json()["patients"]) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/patients/fetch", {}),
        ("/patients/fetch", {"search_by": "name"}),
        ("/patients/fetch", {"search_by": "phone", "phone": "3125551234"}),
        ("/appointments/fetch", {"start_date": "2026-03-02"}),
        ("/appointments/fetch", {"start_date": "2026-03-02", "end_date": "2026-03-12"}),
        ("/appointments/fetch", {"start_date": "2026-03-02", "end_date": "2026-03-01"}),
        ("/appointments/fetch", {"start_date": "x", "end_date": "y"}),
        ("/appointments/fetch", {"search_by": "moon"}),
        ("/availability/fetch", {"start_date": "2026-03-02", "end_date": "2026-03-02"}),
    ],
)
async def test_a_live_fetch_without_its_bounds_is_refused(path: str, body: dict[str, Any]) -> None:
    async with sandbox() as (_, client):
        assert (await client.post(path, json=body)).status_code == 400


async def test_the_other_live_fetches() -> None:
    async with sandbox() as (box, client):
        span = {"start_date": "2026-03-02", "end_date": "2026-03-06"}
        await client.post("/appointments/fetch", json=span)
        await client.post("/availability/fetch", json={**span, "provider_ids": ["9001"]})
        box.control.run_jobs()
        free, booked = await events(client)
        assert booked["data"]["appointment_count"] == len(booked["data"]["appointments"]) > 0
        assert {one["provider_id"] for one in free["data"]["availability"]} == {"9001"}


@pytest.mark.parametrize(
    ("result", "stored", "logged"),
    [
        ("good", 1, 1),
        ("fail", 0, 1),
        ("never", 0, 0),
        ("silent", 1, 0),
        ("differently", 1, 1),
        ("older", 1, 1),
        ("twice", 1, 2),
    ],
)
async def test_each_ordered_outcome(result: Any, stored: int, logged: int) -> None:
    async with sandbox() as (box, client):
        box.control.outcomes.append(Outcome(result=result, reason="No such chart."))
        await client.post("/patient-notes", json=note())
        box.control.run_jobs()
        found = await events(client)
        assert (len(box.control.stored("note")), len(found)) == (stored, logged)
        if result == "differently":
            assert found[0]["data"]["note"].endswith(CHANGED)
        if result == "fail":
            assert found[0]["data"]["failure_reason"] == "No such chart."
        if result == "older":
            assert {"id", "type", "created", "delivered"} <= set(found[0])
        if result == "twice":
            assert len({one["event_id"] for one in found}) == 2


async def test_an_outcome_is_for_its_kind_its_patient_and_its_number_of_times() -> None:
    async with sandbox() as (box, client):
        box.control.outcomes.append(Outcome(result="fail", kind="note", mrn=IMA, times=2))
        await attach(client)
        await client.post("/patient-notes", json=note(patient_mrn="MRN-10006"))
        for _ in range(3):
            await client.post("/patient-notes", json=note())
        box.control.run_jobs()
        assert (await kinds(client)).count("patient_note.failed") == 2
        assert box.control.outcomes == []


async def test_an_outcome_can_come_late() -> None:
    async with sandbox() as (box, client):
        box.control.outcomes.append(Outcome(result="fail", seconds=600))
        await client.post("/patient-notes", json=note())
        box.control.advance(599)
        assert await events(client) == []
        box.control.advance(2)
        assert await kinds(client) == ["patient_note.failed"]


@pytest.mark.parametrize(("ids", "kind"), [("number", int), ("text", str), ("none", None)])
async def test_job_ids_of_every_form(ids: Any, kind: type | None) -> None:
    async with sandbox() as (box, client):
        box.control.options.job_ids = ids
        told = (await client.post("/patient-notes", json=note())).json()
        assert ("job_id" in told) is (kind is not None)
        assert kind is None or type(told["job_id"]) is kind


async def test_an_acknowledgement_may_be_nested_and_of_another_status() -> None:
    async with sandbox() as (box, client):
        box.control.switch({"nested": True, "queued_status": 202})
        told = (await client.post("/appointments", json=BOOKING)).json()
        assert set(told["data"]) == {"appointment_id", "job_id"}
        assert (await client.post("/patient-notes", json=note())).status_code == 202


async def test_without_a_sign_in_everything_is_refused_and_jobs_fail() -> None:
    async with sandbox() as (box, client):
        await client.post("/patient-notes", json=note())
        box.control.login_required = True
        answer = await client.get("/patients")
        assert answer.status_code == 403
        assert answer.json()["error"] == "login_required"
        assert (await client.get("/webhook")).status_code == 200
        box.control.run_jobs()
        told = [event["type"] for event in box.control.events()]
        assert told == ["access_token.login_required", "patient_note.failed"]
        box.control.login_required = False
        assert (await client.get("/patients")).status_code == 200


async def test_two_processes_of_one_state_do_each_job_once(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    async with sandbox(state=state) as (one, client), sandbox(state=state) as (two, other):
        await client.post("/patient-notes", json=note())
        assert two.control.run_jobs() == 1
        assert one.control.run_jobs() == 0
        assert [e["event_type"] for e in await events(other)] == ["patient_note.created"]
        assert len(one.control.stored("note")) == 1
    again = CobaltSandbox(state=state, clock=lambda: NOW)
    assert len(again.control.stored("note")) == 1
    again.close()
