"""A host built on the TypeScript SDK 1.x gets every answer whole, errors included.

That client compiles each output schema when it lists the tools, and throws an answer away when its
structured content does not fit: a listing or a result that comes back at all is itself a finding.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.outside.error_form import check_error
from tests.outside.programs import HERE, SERVER_NAME, Outside


@pytest.fixture(scope="module")
def session(outside: Outside) -> dict[str, Any]:
    """What the client saw in one session: the tools, and an answer per call of calls.json."""
    script, calls = HERE / "typescript_client.mjs", HERE / "calls.json"
    client = outside.run(outside.node, str(script), str(outside.config), SERVER_NAME, str(calls))
    assert client.code == 0, client.stderr
    return client.json()


def test_every_tool_has_an_output_schema(session: dict[str, Any]) -> None:
    assert "find_patient" in [tool["name"] for tool in session["tools"]]
    assert [tool["name"] for tool in session["tools"] if "outputSchema" not in tool] == []


def test_every_error_arrives_whole(session: dict[str, Any]) -> None:
    refused = [answer for answer in session["answers"] if "error" in answer]
    assert {answer["tool"] for answer in refused} == {tool["name"] for tool in session["tools"]}
    for answer in refused:
        assert "thrown" not in answer, answer
        check_error(answer["result"], code=answer["error"])


def test_unknown_tool_is_a_protocol_error(session: dict[str, Any]) -> None:
    (answer,) = [answer for answer in session["answers"] if "protocol_error" in answer]
    assert answer["thrown"]["name"] == "McpError"
    assert answer["thrown"]["code"] == answer["protocol_error"]


def test_results_of_all_reading_tools_fit_their_output_schemas(session: dict[str, Any]) -> None:
    succeeded = [a for a in session["answers"] if not {"error", "protocol_error"} & a.keys()]
    reading = {t["name"] for t in session["tools"] if t["annotations"]["readOnlyHint"]}
    assert {answer["tool"] for answer in succeeded} >= reading
    for answer in succeeded:
        assert "thrown" not in answer, answer
        assert not answer["result"].get("isError"), answer
        assert answer["result"]["structuredContent"], answer
