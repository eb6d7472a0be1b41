"""Which tools are offered: toolsets, single tools, exclusions, roles, record systems."""

from __future__ import annotations

import pytest
from mcp import MCPError

from leyr_mcp.server.ehr.capabilities import EMRS, UNKNOWN, Capabilities, capabilities_of
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.toolsets import PRESETS, ROLE_LACKS, WITH_WRITES, Choice, choose
from tests.support.mcp_session import both_eras, session

ALL = tuple(tool.name for tool in TOOLS)


def names(choice: Choice, capabilities: Capabilities = UNKNOWN) -> tuple[str, ...]:
    return tuple(tool.name for tool in choose(choice, capabilities))


NOTES = PRESETS["notes"]
BASE = PRESETS["base"]  # comes with every toolset: the others' ids are from there


def test_everything_is_offered_when_nothing_is_chosen() -> None:
    assert names(Choice()) == ALL


@pytest.mark.parametrize(
    ("choice", "offered"),
    [
        (Choice(toolsets=("notes",)), (*BASE, *NOTES, *WITH_WRITES)),
        (
            Choice(toolsets=("documents", "notes")),
            (*BASE, *NOTES, *PRESETS["documents"], *WITH_WRITES),
        ),
        (Choice(toolsets=("notes",), read_only=True), (*BASE, "list_notes", "get_note")),
        (Choice(toolsets=("notes",), exclude=("get_draft",)), (*BASE, *NOTES, "file_drafts")),
        (Choice(toolsets=("notes",), exclude=("write_note",)), (*BASE, "list_notes", "get_note")),
        (Choice(toolsets=("all",)), ALL),
        (
            Choice(toolsets=("core",)),
            (
                "list_care_units",
                "find_patient",
                "list_timeslots",
                "book_appointment",
                "write_note",
                *(("attach_document",) if "attach_document" in ALL else ()),
                "get_draft",
                "file_drafts",
            ),
        ),
        (Choice(tools=("write_note",)), ("write_note",)),
        (Choice(tools=("get_note", "find_patient")), ("find_patient", "get_note")),
        (
            Choice(toolsets=("patients",), tools=("get_note",)),
            (*BASE, *PRESETS["patients"], "get_note", *WITH_WRITES),
        ),
        (
            Choice(toolsets=("notes",), exclude=("get_note",)),
            (*BASE, "list_notes", "write_note", *WITH_WRITES),
        ),
        (Choice(toolsets=("notes",), exclude=BASE), (*NOTES, *WITH_WRITES)),
        (Choice(tools=("get_note", "list_notes"), exclude=("get_note",)), ("list_notes",)),
        (Choice(read_only=True), tuple(tool.name for tool in TOOLS if tool.reads)),
    ],
)
def test_choices(choice: Choice, offered: tuple[str, ...]) -> None:
    assert names(choice) == offered


def test_order_is_the_catalogues_whatever_the_order_of_the_choice() -> None:
    assert names(Choice(tools=ALL[::-1])) == ALL


@pytest.mark.parametrize("toolset", [name for name in PRESETS if name not in ("all", "core")])
def test_toolsets_part_the_catalogue(toolset: str) -> None:
    assert all(tool.toolset == toolset for tool in TOOLS if tool.name in PRESETS[toolset])
    assert sum(name in PRESETS[toolset] for name in ALL) == len(PRESETS[toolset]) > 0


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (Choice(toolsets=("note",)), "no such toolset"),
        (Choice(toolsets=("notes", "Notes")), "no such toolset"),
        (Choice(tools=("get_notes",)), "no such tool;"),
        (Choice(exclude=("delete_note",)), "no such tool;"),
        (Choice(tools=("",)), "no such tool;"),
    ],
)
def test_unknown_name_is_refused_with_the_known_ones(choice: Choice, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        names(choice)
    assert told in caught.value.message
    assert "known are" in caught.value.message


def test_choice_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave no tool"):
        names(Choice(tools=("get_note",), exclude=("get_note",)))
    with pytest.raises(ConfigError, match="leave no tool"):
        names(Choice(tools=("get_note",), role="front-desk"))


@pytest.mark.parametrize("role", ROLE_LACKS)
@pytest.mark.parametrize(
    "choice", [Choice(), Choice(toolsets=("all",)), Choice(tools=ALL), Choice(read_only=True)]
)
def test_nothing_gives_back_what_a_role_took(role: str, choice: Choice) -> None:
    offered = names(
        Choice(toolsets=choice.toolsets, tools=choice.tools, read_only=choice.read_only, role=role)
    )
    writes = {tool.name for tool in TOOLS if not tool.reads}
    assert set(offered) == set(ALL) - ROLE_LACKS[role] - (writes if choice.read_only else set())


def test_front_desk_never_sees_notes_or_documents() -> None:
    offered = names(Choice(role="front-desk"))
    assert not {name for name in offered if "note" in name or "document" in name}


def test_read_only_offers_nothing_that_writes() -> None:
    assert all(tool.reads for tool in choose(Choice(read_only=True, tools=ALL), UNKNOWN))


@pytest.mark.parametrize("emr", [*EMRS, "something-new"])
def test_tool_is_missing_exactly_where_its_capability_is_known_to_be(emr: str) -> None:
    capabilities = capabilities_of(emr)
    lacking = {t.name for t in TOOLS if t.needs and getattr(capabilities, t.needs) is False}
    assert set(names(Choice(), capabilities)) == set(ALL) - lacking


@pytest.mark.parametrize(
    ("emr", "lacking"),
    [
        ("webdoc", set()),
        ("takecare", set()),
        ("anitasystems", {"list_appointments"}),
        (
            "kaddio",
            {"list_documents", "get_document", "attach_document", "change_appointment"},
        ),
    ],
)
@both_eras
async def test_clients_are_shown_what_the_record_system_can(
    mode: str, emr: str, lacking: set[str]
) -> None:
    async with session(mode, emr) as it:
        listed = {tool.name for tool in (await it.client.list_tools()).tools}
    assert listed == set(ALL) - lacking


@both_eras
async def test_tool_that_is_not_offered_cannot_be_called(mode: str) -> None:
    async with session(mode, choice=Choice(role="front-desk")) as it:
        with pytest.raises(MCPError) as caught:
            await it.call("get_note", patient_id="p", note_id="n")
        assert caught.value.code == -32602
        assert it.requests() == []


@both_eras
async def test_settings_choose_as_the_options_do(mode: str) -> None:
    async with session(mode, LEYR_MCP_TOOLSETS="patients, notes", LEYR_MCP_ROLE="front-desk") as it:
        listed = [tool.name for tool in (await it.client.list_tools()).tools]
    assert listed == ["list_care_units", "find_patient", "create_patient", *WITH_WRITES]


@both_eras
async def test_instructions_speak_of_writing_only_where_something_writes(mode: str) -> None:
    for choice, told in ((Choice(), True), (Choice(read_only=True), False)):
        async with session(mode, choice=choice) as it:
            assert ("file_drafts" in (it.client.instructions or "")) is told
