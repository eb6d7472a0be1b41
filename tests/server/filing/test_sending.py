"""What is read back of a document, and whose an entry of the record is before it closes a draft."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any

import pytest

from leyr_mcp.server.ehr.models import Document, Patient
from leyr_mcp.server.filing.payloads import Item, Payload
from leyr_mcp.server.filing.sending import is_of_another, read_back
from tests.server.filing.desk import BYTES, NUMBER, booking, change, document, note, payload, person
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


EQUAL = sha256(BYTES).hexdigest()


@pytest.mark.parametrize(
    ("told", "verified"),
    [
        ({"sha256": EQUAL}, "equal"),
        ({"sha256": sha256(b"").hexdigest()}, "differs:content"),
        ({"sha256": ""}, "differs:content"),  # it is no base64
        ({}, "unreadable"),
        ({"content": base64.b64encode(BYTES).decode()}, "unreadable"),  # nobody digested it
        ({"sha256": EQUAL, "title": "Bill"}, "differs:title"),
        ({"sha256": EQUAL, "format": "image/png"}, "differs:format"),
        ({"sha256": EQUAL, "created_by_id": "a2"}, "differs:author"),
        ({"title": "Bill"}, "differs:title"),
    ],
)
async def test_a_document_is_read_back_by_its_digest_alone(
    told: dict[str, Any], verified: str
) -> None:
    ehr = record(document_digest=Document(id="r1").model_copy(update=told))

    assert await read_back(ehr, payload(document()), "r1") == verified
    assert ehr.read == ["document_digest"]
