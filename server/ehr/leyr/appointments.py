"""Appointments: listed, booked, changed."""

from __future__ import annotations

from typing import Any

from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.leyr.api import LeyrApi, present
from leyr_mcp.server.ehr.models import Appointment
from leyr_mcp.server.ehr.port import Cancel, Change, Confirm, NewAppointment, Window


class Appointments(LeyrApi):
    """`GET`, `POST appointments`; `GET`, `PATCH appointments/{id}`."""

    async def appointments(
        self,
        care_unit_id: str,
        *,
        patient: PatientRef | None = None,
        resource: ResourceRef | None = None,
        window: Window | None = None,
    ) -> list[Appointment]:
        """Return appointments, narrowed by what is given."""
        query = []
        if patient is not None:
            query.append(("patient_id", self._patient_id(patient)))
        if resource is not None:
            query.append(("resource_id", self._resource_id(resource)))
        if window is not None:
            query += [("start", window.start.isoformat()), ("end", window.end.isoformat())]
        return await self._list(Appointment, self._unit(care_unit_id, "appointments"), query)

    async def appointment(self, care_unit_id: str, appointment_id: str) -> Appointment:
        """Return one appointment."""
        return await self._get(
            Appointment, self._unit(care_unit_id, "appointments", appointment_id)
        )

    async def book(self, care_unit_id: str, new: NewAppointment) -> Appointment:
        """Book an appointment."""
        body = present(
            start=new.window.start.isoformat(),
            end=new.window.end.isoformat(),
            patient_id=self._patient_id(new.patient),
            resource_id=self._resource_id(new.resource) if new.resource else None,
            healthcare_service_id=new.healthcare_service_id,
            comment=new.comment,
        )
        return await self._write(
            Appointment, "POST", self._unit(care_unit_id, "appointments"), body
        )

    async def change_appointment(
        self, care_unit_id: str, appointment_id: str, change: Change
    ) -> Appointment:
        """Reschedule, cancel or confirm an appointment; the answer may carry another id."""
        path = self._unit(care_unit_id, "appointments", appointment_id)
        return await self._write(Appointment, "PATCH", path, self._change(change))

    def _change(self, change: Change) -> dict[str, Any]:
        if isinstance(change, Confirm):
            return {"confirmation": {"code": change.code}}
        if isinstance(change, Cancel):
            return present(status="cancelled", comment=change.comment)
        window = change.window
        return present(
            start=window.start.isoformat() if window else None,
            end=window.end.isoformat() if window else None,
            resource_id=self._resource_id(change.resource) if change.resource else None,
            comment=change.comment,
        )
