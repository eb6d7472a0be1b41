"""A thousand generated calls of each tool: always an answer, never a failure of ours, no leak.

Seeded, so that a finding can be repeated; `CALLS_SEED` tries another thousand.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp.types import CallToolResult

from leyr_mcp.sandbox.control import Control
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.spec import ToolSpec
from tests.support.mcp_answers import check_answer, check_error, leaves, text_of
from tests.support.mcp_hostile import arguments
from tests.support.mcp_session import app_of, example, sandbox_of

CALLS = 20_000 if os.environ.get("SOAK") == "1" else 1_000
SEED = os.environ.get("CALLS_SEED", "2026")
BEFORE_THE_NETWORK = ("invalid_argument", "identifier_checksum", "identifier_ambiguous")

each_tool = pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])


def asked(control: Control) -> int:
    """Return the number of the last request that the record system got."""
    entries = control.requests.entries
    return entries[-1].number if entries else 0


def long_values(call: dict[str, Any]) -> set[str]:
    """Return the texts of a call that no error may repeat; short ones may stand in a rule."""
    return {
        leaf.strip() for _, leaf in leaves(call) if isinstance(leaf, str) and len(leaf.strip()) >= 8
    }


@each_tool
async def test_every_call_is_answered(tool: ToolSpec, tmp_path: Path) -> None:
    rng = random.Random(f"{SEED} {tool.name}")  # noqa: S311 - repeatable, guards nothing
    schema = Draft202012Validator(tool.output_schema())
    seen: dict[str, int] = {}
    async with app_of(LEYR_MCP_ROOTS=str(tmp_path)) as app:
        control = sandbox_of(app).control
        good = await example(app.server.call_tool, control, tool.name)
        for number in range(CALLS):
            call = arguments(rng, tool, good)
            before = asked(control)
            result = await app.server.call_tool(tool.name, call)
            assert isinstance(result, CallToolResult)
            if not result.is_error:
                check_answer(result)
                schema.validate(result.structured_content)
                seen["answer"] = seen.get("answer", 0) + 1
                continue
            refused = check_error(result)
            seen[refused.code] = seen.get(refused.code, 0) + 1
            assert refused.code != "internal", (number, call)
            assert len(refused.text) <= 700
            if refused.code in BEFORE_THE_NETWORK:
                assert asked(control) == before, (number, call)
            for value in long_values(call):
                assert value not in text_of(result), (number, call)
        assert {request.method for request in control.requests.entries} <= {"GET"}
    assert seen["invalid_argument"] >= 50
    if tool.input_schema().get("properties"):
        assert seen["answer"] >= 20
