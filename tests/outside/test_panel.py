"""The review panel in a real browser, in a host made of the official library, over a real server.

Pictures of what the panel showed are left in `.work/outside/screens`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.outside.programs import HERE, ROOT, WORK, Outside
from tests.support.said import left_in_english

SCREENS = WORK / "screens"
COMMAND = os.environ.get("CHECK_OUTSIDE_COMMAND") or str(ROOT / ".venv/bin/leyr-mcp")
NARROW = 4.5


@pytest.fixture(autouse=True, scope="module")
def _screens() -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)


def settings(folder: Path, hosts: str = "test-host") -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LEYR_MCP_STATE_DIR": str(folder / "state"),
        "LEYR_MCP_APPROVAL_HOSTS": hosts,
    }


def visit(outside: Outside, folder: Path, scenario: str, **given: Any) -> Any:
    """Have a host go through a scenario; return what it saw. No ticket ever reaches a model."""
    given = {"env": settings(folder), **given}
    found = outside.run(
        outside.node,
        str(HERE / "panel_host.mjs"),
        scenario,
        COMMAND,
        outside.browser,
        str(SCREENS / f"panel-{scenario}"),
        json.dumps(given),
        timeout_s=90,
    )
    assert found.code == 0, found.stderr
    seen = found.json()
    assert seen["errors"] == []
    assert seen["after"] == "alive"
    seals = {ticket.rsplit(".", 1)[1] for ticket in seen["tickets"]}
    assert not [seal for seal in seals if any(seal in text for text in seen["model"])]
    return seen


def test_a_person_approves_in_the_chat(outside: Outside, tmp_path: Path) -> None:
    seen = visit(outside, tmp_path, "approve")
    assert seen["record"] == ["Mår bra.\nÅter vid behov."]
    line = "Tolvan Tolvansson, born 1912-12-12, national number 19121212-****"
    assert seen["shown"]["before"].count(line) == 3
    assert "passphrase" not in seen["shown"]["before"].replace("no passphrase", "")
    assert "It is not signed yet" in seen["shown"]["after"]
    assert seen["told"][0].startswith("In the review panel the user approved d_")
    assert seen["told"][-1].endswith("(now filed).")
    assert not [text for text in seen["told"] if "Tolvan" in text or "Besök" in text]


def test_a_person_edits_and_what_was_edited_is_filed(outside: Outside, tmp_path: Path) -> None:
    seen = visit(outside, tmp_path, "edit")
    assert "What changed since version 1" in seen["shown"]["edited"]
    assert seen["record"] == ["Mår mycket bättre."]


def test_a_person_declines(outside: Outside, tmp_path: Path) -> None:
    seen = visit(outside, tmp_path, "decline")
    assert (seen["record"], seen["status"]) == ([], "declined")
    assert "declined" in seen["told"][-1]


def test_some_of_several_are_filed_and_kept_drafts_are_short(
    outside: Outside, tmp_path: Path
) -> None:
    seen = visit(outside, tmp_path, "some")
    assert "Kept as a draft." in seen["shown"]["kept"]
    assert "Första: mår bra." not in seen["shown"]["kept"]
    assert "Approve" not in seen["shown"]["kept"]
    assert seen["record"] == [["Första: mår bra."], [], ["Tredje: mår bra."]]
    assert seen["states"] == ["filed", "declined", "filed"]
    assert "2 approved. 1 declined." in seen["shown"]["after"]


def test_a_file_is_chosen_on_the_page_which_the_host_opens(
    outside: Outside, tmp_path: Path
) -> None:
    seen = visit(outside, tmp_path, "file")
    assert "The file is chosen on the review page." in seen["shown"]["before"]
    assert seen["links"] == [seen["page"]]


def test_everything_can_be_done_by_keyboard(outside: Outside, tmp_path: Path) -> None:
    seen = visit(outside, tmp_path, "keyboard")
    assert seen["record"] == ["Mår bra.\nÅter vid behov. Med tangenter."]
    assert set(seen["rings"]) == {"solid 3px"}


def test_no_other_ticket_decides_and_none_decides_twice(outside: Outside, tmp_path: Path) -> None:
    foreign = settings(tmp_path / "other")
    (tmp_path / "other").mkdir()
    seen = visit(outside, tmp_path, "refused", foreign=foreign)
    replayed = seen["refused"].pop("replayed")
    refused = ["approval_void", "approval_void"]
    assert seen["refused"] == dict.fromkeys(
        ["none", "guessed", "forged", "other", "foreign"], refused
    )
    assert replayed == ["approval_void"]
    assert (seen["before"], seen["other"]) == ("awaiting_approval", "awaiting_approval")
    assert seen["record"] == ["Mår bra.\nÅter vid behov."]


def test_a_changed_draft_needs_a_panel_of_its_own(outside: Outside, tmp_path: Path) -> None:
    seen = visit(outside, tmp_path, "stale")
    assert seen["old"] == "approval_void"
    assert (seen["offered"], seen["status"]) == (0, "declined")


def test_hostile_text_stays_text(outside: Outside, tmp_path: Path) -> None:
    seen = visit(outside, tmp_path, "hostile")
    assert seen["built"] == [0, "Review before filing", seen["text"]]
    assert seen["wider"] <= 0


def test_what_was_typed_stays_when_the_host_does_not_answer(
    outside: Outside, tmp_path: Path
) -> None:
    seen = visit(outside, tmp_path, "deaf")
    assert seen["typed"] == "Det jag skrev."
    assert seen["status"] == "awaiting_approval"


def test_an_answer_without_drafts_says_so(outside: Outside, tmp_path: Path) -> None:
    visit(outside, tmp_path, "others")


@pytest.mark.parametrize(
    ("apps", "hosts"),
    [(False, "test-host"), (True, "claude-ai"), (True, "none")],
    ids=["without the extension", "not named", "none named"],
)
def test_another_host_has_no_panel_and_no_ticket(
    outside: Outside, tmp_path: Path, *, apps: bool, hosts: str
) -> None:
    found = visit(outside, tmp_path, "plain", apps=apps, env=settings(tmp_path, hosts), html=False)
    assert found["listed"] == []
    assert "Unknown tool" in found["called"]
    assert "no such resource" in found["resource"]
    assert "leyr-mcp/review" not in found["meta"]
    assert found["channel"] == "review"


def test_it_looks_as_it_should(outside: Outside, tmp_path: Path) -> None:
    seen = visit(outside, tmp_path, "looks")
    assert seen["wider"] == {}
    assert min(seen["contrast"].values()) >= NARROW, seen["contrast"]
    assert seen["lang"] == {
        "light": "en", "dark": "en", "narrow": "en", "sv": "sv", "nb-narrow-dark": "nb",
    }  # fmt: skip
    assert seen["changed"] == "rgb(15, 19, 23)"
    for name, language in (("sv", "sv"), ("nb-narrow-dark", "nb")):
        assert left_in_english(seen["shown"][name], language) == []
