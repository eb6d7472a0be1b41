"""A host built on the TypeScript SDK 1.x gets every answer whole, and asks its person if it may.

That client compiles each output schema when it lists the tools, and throws an answer away when its
structured content does not fit: a listing or a result that comes back at all is itself a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.outside.error_form import check_error
from tests.outside.programs import HERE, SERVER_NAME, Outside

# What the client calls itself, whether it can ask its person, and whether that answer counts.
CLIENTS = {
    "a host that is named and asks": ("claude-code", True, True),
    "a host that is named and cannot ask": ("claude-code", False, False),
    "a program that would answer": ("outside", True, False),
}


@dataclass(frozen=True, slots=True)
class Session:
    """What a client saw: the tools, and an answer per call of calls.json."""

    tools: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    counts: bool

    def succeeded(self) -> list[dict[str, Any]]:
        """Return the answers of the calls that should succeed."""
        return [a for a in self.answers if not {"error", "protocol_error"} & a.keys()]

    def status(self, call: dict[str, Any]) -> str | None:
        """Return the status that a call must bring: what a person says matters only if it counts.

        In the calls, `status` is that after the person was asked, `waits` where nobody is.
        """
        if "status" not in call:
            found: str | None = call.get("waits")
            return found
        return str(call["status"]) if self.counts else "awaiting_approval"


@pytest.fixture(scope="module", params=list(CLIENTS.values()), ids=list(CLIENTS))
def session(
    request: pytest.FixtureRequest, outside: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Session:
    name, asks, counts = request.param
    own = outside.configured(tmp_path_factory.mktemp("typescript"))
    command = [outside.node, str(HERE / "typescript_client.mjs"), str(own.config), SERVER_NAME]
    client = outside.run(*command, str(HERE / "calls.json"), name, *(["asks"] if asks else []))
    assert client.code == 0, client.stderr
    return Session(**client.json(), counts=counts)


def test_every_tool_has_an_output_schema(session: Session) -> None:
    assert len(session.tools) == 17
    assert [tool["name"] for tool in session.tools if "outputSchema" not in tool] == []


def test_every_error_arrives_whole(session: Session) -> None:
    refused = [answer for answer in session.answers if "error" in answer]
    assert {answer["tool"] for answer in refused} == {tool["name"] for tool in session.tools}
    for answer in refused:
        assert "thrown" not in answer, answer
        check_error(answer["result"], code=answer["error"])


def test_unknown_tool_is_a_protocol_error(session: Session) -> None:
    (answer,) = [answer for answer in session.answers if "protocol_error" in answer]
    assert answer["thrown"]["name"] == "McpError"
    assert answer["thrown"]["code"] == answer["protocol_error"]


def test_results_of_all_tools_fit_their_output_schemas(session: Session) -> None:
    assert {a["tool"] for a in session.succeeded()} == {tool["name"] for tool in session.tools}
    for answer in session.succeeded():
        assert "thrown" not in answer, answer
        assert not answer["result"].get("isError"), answer
        assert answer["result"]["structuredContent"], answer


def test_only_a_named_host_answers_for_its_person(session: Session) -> None:
    for answer in session.succeeded():
        data = answer["result"]["structuredContent"]
        (one,) = data.get("results", [data])
        assert one.get("status") == session.status(answer), answer
        writes = "status" in answer and answer["tool"] != "get_draft"
        assert len(answer["asked"]) == (1 if writes and session.counts else 0), answer
        if one.get("status") == "awaiting_approval":
            channel = "host" if session.counts and writes else "review"
            assert one["approval"]["channel"] == channel
            assert one["approval"]["command"] == f"leyr-mcp approve {one['draft_id']}"


def test_the_person_is_asked_what_is_filed(session: Session) -> None:
    asked = {a["tool"]: a["asked"][0] for a in session.succeeded() if a["asked"]}
    writing = {"write_note", "book_appointment", "change_appointment", "attach_document"}
    writing |= {"create_patient"}
    assert asked.keys() == ({*writing, "file_drafts"} if session.counts else set())
    for tool, question in asked.items():
        schema = question["requestedSchema"]
        assert [part["type"] for part in schema["properties"].values()] == ["boolean"]
        assert schema["required"] == list(schema["properties"])
        known = "Ny Provsson" if tool == "create_patient" else "Tolvan Tolvansson, born 1912-12-12"
        assert question["message"].count(known) >= 2  # above and below all else
