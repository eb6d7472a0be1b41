"""Times: what is taken and refused, midnights that do not exist, the ends of the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.errors import InputError
from leyr_mcp.server.times import (
    clock,
    day_line,
    iso,
    local_midnight,
    order,
    parse_date,
    parse_moment,
    written,
)

STOCKHOLM = ZoneInfo("Europe/Stockholm")
SANTIAGO = ZoneInfo("America/Santiago")  # the clocks change at midnight
CAIRO = ZoneInfo("Africa/Cairo")  # midnight of the last Friday of April is skipped
GENERATED = settings(deadline=None, max_examples=300, database=None)


def refused(raw: str, zone: ZoneInfo = STOCKHOLM, *, whole_day: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        parse_moment(raw, zone=zone, field="start", whole_day=whole_day)
    assert (caught.value.code, caught.value.field) == ("invalid_argument", "start")
    return caught.value.message


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        ("2026-11-23T09:00:00+01:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23T08:00Z", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23t08:00:00.5z", datetime(2026, 11, 23, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-23 09:00:00+01:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 22, 23, tzinfo=UTC)),
        ("1900-01-01T00:00:00+00:00", datetime(1900, 1, 1, tzinfo=UTC)),
        ("2199-12-31T23:59:59Z", datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_moments_that_are_taken(raw: str, moment: datetime) -> None:
    assert parse_moment(raw, zone=STOCKHOLM, field="start") == moment


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("2026-11-24T09:30:00", "needs its UTC offset"),
        ("2026-11-24T09:30", "Europe/Stockholm"),
        ("2026-10-25T02:30:00", "needs its UTC offset"),
        ("23/11 2026", "must be a time like"),
        ("", "must be a time like"),
        ("2026-11-23T09:00:00+0100", "must be a time like"),
        ("2026-11-23T09:00:00 +01:00", "must be a time like"),
        ("2026-11-23T09:00:00+01:00\n", "must be a time like"),
        ("\u0662\u0660\u0662\u0666-11-23", "must be a time like"),
        ("2026-11-31", "not a day of the calendar"),
        ("2027-02-29", "not a day of the calendar"),
        ("2026-11-23T24:30:00Z", "not a time of the calendar"),
        ("2026-11-23T09:00:00+24:00", "not a time of the calendar"),
        ("1899-12-31", "outside the years 1900 to 2199"),
        ("1899-12-31T23:00:00Z", "outside the years"),
        ("2200-01-01", "outside the years"),
        ("0000-01-01", "not a day of the calendar"),
        ("9999-12-31T23:59:59Z", "outside the years"),
    ],
)
def test_moments_that_are_refused(raw: str, told: str) -> None:
    message = refused(raw)
    assert told in message
    assert len(raw) < 6 or raw not in message


def test_end_of_a_day_is_the_next_midnight() -> None:
    end = parse_moment("2026-10-25", zone=STOCKHOLM, field="end", whole_day=True)
    assert end == datetime(2026, 10, 25, 23, tzinfo=UTC)
    start = parse_moment("2026-10-25", zone=STOCKHOLM, field="start")
    assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=25)
    last = parse_moment("2199-12-31", zone=STOCKHOLM, field="end", whole_day=True)
    assert last.year == 2200


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        (SANTIAGO, "2026-09-06"),  # skipped: 00:00 became 01:00
        (CAIRO, "2026-04-24"),  # skipped
        (CAIRO, "2026-10-30"),  # 00:00 came back to 23:00 of the day before: unambiguous, see below
    ],
)
def test_midnight_that_is_skipped_or_repeated_is_refused_or_one(zone: ZoneInfo, day: str) -> None:
    when = date.fromisoformat(day)
    naive = datetime(when.year, when.month, when.day)  # noqa: DTZ001 - the wall clock
    both = {naive.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
    if len(both) == 2:
        assert "the clocks change at that midnight" in refused(day, zone)
    else:
        assert local_midnight(when, zone=zone, field="start").replace(tzinfo=None) == naive


@pytest.mark.parametrize("zone", [SANTIAGO, CAIRO])
def test_only_days_of_a_clock_change_at_midnight_are_refused(zone: ZoneInfo) -> None:
    lost = []
    for number in range(366):
        day = date(2026, 1, 1) + timedelta(days=number)
        try:
            found = local_midnight(day, zone=zone, field="start")
        except InputError:
            lost.append(day)
        else:
            assert found.astimezone(UTC).astimezone(zone).date() == day
    assert 1 <= len(lost) <= 2


def test_window_that_ends_on_a_skipped_midnight_says_how_to_go_on() -> None:
    message = refused("2026-04-23", CAIRO, whole_day=True)
    assert message == "start: the clocks change at that midnight; give the time with its offset."


def test_nothing_is_refused_where_clocks_change_at_night() -> None:
    for number in range(366):
        local_midnight(date(2026, 1, 1) + timedelta(days=number), zone=STOCKHOLM, field="start")


def test_birth_dates() -> None:
    assert parse_date("1912-12-12", field="birth_date") == date(1912, 12, 12)
    for raw in ("1912-12-32", "12-12-12", "19121212", "1912-12-12T00:00:00Z", "١٩١٢-12-12"):
        with pytest.raises(InputError):
            parse_date(raw, field="birth_date")


@GENERATED
@given(st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds
def test_what_is_shown_can_be_sent_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    shown = iso(whole, STOCKHOLM)
    assert parse_moment(shown, zone=STOCKHOLM, field="start") == whole


@GENERATED
@given(st.datetimes(timezones=st.one_of(st.just(UTC), st.just(SANTIAGO), st.none())))
def test_no_date_of_a_record_is_too_early_or_too_late_to_be_shown(moment: datetime) -> None:
    assert written(moment, STOCKHOLM)
    assert written(moment, SANTIAGO)
    assert order(moment, STOCKHOLM) > order(None, STOCKHOLM)
    if moment.tzinfo:
        assert iso(moment, STOCKHOLM)
        assert clock(moment, SANTIAGO)
        assert "UTC" in day_line(moment, STOCKHOLM)


def test_day_heading_tells_zone_and_offset() -> None:
    summer, winter = (
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 1, tzinfo=UTC),
    )
    assert day_line(summer, STOCKHOLM) == "Sun 2026-10-25 (Europe/Stockholm, UTC+02:00)"
    assert day_line(winter, STOCKHOLM) == "Sun 2026-10-25 (Europe/Stockholm, UTC+01:00)"
    assert (clock(summer, STOCKHOLM), clock(winter, STOCKHOLM)) == ("02:30", "02:00")


def test_time_without_offset_is_the_clinics_own() -> None:
    assert written(datetime(2026, 7, 1, 9, 30), STOCKHOLM) == "2026-07-01T09:30+02:00"  # noqa: DTZ001 - as records have it
    assert written(None, STOCKHOLM) is None
