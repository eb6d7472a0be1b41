"""The practice set: each question goes as its file says, in both eras, and costs what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from leyr_mcp.server.filing import approving
from tests.practice.play import FOLDER, Question, check, playing, written
from tests.practice.scripts import QUESTIONS
from tests.support.mcp_session import both_eras

MOST_CALLS, MOST_BYTES = 7, 6_000


@pytest.fixture(autouse=True)
def _waits_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "WAIT_S", 1.0)


@both_eras
@pytest.mark.parametrize("question", QUESTIONS, ids=[one.name for one in QUESTIONS])
async def test_question_goes_as_its_file_says(
    question: Question, mode: str, tmp_path: Path
) -> None:
    async with playing(question, mode, tmp_path) as run:
        await question.script(run)
        check(question, written(question, run))


@both_eras
async def test_the_whole_visit_takes_seven_calls_and_little_to_read(
    mode: str, tmp_path: Path
) -> None:
    (visit,) = [one for one in QUESTIONS if one.name.endswith("the-whole-visit")]
    async with playing(visit, mode, tmp_path) as run:
        await visit.script(run)
    assert run.cost.calls <= MOST_CALLS
    assert run.cost.read <= MOST_BYTES


def test_there_are_enough_questions_and_no_file_without_one() -> None:
    assert len(QUESTIONS) >= 25
    assert {path.stem for path in FOLDER.glob("*.md")} == {one.name for one in QUESTIONS}
