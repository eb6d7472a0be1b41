"""Care units with their resources and services.

The only data that is cached, as none of it is a patient's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NotRequired, TypeVar

from typing_extensions import TypedDict

from leyr_mcp.server.ehr.identifiers import check_opaque
from leyr_mcp.server.ehr.models import CareUnit, Resource, Service
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.errors import InputError, UpstreamError
from leyr_mcp.server.text import short

T = TypeVar("T")

TTL_S = 600.0


@dataclass(frozen=True, slots=True)
class Unit:
    """A care unit and what can be booked there."""

    id: str
    name: str | None
    resources: tuple[Resource, ...]
    services: tuple[Service, ...]


class Place(TypedDict):
    """Who and what a time is for."""

    resource_id: NotRequired[str]
    resource: NotRequired[str]
    healthcare_service_id: NotRequired[str]
    healthcare_service: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Names:
    """What people call the resources and services of a care unit, by id."""

    resources: Mapping[str, str]
    services: Mapping[str, str]

    def place(self, resource_id: str | None, healthcare_service_id: str | None) -> Place:
        """Return who and what a time is for: the ids that there are, each with its name."""
        found = Place()
        if resource_id:
            found["resource_id"] = short(resource_id)
            if name := self.resources.get(resource_id):
                found["resource"] = name
        if healthcare_service_id:
            found["healthcare_service_id"] = short(healthcare_service_id)
            if name := self.services.get(healthcare_service_id):
                found["healthcare_service"] = name
        return found


NO_NAMES = Names({}, {})


class Units:
    """Looks care units up, and chooses the one that a call means."""

    def __init__(
        self, ehr: Ehr, *, default: str = "", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ehr = ehr
        self._default = default
        self._monotonic = monotonic
        self._cache: dict[tuple[str, str], tuple[float, object]] = {}
        self._only: frozenset[str] | None = None

    def of(self, default: str | None, only: frozenset[str] | None) -> Units:
        """Return the same for one user: with a usual care unit of theirs, and those they may name.

        With None they may name any, and with no unit in it they have none.

        What is known of the clinic is shared, as none of it is a patient's or a user's.
        """
        found = Units(self._ehr, default=default or self._default, monotonic=self._monotonic)
        found._cache = self._cache
        found._only = only
        return found

    async def resolve(self, care_unit_id: str | None) -> str:
        """Return the care unit of a call: the one it names, the configured one, or the only one.

        Raises:
            InputError: None of these exists.
        """
        if care_unit_id is not None:
            return self._allowed(check_opaque(care_unit_id, field="care_unit_id"))
        if self._default:
            return self._allowed(self._default)
        units = await self.all()
        if len(units) == 1:
            return units[0].id
        raise InputError(
            f"There are {len(units)} care units and none is configured as the usual one.",
            field="care_unit_id",
            next_step="Call list_care_units, ask the user which one, and pass care_unit_id.",
        )

    async def all(self) -> list[CareUnit]:
        """Return the care units."""
        found = await self._cached(("units", ""), self._ehr.care_units)
        return [unit for unit in found if self._only is None or unit.id in self._only]

    def _allowed(self, care_unit_id: str) -> str:
        """Return a care unit that the user may name; another looks like one that there is not."""
        if self._only is not None and care_unit_id not in self._only:
            raise InputError(
                "There is no such care unit.",
                code="not_found",
                field="care_unit_id",
                next_step="Call list_care_units and use an id from its answer.",
            )
        return care_unit_id

    async def unit(self, care_unit_id: str, name: str | None = None) -> Unit:
        """Return what can be booked in one care unit, asked for in parallel."""
        resources, services = await asyncio.gather(
            self._cached(("resources", care_unit_id), lambda: self._ehr.resources(care_unit_id)),
            self._cached(("services", care_unit_id), lambda: self._ehr.services(care_unit_id)),
        )
        return Unit(care_unit_id, name, tuple(resources), tuple(services))

    async def names(self, care_unit_id: str) -> Names:
        """Return the names; none where the record system does not give them."""
        try:
            unit = await self.unit(care_unit_id)
        except UpstreamError:
            return NO_NAMES
        return Names(
            {r.id: short(r.name) for r in unit.resources if r.name},
            {s.id: short(s.name) for s in unit.services if s.name},
        )

    async def _cached(
        self, key: tuple[str, str], fetch: Callable[[], Awaitable[list[T]]]
    ) -> list[T]:
        found = self._cache.get(key)
        if found is not None and found[0] > self._monotonic():
            return found[1]  # type: ignore[return-value]  # the key's first part fixes the type
        fresh = await fetch()
        if len(self._cache) >= 1_000:  # noqa: PLR2004 - ids come from callers, so the cache is bounded
            self._cache.clear()
        self._cache[key] = (self._monotonic() + TTL_S, fresh)
        return fresh
