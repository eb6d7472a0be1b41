"""Patient notes: the acknowledgement, both refusals and both events, as Cobalt's own page has them.

The page's examples stand here, value by value where the value is the page's own.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from leyr_mcp.sandbox.cobalt.clinic import FIRST, LOCATIONS
from leyr_mcp.sandbox.cobalt.options import Outcome
from tests.sandbox.cobalt.kit import events, note, sandbox


def same_form(example: Any, found: Any) -> bool:
    """Whether two JSON values have the same keys in the same order, and the same types."""
    if isinstance(example, dict):
        return list(example) == list(found) and all(
            same_form(example[name], found[name]) for name in example
        )
    return type(example) is type(found)


ACKNOWLEDGED = {
    "success": True,
    "message": "Patient note processing. A webhook event will be sent upon completion.",
    "patient_note_id": "abc123def456789012345678",
    "job_id": 12345,
}
CREATED = {
    "id": "evt_1J9X2q2eZvKYlo2CluR9g9gV",
    "access_token_reference_id": "user_1J9X2q2eZvKYlo2Cxyz",
    "object": "event",
    "created": "2025-10-09T10:30:00Z",
    "type": "patient_note.created",
    "job_id": "12345",
    "data": {
        "patient_note_id": "abc123def456789012345678",
        "emr_note_id": "10d1c8d3-aa69-472a-a9eb-f5fbd12bf99f",
        "patient_mrn": "MRN-12345",
        "location_id": "9b409d24-aa13-4ce5-a6b2-ea813eeb9530",
        "subject": "Wellness check-in",
        "note": "Patient reports feeling well since last visit. No new concerns to report.",
    },
}
FAILED = {
    "id": "evt_1J9X2q2eZvKYlo2CluR9g9gW",
    "access_token_reference_id": "user_1J9X2q2eZvKYlo2Cxyz",
    "object": "event",
    "created": "2025-10-09T10:35:00Z",
    "type": "patient_note.failed",
    "job_id": "12345",
    "data": {
        "patient_note_id": "abc123def456789012345678",
        "failure_reason": "Failed to create patient note",
    },
}


async def test_the_acknowledgement_is_that_of_the_page() -> None:
    async with sandbox() as (_, client):
        answer = await client.post("/patient-notes", json=note())
    told = answer.json()
    assert answer.status_code == 200
    assert same_form(ACKNOWLEDGED, told)
    assert told["message"] == ACKNOWLEDGED["message"]
    assert re.fullmatch(r"[a-z0-9]{24}", told["patient_note_id"])


@pytest.mark.parametrize("name", ["note", "subject", "patient_mrn", "location_id"])
@pytest.mark.parametrize("value", [None, "", "  "])
async def test_a_missing_field_is_named(name: str, value: str | None) -> None:
    async with sandbox() as (box, client):
        answer = await client.post("/patient-notes", json=note(**{name: value}))
        assert answer.status_code == 400
        assert answer.json() == {
            "success": False,
            "message": f"Missing required field: {name}",
        }
        assert not box.control.queue.waiting()


async def test_of_several_missing_fields_the_first_is_named() -> None:
    async with sandbox() as (_, client):
        answer = await client.post("/patient-notes", json={"location_id": "x"})
    assert answer.json()["message"] == "Missing required field: note"


async def test_a_wrong_location_is_answered_with_the_right_ones() -> None:
    async with sandbox() as (_, client):
        for wrong in ("nowhere", LOCATIONS[0].id, LOCATIONS[2].ehr_id):
            answer = await client.post("/patient-notes", json=note(location_id=wrong))
            assert answer.status_code == 400
            told = ", ".join(one.ehr_id for one in LOCATIONS if one.status == "active")
            assert answer.json() == {
                "success": False,
                "message": f"Invalid location_id. Must be one of: {told}",
            }


async def test_cobalts_own_location_id_is_taken_behind_a_switch() -> None:
    async with sandbox() as (box, client):
        box.control.options.cobalt_location_ids = True
        assert (await client.post("/patient-notes", json=note(location_id=LOCATIONS[0].id))).json()[
            "success"
        ]
        box.control.run_jobs()
        assert box.control.stored("note")[0]["location_id"] == FIRST


async def test_both_events_are_those_of_the_page() -> None:
    from leyr_mcp.sandbox.cobalt.events import pushed  # noqa: PLC0415 - as a webhook carries it

    async with sandbox() as (box, client):
        good = (await client.post("/patient-notes", json=note())).json()
        box.control.outcomes.append(Outcome(result="fail"))
        bad = (await client.post("/patient-notes", json=note())).json()
        assert box.control.run_jobs() == 2
        created, failed = map(pushed, box.control.events())

    assert same_form(CREATED, created)
    assert created["job_id"] == str(good["job_id"])
    assert created["data"]["patient_note_id"] == good["patient_note_id"]
    assert created["data"] | note() == created["data"]
    assert same_form(FAILED, failed)
    assert failed["job_id"] == str(bad["job_id"])
    assert failed["data"] == {
        "patient_note_id": bad["patient_note_id"],
        "failure_reason": FAILED["data"]["failure_reason"],  # type: ignore[index]  # a dict
    }


async def test_an_unknown_record_number_fails_later_or_at_once() -> None:
    async with sandbox() as (box, client):
        assert (await client.post("/patient-notes", json=note(patient_mrn="MRN-0"))).json()[
            "success"
        ]
        box.control.run_jobs()
        assert [one["event_type"] for one in await events(client)] == ["patient_note.failed"]
        box.control.options.unknown_mrn = "400"
        answer = await client.post("/patient-notes", json=note(patient_mrn="MRN-0"))
        assert (answer.status_code, answer.json()["success"]) == (400, False)
        assert not box.control.stored("note")


@pytest.mark.parametrize(
    ("switch", "body"),
    [
        ({"strict": True}, note(extra="x")),
        ({"note_limit": 3}, note()),
        ({}, note(note=7)),
        ({}, note(subject=["x"])),
    ],
)
async def test_what_else_may_be_refused(switch: dict[str, Any], body: dict[str, Any]) -> None:
    async with sandbox() as (box, client):
        box.control.switch(switch)
        answer = await client.post("/patient-notes", json=body)
        assert (answer.status_code, answer.json()["success"]) == (400, False)


async def test_an_unknown_field_is_ignored_and_a_repeat_makes_a_second_note() -> None:
    async with sandbox() as (box, client):
        for _ in range(2):
            assert (await client.post("/patient-notes", json=note(extra="x"))).status_code == 200
        box.control.run_jobs()
        assert len(box.control.stored("note")) == 2


async def test_a_note_cannot_be_read_back() -> None:
    async with sandbox() as (_, client):
        answer = await client.get("/patient-notes")
        assert (answer.status_code, answer.json()) == (
            404,
            {"success": False, "message": "Not found"},
        )
