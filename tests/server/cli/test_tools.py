"""`leyr-mcp tools`: what is offered, for people and for programs, with the options that choose."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leyr_mcp.server.cli import tools
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.toolsets import WITH_WRITES

ALL = [tool.name for tool in TOOLS]


@pytest.fixture
def listed(capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that runs the command and returns the tools it lists as JSON."""

    def run(*options: str) -> list[dict[str, Any]]:
        assert tools.main(["--json", *options]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        found: list[dict[str, Any]] = json.loads(said.out)
        return found

    return run


def names(found: list[dict[str, Any]]) -> list[str]:
    return [tool["name"] for tool in found]


def test_all_tools_are_listed_as_a_client_reads_them(listed: Any) -> None:
    found = listed()
    assert names(found) == ALL
    for tool in found:
        assert tool["inputSchema"]["additionalProperties"] is False
        assert tool["outputSchema"]
        assert tool["annotations"]


def of_toolset(toolset: str) -> list[str]:
    """Return what comes with a toolset that writes, in the catalogue's order."""
    return [
        tool.name for tool in TOOLS if tool.toolset in ("base", toolset) or tool.name in WITH_WRITES
    ]


def test_options_choose_tools(listed: Any) -> None:
    assert names(listed("--toolsets", "notes")) == of_toolset("notes")
    assert names(listed("--tools", "find_patient, get_note")) == ["find_patient", "get_note"]
    left = names(listed("--exclude-tools", "get_note"))
    assert left == [name for name in ALL if name != "get_note"]
    reading = names(listed("--read-only"))
    assert reading == [tool.name for tool in TOOLS if tool.reads]


def test_option_replaces_its_setting_and_read_only_only_adds(
    listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEYR_MCP_TOOLSETS", "patients")
    assert names(listed()) == of_toolset("patients")
    assert names(listed("--toolsets", "notes")) == of_toolset("notes")
    monkeypatch.setenv("LEYR_MCP_READ_ONLY", "1")
    monkeypatch.setenv("LEYR_MCP_TOOLSETS", "")
    assert names(listed()) == [tool.name for tool in TOOLS if tool.reads]


@pytest.mark.parametrize(
    ("option", "known"),
    [("--toolsets", "scheduling"), ("--tools", "find_patient"), ("--exclude-tools", "get_note")],
)
def test_unknown_name_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str], option: str, known: str
) -> None:
    assert tools.main([option, "nope"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert known in said.err
    assert "nope" not in said.err
    assert said.err.count("\n") == 1


def test_nothing_left_to_offer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["--tools", "get_note", "--exclude-tools", "get_note"]) == 2
    assert "no tool" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [60, 80])
def test_page_names_every_tool_and_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert tools.main([]) == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= columns
    assert all(f"  {name} " in text for name in ALL)
    assert text.endswith(f"{len(ALL)} tools. Record system: WebDoc.\n")
    assert "\x1b" not in text


def test_listing_leaves_no_state_behind(
    listed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    listed()
    assert list(tmp_path.iterdir()) == []
