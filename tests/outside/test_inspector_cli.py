"""The MCP Inspector's command line reads `mcp.json`, lists the tools and calls them.

Each call is a process of its own, with a server of its own: what one drafted, the next one finds.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from leyr_mcp.tools.catalog import TOOLS
from tests.outside.error_form import check_error
from tests.outside.programs import Outside
from tests.support.mcp_session import TOLVAN

OK, TOOL_ERROR = 0, 5
ERAS = ("legacy", "modern")
PATIENT = f"se_personal_number:{TOLVAN}"


class Inspector:
    """The command line, told which era to speak, and one folder of state for all its calls."""

    def __init__(self, outside: Outside, era: str) -> None:
        self._outside = outside
        self._era = ("--protocol-era", era, "--format", "json", "--method")

    def ask(self, *arguments: str, code: int = OK) -> dict[str, Any]:
        """Return what a method answered."""
        found = self._outside.inspect(*self._era, *arguments)
        assert found.code == code, found.stderr
        result: dict[str, Any] = found.json()["result"]
        return result

    def call(self, tool: str, *, code: int = OK, **arguments: Any) -> dict[str, Any]:
        """Return what a tool answered; it takes a bare number for one, so all are JSON."""
        given = [f"{name}={json.dumps(value)}" for name, value in arguments.items()]
        return self.ask(
            "tools/call", "--tool-name", tool, *(("--tool-arg", *given) if given else ()), code=code
        )

    def data(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the structured content of a tool's answer, the text of which names the status."""
        result = self.call(tool, **arguments)
        data: dict[str, Any] = result["structuredContent"]
        if "status" in data:
            head = f"draft_id {data['draft_id']}: {data['status']}"
            assert head in result["content"][0]["text"]
        return data


@pytest.fixture(scope="module", params=ERAS)
def inspector(
    request: pytest.FixtureRequest, outside: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Inspector:
    folder = tmp_path_factory.mktemp(f"cli-{request.param}")
    return Inspector(outside.configured(folder), request.param)


def waits(data: dict[str, Any]) -> None:
    """Assert that a draft waits for a person, who is told where."""
    assert data["status"] == "awaiting_approval", data
    approval = data["approval"]
    assert approval["channel"] == "review"
    assert approval["command"] == f"leyr-mcp approve {data['draft_id']}"
    assert approval["url"].startswith("http://127.0.0.1:")
    assert approval["url"].endswith(f"#{data['draft_id']}")


@pytest.mark.parametrize("era", ERAS)
def test_strict_list_has_no_finding(outside: Outside, era: str) -> None:
    listing = outside.inspect(
        "--protocol-era", era, "--strict", "--format", "json", "--method", "tools/list"
    )
    assert listing.code == OK, listing.stderr
    answer = listing.json()
    names = [tool["name"] for tool in answer["result"]["tools"]]
    assert names == [spec.name for spec in TOOLS]
    assert len(names) == 17
    assert answer.get("schemaFindings", []) == []


def test_call_finds_the_patient(inspector: Inspector) -> None:
    result = inspector.call("find_patient", last_name="Tolvansson")
    assert "Tolvansson" in result["content"][0]["text"]
    names = [patient["last_name"] for patient in result["structuredContent"]["patients"]]
    assert set(names) == {"Tolvansson"}


@pytest.mark.parametrize(
    ("tool", "argument", "value", "code"),
    [
        ("find_patient", "no_such_argument", "Hemlig", "invalid_argument"),
        ("find_patient", "patient_id", "se_personal_number:191212121213", "identifier_checksum"),
        ("book_appointment", "start", 191212121213, "invalid_argument"),
        ("get_draft", "draft_id", "d_hemligt", "not_found"),
    ],
)
def test_wrong_call_exits_with_the_whole_error(
    inspector: Inspector, tool: str, argument: str, value: object, code: str
) -> None:
    result = inspector.call(tool, code=TOOL_ERROR, **{argument: value})
    check_error(result, code=code)
    assert str(value) not in result["content"][0]["text"].partition("(ref")[0]


def test_what_is_written_waits_for_a_person(inspector: Inspector) -> None:
    waits(inspector.data("write_note", patient_id=PATIENT, title="Besök", content="Mår bra."))
    waits(inspector.data("create_patient", first_name="Ny", last_name="Provsson"))


def test_a_booking_and_a_change_wait_for_a_person(inspector: Inspector) -> None:
    (slot,) = inspector.data("list_timeslots", limit=1)["timeslots"]
    ids = ("start", "end", "resource_id", "healthcare_service_id")
    booking = inspector.data(
        "book_appointment", patient_id=PATIENT, **{name: slot[name] for name in ids}
    )
    waits(booking)
    assert booking["appointment"] == slot
    now = datetime.now(UTC).isoformat(timespec="seconds")
    booked = inspector.data("list_appointments", patient_id=PATIENT, start=now)["appointments"][0]
    change = inspector.data(
        "change_appointment", appointment_id=booked["appointment_id"], action="cancel"
    )
    waits(change)
    assert change["appointment"]["appointment_id"] == booked["appointment_id"]


def test_a_draft_is_listed_read_filed_and_taken_back(inspector: Inspector) -> None:
    fields = {"contact_reason": "Hosta sedan två veckor."}
    drafted = inspector.data(
        "write_note",
        patient_id=PATIENT,
        title="Akut",
        fields=fields,
        template_id="leyr_acute_visit",
        draft=True,
    )
    draft_id = drafted["draft_id"]
    assert drafted["status"] == "draft"
    assert draft_id in [one["draft_id"] for one in inspector.data("list_drafts")["drafts"]]
    (unsent,) = inspector.ask("resources/read", "--uri", "drafts://unsent")["contents"]
    assert f'draft_id {draft_id}: note "Akut", draft' in unsent["text"]
    assert inspector.data("get_draft", draft_id=draft_id)["content"] == fields
    (one,) = inspector.data("file_drafts", draft_ids=[draft_id])["results"]
    waits(one)
    assert inspector.data("discard_draft", draft_id=draft_id)["status"] == "withdrawn"


def test_a_prompt_is_filled_in(inspector: Inspector) -> None:
    given = (f"patient_id={PATIENT}", "points=Hosta sedan två veckor.")
    (message,) = inspector.ask(
        "prompts/get", "--prompt-name", "consultation_summary", "--prompt-args", *given
    )["messages"]
    assert PATIENT in message["content"]["text"]
    assert "Hosta sedan två veckor." in message["content"]["text"]
