"""Free times and appointments: listed, booked, cancelled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from leyr_mcp.server.ehr.cobalt.api import objects, parsed, queued, text, unreadable
from leyr_mcp.server.ehr.cobalt.directory import Directory
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.models import Appointment, Timeslot
from leyr_mcp.server.ehr.port import Cancel, Change, Job, NewAppointment, Window
from leyr_mcp.server.errors import (
    InputError,
    UpstreamError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
)

# What is looked through where a call names no time: Cobalt gives an appointment by no id.
_BACK, _AHEAD = timedelta(days=90), timedelta(days=400)
_BOOKED, _CANCELLED, _PENDING = "booked", "cancelled", "pending"
_CANNOT = (
    "Cobalt cannot move an appointment that is in the record.",
    "Tell the user; if they want it, cancel this one and book another time.",
)


class Schedule(Directory):
    """`GET /availability`; `GET`, `POST /appointments`; `PATCH /appointments/{id}`."""

    async def timeslots(
        self,
        care_unit_id: str,
        window: Window,
        *,
        resource: ResourceRef | None = None,
        healthcare_service_id: str | None = None,
    ) -> list[Timeslot]:
        """Return the free times in a window; each as long as the visit type asked for."""
        await self._location(care_unit_id)
        query = [*self._days(window), ("location_ids", care_unit_id)]
        query.append(("calculation_method", "slots"))
        if resource is not None:
            query.append(("provider_ids", self._provider(resource)))
        if healthcare_service_id is not None:
            query.append(("visit_type", healthcare_service_id))
        body = await self._get("availability", query)
        results = body.get("results")
        found = objects(results if isinstance(results, dict) else body, "availability")
        slots = [self._slot(one, healthcare_service_id) for one in found]
        return [s for s in slots if window.start <= s.start and s.end <= window.end]

    async def appointments(
        self,
        care_unit_id: str,
        *,
        patient: PatientRef | None = None,
        resource: ResourceRef | None = None,
        window: Window | None = None,
    ) -> list[Appointment]:
        """Return appointments, narrowed by what is given."""
        await self._location(care_unit_id)
        if window is None:
            now = self._clock()
            window = Window(now - _BACK, now + _AHEAD)
        query = self._days(window)
        if patient is not None:
            query.append(("patient_mrn", self._mrn(patient)))
        wanted = self._provider(resource) if resource else None
        read = [
            await self._appointment(o)
            for o in await self._list("appointments", "appointments", query)
        ]
        return [
            one
            for one in read
            if one.care_unit_id in (None, care_unit_id)
            and (wanted is None or one.resource_id == wanted)
            and one.start < window.end
            and window.start < one.end
        ]

    async def appointment(self, care_unit_id: str, appointment_id: str) -> Appointment:
        """Return one appointment, out of those of the last months and the next year."""
        for one in await self.appointments(care_unit_id):
            if one.id == appointment_id:
                return one
        raise UpstreamNotFoundError(
            "There is no such appointment.",
            field="appointment_id",
            next_step="Call list_appointments and use an id from its answer.",
        )

    async def book(self, care_unit_id: str, new: NewAppointment) -> Job:
        """Have an appointment booked; how long it is follows from the visit type."""
        if new.resource is None or new.healthcare_service_id is None:
            raise InputError("Cobalt books only with a resource and a service.")
        body = {
            "mrn": self._mrn(new.patient),
            "location": care_unit_id,
            "provider": self._provider(new.resource),
            "type": new.healthcare_service_id,
            "datetime": new.window.start.isoformat(),
            "prevent_double_booking": "true",
        }
        if new.comment:
            body["note"] = new.comment
        return queued(await self._write("POST", "appointments", body), "appointment_id")

    async def change_appointment(
        self,
        care_unit_id: str,  # noqa: ARG002 - an appointment's id is enough here
        appointment_id: str,
        change: Change,
    ) -> Job:
        """Have an appointment cancelled; nothing else of one in the record can be changed."""
        if not isinstance(change, Cancel):
            raise UpstreamNotSupportedError(_CANNOT[0], field="action", next_step=_CANNOT[1])
        body = {"status": await self._cancelled_code()}
        if change.comment:
            body["note"] = change.comment
        answer = await self._write("PATCH", f"appointments/{appointment_id}", body)
        if not (number := text(answer.get("job_id"))):
            raise unreadable()  # in doubt, until the appointment itself is seen to have changed
        return Job(f"{number}:{appointment_id}")

    def _days(self, window: Window) -> list[tuple[str, str]]:
        return [("start_date", self._day(window.start)), ("end_date", self._day(window.end))]

    def _provider(self, resource: ResourceRef) -> str:
        if resource.type != "emr_id":
            raise UpstreamNotSupportedError(
                f"Cobalt takes no {resource.type} here.",
                field="resource_id",
                next_step="Call list_care_units and use an id from its answer.",
            )
        return resource.value

    def _slot(self, raw: dict[str, Any], visit_type: str | None) -> Timeslot:
        return parsed(
            Timeslot,
            {
                "start": self._moment(raw.get("range_start")),
                "end": self._moment(raw.get("range_end")),
                "resource_id": text(raw.get("provider_id")) or None,
                "healthcare_service_id": text(raw.get("visit_type")) or visit_type,
            },
        )

    async def _appointment(self, raw: dict[str, Any]) -> Appointment:
        start, minutes = self._moment(raw.get("datetime")), raw.get("duration")
        if not isinstance(minutes, int | float):
            minutes = 0
        mrn, comment = text(raw.get("patient_mrn")), raw.get("note")
        return parsed(
            Appointment,
            {
                "id": text(raw.get("id")),
                "start": start,
                "end": start + timedelta(minutes=max(minutes, 1)),
                "status": await self._status(text(raw.get("status"))),
                "patient_id": f"mrn:{mrn}" if mrn else None,
                "resource_id": text(raw.get("provider_ehr_id")) or None,
                "healthcare_service_id": await self._type_of(text(raw.get("appointment_type"))),
                "care_unit_id": await self._unit_of(text(raw.get("location"))),
                "comment": comment if isinstance(comment, str) and comment else None,
                "job_id": f":{text(raw.get('id'))}" if raw.get("status") == _PENDING else None,
            },
        )

    async def _status(self, said: str) -> str:
        """Return a status in our words: booked and cancelled; another as it is spelled."""
        if said.lower() in ("scheduled", _CANCELLED, "canceled"):
            return _BOOKED if said.lower() == "scheduled" else _CANCELLED
        for code, means in await self._statuses():
            if code == said and means.startswith("cancel"):
                return _CANCELLED
        return said or "unknown"

    async def _cancelled_code(self) -> str:
        """Return the clinic's own code of a cancelled visit.

        Raises:
            UpstreamNotSupportedError: It has none.
        """
        for code, means in await self._statuses():
            if means.startswith("cancel"):
                return code
        raise UpstreamNotSupportedError("This clinic has no status for a cancelled visit.")

    async def _statuses(self) -> list[tuple[str, str]]:
        found = await self._visit_statuses()
        return [(text(o.get("code")), text(o.get("description")).lower()) for o in found]

    async def _type_of(self, said: str) -> str | None:
        """Return a visit type's code, which may be told by its description."""
        known = await self._visit_types()
        by_name = {text(one.get("description")).lower(): text(one.get("code")) for one in known}
        return by_name.get(said.lower(), said) or None

    async def _unit_of(self, said: str) -> str | None:
        """Return a location's id, which may be told by name or by Cobalt's own id, if it is one."""
        for one in await self._locations():
            if said and said in (text(one.get(name)) for name in ("ehr_id", "id", "name")):
                return text(one["ehr_id"])
        return None

    async def _booked_as(self, appointment_id: str, near: object) -> Appointment | None:
        """Return an appointment that an event names, if the list has it."""
        try:
            start = self._moment(near)
            query = self._days(Window(start - timedelta(days=1), start + timedelta(days=1)))
            for one in await self._list("appointments", "appointments", query):
                if text(one.get("id")) == appointment_id:
                    return await self._appointment(one)
        except UpstreamError:
            return None
        return None
