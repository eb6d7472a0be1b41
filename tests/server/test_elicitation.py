"""Asking through a client: who can be asked, and what a broken client does to a draft."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from mcp.types import (
    ClientCapabilities,
    ElicitationCapability,
    ElicitResult,
    FormElicitationCapability,
    UrlElicitationCapability,
)

from leyr_mcp.server.boundary import QuestionPending
from leyr_mcp.server.elicitation import asker
from leyr_mcp.server.filing.asking import Answer, Field, Question

FORM, URL = FormElicitationCapability(), UrlElicitationCapability()
QUESTION = Question("Shall this be filed?", (Field("d_1", "File this?", "1 abc"),))


def context(version: str | None = "2025-06-18", **more: Any) -> Any:
    """Return what the library says of a call by a client that can ask."""
    known = ClientCapabilities(elicitation=ElicitationCapability(form=FORM))
    fields = {"client_capabilities": known, "protocol_version": version, "request_id": 1, **more}
    return SimpleNamespace(**fields)


async def told(question: Question) -> None:
    """Take note that a question goes out."""
    assert question.text


async def late(answer: Answer) -> None:
    """Take an answer that came too late."""
    raise AssertionError(answer)


@pytest.mark.parametrize(
    ("capability", "asked"),
    [
        (None, False),
        (ElicitationCapability(), True),
        (ElicitationCapability(form=FORM), True),
        (ElicitationCapability(form=FORM, url=URL), True),
        (ElicitationCapability(url=URL), False),
    ],
)
@pytest.mark.parametrize("version", [None, "2025-06-18", "2026-07-28"])
def test_only_who_can_show_a_form_is_asked(
    version: str | None, capability: ElicitationCapability | None, *, asked: bool
) -> None:
    can = ClientCapabilities(elicitation=capability)
    assert (asker(context(version, client_capabilities=can), told) is not None) == asked
    assert asker(context(version, client_capabilities=None), told) is None


@pytest.mark.parametrize("version", [None, "2024-11-05", "2025-11-25"])
async def test_failure_in_between_decides_nothing(
    version: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def elicit_form(*_: Any) -> ElicitResult:
        raise ZeroDivisionError("Tolvan Tolvansson")

    ask = asker(context(version, session=SimpleNamespace(elicit_form=elicit_form)), told)
    assert ask is not None
    with caplog.at_level(logging.DEBUG):
        assert await ask(QUESTION, late) is None
    assert "did not ask its person" in caplog.text
    assert "Tolvan" not in caplog.text


STATES = [None, "", "x", "[]", "1", "null", '{"asked": null}', '{"asked": "0"}', "{}"]


@pytest.mark.parametrize("state", STATES)
async def test_state_that_names_another_question_is_no_answer(state: str | None) -> None:
    given = {"approval": ElicitResult(action="accept", content={"d_1": True})}
    modern = context("2026-07-28", input_responses=given, request_state=state)
    ask = asker(modern, told)
    assert ask is not None
    with pytest.raises(QuestionPending) as pending:
        await ask(QUESTION, late)
    modern.request_state = pending.value.result.request_state
    assert await ask(QUESTION, late) == {"d_1": True}
    for other in (
        Question("Shall that be filed?", QUESTION.fields),
        Question(QUESTION.text, (Field("d_2", "File this?", "1 abc"),)),
        Question(QUESTION.text, (Field("d_1", "File that?", "1 abc"),)),
        Question(QUESTION.text, (Field("d_1", "File this?", "2 abc"),)),
        Question(QUESTION.text, (*QUESTION.fields, Field("d_2", "File this?", "1 abc"))),
        Question(QUESTION.text, ()),
    ):
        with pytest.raises(QuestionPending):
            await ask(other, late)
