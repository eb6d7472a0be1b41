"""Free times."""

from __future__ import annotations

from leyr_mcp.server.ehr.identifiers import ResourceRef
from leyr_mcp.server.ehr.leyr.api import LeyrApi
from leyr_mcp.server.ehr.models import Timeslot
from leyr_mcp.server.ehr.port import Window


class Timeslots(LeyrApi):
    """`GET timeslots`."""

    async def timeslots(
        self,
        care_unit_id: str,
        window: Window,
        *,
        resource: ResourceRef | None = None,
        healthcare_service_id: str | None = None,
    ) -> list[Timeslot]:
        """Return the free times in a window."""
        query = [("start", window.start.isoformat()), ("end", window.end.isoformat())]
        if resource is not None:
            query.append(("resource_id", self._resource_id(resource)))
        if healthcare_service_id is not None:
            query.append(("healthcare_service_id", healthcare_service_id))
        return await self._list(Timeslot, self._unit(care_unit_id, "timeslots"), query)
