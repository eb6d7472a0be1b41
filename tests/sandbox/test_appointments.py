import asyncio
from itertools import pairwise

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from tests.sandbox.kit import NOW, TOLVAN, at, book, codes, first_slot, refused, sandbox_client

EIGHT = {"start": "2026-03-02T08:00:00+01:00", "end": "2026-03-02T08:30:00+01:00"}
NINE = {"start": "2026-03-02T09:00:00+01:00", "end": "2026-03-02T09:30:00+01:00"}


async def test_booking_answers_a_bare_list_of_one(box: Sandbox, client: httpx2.AsyncClient) -> None:
    answer = await book(client, comment="First consultation")
    (appointment,) = answer.json()
    assert answer.status_code == 201
    assert appointment == {
        "id": appointment["id"],
        **EIGHT,
        "patient_id": box.control.patient("191212121212").emr_id,
        "resource_id": "1021",
        "healthcare_service_id": "301",
        "comment": "First consultation",
        "status": "booked",
        "care_unit_id": "L0_1",
    }
    read = await client.get(f"/appointments/{appointment['id']}")
    assert read.json() == appointment


async def test_a_booked_slot_disappears_and_a_cancelled_one_returns(
    client: httpx2.AsyncClient,
) -> None:
    slot = await first_slot(client, healthcare_service_id="301")
    appointment = (await book(client)).json()[0]
    assert slot not in (await client.get("/timeslots")).json()
    assert refused(await book(client, **slot), "NO_TIMESLOTS_AVAILABLE")
    cancelled = await client.patch(
        f"/appointments/{appointment['id']}", json={"status": "cancelled"}
    )
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert slot in (await client.get("/timeslots")).json()
    assert (await book(client, **slot)).status_code == 201


async def test_a_booking_also_takes_the_overlapping_slots_of_other_services(
    client: httpx2.AsyncClient,
) -> None:
    await book(client)
    params = {"resource_id": "1021", "end": "2026-03-02T09:00:00+01:00"}
    left = (await client.get("/timeslots", params=params)).json()
    assert [slot["start"][11:16] for slot in left] == ["08:30", "08:30", "08:45"]


@pytest.mark.parametrize("leave_out", ["resource_id", "healthcare_service_id"])
async def test_what_is_left_out_is_filled_in_only_if_one_slot_fits(
    client: httpx2.AsyncClient, leave_out: str
) -> None:
    body = {**EIGHT, "patient_id": TOLVAN, "resource_id": "1021", "healthcare_service_id": "301"}
    del body[leave_out]
    answer = await client.post("/appointments", json=body)
    if leave_out == "resource_id":
        assert refused(answer, "AMBIGUOUS_TIMESLOTS")
    else:
        assert answer.json()[0]["healthcare_service_id"] == "301"
    second = await client.post("/appointments", json=body)
    if leave_out == "resource_id":
        await book(client)
        second = await client.post("/appointments", json=body)
        assert second.json()[0]["resource_id"] == "1022"
    else:
        assert refused(second, "NO_TIMESLOTS_AVAILABLE")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"end": "2026-03-02T08:45:00+01:00"}, ["NO_TIMESLOTS_AVAILABLE"]),
        ({"start": EIGHT["end"], "end": EIGHT["start"]}, ["NO_TIMESLOTS_AVAILABLE"]),
        ({"start": "2026-02-27T08:00:00+01:00"}, ["NO_TIMESLOTS_AVAILABLE"]),
        ({"healthcare_service_id": "303"}, ["NO_TIMESLOTS_AVAILABLE"]),
        ({"patient_id": "191212121212"}, ["INVALID_PATIENT_ID"]),
        ({"patient_id": "x:1"}, ["INVALID_PATIENT_ID_TYPE"]),
        ({"resource_id": "1031"}, ["INVALID_RESOURCE_ID"]),
        ({"healthcare_service_id": "311"}, ["INVALID_HEALTHCARE_SERVICE_ID"]),
        (
            {"patient_id": "nobody", "resource_id": "nobody", "healthcare_service_id": "none"},
            ["INVALID_PATIENT_ID", "INVALID_RESOURCE_ID", "INVALID_HEALTHCARE_SERVICE_ID"],
        ),
        ({"start": "2026-03-02T08:00:00"}, ["BAD_REQUEST"]),
        ({"start": 1772434800}, ["BAD_REQUEST"]),
        ({"start": None}, ["BAD_REQUEST"]),
    ],
)
async def test_a_wrong_booking_is_refused_and_stores_nothing(
    box: Sandbox, client: httpx2.AsyncClient, changes: dict[str, object], expected: list[str]
) -> None:
    before = len(box.control.appointments())
    assert codes(await book(client, **changes)) == (400, expected)
    assert len(box.control.appointments()) == before


async def test_all_missing_fields_of_a_booking_are_told(client: httpx2.AsyncClient) -> None:
    assert refused(await client.post("/appointments", json={}), *["MISSING_REQUIRED_FIELD"] * 3)


async def test_many_bookings_at_once_never_double_book(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    slot = await first_slot(client, healthcare_service_id="301")
    bodies = [{**slot, "patient_id": one.emr_id} for one in box.control.patients()]
    answers = await asyncio.gather(*(client.post("/appointments", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * (len(bodies) - 1)
    for resource in ("1021", "1022", "1023"):
        spans = sorted(
            (item.start_s, item.end_s)
            for item in box.control.appointments()
            if item.resource_id == resource
        )
        assert all(first[1] <= second[0] for first, second in pairwise(spans))


async def test_the_list_is_bare_and_filtered_by_patient_resource_and_time(
    client: httpx2.AsyncClient,
) -> None:
    mine = (await client.get("/appointments", params={"patient_id": TOLVAN})).json()
    assert {item["status"] for item in mine} == {"completed", "booked"}
    everything = (await client.get("/appointments")).json()
    assert len(everything) > len(mine) > 1
    params = {"resource_id": "1021", "start": NOW.isoformat(), "bogus": "ignored"}
    later = (await client.get("/appointments", params=params)).json()
    assert {item["status"] for item in later} == {"booked"}
    assert all(at(item["end"]) > NOW for item in later)
    params = {"end": NOW.isoformat()}
    earlier = (await client.get("/appointments", params=params)).json()
    assert len(earlier) + len(later) == len(everything)


async def test_a_past_booking_reads_completed_and_cannot_change(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    appointment = (await book(client)).json()[0]
    box.control.clock.advance(2 * 3600)
    path = f"/appointments/{appointment['id']}"
    assert (await client.get(path)).json()["status"] == "completed"
    for change in ({"status": "cancelled"}, {"comment": "late"}, NINE):
        assert refused(await client.patch(path, json=change), "INVALID_APPOINTMENT_ID")


async def test_a_cancelled_booking_cannot_change(client: httpx2.AsyncClient) -> None:
    path = f"/appointments/{(await book(client)).json()[0]['id']}"
    answer = await client.patch(path, json={"status": "cancelled", "comment": "ill"})
    assert answer.json()["comment"] == "ill"
    assert refused(await client.patch(path, json={"status": "cancelled"}), "INVALID_APPOINTMENT_ID")


@pytest.mark.parametrize(
    "appointment_id", ["nope", "emr_id:1", "00000000-0000-0000-0000-000000000000"]
)
async def test_an_unknown_appointment_is_invalid(
    client: httpx2.AsyncClient, appointment_id: str
) -> None:
    path = f"/appointments/{appointment_id}"
    assert refused(await client.get(path), "INVALID_APPOINTMENT_ID")
    assert refused(await client.patch(path, json={"status": "cancelled"}), "INVALID_APPOINTMENT_ID")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (NINE, {**NINE, "resource_id": "1021"}),
        ({"resource_id": "1022"}, {**EIGHT, "resource_id": "1022"}),
        ({**NINE, "resource_id": "emr_id:1022"}, {**NINE, "resource_id": "1022"}),
        ({"comment": "new"}, {**EIGHT, "comment": "new"}),
        (EIGHT, EIGHT),
    ],
)
async def test_rescheduling_keeps_the_id_and_changes_what_is_given(
    client: httpx2.AsyncClient, change: dict[str, str], expected: dict[str, str]
) -> None:
    appointment = (await book(client, comment="old")).json()[0]
    answer = await client.patch(f"/appointments/{appointment['id']}", json=change)
    assert answer.json() == {**appointment, **expected}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"start": NINE["start"]}, "MISSING_REQUIRED_FIELD"),
        ({"end": NINE["end"]}, "MISSING_REQUIRED_FIELD"),
        ({}, "MISSING_REQUIRED_FIELD"),
        ({**NINE, "status": "cancelled"}, "BAD_REQUEST"),
        ({"resource_id": "1022", "status": "cancelled"}, "BAD_REQUEST"),
        ({"status": "booked"}, "BAD_REQUEST"),
        ({"confirmation": {"code": "1"}, "status": "cancelled"}, "BAD_REQUEST"),
        ({"confirmation": {"code": "000000"}}, "NOT_SUPPORTED"),
        ({"resource_id": "1023"}, "NO_TIMESLOTS_AVAILABLE"),
        ({"resource_id": "1031"}, "INVALID_RESOURCE_ID"),
        ({"start": EIGHT["start"], "end": NINE["end"]}, "NO_TIMESLOTS_AVAILABLE"),
    ],
)
async def test_a_wrong_change_is_refused_and_changes_nothing(
    client: httpx2.AsyncClient, change: dict[str, object], code: str
) -> None:
    appointment = (await book(client)).json()[0]
    path = f"/appointments/{appointment['id']}"
    assert refused(await client.patch(path, json=change), code)
    assert (await client.get(path)).json() == appointment


async def test_rescheduling_onto_a_taken_time_is_refused(client: httpx2.AsyncClient) -> None:
    first = (await book(client)).json()[0]
    await book(client, **NINE, resource_id="1021")
    answer = await client.patch(f"/appointments/{first['id']}", json=NINE)
    assert refused(answer, "NO_TIMESLOTS_AVAILABLE")


async def test_kaddio_cancels_but_does_not_reschedule() -> None:
    async with sandbox_client("kaddio") as (box, client):
        assert box.control.patient("191212121212").emr_id == "mFdvd5CdhTGeoh7uf"
        path = f"/appointments/{(await book(client)).json()[0]['id']}"
        assert refused(await client.patch(path, json=NINE), "NOT_SUPPORTED")
        assert (await client.patch(path, json={"status": "cancelled"})).status_code == 200


async def test_anita_asks_for_confirmation_of_a_booking_by_sms() -> None:
    async with sandbox_client("anitasystems") as (box, client):
        tolvan = box.control.patient("191212121212")
        slot = await first_slot(client, healthcare_service_id="301")
        answer = await client.post("/appointments", json={**slot, "patient_id": tolvan.emr_id})
        appointment = answer.json()[0]
        assert appointment["status"] == "awaiting_confirmation"
        assert slot not in (await client.get("/timeslots")).json()
        path = f"/appointments/{appointment['id']}"
        code = box.control.sms_code(appointment["id"])
        assert box.control.sms()[0].phone == "+46001234567"
        wrong = {"confirmation": {"code": "x" + code}}
        assert refused(await client.patch(path, json=wrong), "BAD_INPUT")
        right = {"confirmation": {"code": code}}
        assert (await client.patch(path, json=right)).json() == {**appointment, "status": "booked"}
        assert refused(await client.patch(path, json=right), "BAD_INPUT")


async def test_anita_cancels_in_two_steps_under_a_new_id() -> None:
    async with sandbox_client("anitasystems") as (box, client):
        booked = next(item for item in box.control.appointments() if item.start_s > NOW.timestamp())
        old = f"/appointments/{booked.id}"
        waiting = (await client.patch(old, json={"status": "cancelled"})).json()
        assert waiting["id"] != booked.id
        assert waiting["status"] == "awaiting_confirmation"
        assert (await client.get(old)).json()["status"] == "booked"
        again = (await client.patch(old, json={"status": "cancelled"})).json()
        assert again == waiting
        new = f"/appointments/{waiting['id']}"
        assert refused(await client.patch(new, json=NINE), "INVALID_APPOINTMENT_ID")
        code = {"confirmation": {"code": box.control.sms_code(waiting["id"])}}
        assert (await client.patch(new, json=code)).json()["status"] == "cancelled"
        assert (await client.get(old)).json()["status"] == "cancelled"
        assert (await client.get(new)).json()["status"] == "cancelled"


async def test_anita_lists_no_appointments() -> None:
    async with sandbox_client("anitasystems") as (_, client):
        assert refused(await client.get("/appointments"), "NOT_SUPPORTED")


async def test_an_unconfirmed_booking_is_cancelled_at_once() -> None:
    async with sandbox_client("anitasystems") as (box, client):
        slot = await first_slot(client)
        patient = box.control.patient("191212121212").emr_id
        answer = await client.post("/appointments", json={**slot, "patient_id": patient})
        path = f"/appointments/{answer.json()[0]['id']}"
        assert (await client.patch(path, json={"status": "cancelled"})).json()[
            "status"
        ] == "cancelled"
        assert slot in (await client.get("/timeslots")).json()


async def test_takecare_books_the_published_combination() -> None:
    async with sandbox_client("takecare") as (_, client):
        resources = (await client.get("/resources")).json()
        assert resources[0] == {"id": "10-991890000019", "name": "Läkare Ehn (läk)"}
        slot = await first_slot(client, resource_id="10-991890000019")
        answer = await client.post("/appointments", json={**slot, "patient_id": "197110021834"})
        assert answer.json()[0]["status"] == "booked"
        assert answer.json()[0]["care_unit_id"] == "10"
