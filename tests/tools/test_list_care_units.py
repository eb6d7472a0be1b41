"""list_care_units: the whole answer, what it asks of the record, its failures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.mcp_answers import check_answer, check_error
from tests.support.mcp_session import both_eras, session
from tests.support.mcp_snapshots import check_snapshot
from tests.support.mcp_upstream import Canned, client_over


@both_eras
async def test_whole_answer(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("list_care_units")
    check_snapshot("answers/list_care_units", {"text": text.splitlines(), "data": data})


async def test_directory_is_asked_once_and_then_remembered() -> None:
    async with session("auto") as it:
        await it.ask("list_care_units")
        asked = sorted(str(request.operation) for request in it.requests())
        await it.ask("list_care_units")
        assert len(it.requests()) == len(asked) == 5
        assert len(set(asked)) == 3


async def test_failed_directory_is_asked_again() -> None:
    async with session("auto") as it:
        it.fail("unauthorized")
        assert (await it.refused("list_care_units")).code == "upstream_auth"
        it.control.faults.clear()
        await it.ask("list_care_units")


@pytest.mark.parametrize("emr", ["webdoc", "takecare", "kaddio", "anitasystems", "pasientsky"])
async def test_usual_unit_of_each_record_system_of_the_sandbox_is_one_of_its_units(
    emr: str,
) -> None:
    async with session("auto", emr) as it:
        _, units = await it.ask("list_care_units")
        _, slots = await it.ask("list_timeslots", limit=1)
        assert slots["care_unit_id"] == units["care_units"][0]["care_unit_id"]


@both_eras
async def test_no_care_unit_says_so(mode: str) -> None:
    async with client_over(Canned({"/care-units": []}), mode) as client:
        text, data = check_answer(await client.call_tool("list_care_units", {}))
    assert data == {"care_units": [], "truncated": False}
    assert text == "There is no care unit. Next: tell the user that the account has none."


def wide(count: int) -> Canned:
    units = [{"id": f"U{number}", "name": f"Unit {number}"} for number in range(count)]
    return Canned({"/care-units": units, "/resources": [], "/healthcare-services": []})


async def test_more_than_fifty_units_are_cut_and_counted() -> None:
    async with client_over(wide(51), "auto") as client:
        text, data = check_answer(await client.call_tool("list_care_units", {}))
    assert len(data["care_units"]) == 50
    assert data["truncated"] is True
    assert text.endswith("Only the first 50 of 51 care units are shown.")
    assert 'U49 "Unit 49"' in text
    assert "U50" not in text


async def test_entries_without_name_and_numbers_as_ids_are_taken() -> None:
    canned = Canned(
        {
            "/care-units": {"data": [{"id": 7}]},
            "/7/resources": {"items": [{"id": 1, "name": None}]},
            "/7/healthcare-services": [{"id": "s", "name": "Visit", "color": "red"}],
        }
    )
    async with client_over(canned, "auto") as client:
        text, data = check_answer(await client.call_tool("list_care_units", {}))
    assert data["care_units"] == [
        {
            "care_unit_id": "7",
            "resources": [{"id": "1"}],
            "services": [{"id": "s", "name": "Visit"}],
        }
    ]
    assert text.splitlines() == [
        "care_unit_id 7", "  resource_id 1", '  healthcare_service_id s "Visit"',
    ]  # fmt: skip


@pytest.mark.parametrize(
    "found", [{"id": "x"}, "text", None, [{"name": "no id"}], [1], {"data": 1}]
)
async def test_undocumented_answer_is_an_error(found: Any) -> None:
    async with client_over(Canned({"/care-units": found}), "auto") as client:
        refused = check_error(await client.call_tool("list_care_units", {}))
    assert refused.code == "upstream_bad_response"


async def test_unit_whose_id_fits_no_address_is_an_error_and_is_not_asked_for() -> None:
    canned = Canned({"/care-units": [{"id": "../../x"}]})
    async with client_over(canned, "auto") as client:
        refused = check_error(await client.call_tool("list_care_units", {}))
    assert refused.code in {"invalid_argument", "upstream_bad_response"}
    assert len(canned.asked) == 1
