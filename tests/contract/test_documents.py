"""What the documents promise about tools and errors is what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from leyr_mcp.server.errors import CODES
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.spec import ToolSpec
from leyr_mcp.tools.toolsets import PRESETS, ROLE_LACKS

ROOT = Path(__file__).resolve().parents[2]

each_tool = pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])


def between_markers(file: str, marker: str) -> str:
    text = (ROOT / file).read_text(encoding="utf-8")
    _, begin, rest = text.partition(f"<!-- {marker}:begin -->")
    found, end, _ = rest.partition(f"<!-- {marker}:end -->")
    assert begin, file
    assert end, file
    return found


@each_tool
def test_readme_lists_the_tool(tool: ToolSpec) -> None:
    rows = between_markers("README.md", "tools").splitlines()
    assert [row for row in rows if row.startswith(f"| `{tool.name}` |")]


@each_tool
def test_tools_page_describes_the_tool_and_its_arguments(tool: ToolSpec) -> None:
    page = between_markers("docs/tools.md", "tools")
    _, heading, rest = page.partition(f"## `{tool.name}`\n")
    assert heading
    section = rest.partition("\n## ")[0]
    assert tool.description in section
    for argument in tool.input_schema().get("properties", {}):
        assert f"| `{argument}` |" in section


@pytest.mark.parametrize("name", [*PRESETS, *ROLE_LACKS])
def test_tools_page_names_toolsets_and_roles(name: str) -> None:
    assert f"| `{name}` |" in between_markers("docs/tools.md", "tools")


@pytest.mark.parametrize("code", CODES)
def test_errors_page_tells_retry_and_next_step_of_each_code(code: str) -> None:
    info = CODES[code]
    row = f"| `{code}` | {info.retry} | {info.next_step} |"
    assert row in between_markers("docs/errors.md", "errors").splitlines()


def test_errors_page_holds_no_code_that_is_gone() -> None:
    rows = between_markers("docs/errors.md", "errors").splitlines()
    documented = {row.split("`")[1] for row in rows if row.startswith("| `")}
    assert documented == set(CODES)
