"""Free times: providers' hours in local time, less what is taken."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from leyr_mcp.sandbox.cobalt.clinic import DAYS, PROVIDERS, ZONE, Provider, visit_type
from leyr_mcp.sandbox.cobalt.store import Store

USUAL_MINUTES = 30
# In these states an appointment takes no time.
GONE = ("failed", "CANC", "R/S")


@dataclass(frozen=True)
class Slot:
    """A free time of one provider."""

    start: datetime
    end: datetime
    provider: Provider


def free_slots(
    store: Store,
    first: date,
    last: date,
    *,
    visit_code: str | None = None,
    providers: Collection[str] = (),
    locations: Collection[str] = (),
    now: datetime | None,
) -> list[Slot]:
    """Return the free times of some days, in order; with `now` none that is past."""
    kind = visit_type(visit_code or "")
    minutes = kind.minutes if kind else USUAL_MINUTES
    taken = {one.ehr_id: list(busy(store, one.ehr_id)) for one in PROVIDERS}
    found = [
        slot
        for one in PROVIDERS
        if one.status == "active" and not one.hidden
        if (not providers or one.ehr_id in providers)
        and (not locations or one.location in locations)
        for slot in _slots(one, first, last, minutes)
        if (now is None or slot.start >= now)
        and all(slot.end <= start or end <= slot.start for start, end in taken[one.ehr_id])
    ]
    return sorted(found, key=lambda slot: (slot.start, slot.provider.ehr_id))


def busy(store: Store, provider: str, without: str = "") -> Iterator[tuple[datetime, datetime]]:
    """Yield the times that a provider's appointments take, but for one of them."""
    for one in store.all("appointment"):
        if one["provider"] == provider and one["status"] not in GONE and one["id"] != without:
            start = datetime.fromisoformat(one["datetime"])
            yield start, start + timedelta(minutes=one["duration"])


def _slots(provider: Provider, first: date, last: date, minutes: int) -> Iterator[Slot]:
    day = first
    while day <= last:
        if DAYS[day.weekday()] in provider.days:
            for minute in range(provider.start * 60, provider.end * 60 - minutes + 1, minutes):
                start = datetime.combine(day, time(minute // 60, minute % 60), ZONE)
                # In UTC, since a sum of local times does not heed a clock change.
                end = start.timestamp() + 60 * minutes
                yield Slot(start, datetime.fromtimestamp(end, ZONE), provider)
        day += timedelta(days=1)
