"""The log of events: the only place where Cobalt tells what became of a job.

A record of the log and a pushed event say the same under different names; here they are one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from leyr_mcp.server.ehr.cobalt.api import CobaltApi, objects, text
from leyr_mcp.server.errors import UpstreamContractError

PAGE = 100
_PAGES = 20
_DAY = timedelta(days=1)
# How an event of success and of failure ends.
_GOOD = ("created", "uploaded", "added", "updated", "cancelled")
_BAD = ("failed",)
# Under what name an event holds the id that the acknowledgement gave.
_ACKS = ("patient_note_id", "appointment_id", "document_id", "patient_id", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event; `data` may hold note text."""

    id: str
    type: str
    job_id: str
    created: datetime | None
    data: dict[str, Any] = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether it tells of success."""
        return self.type.endswith(_GOOD)

    @property
    def bad(self) -> bool:
        """Whether it tells of failure."""
        return self.type.endswith(_BAD)

    @property
    def acks(self) -> frozenset[str]:
        """The ids by which the acknowledgement may have named its entry."""
        return frozenset(filter(None, (text(self.data.get(name)) for name in _ACKS)))


def event_of(raw: dict[str, Any]) -> Event | None:
    """Return an event of either shape; None for what is none."""
    known, kind = (
        text(raw.get("event_id") or raw.get("id")),
        text(raw.get("event_type") or raw.get("type")),
    )
    if not known or not kind:
        return None
    data = raw.get("data")
    return Event(
        id=known,
        type=kind,
        job_id=text(raw.get("job_id") or raw.get("job_execution_id")),
        created=_moment(raw.get("created_at") or raw.get("created") or raw.get("timestamp")),
        data=data if isinstance(data, dict) else {},
    )


def merged(found: list[dict[str, Any]]) -> list[Event]:
    """Return events without their repeats, as they stand."""
    events = filter(None, map(event_of, found))
    return list({event.id: event for event in events}.values())


def _moment(raw: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text(raw))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Events(CobaltApi):
    """`GET /webhook-events`, which answers whether or not a webhook was delivered."""

    async def _events_of_job(self, job_id: str) -> list[Event]:
        return merged(await self._list("webhook-events", "webhook_events", [("job_id", job_id)]))

    async def _events_since(self, since: datetime, kind: str | None = None) -> list[Event]:
        """Return the events of a kind from a day on, the newest first.

        Raises:
            UpstreamContractError: There are too many to be read.
        """
        query = [
            ("start_date", (since.astimezone(UTC) - _DAY).date().isoformat()),
            ("page_size", str(PAGE)),
        ]
        if kind:
            query.append(("event_type", kind))
        found = list[dict[str, Any]]()
        for page in range(1, _PAGES + 1):
            body = await self._get("webhook-events", [*query, ("page", str(page))])
            some = objects(body, "webhook_events")
            found += some
            if len(some) < PAGE:
                return merged(found)
        raise UpstreamContractError("Cobalt has more events of these days than are read here.")
