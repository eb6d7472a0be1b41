"""The MCP Inspector's command line reads `mcp.json`, lists the tools and calls them."""

from __future__ import annotations

import pytest

from tests.outside.error_form import check_error
from tests.outside.programs import Outside

OK, TOOL_ERROR = 0, 5
ERAS = ("legacy", "modern")
CALL = ("--format", "json", "--method", "tools/call", "--tool-name", "find_patient", "--tool-arg")


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> tuple[str, str]:
    return ("--protocol-era", request.param)


def test_strict_list_has_no_finding(outside: Outside, era: tuple[str, str]) -> None:
    listing = outside.inspect(*era, "--strict", "--format", "json", "--method", "tools/list")
    assert listing.code == OK, listing.stderr
    answer = listing.json()
    assert "find_patient" in [tool["name"] for tool in answer["result"]["tools"]]
    assert answer.get("schemaFindings", []) == []


def test_call_finds_the_patient(outside: Outside, era: tuple[str, str]) -> None:
    call = outside.inspect(*era, *CALL, "last_name=Tolvansson")
    assert call.code == OK, call.stderr
    result = call.json()["result"]
    assert "Tolvansson" in result["content"][0]["text"]
    names = [patient["last_name"] for patient in result["structuredContent"]["patients"]]
    assert set(names) == {"Tolvansson"}


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("no_such_argument=Hemlig", "invalid_argument"),
        ("patient_id=se_personal_number:191212121213", "identifier_checksum"),
    ],
)
def test_wrong_call_exits_with_the_whole_error(
    outside: Outside, era: tuple[str, str], argument: str, code: str
) -> None:
    call = outside.inspect(*era, *CALL, argument)
    assert call.code == TOOL_ERROR, call.stderr
    result = call.json()["result"]
    check_error(result, code=code)
    assert argument.partition("=")[2] not in result["content"][0]["text"].partition("(ref")[0]
