"""What is read: who may, what lists hold, how they are narrowed, free times at a clock change."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.cobalt.clinic import FIRST, SECOND
from leyr_mcp.sandbox.cobalt.seed import PEOPLE
from tests.sandbox.cobalt.kit import CREDENTIALS, NOW, events, note, sandbox

WEEK = {"start_date": "2026-03-02", "end_date": "2026-03-08"}


@pytest.mark.parametrize("name", list(CREDENTIALS))
@pytest.mark.parametrize("value", ["", "wrong"])
async def test_wrong_credentials_are_refused_in_the_same_words(name: str, value: str) -> None:
    async with sandbox() as (_, client):
        answer = await client.get("/locations", headers={name: value})
        assert (answer.status_code, answer.json()) == (
            401,
            {"success": False, "message": "Invalid or missing credentials"},
        )


async def test_real_credentials_are_never_taken() -> None:
    for given in ({"client_id": "ci_live_x"}, {"client_secret": "cs_live_x"}):
        with pytest.raises(ValueError, match="real account"):
            CobaltSandbox(**given)  # type: ignore[arg-type]  # each is one of its texts


async def test_the_directory_holds_both_ids_of_everything() -> None:
    async with sandbox() as (_, client):
        places = (await client.get("/locations")).json()["locations"]
        people = (await client.get("/providers")).json()["providers"]
        assert [p["status"] for p in places] == ["active", "active", "inactive"]
        assert all(len(one["id"]) == 32 and one["ehr_id"] != one["id"] for one in places + people)
        settings = (await client.get("/settings")).json()["data"]
        assert settings["timezone"] == "America/Chicago"
        assert settings["visit_types"] == (await client.get("/visit-types")).json()["visit_types"]
        statuses = (await client.get("/visit-statuses")).json()["visit_statuses"]
        assert {"code": "CANC", "description": "Cancelled"} in statuses


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, len([p for p in PEOPLE if p.copied])),
        ({"last_name": "SAMPLE"}, 2),
        ({"first_name": "max", "last_name": "place"}, 2),
        ({"dob": "1990-06-02"}, 1),
        ({"mrn": "MRN-10005"}, 1),
        ({"mrn": "MRN-1000"}, 0),
        ({"phone": "3125551004"}, 1),
        ({"ehr_id": "70001"}, 1),
    ],
)
async def test_patients_are_narrowed(query: dict[str, str], count: int) -> None:
    async with sandbox() as (_, client):
        found = (await client.get("/patients", params=query)).json()
        assert len(found["patients"]) == found["pagination"]["total_count"] == count


@pytest.mark.parametrize(
    ("query", "length", "pages"),
    [
        ({"page_size": "5"}, 5, 5),
        ({"page_size": "5", "page": "5"}, 3, 5),
        ({"page_size": "5", "page": "9"}, 0, 5),
    ],
)
async def test_pages(query: dict[str, str], length: int, pages: int) -> None:
    async with sandbox() as (_, client):
        found = (await client.get("/patients", params=query)).json()
        assert (len(found["patients"]), found["pagination"]["total_pages"]) == (length, pages)


@pytest.mark.parametrize("wrong", [{"page": "0"}, {"page_size": "101"}, {"page": "x"}])
async def test_a_page_that_is_none_is_refused(wrong: dict[str, str]) -> None:
    async with sandbox() as (_, client):
        assert (await client.get("/patients", params=wrong)).status_code == 400


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/appointments", {}),
        ("/appointments", {"start_date": "2026-03-02"}),
        ("/appointments", {"start_date": "x", "end_date": "y"}),
        ("/availability", {"start_date": "2026-03-02"}),
        ("/availability", {**WEEK, "end_date": "2026-03-01"}),
        ("/availability", {**WEEK, "end_date": "2027-03-01"}),
        ("/availability", {**WEEK, "calculation_method": "guess"}),
        ("/availability", {**WEEK, "visit_type": "none"}),
        ("/webhook-events", {"sort": "name"}),
        ("/webhook-events", {"start_date": "soon"}),
    ],
)
async def test_a_question_that_cannot_be_read_is_refused(path: str, query: Any) -> None:
    async with sandbox() as (_, client):
        answer = await client.get(path, params=query)
        assert (answer.status_code, answer.json()["success"]) == (400, False)


async def test_free_times_have_the_length_of_the_visit_and_heed_who_and_where() -> None:
    async with sandbox() as (_, client):
        found = await _free(client, visit_type="NP", location_ids=SECOND)
        assert {one["provider_id"] for one in found} == {"9003"}
        assert {one["facility_id"] for one in found} == {SECOND}
        assert {one["duration_string"] for one in found} == {"60 minutes"}
        assert {one["date"] for one in found} == {"2026-03-02", "2026-03-04", "2026-03-06"}
        found = await _free(client, provider_ids="9001,9004", visit_type="FU")
        assert {one["provider_id"] for one in found} == {"9001"}  # 9004 is hidden
        assert {one["facility_id"] for one in found} == {FIRST}
        assert all(one["range_start"].endswith(".000-06:00") for one in found)


async def test_what_is_booked_is_not_free_even_while_it_is_pending() -> None:
    async with sandbox() as (_, client):
        (first, *_) = await _free(client, provider_ids="9001", visit_type="FU")
        booking = {"mrn": "MRN-10005", "location": FIRST, "provider": "9001", "type": "FU"}
        await client.post("/appointments", json={**booking, "datetime": first["range_start"]})
        assert first not in await _free(client, provider_ids="9001", visit_type="FU")


async def test_working_hours_stay_the_same_over_a_clock_change() -> None:
    async with sandbox(clock=lambda: datetime.fromisoformat("2026-03-05T00:00:00-06:00")) as (_, c):
        found = await _free(c, start_date="2026-03-06", end_date="2026-03-09", provider_ids="9002")
        starts = {one["date"]: one["range_start"] for one in reversed(found)}
        assert starts["2026-03-06"] == "2026-03-06T13:00:00.000-06:00"
        assert starts["2026-03-09"] == "2026-03-09T13:00:00.000-05:00"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"date": "2026-03-03", "time": "9:00 am"}, 200),
        ({"date": "2026-03-03", "time": "12:30 PM"}, 200),
        ({"date": "2026-03-03", "time": "14:00"}, 400),
        ({"datetime": "2026-03-03T09:00:00"}, 200),
        ({"datetime": "soon"}, 400),
        ({}, 400),
        ({"datetime": "2026-03-03T09:00:00-06:00", "type": "none"}, 400),
        ({"datetime": "2026-03-03T09:00:00-06:00", "provider": "9005"}, 400),
        ({"datetime": "2026-03-03T09:00:00-06:00", "location": "x"}, 400),
        ({"datetime": "2026-03-03T09:00:00-06:00", "mrn": ""}, 400),
    ],
)
async def test_when_an_appointment_is(body: dict[str, str], status: int) -> None:
    async with sandbox() as (_, client):
        booking = {"mrn": "MRN-10005", "location": FIRST, "provider": "9001", "type": "FU"}
        answer = await client.post("/appointments", json={**booking, **body})
        assert answer.status_code == status


async def test_events_are_filtered_sorted_and_paged() -> None:
    async with sandbox() as (box, client):
        for number in range(3):
            await client.post("/patient-notes", json=note(subject=f"n{number}"))
            box.control.advance(86_400)
        newest, middle, oldest = await events(client)
        assert [e["data"]["subject"] for e in (oldest, middle, newest)] == ["n0", "n1", "n2"]
        assert await events(client, sort="created_at") == [oldest, middle, newest]
        assert await events(client, job_id=middle["job_id"]) == [middle]
        assert await events(client, job_id="nonsense") == []
        assert await events(client, event_type="patient_note.failed") == []
        assert await events(client, start_date="2026-03-04", end_date="2026-03-04") == [middle]
        assert await events(client, page_size="2", page="2") == [oldest]
        assert await events(client, delivery_status="success") == []
        assert newest["delivery_status"] is None
        assert newest["webhook_url"] is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"no form", "text/plain"),
        (b"--x\r\nrubbish--x--", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (b"--x\r\nno separator\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="folder_name"\r\n\r\nD\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
async def test_a_form_that_is_none_is_refused(body: bytes, kind: str) -> None:
    async with sandbox() as (_, client):
        answer = await client.post("/documents", content=body, headers={"content-type": kind})
        assert (answer.status_code, answer.json()["success"]) == (400, False)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b""])
async def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    async with sandbox() as (_, client):
        answer = await client.post("/patient-notes", content=body)
        assert (answer.status_code, answer.json()["success"]) == (400, False)


async def test_the_same_day_gives_the_same_seed() -> None:
    async with sandbox() as (one, _), sandbox() as (two, _):
        assert one.control.state() == two.control.state()


def test_a_state_of_another_sandbox_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "leyr.sqlite3"
    Sandbox(state=state, clock=lambda: NOW).close()
    with pytest.raises(ValueError, match="belongs to EMR 'webdoc'"):
        CobaltSandbox(state=state)


async def _free(client: Any, **query: str) -> list[dict[str, Any]]:
    answer = await client.get("/availability", params={**WEEK, **query})
    found: list[dict[str, Any]] = answer.json()["results"]["availability"]
    return found
