"""Plays a clinician's question as calls of tools, and writes down what was answered.

What a call takes from an earlier answer is read out of its text, as a model would. What differs
from run to run (ids of drafts, references, addresses) is written down as what it is.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp.types import ElicitRequestFormParams, ElicitResult, TextContent

from leyr_mcp.sandbox import samples
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.server.filing.audit import local_user
from tests.support.mcp_asking import ANNA, HOST, PROGRAM, Asking, Clock, connected, serving_app

FOLDER = Path(__file__).parent / "questions"
_CHANGING = (
    (re.compile(r"\(ref [0-9a-f]{8}\)"), "(ref …)"),
    (re.compile(r"record-text [0-9a-f]{8}"), "record-text …"),
    (re.compile(rf"Approved by {re.escape(local_user())} \("), "Approved by … ("),
    (re.compile(r"http://127\.0\.0\.1:\d+/[\w-]+/"), "http://127.0.0.1/…/"),
)
_DRAFT = re.compile(r"d_[a-z0-9]{16}")


@dataclass(frozen=True, slots=True)
class Question:
    """One question: what the clinician says, what is expected, and how it goes."""

    name: str
    says: str
    expects: str
    script: Callable[[Play], Awaitable[None]]
    emr: str = "webdoc"
    asks: bool = True
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a question costs a model: calls, bytes that it writes and reads."""

    calls: int
    sent: int
    read: int


class Play:
    """One run of a question."""

    def __init__(self, at: Asking) -> None:
        self.at = at
        self.answer: bool | None = True
        self.steps = list[str]()
        self.cost = Cost(0, 0, 0)
        self._texts = list[str]()
        self._drafts = dict[str, str]()

    async def call(self, tool: str, **arguments: Any) -> str:
        """Call a tool and return the text that a model reads."""
        result = await self.at.call(tool, **arguments)
        text = "\n".join(one.text for one in result.content if isinstance(one, TextContent))
        given = json.dumps(arguments, ensure_ascii=False)
        sent, read = len(f"{tool}{given}".encode()), len(text.encode())
        self.cost = Cost(self.cost.calls + 1, self.cost.sent + sent, self.cost.read + read)
        self._texts.append(text)
        mark = "refused" if result.is_error else "answers"
        self.steps.append(
            f"`{tool}` {self._same(given)}\n\n{mark}:\n\n```text\n{self._same(text)}\n```"
        )
        return text

    @property
    def last(self) -> str:
        """The latest answer, as it is written down."""
        return self._same(self._texts[-1])

    def real(self, text: str) -> str:
        """Return a text with the drafts' own ids in the place of those that are written down."""
        known = {written: draft for draft, written in self._drafts.items()}
        return re.sub(r"\bd_\d+\b", lambda match: known[match.group()], text)

    def find(self, pattern: str) -> str:
        """Return what an earlier answer says, the latest first."""
        for text in reversed(self._texts):
            if match := re.search(pattern, text):
                return match.group(1)
        raise AssertionError(f"no answer says {pattern}")

    async def whom(self, last_name: str, **more: str) -> str:
        """Find a patient and return the patient_id of the one that is answered."""
        text = await self.call("find_patient", last_name=last_name, **more)
        (found,) = re.findall(r"^patient_id (\S+)", text, re.MULTILINE)
        return str(found)

    def tells(self, text: str) -> None:
        """Write down what the assistant says to the clinician."""
        self.steps.append(f"The assistant: *{text}*")

    def acts(self, text: str) -> None:
        """Write down what a person, or the record, does meanwhile."""
        self.steps.append(f"({text})")

    def fails(self, told: str, **fault: Any) -> None:
        """Have the record fail."""
        self.at.control.faults.add(Fault.model_validate(fault))
        self.acts(told)

    async def edits(self, draft_id: str, text: str) -> None:
        """Have a person put other words in a note's place, on the page."""
        entry = await self.at.desk.entry(draft_id)
        item: Any = entry.payload.item
        changed = dataclasses.replace(item, content=dict.fromkeys(item.content, text))
        await self.at.desk.edit(entry, changed, ANNA)
        self.acts("On the page, the person changes the text")

    async def decides(self, draft_id: str, *, approve: bool) -> None:
        """Have a person decide on the page."""
        entry = await self.at.desk.entry(draft_id)
        if approve:
            await self.at.desk.approve(entry, ANNA)
            await self.at.desk.outcome(entry, 10.0)
        else:
            await self.at.desk.decline(entry, ANNA)
        self.acts(f"On the page, the person {'approves' if approve else 'declines'}")

    async def passes(self, draft_id: str, **span: float) -> None:
        """Let time pass until nothing moves a draft any more."""
        self.at.clock.later(**span)
        entry = await self.at.desk.outcome(await self.at.desk.entry(draft_id), 10.0)
        self.acts(f"A while later; meanwhile the draft became {entry.draft.state}")

    async def person(self, _context: Any, form: Any) -> ElicitResult:
        """Answer for the person at the client."""
        assert isinstance(form, ElicitRequestFormParams)
        said = {True: "says yes", False: "says no", None: "closes the question"}[self.answer]
        self.acts(f"The person is asked and {said}")
        if self.answer is None:
            return ElicitResult(action="cancel")
        fields: dict[str, Any] = form.requested_schema["properties"]
        return ElicitResult(action="accept", content=dict.fromkeys(fields, self.answer))

    def _same(self, text: str) -> str:
        for pattern, word in _CHANGING:
            text = pattern.sub(word, text)
        names = self._drafts
        return _DRAFT.sub(
            lambda match: names.setdefault(match.group(), f"d_{len(names) + 1}"), text
        )


@asynccontextmanager
async def playing(question: Question, mode: str, folder: Path) -> AsyncIterator[Play]:
    """Yield a run of a question at a server of its own."""
    samples.unpack(folder)
    settings = {"LEYR_MCP_ROOTS": str(folder), **question.settings}
    clock = Clock()
    async with serving_app(clock, emr=question.emr, **settings) as app:
        run: Play | None = None

        async def asked(context: Any, form: Any) -> ElicitResult:
            assert run is not None
            return await run.person(context, form)

        host = HOST if question.asks else PROGRAM
        async with connected(app, mode, asked, host=host, clock=clock) as at:  # type: ignore[arg-type]  # a person by a function
            run = Play(at)
            yield run


def written(question: Question, run: Play) -> str:
    """Return a run as its file holds it."""
    head = f"# {question.says}\n\n{question.expects}\n"
    if question.settings or question.emr != "webdoc" or not question.asks:
        more = [f"record system {question.emr}"] if question.emr != "webdoc" else []
        more += [f"{name}={value}" for name, value in question.settings.items()]
        more += [] if question.asks else ["a client that cannot ask"]
        head += f"\nHere: {', '.join(more)}.\n"
    steps = "\n\n".join(f"{number}. {step}" for number, step in enumerate(run.steps, 1))
    cost = run.cost
    end = f"Calls {cost.calls}, bytes to the tools {cost.sent:,}, bytes from them {cost.read:,}."
    return f"{head}\n{steps}\n\n{end}\n"


def check(question: Question, text: str) -> None:
    """Assert that a run is what its file says; `SNAPSHOT=write` writes the file anew."""
    file = FOLDER / f"{question.name}.md"
    if os.environ.get("SNAPSHOT") == "write":
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.is_file(), f"{question.name} has no file yet: run make snap"
    assert text == file.read_text(encoding="utf-8")
