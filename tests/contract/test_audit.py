"""Every call leaves an event before its answer goes out, a refused one and a resource too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp import MCPError

from leyr_mcp.server.app import App
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing.audit import TOOL_ACTS
from leyr_mcp.tools.catalog import TOOLS
from tests.support.mcp_session import both_eras, session

PATIENT = "se_personal_number:191212121212"


async def events(app: App) -> list[dict[str, Any]]:
    store, _ = await app.journal.opened()
    return [json.loads(row.body) for row in await store.audit_rows()]


def test_every_tool_is_classed() -> None:
    assert {tool.name for tool in TOOLS} <= TOOL_ACTS.keys()
    assert all(TOOL_ACTS[tool.name].action in "RE" for tool in TOOLS if tool.reads)


@both_eras
@pytest.mark.parametrize("tool", [tool.name for tool in TOOLS])
async def test_refused_call_leaves_one_event_with_its_code(mode: str, tool: str) -> None:
    async with session(mode) as it:
        await it.refused(tool, no_such_argument="Tolvansson")
        (event,) = await events(it.app)
    assert (event["outcome"], event["error"]) == (4, "invalid_argument")
    assert event["event"] == TOOL_ACTS[tool].event
    assert event["user"]["subject"]
    assert "Tolvansson" not in json.dumps(event)


@both_eras
async def test_events_tell_the_role_that_the_operator_set(mode: str) -> None:
    async with session(mode, LEYR_MCP_ROLE="front-desk") as it:
        await it.call("find_patient", patient_id=PATIENT)
        await it.client.read_resource(f"ehr://care-units/L0_1/patients/{PATIENT}")
        roles = [event["user"]["role"] for event in await events(it.app)]
    assert roles == ["front-desk", "front-desk"]


@both_eras
async def test_call_of_a_tool_that_there_is_not_leaves_an_event(mode: str) -> None:
    async with session(mode) as it:
        with pytest.raises(MCPError):
            await it.call("approve_Tolvansson", draft_id="d_1")
        (event,) = await events(it.app)
    assert (event["outcome"], event["error"]) == (4, "invalid_argument")
    assert "Tolvansson" not in json.dumps(event)


@both_eras
async def test_answered_calls_leave_an_event_for_each_patient_shown(mode: str) -> None:
    async with session(mode) as it:
        await it.call("find_patient", last_name="Testdotter", first_name="Åsa")
        await it.call("list_notes", patient_id=PATIENT)
        await it.call("list_care_units")
        found = await events(it.app)
    assert [event["event"] for event in found] == ["search", "search", "read", "read"]
    assert len({event["patient_key"] for event in found[:3]}) == 3
    assert "patient_key" not in found[3]
    text = json.dumps(found)
    assert "191212121212" not in text
    assert "Testdotter" not in text


@both_eras
async def test_resource_leaves_an_event_too_and_a_refused_one_its_code(mode: str) -> None:
    async with session(mode) as it:
        await it.client.read_resource(f"ehr://care-units/L0_1/patients/{PATIENT}")
        with pytest.raises(MCPError):
            await it.client.read_resource("ehr://care-units/L0_1/patients/emr_id:nobody")
        read, refused = await events(it.app)
    assert (read["outcome"], read["object"]["type"]) == (0, "patient")
    assert (refused["outcome"], refused["error"]) == (4, "patient_not_found")


@both_eras
async def test_no_answer_goes_out_without_its_event(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session(mode) as it:
        await it.call("list_care_units")

        async def broken(*_: object, **__: object) -> int:
            raise StorageError("The disk is full; nothing was stored.", code="storage_full")

        monkeypatch.setattr((await it.app.journal.opened())[0], "append", broken)
        refused = await it.refused("find_patient", last_name="Tolvansson")
    assert refused.code == "storage_full"
