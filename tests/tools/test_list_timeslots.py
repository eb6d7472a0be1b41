"""list_timeslots: windows, clock changes, narrowing, paging, and what each failure tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.mcp_answers import check_answer, spans
from tests.support.mcp_session import NOW, TOLVAN, Session, both_eras, session
from tests.support.mcp_snapshots import check_snapshot
from tests.support.mcp_upstream import Canned, client_over

AUTUMN = datetime(2026, 10, 22, 6, 0, tzinfo=UTC)  # clocks go back on Sunday the 25th
SPRING = datetime(2027, 3, 25, 7, 0, tzinfo=UTC)  # clocks go forward on Sunday the 28th
WEEK = {"start": "2026-09-14", "end": "2026-09-20"}
Slot = tuple[str, ...]


def asked_window(it: Session) -> tuple[str, str]:
    """Return the window of the last question to the record."""
    query = parse_qs([r for r in it.requests() if r.path.endswith("/timeslots")][-1].query)
    return query["start"][0], query["end"][0]


def keys(data: dict[str, Any]) -> list[Slot]:
    names = ("start", "end", "resource_id", "healthcare_service_id")
    return [tuple(slot[name] for name in names) for slot in data["timeslots"]]


async def pages(it: Session, **call: Any) -> list[Slot]:
    """Return all free times of a search, page by page."""
    found: list[Slot] = []
    more: dict[str, str] = {}
    while True:
        _, data = await it.ask("list_timeslots", **call, **more)
        found += keys(data)
        if "next_cursor" not in data:
            return found
        assert len(data["timeslots"]) == call["limit"]
        more = {"cursor": data["next_cursor"]}


@both_eras
async def test_whole_answer(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("list_timeslots", start="2026-09-15", end="2026-09-16", limit=30)
    check_snapshot("answers/list_timeslots", {"text": text.splitlines(), "data": data})


@both_eras
async def test_nothing_free_says_what_to_try(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("list_timeslots", start="2026-09-19", end="2026-09-20")
    assert data["timeslots"] == []
    assert text == "No free time fits. Next: try later dates, another resource or another service."


@both_eras
async def test_default_window_is_the_next_seven_days(mode: str) -> None:
    async with session(mode) as it:
        _, data = await it.ask("list_timeslots", limit=1)
        assert asked_window(it) == ("2026-09-14T09:30:00+02:00", "2026-09-21T09:30:00+02:00")
    assert data["timeslots"][0]["start"] == "2026-09-14T09:30:00+02:00"
    assert data["timezone"] == "Europe/Stockholm"


@both_eras
@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        ("2026-09-15", "2026-09-15", ("2026-09-15T00:00:00+02:00", "2026-09-16T00:00:00+02:00")),
        ("2026-10-25", "2026-10-25", ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")),
        ("2027-03-28", "2027-03-28", ("2027-03-28T00:00:00+01:00", "2027-03-29T00:00:00+02:00")),
        (
            "2026-09-15T08:00:00Z",
            "2026-09-15T10:00-05:00",
            ("2026-09-15T08:00:00+00:00", "2026-09-15T10:00:00-05:00"),
        ),
        ("2026-12-31", "2026-12-31", ("2026-12-31T00:00:00+01:00", "2027-01-01T00:00:00+01:00")),
    ],
)
async def test_dates_are_whole_local_days(
    mode: str, start: str, end: str, asked: tuple[str, str]
) -> None:
    async with session(mode) as it:
        await it.ask("list_timeslots", start=start, end=end)
        assert asked_window(it) == asked


@both_eras
@pytest.mark.parametrize(
    ("now", "before", "after"),
    [
        (AUTUMN, "2026-10-23T08:00:00+02:00", "2026-10-26T08:00:00+01:00"),
        (SPRING, "2027-03-26T08:00:00+01:00", "2027-03-29T08:00:00+02:00"),
    ],
)
async def test_offsets_are_right_around_a_clock_change(
    mode: str, now: datetime, before: str, after: str
) -> None:
    async with session(mode, now=now) as it:
        text, data = await it.ask(
            "list_timeslots", resource_id="1022", start=before[:10], end=after[:10], limit=100
        )
    starts = [slot["start"] for slot in data["timeslots"]]
    assert before in starts
    assert after in starts
    assert set(spans(text)) == {(slot["start"], slot["end"]) for slot in data["timeslots"]}


async def test_hour_that_comes_twice_is_shown_twice_with_its_offset() -> None:
    slots = [
        {"start": f"2026-10-25T02:30:00{offset}", "end": f"2026-10-25T02:45:00{offset}"}
        for offset in ("+02:00", "+01:00")
    ]
    canned = Canned({"/timeslots": slots, "/resources": [], "/healthcare-services": []})
    async with client_over(canned, "auto", now=AUTUMN) as client:
        text, data = check_answer(
            await client.call_tool("list_timeslots", {"start": "2026-10-25", "end": "2026-10-25"})
        )
    assert [slot["start"][-6:] for slot in data["timeslots"]] == ["+02:00", "+01:00"]
    assert spans(text) == [
        ("2026-10-25T02:30:00+02:00", "2026-10-25T02:45:00+02:00"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T02:45:00+01:00"),
    ]


@both_eras
@pytest.mark.parametrize(
    ("part", "first", "last"),
    [("morning", "00:00", "11:59"), ("afternoon", "12:00", "16:59"), ("evening", "17:00", "23:59")],
)
async def test_part_of_day_narrows_by_local_time(
    mode: str, part: str, first: str, last: str
) -> None:
    async with session(mode) as it:
        _, data = await it.ask("list_timeslots", **WEEK, part_of_day=part, limit=100)
    times = [slot["start"][11:16] for slot in data["timeslots"]]
    assert bool(times) == (part != "evening")
    assert all(first <= time <= last for time in times)


@both_eras
async def test_resource_and_service_narrow(mode: str) -> None:
    async with session(mode) as it:
        _, data = await it.ask("list_timeslots", **WEEK, healthcare_service_id="303", limit=100)
        assert {slot["resource_id"] for slot in data["timeslots"]} == {"1023"}
        _, data = await it.ask("list_timeslots", **WEEK, resource_id="1022", limit=100)
        assert {slot["healthcare_service_id"] for slot in data["timeslots"]} == {"301"}
        hsa = "hsa_id:SE2321000131-E000000012346"
        _, same = await it.ask("list_timeslots", **WEEK, resource_id=hsa, limit=100)
        assert keys(same) == keys(data)


@both_eras
async def test_service_is_checked_even_where_the_record_ignores_the_filter(mode: str) -> None:
    slots = [
        {"start": f"2026-09-15T{hour}:00:00Z", "end": f"2026-09-15T{hour}:30:00Z",
         "healthcare_service_id": service}
        for hour, service in (("08", "a"), ("09", "b"))
    ]  # fmt: skip
    canned = Canned({"/timeslots": slots, "/resources": [], "/healthcare-services": []})
    async with client_over(canned, mode) as client:
        _, data = check_answer(
            await client.call_tool("list_timeslots", {"healthcare_service_id": "a"})
        )
    assert [slot["healthcare_service_id"] for slot in data["timeslots"]] == ["a"]


@both_eras
@pytest.mark.parametrize("limit", [1, 7, 20, 100])
async def test_all_pages_together_are_the_whole_list(mode: str, limit: int) -> None:
    async with session(mode) as it:
        whole = await pages(it, start="2026-09-15", end="2026-09-15", limit=100)
        found = await pages(it, start="2026-09-15", end="2026-09-15", limit=limit)
    assert found == whole
    assert len(set(found)) == len(found) > 20
    assert found == sorted(found, key=lambda s: (s[0], s[2], s[3]))


@both_eras
async def test_count_of_what_is_left_and_the_cursor_stand_in_the_text(mode: str) -> None:
    async with session(mode) as it:
        whole = await pages(it, **WEEK, limit=100)
        text, data = await it.ask("list_timeslots", **WEEK, limit=10)
    assert f"{len(whole) - 10} more. Next:" in text
    assert data["next_cursor"] in text


@both_eras
async def test_pages_stay_right_when_a_slot_is_taken_in_between(mode: str) -> None:
    async with session(mode) as it:
        whole = await pages(it, **WEEK, limit=100)
        _, first = await it.ask("list_timeslots", **WEEK, limit=10)
        for start, end, resource, service in (whole[0], whole[9]):
            await it.store(
                "appointments",
                patient_id=f"emr_id:{it.control.patient(TOLVAN).emr_id}",
                start=start, end=end, resource_id=resource, healthcare_service_id=service,
            )  # fmt: skip
        left = await pages(it, **WEEK, limit=100)
        more: dict[str, Any] = {"limit": 100, "cursor": first["next_cursor"]}
        _, second = await it.ask("list_timeslots", **WEEK, **more)
    expected = [slot for slot in left if slot in whole[10:]]
    assert keys(second) == expected[:100]
    assert not set(keys(second)) & set(keys(first))


async def test_times_that_differ_only_in_length_get_lost_on_no_page() -> None:
    slots = [
        {"start": "2026-09-15T08:00:00Z", "end": f"2026-09-15T08:{minutes}:00Z",
         "resource_id": "r", "healthcare_service_id": "s"}
        for minutes in (15, 30, 45)
    ]  # fmt: skip
    canned = Canned({"/timeslots": slots, "/resources": [], "/healthcare-services": []})
    found: list[str] = []
    more: dict[str, str] = {}
    async with client_over(canned, "auto") as client:
        for _ in slots:
            call = {"limit": 1, **more}
            _, data = check_answer(await client.call_tool("list_timeslots", call))
            found += [slot["end"][14:16] for slot in data["timeslots"]]
            more = {"cursor": data.get("next_cursor", "")}
    assert found == ["15", "30", "45"]


async def test_slot_without_resource_and_service_is_for_any() -> None:
    slots = [{"start": "2026-09-15T08:00:00Z", "end": "2026-09-15T08:30:00Z"}]
    canned = Canned({"/timeslots": slots, "/resources": [], "/healthcare-services": []})
    async with client_over(canned, "auto") as client:
        text, data = check_answer(await client.call_tool("list_timeslots", {}))
    assert data["timeslots"] == [
        {"start": "2026-09-15T10:00:00+02:00", "end": "2026-09-15T10:30:00+02:00"}
    ]
    assert text == "Tue 2026-09-15 (Europe/Stockholm, UTC+02:00)\n  any: 10:00-10:30"


async def test_slots_outside_the_window_are_left_out() -> None:
    slots = [
        {"start": f"2026-09-{day}T08:00:00Z", "end": f"2026-09-{day}T08:30:00Z"}
        for day in ("13", "15", "30")
    ]
    canned = Canned({"/timeslots": slots, "/resources": [], "/healthcare-services": []})
    async with client_over(canned, "auto") as client:
        _, data = check_answer(await client.call_tool("list_timeslots", {}))
    assert [slot["start"][:10] for slot in data["timeslots"]] == ["2026-09-15"]


BAD_CALLS: list[tuple[dict[str, Any], str, str]] = [
    ({"start": "2026-09-15T08:00:00"}, "start", "needs its UTC offset"),
    ({"end": "2026-09-15T08:00"}, "end", "needs its UTC offset"),
    ({"start": "tomorrow"}, "start", "must be a time like"),
    ({"start": "2026-9-15"}, "start", "must be a time like"),
    ({"start": "2026-02-30"}, "start", "not a day of the calendar"),
    ({"start": "2026-09-15T25:00:00Z"}, "start", "not a time of the calendar"),
    ({"start": "2026-09-15T08:00:00+25:00"}, "start", "not a time of the calendar"),
    ({"start": "1899-12-31"}, "start", "outside the years"),
    ({"start": "2200-01-01T00:00:00Z"}, "start", "outside the years"),
    ({"start": "2026-09-16", "end": "2026-09-15"}, "end", "end must be after start"),
    ({"start": "2026-09-16T08:00:00Z", "end": "2026-09-16T08:00:00Z"}, "end", "after start"),
    ({"end": "2026-09-13"}, "end", "end must be after start"),
    ({"start": "2026-09-01", "end": "2026-12-02"}, "end", "longer than 92 days"),
    ({"part_of_day": "night"}, "part_of_day", "'morning'"),
    ({"limit": 0}, "limit", "greater than or equal to 1"),
    ({"limit": 101}, "limit", "less than or equal to 100"),
    ({"limit": "20"}, "limit", "integer"),
    ({"limit": True}, "limit", "integer"),
    ({"cursor": "nonsense"}, "cursor", "not one that this tool gave"),
    ({"cursor": "MjAyNi0wOS0xNA=="}, "cursor", "not one that this tool gave"),
    ({"cursor": "MjAyNi0wOS0xNFQwOTowMHxhfGJ8MQ=="}, "cursor", "not one that this tool gave"),
    ({"cursor": "å"}, "cursor", "not one that this tool gave"),
    ({"resource_id": "a/b"}, "resource_id", "right form"),
    ({"resource_id": "hsa_id:SE1"}, "resource_id", "right form"),
    ({"healthcare_service_id": "\u202e1"}, "healthcare_service_id", "printable"),
]


@both_eras
@pytest.mark.parametrize(("call", "field", "told"), BAD_CALLS)
async def test_wrong_call_is_refused_before_anything_is_sent(
    mode: str, call: dict[str, Any], field: str, told: str
) -> None:
    async with session(mode) as it:
        refused = await it.refused("list_timeslots", **call)
        assert (refused.code, refused.field) == ("invalid_argument", field)
        assert told in refused.message
        assert it.requests() == []


@both_eras
async def test_span_of_92_days_is_taken_clock_change_and_all(mode: str) -> None:
    async with session(mode) as it:
        await it.ask("list_timeslots", start="2026-09-15", end="2026-12-15", limit=1)


@both_eras
@pytest.mark.parametrize(
    ("call", "field"),
    [
        ({"resource_id": "9999"}, "resource_id"),
        ({"healthcare_service_id": "999"}, "healthcare_service_id"),
        ({"care_unit_id": "nowhere"}, "care_unit_id"),
    ],
)
async def test_unknown_ids_lead_back_to_the_care_units(
    mode: str, call: dict[str, str], field: str
) -> None:
    async with session(mode) as it:
        refused = await it.refused("list_timeslots", **call)
    assert (refused.code, refused.field) == ("not_found", field)
    assert refused.next == "Call list_care_units and use an id from its answer."


@both_eras
async def test_kind_of_resource_id_that_the_record_system_does_not_take(mode: str) -> None:
    async with session(mode, "kaddio") as it:
        refused = await it.refused(
            "list_timeslots", resource_id="hsa_id:SE2321000131-E000000012346"
        )
        assert (refused.code, refused.field) == ("not_supported", "resource_id")
        assert it.requests() == []


async def test_times_are_in_the_clinics_zone() -> None:
    async with session("auto", now=NOW, LEYR_MCP_TIMEZONE="Europe/London") as it:
        _, data = await it.ask("list_timeslots", limit=1)
    assert data["timezone"] == "Europe/London"
    assert data["timeslots"][0]["start"] == "2026-09-14T08:30:00+01:00"
