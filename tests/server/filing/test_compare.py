"""When two identifiers can name one thing, and when a change is as it was wanted."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import cast

import pytest

from leyr_mcp.server.ehr.capabilities import UNKNOWN
from leyr_mcp.server.ehr.models import Appointment
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.filing.compare import change_difference, comparable, may_be
from leyr_mcp.server.filing.payloads import AppointmentItem, ChangeItem, Payload, Was
from leyr_mcp.server.filing.reconcile import INCONCLUSIVE, Doubt, look

HSA = "hsa_id:SE2321000131-E000000012345"
START = datetime.fromisoformat("2026-09-16T10:00:00+02:00")
END = datetime.fromisoformat("2026-09-16T10:30:00+02:00")
FOUND = Appointment(id="a1", start=START, end=END, status="booked", resource_id="1021")
ITEM = ChangeItem(appointment_id="a1", action="reschedule", was=Was(start=START, status="booked"))


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(None, "1021"), ("1021", "1021"), ("emr_id:1021", "1021"), ("1021", HSA), (HSA, HSA)],
)
def test_what_can_name_one_thing(found: str | None, wanted: str | None) -> None:
    assert may_be(found, wanted)
    assert may_be(wanted, found)


@pytest.mark.parametrize(
    ("found", "wanted"), [("1021", "1022"), (HSA, HSA[:-1] + "6"), ("x:1", "y:1")]
)
def test_what_cannot(found: str, wanted: str) -> None:
    assert not may_be(found, wanted)
    assert not may_be(wanted, found)


def test_only_identifiers_of_one_type_tell_things_apart() -> None:
    assert comparable("1021", "emr_id:1022")
    assert comparable(None, HSA)
    assert not comparable("1021", HSA)


@pytest.mark.parametrize(
    ("resource", "difference"), [("1021", None), ("1022", "resource"), (HSA, None)]
)
def test_resource_of_a_change(resource: str, difference: str | None) -> None:
    wanted = dataclasses.replace(ITEM, resource_id=resource)
    assert change_difference(wanted, FOUND) == difference


class Record:
    """A record that holds one appointment."""

    capabilities = UNKNOWN

    async def appointment(self, _unit: str, _appointment_id: str) -> Appointment:
        """Return it."""
        return FOUND

    async def appointments(self, _unit: str, **_: object) -> list[Appointment]:
        """Return it alone."""
        return [FOUND]


def doubt(item: ChangeItem | AppointmentItem) -> Doubt:
    """Return a write in doubt."""
    payload = Payload(
        environment=None, care_unit_id="L0_1", item=item, patient="se_personal_number:191212121212"
    )
    return Doubt(payload=payload, since=START, owned=frozenset())


@pytest.mark.parametrize(
    ("resource", "hits", "unclear"), [("1021", 1, None), (HSA, 0, INCONCLUSIVE), ("1022", 0, None)]
)
async def test_lost_write_is_found_only_where_the_resource_can_be_told(
    resource: str, hits: int, unclear: str | None
) -> None:
    record = cast("Ehr", Record())
    booking = AppointmentItem(start=START, end=END, resource_id=resource)
    for item in (booking, dataclasses.replace(ITEM, resource_id=resource)):
        found = await look(record, doubt(item))
        assert (len(found.hits), found.unclear) == (hits, unclear)
