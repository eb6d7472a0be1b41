"""The MCP Inspector's page, in a real browser: its forms read and write, and it asks its person.

Pictures of what the page showed are left in `.work/outside/screens`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.outside.error_form import TEXT
from tests.outside.programs import HERE, INSPECTOR, WORK, Outside

SCREENS = WORK / "screens"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+\S*TOKEN=\S+")
START_WITHIN_S = 30
PATIENT = {"patient_id": "se_personal_number:191212121212"}
TEXT_OF_NOTE = "Mår bra.\nÅter vid behov."
# What the form sends of fields that nobody touched: those with a default, and nothing else.
FORM = {**PATIENT, "template_id": "leyr_unstructured", "draft": False}
FIELDS = {"contact_reason": "Hosta sedan två veckor."}
# And of those that were filled in and emptied again.
CHANGED = {
    "title": "Akut",
    "content": "",
    "expect": "",
    "template_id": "leyr_acute_visit",
    "fields": FIELDS,
}


@pytest.fixture(params=["legacy", "modern"])
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_page_lists_and_runs_tools(outside: Outside, tmp_path: Path, era: str) -> None:
    own = outside.configured(tmp_path, protocolEra=era)
    seen = _visit(own, "write", era)
    listing = own.inspect("--format", "json", "--method", "tools/list").json()
    assert seen["tools"] == [tool["name"] for tool in listing["result"]["tools"]]
    assert "Tolvansson" in seen["shown"]["answer"]
    assert TEXT.search(seen["shown"]["error"]), seen["shown"]["error"]
    for name in ("booking", "note", "fields"):
        drafted, filed = seen["data"][name], seen["data"][f"{name}-filed"]
        approval = drafted["approval"]
        assert drafted["status"] == "awaiting_approval"
        assert approval["url"] in seen["shown"][name]
        assert approval["command"] == f"leyr-mcp approve {drafted['draft_id']}"
        assert approval["command"] in seen["shown"][name]
        assert (filed["draft_id"], filed["status"]) == (drafted["draft_id"], "filed")
        assert filed["verified"] == "equal"
        assert ": filed, record_id " in seen["shown"][f"{name}-filed"]
    assert seen["data"]["note-filed"]["content"] == {"unstructured": TEXT_OF_NOTE}
    slot = seen["data"]["times"]["timeslots"][0]
    assert seen["data"]["booking"]["appointment"] == slot
    assert seen["data"]["fields-filed"]["content"] == FIELDS
    assert seen["sent"][3:6] == [
        {"tool": "book_appointment", "arguments": {**PATIENT, **_ids(slot), "draft": False}},
        {"tool": "write_note", "arguments": {**FORM, "title": "Besök", "content": TEXT_OF_NOTE}},
        {"tool": "write_note", "arguments": {**FORM, **CHANGED}},
    ]


def test_page_asks_its_person(outside: Outside, tmp_path: Path, era: str) -> None:
    named = {"LEYR_MCP_APPROVAL_HOSTS": "mcp-inspector"}
    own = outside.configured(tmp_path, protocolEra=era, env=named)
    seen = _visit(own, "ask", f"{era}-asks")
    found = {name: data["status"] for name, data in seen["data"].items()}
    assert found == {"yes": "filed", "no": "declined", "later": "awaiting_approval"}
    for name in found:
        question = seen["shown"][f"{name}-question"]
        assert question.count("Tolvan Tolvansson, born 1912-12-12") == 2  # above and below all else
        assert f"Note: {name}" in question
        assert "Mår bra." in question


def _visit(outside: Outside, scenario: str, pictures: str) -> dict[str, Any]:
    """Have a browser go through a scenario; return what it saw."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    script = (str(HERE / "inspector_web.mjs"), scenario)
    with _page(outside) as address:
        command = (outside.node, *script, address, outside.browser, str(SCREENS / pictures))
        person = outside.run(*command, timeout_s=120)
    assert person.code == 0, person.stderr
    seen = person.json()
    assert seen["pageErrors"] == []
    return seen


def _ids(slot: dict[str, Any]) -> dict[str, Any]:
    """Return what a booking takes of a free time."""
    wanted = ("start", "end", "resource_id", "healthcare_service_id")
    return {name: slot[name] for name in wanted}


@contextmanager
def _page(outside: Outside) -> Iterator[str]:
    """Serve the Inspector's page on a free port and yield its address, token included."""
    environment = {
        "HOST": "127.0.0.1",
        "CLIENT_PORT": str(_free_port()),
        "MCP_SANDBOX_PORT": "0",
        "MCP_APP_ORIGIN_PORT": "0",
        "MCP_AUTO_OPEN_ENABLED": "false",
        "MCP_STORAGE_DIR": str(outside.config.parent / "storage"),
    }
    command = (outside.node, str(INSPECTOR), "--web", "--config", str(outside.config))
    with outside.start(*command, **environment) as inspector:
        assert inspector.stdout
        assert inspector.stderr
        too_late = Timer(START_WITHIN_S, inspector.kill)
        too_late.start()
        found = next(filter(None, map(ADDRESS.search, inspector.stdout)), None)
        too_late.cancel()
        if found is None:
            pytest.fail(f"the Inspector served no page: {inspector.stderr.read()}")
        yield found.group()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
