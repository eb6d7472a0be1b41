"""Free times and bookings of the sandbox's first patient, made through the client."""

from __future__ import annotations

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.models import Appointment, Timeslot
from leyr_mcp.server.ehr.port import NewAppointment, Window
from tests.support.leyr_client import days

NUMBER = "191212121212"


def tolvan(box: Sandbox) -> PatientRef:
    """Return the first patient by the record system's own id."""
    return PatientRef("emr_id", box.control.patient(NUMBER).emr_id)


async def slots_of(ehr: LeyrEhr, unit: str) -> list[Timeslot]:
    """Return the free times of one resource and one service in the week to come."""
    units = await ehr.resources(unit), await ehr.services(unit)
    resource = ResourceRef("emr_id", units[0][0].id)
    return await ehr.timeslots(
        unit, days(0, 7), resource=resource, healthcare_service_id=units[1][0].id
    )


def booking(patient: PatientRef, slot: Timeslot, comment: str | None = None) -> NewAppointment:
    """Return the booking of a free time."""
    return NewAppointment(
        patient=patient,
        window=Window(slot.start, slot.end),
        resource=ResourceRef("emr_id", slot.resource_id or ""),
        healthcare_service_id=slot.healthcare_service_id,
        comment=comment,
    )


async def booked(box: Sandbox, ehr: LeyrEhr, unit: str, place: int = 0) -> Appointment:
    """Book one of the free times for the first patient."""
    slots = await slots_of(ehr, unit)
    return await ehr.book(unit, booking(tolvan(box), slots[place], "Första besöket"))
