"""The patient of a draft: read by id or found by name, and compared with whom the caller means."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.errors import InputError, LeyrMcpError, UpstreamNotSupportedError
from leyr_mcp.server.filing.subject import Seen, look
from tests.server.filing.desk import ANNA, NUMBER
from tests.server.filing.record import TODAY, record

BY_NUMBER = PatientRef("se_personal_number", NUMBER)
BY_ID = PatientRef("emr_id", NUMBER)
UNREADABLE = Capabilities(name="Closed", get_patient=False)
NOT_HERE = UpstreamNotSupportedError("No.")


async def seen(ehr: Any, expect: str | None = None, ref: PatientRef = BY_NUMBER) -> Seen:
    """Return what looking at a patient came to."""
    return await look(ehr, "u1", ref, expect, today=TODAY, environment=None)


@pytest.mark.parametrize(
    "types", [None, frozenset({"emr_id", "se_personal_number"})], ids=["unknown", "taken"]
)
async def test_where_no_patient_is_given_by_id_nothing_is_known_but_the_id(
    types: frozenset[str] | None,
) -> None:
    ehr = record(Capabilities(name="Closed", get_patient=False, patient_types=types))

    found = await seen(ehr)

    assert found == Seen(ref=BY_NUMBER, canonical=str(BY_NUMBER), ids=frozenset({NUMBER}))
    assert (found.name, found.expected, ehr.asked) == (None, "absent", [])


async def test_type_that_such_a_record_system_does_not_take_is_refused() -> None:
    ehr = record(
        Capabilities(name="Closed", get_patient=False, patient_types=frozenset({"emr_id"}))
    )

    with pytest.raises(UpstreamNotSupportedError) as refused:
        await seen(ehr, "Berg")

    assert refused.value.field == "patient_id"
    assert "Closed takes no se_personal_number" in refused.value.message
    assert NUMBER not in refused.value.message
    assert ehr.asked == []


async def test_type_that_the_record_system_refuses_is_not_looked_for_by_name() -> None:
    said = UpstreamNotSupportedError("Not this type.", field="patient_id")
    ehr = record(patient=said, find_patients=[ANNA])

    with pytest.raises(UpstreamNotSupportedError) as refused:
        await seen(ehr, "Berg")

    assert refused.value is said
    assert ehr.read == ["patient"]


@pytest.mark.parametrize("expect", ["Berg", " BERG ", "Anna Berg"])
@pytest.mark.parametrize("how", ["never", "not here"])
async def test_found_by_name_it_is_whoever_has_the_id(expect: str, how: str) -> None:
    other = Patient(emr_id="7", first_name="Bo", last_name="Berg")
    ehr = (
        record(UNREADABLE, find_patients=[other, ANNA])
        if how == "never"
        else record(patient=NOT_HERE, find_patients=[other, ANNA])
    )

    found = await seen(ehr, expect, BY_ID)

    assert (found.name, found.expected, found.birth_date) == (
        "Anna Berg",
        "equal",
        date(1980, 1, 2),
    )
    assert ehr.asked[-1] == ("find_patients", {"first_name": None, "last_name": expect})


async def test_name_under_which_only_others_are_found_is_another_patients() -> None:
    ehr = record(UNREADABLE, find_patients=[Patient(emr_id="7", last_name="Berg")])

    with pytest.raises(LeyrMcpError) as refused:
        await seen(ehr, "Berg", BY_ID)

    assert (refused.value.code, refused.value.field) == ("patient_mismatch", "expect")
    assert "Berg" not in refused.value.message


@pytest.mark.parametrize("listed", [[], [ANNA, ANNA]], ids=["nobody", "twice"])
async def test_search_that_does_not_single_one_out_compares_nothing(listed: list[Patient]) -> None:
    ehr = record(UNREADABLE, find_patients=listed)

    found = await seen(ehr, "Berg", BY_ID)

    assert (found.name, found.expected) == (None, "unverified")


async def test_birth_date_finds_nobody_by_name() -> None:
    ehr = record(UNREADABLE)

    assert (await seen(ehr, "1980-01-02")).expected == "unverified"
    assert ehr.asked == []


@pytest.mark.parametrize(
    ("expect", "read", "expected"),
    [
        ("1980-01-02", ANNA, "equal"),
        (" 1980-01-02 ", ANNA, "equal"),
        ("1980-01-03", ANNA, None),
        ("Berg", ANNA, "equal"),
        ("Anna Berg", ANNA, "equal"),
        ("Anna", ANNA, None),
        ("Bergman", ANNA, None),
        ("1980-01-02", Patient(emr_id="7", last_name="Berg"), "unverified"),
        ("Berg", Patient(emr_id="7", first_name="Anna"), "unverified"),
        (None, ANNA, "absent"),
    ],
)
async def test_whom_the_caller_believes_in_is_compared_with_the_record(
    expect: str | None, read: Patient, expected: str | None
) -> None:
    ehr, ref = record(patient=read), PatientRef("emr_id", "7")
    if expected is not None:
        assert (await seen(ehr, expect, ref)).expected == expected
        return
    with pytest.raises(LeyrMcpError) as refused:
        await seen(ehr, expect, ref)
    assert refused.value.code == "patient_mismatch"


async def test_birth_date_in_the_number_is_compared_where_the_record_tells_none() -> None:
    ehr = record(patient=Patient(emr_id="7", last_name="Berg"))

    assert (await seen(ehr, "1980-01-02")).expected == "equal"
    with pytest.raises(LeyrMcpError):
        await seen(ehr, "1980-01-03")


@pytest.mark.parametrize("expect", ["1980-13-01", "80-01-02", "2 januari 1980"])
async def test_what_is_neither_a_name_nor_a_date_is_refused_unread(expect: str) -> None:
    ehr = record()

    with pytest.raises(InputError) as refused:
        await seen(ehr, expect)

    assert refused.value.field == "expect"
    assert expect not in refused.value.message


async def test_one_patient_has_one_name_whatever_they_were_asked_by() -> None:
    read = Patient(id="L9", emr_id="7", last_name="Berg", external_id=NUMBER)

    by_number = await seen(record(patient=read), ref=BY_NUMBER)
    by_id = await seen(record(patient=read), ref=PatientRef("emr_id", "7"))

    assert by_number.canonical == by_id.canonical == "emr_id:7"
    assert by_number.ids == by_id.ids == {"L9", "7", NUMBER}
    assert by_number.number == by_id.number == BY_NUMBER
    unnumbered = await seen(record(patient=Patient(last_name="Berg")), ref=BY_NUMBER)
    assert (unnumbered.canonical, unnumbered.number) == (str(BY_NUMBER), BY_NUMBER)
    assert (await seen(record(patient=Patient(last_name="B")), ref=BY_ID)).number is None
