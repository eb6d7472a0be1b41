"""Times as callers write them and as models read them: always with zone and offset, never naive."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from leyr_mcp.server.errors import InputError

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_YEARS = range(1900, 2200)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_date(raw: str, *, field: str) -> date:
    """Return a calendar date.

    Raises:
        InputError: It is none.
    """
    if not _DATE.fullmatch(raw):
        raise InputError(f"{field} must be a date like 1980-01-31.", field=field)
    try:
        return date.fromisoformat(raw)
    except ValueError as exc:
        raise InputError(f"{field} is not a day of the calendar.", field=field) from exc


def parse_moment(raw: str, *, zone: ZoneInfo, field: str, whole_day: bool = False) -> datetime:
    """Return an instant from a time with its offset, or from a date.

    Of a date it is the start, or the end if `whole_day`.

    Raises:
        InputError: It is neither, has no offset, or names a local midnight that does not exist.
    """
    if _DATE.fullmatch(raw):
        day = parse_date(raw, field=field)
        _bounded(day, field)
        return local_midnight(day + timedelta(days=int(whole_day)), zone=zone, field=field)
    match = _TIME.fullmatch(raw)
    if match is None:
        raise InputError(
            f"{field} must be a time like 2026-11-23T09:00:00+01:00, or a date.", field=field
        )
    if match["offset"] is None:
        raise InputError(
            f"{field} needs its UTC offset, as in 2026-11-23T09:00:00+01:00; "
            f"here the zone is {zone.key}.",
            field=field,
        )
    try:
        moment = datetime.fromisoformat(raw.upper())
    except ValueError as exc:
        raise InputError(f"{field} is not a time of the calendar.", field=field) from exc
    _bounded(moment, field)
    return moment


def _bounded(day: date, field: str) -> None:
    if day.year not in _YEARS:
        raise InputError(f"{field} lies outside the years 1900 to 2199.", field=field)


def local_midnight(day: date, *, zone: ZoneInfo, field: str) -> datetime:
    """Return the start of a local day; one that a clock change skips or repeats is refused.

    Raises:
        InputError: That midnight does not exist, or exists twice.
    """
    first = datetime(day.year, day.month, day.day, tzinfo=zone)
    exists = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == first.replace(
        tzinfo=None
    )
    if not exists or first.utcoffset() != first.replace(fold=1).utcoffset():
        raise InputError(
            f"{field}: the clocks change at that midnight; give the time with its offset.",
            field=field,
        )
    return first


def iso(moment: datetime, zone: ZoneInfo) -> str:
    """Return an instant in local time with its offset, as every tool takes it back."""
    return _local(moment, zone).isoformat(timespec="seconds")


def day_line(moment: datetime, zone: ZoneInfo) -> str:
    """Return the heading of a day: weekday, date, zone and offset."""
    local = _local(moment, zone)
    return f"{local:%a} {local:%Y-%m-%d} ({zone.key}, UTC{offset(local)})"


def offset(local: datetime) -> str:
    """Return the UTC offset as `+01:00`."""
    return f"{local:%z}"[:3] + ":" + f"{local:%z}"[3:5]


def clock(moment: datetime, zone: ZoneInfo) -> str:
    """Return the local time of day."""
    return f"{_local(moment, zone):%H:%M}"


def written(moment: datetime | None, zone: ZoneInfo) -> str | None:
    """Return when an entry was made; a time without offset is the clinic's own."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return _local(aware, zone).isoformat(timespec="minutes")


def order(moment: datetime | None, zone: ZoneInfo) -> float:
    """Return a number that sorts entries by when they were made, those that do not say first."""
    if moment is None:
        return float("-inf")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (aware - _EPOCH).total_seconds()


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return an instant in local time; one at the calendar's end, which means never, as it is."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment
