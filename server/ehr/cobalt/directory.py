"""Locations as care units, providers as resources, visit types as services; what a status means."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from leyr_mcp.server.ehr.cobalt.api import CobaltApi, parsed, text
from leyr_mcp.server.ehr.models import CareUnit, Resource, Service
from leyr_mcp.server.errors import UpstreamNotFoundError
from leyr_mcp.server.text import short

TTL_S = 600.0
_NAMED = 10


class Directory(CobaltApi):
    """`GET /locations`, `/providers`, `/visit-types`, `/visit-statuses`, kept for ten minutes.

    What a write takes is the record system's own id (`ehr_id`), so that is the id here; Cobalt's
    own stands beside it in the same answer and is refused there.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._kept: dict[str, tuple[float, list[dict[str, Any]]]] = {}

    async def care_units(self) -> list[CareUnit]:
        """Return the active locations."""
        return [
            parsed(CareUnit, {"id": one["ehr_id"], "name": one.get("name")})
            for one in await self._locations()
        ]

    async def resources(self, care_unit_id: str) -> list[Resource]:
        """Return the providers who work at a location, or of whom it is not told where.

        Those who are out of use or hidden have no free times.
        """
        unit = await self._location(care_unit_id)
        return [
            parsed(Resource, {"id": one["ehr_id"], "name": one.get("name")})
            for one in _active(await self._kept_list("providers", "providers"))
            if text(one.get("hide_in_availability")).lower() != "true"
            and one.get("hide_in_availability") is not True
            and (care_unit_id in (places := _places(one)) or unit.get("id") in places or not places)
        ]

    async def services(self, care_unit_id: str) -> list[Service]:
        """Return the visit types, which are the same everywhere."""
        await self._location(care_unit_id)
        return [
            parsed(Service, {"id": code, "name": one.get("description")})
            for one in await self._visit_types()
            if (code := text(one.get("code")))
        ]

    async def _locations(self) -> list[dict[str, Any]]:
        return _active(await self._kept_list("locations", "locations"))

    async def _location(self, care_unit_id: str) -> dict[str, Any]:
        """Return a location by the record system's id.

        Raises:
            UpstreamNotFoundError: There is none; the ids that there are stand in the next step.
        """
        known = await self._locations()
        for one in known:
            if text(one.get("ehr_id")) == care_unit_id:
                return one
        ids = ", ".join(short(text(one.get("ehr_id"))) for one in known[:_NAMED])
        raise UpstreamNotFoundError(
            "There is no such care unit at Cobalt.",
            field="care_unit_id",
            next_step=f"Use one of these: {ids}." if ids else None,
        )

    async def _visit_types(self) -> list[dict[str, Any]]:
        return await self._kept_list("visit-types", "visit_types")

    async def _visit_statuses(self) -> list[dict[str, Any]]:
        return await self._kept_list("visit-statuses", "visit_statuses")

    async def _kept_list(self, path: str, key: str) -> list[dict[str, Any]]:
        return await self._keep(path, lambda: self._list(path, key))

    async def _keep(
        self, name: str, fetch: Callable[[], Awaitable[list[dict[str, Any]]]]
    ) -> list[dict[str, Any]]:
        """Return what was fetched within the last ten minutes; none of it is a patient's."""
        found = self._kept.get(name)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        fresh = await fetch()
        self._kept[name] = (time.monotonic() + TTL_S, fresh)
        return fresh


def _active(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what has an id of the record system and was not put out of use."""
    return [
        one
        for one in found
        if text(one.get("ehr_id")) and text(one.get("status") or "active").lower() == "active"
    ]


def _places(provider: dict[str, Any]) -> set[str]:
    """Return the facilities of a provider's shifts; none where they are not told."""
    return {
        text(shift.get("facility_id"))
        for hours in provider.get("hours") or ()
        if isinstance(hours, dict)
        for shift in hours.get("shifts") or ()
        if isinstance(shift, dict) and text(shift.get("facility_id"))
    }
