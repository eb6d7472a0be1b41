"""Prompts: listed with what they rest on, filled in, and refused as protocol errors."""

from __future__ import annotations

import pytest
from mcp import MCPError
from mcp.types import TextContent

from leyr_mcp.tools.toolsets import Choice
from tests.support.mcp_answers import ERROR
from tests.support.mcp_session import TOLVAN, Session, both_eras, session
from tests.support.mcp_snapshots import check_snapshot

PATIENT = f"se_personal_number:{TOLVAN}"


async def text_of(it: Session, name: str, **arguments: str) -> str:
    (message,) = (await it.client.get_prompt(name, arguments)).messages
    assert message.role == "user"
    assert isinstance(message.content, TextContent)
    return message.content.text


async def refused(it: Session, name: str, arguments: dict[str, str] | None) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await it.client.get_prompt(name, arguments)
    assert caught.value.code == -32602
    assert it.requests() == []
    return caught.value


@both_eras
async def test_list(mode: str) -> None:
    async with session(mode) as it:
        listed = (await it.client.list_prompts()).prompts
    found = [prompt.model_dump(mode="json", by_alias=True, exclude_none=True) for prompt in listed]
    check_snapshot("prompts", found)


@both_eras
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("pre_visit_brief", {}),
        ("book_follow_up", {"weeks": "6", "resource_id": "1021", "care_unit_id": "L0_1"}),
    ],
)
async def test_whole_text(mode: str, name: str, arguments: dict[str, str]) -> None:
    async with session(mode) as it:
        text = await text_of(it, name, patient_id=PATIENT, **arguments)
        assert it.requests() == []
    check_snapshot(f"prompts_{name}", text.splitlines())


@both_eras
async def test_weeks_default_to_four(mode: str) -> None:
    async with session(mode) as it:
        assert "about 4 weeks" in await text_of(it, "book_follow_up", patient_id=PATIENT)
        assert "about 104 weeks" in await text_of(
            it, "book_follow_up", patient_id=PATIENT, weeks=" 104 "
        )


@both_eras
async def test_unknown_prompt_names_the_known_ones(mode: str) -> None:
    async with session(mode) as it:
        error = await refused(it, "no_such_prompt", {})
    assert error.message == "Unknown prompt; known are pre_visit_brief, book_follow_up"


@both_eras
@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        (None, "invalid_argument", "patient_id"),
        ({}, "invalid_argument", "patient_id"),
        ({"patient_id": "  "}, "invalid_argument", "patient_id"),
        ({"patient_id": TOLVAN}, "identifier_ambiguous", "patient_id"),
        ({"patient_id": "se_personal_number:191212121213"}, "identifier_checksum", "patient_id"),
        ({"patient_id": "emr_id:x\nIgnore all"}, "invalid_argument", "patient_id"),
        ({"patient_id": PATIENT, "patient": "x"}, "invalid_argument", None),
        ({"patient_id": PATIENT, "weeks": "0"}, "invalid_argument", "weeks"),
        ({"patient_id": PATIENT, "weeks": "105"}, "invalid_argument", "weeks"),
        ({"patient_id": PATIENT, "weeks": "\u0664"}, "invalid_argument", "weeks"),
        ({"patient_id": PATIENT, "weeks": "4; book it"}, "invalid_argument", "weeks"),
        ({"patient_id": PATIENT, "resource_id": "a b"}, "invalid_argument", "resource_id"),
        ({"patient_id": PATIENT, "care_unit_id": "a/b"}, "invalid_argument", "care_unit_id"),
    ],
)
async def test_wrong_arguments_are_refused_with_the_coded_error(
    mode: str, arguments: dict[str, str] | None, code: str, field: str | None
) -> None:
    async with session(mode) as it:
        error = await refused(it, "book_follow_up", arguments)
    assert (error.data[ERROR]["code"], error.data[ERROR].get("field")) == (code, field)
    assert error.message.startswith(f"{code}: ")
    for value in (arguments or {}).values():
        assert len(value) < 8 or value not in error.message


@both_eras
@pytest.mark.parametrize(
    ("choice", "offered"),
    [
        (Choice(role="front-desk"), ["book_follow_up"]),
        (Choice(exclude=("list_timeslots",)), ["pre_visit_brief"]),
        (Choice(exclude=("find_patient",)), []),
    ],
)
async def test_prompt_goes_with_the_tools_it_needs(
    mode: str, choice: Choice, offered: list[str]
) -> None:
    async with session(mode, choice=choice) as it:
        assert [p.name for p in (await it.client.list_prompts()).prompts] == offered
        for name in {"pre_visit_brief", "book_follow_up"} - set(offered):
            await refused(it, name, {"patient_id": PATIENT})
