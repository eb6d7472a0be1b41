"""Rules over the whole catalogue: names, texts, hints, schemas and size, as a model sees them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from leyr_mcp.server.errors import CODES
from leyr_mcp.server.protocol import INSTRUCTIONS, SANDBOX, WRITING
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.prompts import PROMPTS
from leyr_mcp.tools.resources import KINDS
from leyr_mcp.tools.spec import ToolSpec, entry_of
from tests.support.mcp_session import both_eras, session
from tests.support.mcp_snapshots import FOLDER, check_snapshot

ROOT = Path(__file__).resolve().parents[2]
NAMES = [tool.name for tool in TOOLS]
VERBS = "list|find|get|create|write|book|attach|change|file|discard"
TOOL_LIKE = re.compile(rf"\b(?:{VERBS})_[a-z]+(?:_[a-z]+)*\b")
# Modules of the folder that serve the tools and are none themselves.
NOT_TOOLS = {
    "__init__", "bookings", "catalog", "completions", "params", "prompts", "resources", "results",
    "spec", "toolsets", "uris", "wording",
}  # fmt: skip

each_tool = pytest.mark.parametrize("tool", TOOLS, ids=NAMES)


def schemas(schema: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    """Yield every schema within a schema, itself first; anything that stands where one belongs."""
    yield path, schema
    if not isinstance(schema, dict):
        return
    for key in ("properties", "$defs"):
        for name, part in schema.get(key, {}).items():
            yield from schemas(part, f"{path}.{key}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema and schema[key] is not False:
            yield from schemas(schema[key], f"{path}.{key}")
    for key in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(key, []):
            yield from schemas(part, f"{path}.{key}")


def sentences_of(file: Path) -> Iterator[str]:
    """Yield the texts of a module that may reach a model: its constants, docstrings left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    for node in constants:
        if isinstance(node.value, str) and " " in node.value and id(node) not in docs:
            yield node.value


def test_folder_and_catalogue_hold_the_same_tools() -> None:
    files = {file.stem for file in (ROOT / "tools").glob("*.py")} - NOT_TOOLS
    assert files == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


@each_tool
def test_tool_has_the_name_of_its_file(tool: ToolSpec) -> None:
    assert tool.handler.__module__ == f"leyr_mcp.tools.{tool.name}"
    assert re.fullmatch(rf"(?:{VERBS})_[a-z_]+", tool.name)
    assert (ROOT / "tests" / "tools" / f"test_{tool.name}.py").is_file()


@each_tool
def test_tool_has_a_title_a_scope_and_all_four_hints(tool: ToolSpec) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z ]{3,30}", tool.title)
    assert re.fullmatch(r"ehr\.[a-z.]+", tool.scope)
    hints = tool.annotations
    given = (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint)
    assert None not in (*given, hints.open_world_hint)
    assert not (hints.read_only_hint and hints.destructive_hint)


@each_tool
def test_description_is_short_and_says_what_to_do_next(tool: ToolSpec) -> None:
    text = tool.description
    assert len(text) <= 260
    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text
    assert "\n" not in text
    before, _, hint = text.partition(" Next: ")
    assert len(re.findall(r"[.!?](?: |$)", before)) <= 2
    assert len(re.findall(r"[.!?](?: |$)", hint)) <= 1


@each_tool
def test_input_schema_is_closed_and_flat(tool: ToolSpec) -> None:
    schema = tool.input_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert set(schema) <= {"type", "properties", "required", "additionalProperties"}
    for path, part in list(schemas(schema))[1:]:
        assert isinstance(part, dict), path
        assert isinstance(part.get("type"), str), path
        assert not part.keys() & {"anyOf", "oneOf", "allOf", "$ref", "title"}, path
        assert part.get("description") != "", path


@each_tool
def test_output_schema_is_real_and_clients_can_read_it(tool: ToolSpec) -> None:
    schema = tool.output_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["required"]
    assert set(schema["required"]) <= set(schema["properties"])
    for path, part in schemas(schema):
        assert isinstance(part, dict), path
        assert "type" in part or "$ref" in part, path
        assert "pattern" not in part, path
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/$defs/") in schema["$defs"], path


@each_tool
def test_schema_snapshot(tool: ToolSpec) -> None:
    listed = entry_of(tool).model_dump(mode="json", by_alias=True, exclude_none=True)
    check_snapshot(tool.name, listed)


def test_no_snapshot_outlives_its_tool() -> None:
    kept = {file.stem for file in FOLDER.glob("*.json")}
    assert kept == {*NAMES, "prompts", *(f"prompts_{name}" for name in PROMPTS)}
    answers = {file.stem for file in (FOLDER / "answers").glob("*.json")}
    assert {name for name in answers if not name.startswith(tuple(NAMES))} == set()
    assert {name for name in NAMES if not any(kept.startswith(name) for kept in answers)} == set()


def test_list_fits_its_budget() -> None:
    listed = [entry_of(t).model_dump(mode="json", by_alias=True, exclude_none=True) for t in TOOLS]
    seen = [{key: entry[key] for key in ("name", "description", "inputSchema")} for entry in listed]
    share = len(TOOLS) / 17
    assert _size(seen) <= 10_500 * share
    assert _size(listed) <= 24_000 * share


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


@both_eras
async def test_clients_are_shown_the_catalogue_in_its_order(mode: str) -> None:
    async with session(mode) as it:
        listed = (await it.client.list_tools()).tools
        assert [tool.name for tool in listed] == NAMES
        assert [tool.model_dump() for tool in listed] == [entry_of(t).model_dump() for t in TOOLS]


def test_texts_for_the_model_name_only_tools_that_exist() -> None:
    files = [*(ROOT / "tools").glob("*.py"), *(ROOT / "server").rglob("*.py")]
    texts = [text for file in files for text in sentences_of(file)]
    texts += [INSTRUCTIONS, WRITING, SANDBOX, *(info.next_step for info in CODES.values())]
    texts += [
        json.dumps(entry_of(tool).model_dump(mode="json"), ensure_ascii=False) for tool in TOOLS
    ]
    named = {name for text in texts for name in TOOL_LIKE.findall(text)}
    assert named - set(PROMPTS) <= set(NAMES)
    assert "find_patient" in named


def test_resources_and_prompts_rest_on_tools_that_exist() -> None:
    assert {kind.tool for kind in KINDS.values()} <= set(NAMES)
    assert {name for prompt in PROMPTS.values() for name in prompt.tools} <= set(NAMES)
