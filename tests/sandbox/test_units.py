from datetime import datetime
from itertools import pairwise

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from tests.sandbox.kit import ORIGIN, at, book, client_of, refused


async def test_care_units_are_a_bare_list_of_id_and_name(
    client: httpx2.AsyncClient,
) -> None:
    units = (await client.get(f"{ORIGIN}/api/emrs/webdoc/care-units")).json()
    assert units == [
        {"id": "L0_1", "name": "Läkarmottagningen Söder"},
        {"id": "L0_2", "name": "Psykologmottagningen Norr"},
    ]


async def test_there_are_six_resources_and_six_services_in_bare_lists(box: Sandbox) -> None:
    resources, services = [], []
    for unit in ("L0_1", "L0_2"):
        async with client_of(box, unit) as client:
            resources += (await client.get("/resources")).json()
            services += (await client.get("/healthcare-services")).json()
    for items in (resources, services):
        assert len({item["id"] for item in items}) == 6
        assert all(item.keys() == {"id", "name"} for item in items)


@pytest.mark.parametrize(
    "typed_id",
    ["1021", "emr_id:1021", "hsa_id:SE2321000131-E000000012345", "se_personal_number:189912289809"],
)
async def test_a_resource_is_found_by_each_type_of_id(
    client: httpx2.AsyncClient, typed_id: str
) -> None:
    answer = await client.get(f"/resources/{typed_id}")
    assert answer.json() == {"id": "1021", "name": "Läkare Ehn (läk)"}


@pytest.mark.parametrize(
    "typed_id",
    [
        "9999",
        "no_personal_number:26258605879",
        "nhs_number:9434765919",
        "x:1",
        "1031",
        "hsa_id:1021",
    ],
)
async def test_a_resource_id_of_another_type_or_unit_is_invalid(
    client: httpx2.AsyncClient, typed_id: str
) -> None:
    assert refused(await client.get(f"/resources/{typed_id}"), "INVALID_RESOURCE_ID")


@pytest.mark.parametrize("path", ["/resources", "/timeslots", "/patients/x", "/appointments"])
async def test_an_unknown_care_unit_is_invalid(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(f"{ORIGIN}/api/emrs/webdoc/care-units/L0_9{path}")
    assert refused(answer, "INVALID_CARE_UNIT_ID")


async def test_timeslots_are_a_bare_list_of_the_four_known_fields(
    client: httpx2.AsyncClient,
) -> None:
    slots = (await client.get("/timeslots", params={"healthcare_service_id": "301"})).json()
    assert slots[0] == {
        "start": "2026-03-02T08:00:00+01:00",
        "end": "2026-03-02T08:30:00+01:00",
        "resource_id": "1021",
        "healthcare_service_id": "301",
    }
    assert all(first["start"] <= second["start"] for first, second in pairwise(slots))


async def test_without_a_window_the_next_thirty_days_are_searched(
    client: httpx2.AsyncClient,
) -> None:
    slots = (await client.get("/timeslots")).json()
    assert slots[-1]["start"].startswith("2026-03-31")


async def test_window_and_filters_narrow_the_timeslots(client: httpx2.AsyncClient) -> None:
    params = {
        "start": "2026-03-04T13:00:00+01:00",
        "end": "2026-03-04T14:00:00+01:00",
        "resource_id": "emr_id:1022",
        "healthcare_service_id": "301",
    }
    slots = (await client.get("/timeslots", params=params)).json()
    assert [slot["start"][11:16] for slot in slots] == ["13:00", "13:30"]
    assert {slot["resource_id"] for slot in slots} == {"1022"}


async def test_timeslots_never_lie_in_the_past_or_on_a_weekend(client: httpx2.AsyncClient) -> None:
    params = {"start": "2020-01-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"}
    starts = [slot["start"] for slot in (await client.get("/timeslots", params=params)).json()]
    assert starts[0] >= "2026-03-02T08:00"
    assert all(datetime.fromisoformat(start).weekday() < 5 for start in starts)


@pytest.mark.parametrize(
    "window",
    [
        {"start": "tomorrow"},
        {"end": "2026-03-04T13:00:00"},
        {"start": "1772433600"},
        {"start": "2026-02-30T00:00:00Z"},
        {"start": "2026-03-04T13:00:00 01:00"},
    ],
)
async def test_a_time_without_offset_or_sense_is_refused(
    client: httpx2.AsyncClient, window: dict[str, str]
) -> None:
    assert refused(await client.get("/timeslots", params=window), "BAD_REQUEST")


async def test_the_ends_of_the_calendar_are_no_error(client: httpx2.AsyncClient) -> None:
    widest = {"start": "0001-01-01T00:00:00+14:00", "end": "9999-12-31T23:59:59-14:00"}
    assert (await client.get("/timeslots", params=widest)).status_code == 200
    assert (await client.get("/appointments", params=widest)).status_code == 200


async def test_unknown_filters_of_timeslots_are_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/timeslots", params={"resource_id": "nobody"})
    assert refused(answer, "INVALID_RESOURCE_ID")
    answer = await client.get("/timeslots", params={"healthcare_service_id": "311"})
    assert refused(answer, "INVALID_HEALTHCARE_SERVICE_ID")


@pytest.mark.parametrize(
    ("now", "friday", "monday", "hours"),
    [
        ("2026-10-20T07:00:00+02:00", "2026-10-23T08:00:00+02:00", "2026-10-26T08:00:00+01:00", 73),
        ("2027-03-22T07:00:00+01:00", "2027-03-26T08:00:00+01:00", "2027-03-29T08:00:00+02:00", 71),
    ],
)
async def test_slots_keep_their_wall_time_across_a_clock_change(
    box: Sandbox, client: httpx2.AsyncClient, now: str, friday: str, monday: str, hours: int
) -> None:
    box.control.clock.set(at(now))
    box.control.reset()
    starts = [slot["start"] for slot in (await client.get("/timeslots")).json()]
    assert friday in starts
    assert monday in starts
    assert (at(monday) - at(friday)).total_seconds() == hours * 3600
    booked = (await book(client, start=monday, end=monday.replace("08:00:00", "08:30:00"))).json()
    assert booked[0]["start"] == monday


async def test_a_booking_in_utc_is_answered_in_clinic_time(client: httpx2.AsyncClient) -> None:
    answer = await book(
        client, start="2026-03-30T06:00:00Z", end="2026-03-30T06:30:00Z", resource_id="1022"
    )
    assert answer.json()[0]["start"] == "2026-03-30T08:00:00+02:00"
