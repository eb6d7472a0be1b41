"""Whose an entry of the record is, before a draft of one patient is closed with it."""

from __future__ import annotations

import pytest

from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.filing.payloads import Item, Payload
from leyr_mcp.server.filing.sending import is_of_another
from tests.server.filing.desk import NUMBER, booking, change, document, note, payload, person
from tests.server.filing.record import record, standing

ANNA = Patient(id="L9", emr_id="7", external_id=NUMBER)


@pytest.mark.parametrize("item", [booking(), change()])
@pytest.mark.parametrize(
    ("whose", "other"),
    [
        (None, False),  # what is not told is no difference
        (NUMBER, False),
        (f"se_personal_number:{NUMBER}", False),
        ("emr_id:7", False),
        ("L9", False),
        ("8", True),
        ("emr_id:8", True),
    ],
)
async def test_appointment_is_of_another_patient_if_none_of_the_ids_is_theirs(
    item: Item, whose: str | None, *, other: bool
) -> None:
    ehr = record(appointment=standing(patient_id=whose), patient=ANNA)

    assert await is_of_another(ehr, payload(item), "b1") is other


@pytest.mark.parametrize(
    "what",
    [payload(note()), payload(document()), payload(person()), payload(change(), patient=None)],
)
async def test_what_is_read_below_its_patient_is_not_read_for_this(what: Payload) -> None:
    ehr = record()

    assert not await is_of_another(ehr, what, "r1")
    assert ehr.asked == []
