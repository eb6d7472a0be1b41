"""Care units, their resources and their services."""

from __future__ import annotations

from leyr_mcp.server.ehr.leyr.api import LeyrApi
from leyr_mcp.server.ehr.models import CareUnit, Resource, Service


class Directory(LeyrApi):
    """`GET care-units`, `GET resources`, `GET healthcare-services`."""

    async def care_units(self) -> list[CareUnit]:
        """Return the places of care."""
        return await self._list(CareUnit, ("emrs", self._emr, "care-units"))

    async def resources(self, care_unit_id: str) -> list[Resource]:
        """Return who and what can be booked there."""
        return await self._list(Resource, self._unit(care_unit_id, "resources"))

    async def services(self, care_unit_id: str) -> list[Service]:
        """Return the types of appointment there."""
        return await self._list(Service, self._unit(care_unit_id, "healthcare-services"))
