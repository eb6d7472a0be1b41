"""Handlers for care units, resources, services and free times."""

from datetime import timedelta

from leyr_mcp.sandbox.call import Call
from leyr_mcp.sandbox.errors import bad
from leyr_mcp.sandbox.models import (
    CareUnitAnswer,
    HealthcareServiceAnswer,
    ResourceAnswer,
    TimeslotAnswer,
    TimeslotQuery,
)
from leyr_mcp.sandbox.slots import free_slots, to_local

DEFAULT_WINDOW = timedelta(days=30)


def find_care_units(call: Call) -> list[CareUnitAnswer]:
    """List the care units."""
    return [CareUnitAnswer(id=unit.id, name=unit.name) for unit in call.units]


def find_resources(call: Call) -> list[ResourceAnswer]:
    """List what can be booked at a care unit."""
    return [ResourceAnswer(id=item.id, name=item.name) for item in call.unit.resources]


def get_resource(call: Call) -> ResourceAnswer:
    """Return one resource by a typed id."""
    resource = call.resource(call.path["resource_id"])
    return ResourceAnswer(id=resource.id, name=resource.name)


def find_healthcare_services(call: Call) -> list[HealthcareServiceAnswer]:
    """List the types of visit at a care unit."""
    return [HealthcareServiceAnswer(id=item.id, name=item.name) for item in call.unit.services]


def find_timeslots(call: Call) -> list[TimeslotAnswer]:
    """List the free times of a window; without one, of the next 30 days."""
    query = call.query_as(TimeslotQuery)
    unit = call.unit
    resource = None
    if query.resource_id is not None:
        resource = call.resource(query.resource_id, "query.resource_id").id
    service = query.healthcare_service_id
    if service is not None and unit.service(service) is None:
        path = "query.healthcare_service_id"
        raise bad("INVALID_HEALTHCARE_SERVICE_ID", "No service has that id", path)
    first = query.start.timestamp() if query.start else call.now.timestamp()
    last = query.end.timestamp() if query.end else first + DEFAULT_WINDOW.total_seconds()
    return [
        TimeslotAnswer(
            start=to_local(slot.start).isoformat(),
            end=to_local(slot.end).isoformat(),
            resource_id=slot.resource_id,
            healthcare_service_id=slot.service_id,
        )
        for slot in free_slots(unit, call.store.taken(unit.id), call.now, first, last)
        if resource in (None, slot.resource_id) and service in (None, slot.service_id)
    ]
