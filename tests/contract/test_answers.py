"""Every tool, called: its answers fit their schema, the text suffices, errors have their form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import MCPError

from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.spec import ToolSpec
from tests.support.mcp_answers import MODE, check_error, check_text_suffices
from tests.support.mcp_session import OF_DRAFTS, TOLVAN, Session, both_eras, examples, session

PSYCHOLOGY = "195008121856"  # a seeded patient with a note of several fields
each_tool = pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])

MORE: dict[str, list[dict[str, Any]]] = {
    "find_patient": [
        {"last_name": "Testdotter"},
        {"last_name": "Nobody"},
        {"first_name": "Rhys"},
    ],
    "list_timeslots": [
        {"limit": 100},
        {"start": "2027-06-01"},
        {"care_unit_id": "L0_2", "limit": 40},
    ],
    "list_appointments": [{}, {"start": "2020-01-01"}, {"care_unit_id": "L0_2"}],
    "list_drafts": [{}, {"state": "draft"}, {"state": "filed"}, {"care_unit_id": "L0_2"}],
}
OF_RECORD = [tool for tool in TOOLS if tool.name not in OF_DRAFTS]

# Faults that are not tried again, so that no test waits; what the caller is told of each.
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "unauthorized"}, "upstream_auth"),
    ({"kind": "emr_401"}, "upstream_refused"),
    ({"kind": "html"}, "upstream_bad_response"),
    ({"kind": "gzip_bomb", "unpacked_bytes": 4096}, "upstream_bad_response"),
    ({"kind": "429", "retry_after": 3600}, "upstream_busy"),
    ({"kind": "503", "retry_after": 3600}, "upstream_busy"),
]


async def every_call(it: Session, tool: str) -> list[dict[str, Any]]:
    """Return calls of a tool for a plain patient and for one with richer entries."""
    calls, control = [], it.control
    for who in (TOLVAN, PSYCHOLOGY):
        if tool in OF_DRAFTS | examples(control, who).keys():
            calls.append(await it.example(tool, who))
        patient = f"emr_id:{control.patient(who).emr_id}"
        if tool == "get_note":
            calls += [{"patient_id": patient, "note_id": n.id} for n in control.notes(who)]
        if tool == "get_document":
            calls += [{"patient_id": patient, "document_id": d.id} for d in control.documents(who)]
    return calls + MORE.get(tool, [])


@both_eras
@each_tool
async def test_answers_fit_the_published_schema_and_the_text_suffices(
    mode: str, tool: ToolSpec
) -> None:
    async with session(mode) as it:
        listed = {entry.name: entry for entry in (await it.client.list_tools()).tools}
        schema = listed[tool.name].output_schema
        assert schema is not None
        for call in await every_call(it, tool.name):
            text, data = await it.ask(tool.name, **call)
            Draft202012Validator(schema).validate(json.loads(json.dumps(data)))
            check_text_suffices(text, data)


@both_eras
@each_tool
async def test_reads_send_nothing_but_gets(mode: str, tool: ToolSpec) -> None:
    async with session(mode) as it:
        calls = await every_call(it, tool.name)
        before = len(it.requests())
        for call in calls:
            await it.ask(tool.name, **call)
        sent = it.requests()[before:]
        assert bool(sent) is (tool.name not in OF_DRAFTS)
        if tool.annotations.read_only_hint:
            assert {request.method for request in sent} <= {"GET"}
            assert {request.body_bytes for request in sent} <= {0}


@both_eras
@each_tool
async def test_every_answer_says_that_it_is_the_sandbox(mode: str, tool: ToolSpec) -> None:
    async with session(mode) as it:
        good = await it.call(tool.name, **await it.example(tool.name))
        bad = await it.call(tool.name, no_such_argument=1)
        assert good.meta is not None
        assert bad.meta is not None
        assert (good.meta[MODE], bad.meta[MODE]) == ("sandbox", "sandbox")
        assert "SANDBOX" in (it.client.instructions or "")


@both_eras
@pytest.mark.parametrize("tool", OF_RECORD, ids=[tool.name for tool in OF_RECORD])
@pytest.mark.parametrize(("fault", "code"), FAULTS, ids=[f["kind"] for f, _ in FAULTS])
async def test_failures_of_the_record_system_are_errors_of_the_whole_form(
    mode: str, tool: ToolSpec, fault: dict[str, Any], code: str
) -> None:
    async with session(mode) as it:
        it.fail(**fault)
        refused = await it.refused(tool.name, **examples(it.control)[tool.name])
        assert refused.code == code
        assert ("retry_after_s" in refused.error) == ("retry_after" in fault)
        assert "Synthetic" not in refused.text


@both_eras
@pytest.mark.parametrize("tool", sorted(OF_DRAFTS))
async def test_drafts_are_kept_here_whatever_the_record_system_does(mode: str, tool: str) -> None:
    async with session(mode) as it:
        call = await it.example(tool)
        it.fail("503")
        _, data = await it.ask(tool, **call)
        assert call.get("draft_id", "") in str(data)


@both_eras
@each_tool
async def test_unknown_argument_is_refused_before_anything_is_sent(
    mode: str, tool: ToolSpec
) -> None:
    async with session(mode) as it:
        given = {**await it.example(tool.name), "patientId": "Hemligsson"}
        before = it.requests()
        refused = await it.refused(tool.name, **given)
        assert refused.code == "invalid_argument"
        assert refused.message.startswith("patientId is not an argument")
        assert "Hemligsson" not in refused.text
        assert it.requests() == before


@both_eras
@each_tool
async def test_missing_argument_is_named(mode: str, tool: ToolSpec) -> None:
    required = tool.input_schema().get("required", [])
    async with session(mode) as it:
        good = await it.example(tool.name)
        before = it.requests()
        for name in required:
            given = {key: value for key, value in good.items() if key != name}
            refused = await it.refused(tool.name, **given)
            assert (refused.code, refused.field) == ("invalid_argument", name)
        assert it.requests() == before


@both_eras
async def test_both_protocol_eras_are_really_spoken(mode: str) -> None:
    async with session(mode) as it:
        assert (it.client.protocol_version == "2026-07-28") is (mode == "auto")


@both_eras
async def test_unknown_tool_is_a_protocol_error(mode: str) -> None:
    async with session(mode) as it:
        for name in ("no_such_tool", "", "Find_Patient", "find_patient "):
            with pytest.raises(MCPError) as caught:
                await it.client.call_tool(name, {})
            assert caught.value.code == -32602
            assert "find_patient" in caught.value.message


@both_eras
async def test_a_failure_of_ours_shows_nothing_of_itself(
    mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Tolvan Tolvansson 191212121212")

    async with session(mode) as it:
        monkeypatch.setattr(type(it.app.ehr), "patient", broken)
        result = await it.call("find_patient", **examples(it.control)["find_patient"])
        refused = check_error(result)
    assert refused.code == "internal"
    assert "Tolvan" not in refused.text
    assert "191212121212" not in caplog.text
    assert "Tolvan" not in caplog.text
    assert refused.error["ref"] in caplog.text
