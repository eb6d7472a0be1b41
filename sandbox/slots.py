"""Bookable times: the clinic's working hours in local time, less what is taken."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from leyr_mcp.sandbox.clinic import CareUnit, Resource, Service

ZONE = ZoneInfo("Europe/Stockholm")
HORIZON = timedelta(days=120)
MINUTE = 60

Taken = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True, order=True)
class Slot:
    """A time of one resource for one service; start and end in seconds since 1970, UTC."""

    start: int
    end: int
    resource_id: str
    service_id: str


def to_local(second: int) -> datetime:
    """Return a second since 1970 as clinic time, with its offset."""
    return datetime.fromtimestamp(second, ZONE)


def day_slots(resource: Resource, service: Service, day: date) -> Iterator[Slot]:
    """Yield a resource's slots of a day, each at the same wall time all year round."""
    for shift in resource.shifts:
        if day.weekday() not in shift.days:
            continue
        last = shift.last_minute - service.minutes
        for minute in range(shift.first_minute, last + 1, service.minutes):
            wall = datetime.combine(day, time(minute // 60, minute % 60), ZONE)
            start = int(wall.timestamp())
            yield Slot(start, start + service.minutes * MINUTE, resource.id, service.id)


def free_slots(
    unit: CareUnit, taken: Taken, now: datetime, first: float, last: float
) -> list[Slot]:
    """Return the free slots that lie wholly within a window and before the horizon, in order."""
    opening = max(first, now.timestamp())
    closing = min(last, (now + HORIZON).timestamp())
    if closing <= opening:
        return []
    return sorted(
        slot
        for day in _days(opening, closing)
        for resource in unit.resources
        for service_id in resource.service_ids
        if (service := unit.service(service_id)) is not None
        for slot in day_slots(resource, service, day)
        if opening <= slot.start and slot.end <= closing and _is_free(slot, taken)
    )


def _days(opening: float, closing: float) -> Iterator[date]:
    day = datetime.fromtimestamp(opening, UTC).astimezone(ZONE).date()
    final = datetime.fromtimestamp(closing, UTC).astimezone(ZONE).date()
    while day <= final:
        yield day
        day += timedelta(days=1)


def _is_free(slot: Slot, taken: Taken) -> bool:
    spans = taken.get(slot.resource_id, ())
    return all(slot.end <= start or end <= slot.start for start, end in spans)
