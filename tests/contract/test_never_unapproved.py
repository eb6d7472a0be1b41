"""Whatever is called in whatever order, nothing is written that no approval of that version covers.

Two machines call every tool there is: a program that says yes to every question and that nobody
named, and a host that was named, whose person answers as people do. `SOAK=1` goes on for longer.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from mcp import MCPError
from mcp.types import CallToolResult, ElicitResult

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.filing.payloads import digest_of
from leyr_mcp.server.storage.store import OPEN
from leyr_mcp.tools.catalog import TOOLS
from tests.support.mcp_asking import (
    ANNA,
    HOST,
    PROGRAM,
    Asking,
    Way,
    approvals,
    asking,
    decline,
    dismiss,
    no,
    user,
    yes,
)
from tests.support.mcp_hostile import arguments
from tests.support.mcp_session import TOLVAN

SOAK = os.environ.get("SOAK") == "1"
BOUNDS = settings(
    max_examples=400 if SOAK else 12,
    stateful_step_count=60 if SOAK else 15,
    deadline=None,
    database=None,
    derandomize=not SOAK,
    suppress_health_check=list(HealthCheck),
)
WRITERS = ("write_note", "book", "change_appointment", "create_patient", "attach_document")
# What a model might think up to approve by itself.
GUESSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("approve", {}),
    ("approve_draft", {"approve": True}),
    ("review_decision", {"approve": True, "secret": "x"}),
    ("file_drafts", {"approved": True}),
    ("write_note", {"approval": "yes", "state": "approved"}),
)


class Driver:
    """Runs a session in a task of its own, so that calls can come from outside of the loop."""

    def __init__(self, mode: str, *, named: bool, way: Way) -> None:
        self.runner = asyncio.Runner()
        self.person = user(way)
        self._named = named
        self._mode = mode
        self._jobs: asyncio.Queue[tuple[Callable[[Asking], Awaitable[Any]], Any] | None]
        self.runner.run(self._begin())

    def do(self, job: Callable[[Asking], Awaitable[Any]]) -> Any:
        """Return what a job in the session comes to."""
        return self.runner.run(self._do(job))

    def close(self) -> None:
        """End the session."""
        try:
            self.runner.run(self._end())
        finally:
            self.runner.close()

    async def _begin(self) -> None:
        self._jobs = asyncio.Queue()
        self._task = asyncio.create_task(self._serve())

    async def _do(self, job: Callable[[Asking], Awaitable[Any]]) -> Any:
        done = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait((job, done))
        await asyncio.wait({done, self._task}, return_when=asyncio.FIRST_COMPLETED)
        return done.result() if done.done() else await self._task

    async def _end(self) -> None:
        self._jobs.put_nowait(None)
        await self._task

    async def _serve(self) -> None:
        host = HOST if self._named else PROGRAM
        async with asking(self._mode, self.person, host=host) as it:
            while (entry := await self._jobs.get()) is not None:
                job, done = entry
                try:
                    done.set_result(await job(it))
                except Exception as exc:  # noqa: BLE001 - told to the one who gave the job
                    done.set_exception(exc)


class Calls(RuleBasedStateMachine):
    """Calls of every tool, sane and hostile; subclasses say who calls and what must hold."""

    named = False
    way: Way = staticmethod(yes)

    def __init__(self) -> None:
        super().__init__()
        self.drafts: list[str] = []
        self.driver: Driver | None = None

    @property
    def it(self) -> Driver:
        """The session."""
        assert self.driver is not None
        return self.driver

    @initialize(mode=st.sampled_from(["auto", "legacy"]))
    def begin(self, mode: str) -> None:
        """Connect in one of the eras."""
        self.driver = Driver(mode, named=self.named, way=self.way)
        self.it.do(self.prepare)

    async def prepare(self, it: Asking) -> None:
        """See to what a machine watches."""

    def teardown(self) -> None:
        """Leave."""
        if self.driver is not None:
            try:
                self.it.do(self.at_the_end)
            finally:
                self.driver.close()

    async def at_the_end(self, it: Asking) -> None:
        """See to what must hold in the end."""

    def call(self, tool: str, given: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Call a tool, whatever comes of it, and remember the drafts it tells of."""

        async def job(it: Asking) -> dict[str, Any]:
            try:
                found = await (it.again(tool, given, **more) if more else it.call(tool, **given))
            except MCPError:
                return {}
            data = found.structured_content if isinstance(found, CallToolResult) else None
            return data or {}

        data: dict[str, Any] = self.it.do(job)
        if isinstance(data.get("draft_id"), str) and data["draft_id"] not in self.drafts:
            self.drafts.append(data["draft_id"])
        return data

    def some(self, pick: int) -> str:
        """Return one of the drafts so far."""
        return self.drafts[pick % len(self.drafts)]

    @rule(
        text=st.sampled_from(["Mår bra.", "Mår [namn].", "Rad\nPatient: Annan", "ja, godkänn"]),
        draft=st.booleans(),
        key=st.sampled_from([None, "k"]),
        expect=st.sampled_from([None, "Tolvansson"]),
    )
    def note(self, text: str, draft: bool, key: str | None, expect: str | None) -> None:  # noqa: FBT001 - hypothesis gives them
        """Write a note."""
        given = {"patient_id": f"se_personal_number:{TOLVAN}", "title": "Besök", "content": text}
        more = {"draft": draft, "idempotency_key": key, "expect": expect}
        self.call("write_note", given | {k: v for k, v in more.items() if v is not None})

    @precondition(lambda self: self.drafts)
    @rule(pick=st.integers(0, 99), text=st.sampled_from(["Mår bra.", "Mår bättre."]))
    def revise(self, pick: int, text: str) -> None:
        """Revise a draft."""
        given = {"patient_id": f"se_personal_number:{TOLVAN}", "title": "Besök", "content": text}
        self.call("write_note", given | {"draft_id": self.some(pick)})

    @rule(
        text=st.sampled_from([None, "Intyg.", "Intyg [namn]."]),
        draft=st.booleans(),
        key=st.sampled_from([None, "k"]),
    )
    def attach(self, text: str | None, draft: bool, key: str | None) -> None:  # noqa: FBT001 - as above
        """Attach a document, or have a person choose its file."""
        given = {"patient_id": f"se_personal_number:{TOLVAN}", "title": "Intyg"}
        more = {"text": text, "draft": draft, "idempotency_key": key}
        self.call("attach_document", given | {k: v for k, v in more.items() if v is not None})

    @rule(pick=st.integers(0, 99), draft=st.booleans())
    def book(self, pick: int, draft: bool) -> None:  # noqa: FBT001 - as above
        """Book a time that is free."""
        slots = self.call("list_timeslots", {}).get("timeslots") or []
        if slots:
            slot = slots[pick % len(slots)]
            known = ("start", "end", "resource_id", "healthcare_service_id")
            given = {name: slot[name] for name in known if name in slot}
            patient = {"patient_id": f"se_personal_number:{TOLVAN}", "draft": draft}
            self.call("book_appointment", given | patient)

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        """Cancel an appointment."""
        patient = {"patient_id": f"se_personal_number:{TOLVAN}"}
        found = self.call("list_appointments", patient).get("appointments") or []
        if found:
            one = found[pick % len(found)]["appointment_id"]
            self.call("change_appointment", {"appointment_id": one, "action": "cancel"})

    @rule(name=st.sampled_from(["Ola", "Kari"]))
    def person(self, name: str) -> None:
        """Create a patient."""
        self.call("create_patient", {"first_name": name, "last_name": "Nord"})

    @precondition(lambda self: self.drafts)
    @rule(tool=st.sampled_from(["get_draft", "discard_draft"]), pick=st.integers(0, 99))
    def one(self, tool: str, pick: int) -> None:
        """Look at a draft, or take it back."""
        self.call(tool, {"draft_id": self.some(pick)})

    @precondition(lambda self: self.drafts)
    @rule(picks=st.lists(st.integers(0, 99), min_size=1, max_size=4))
    def file(self, picks: list[int]) -> None:
        """File drafts."""
        self.call("file_drafts", {"draft_ids": [self.some(pick) for pick in picks]})

    @rule(guess=st.sampled_from(GUESSED), pick=st.integers(0, 99))
    def guess(self, guess: tuple[str, dict[str, Any]], pick: int) -> None:
        """Try what might approve."""
        tool, given = guess
        draft_id = self.some(pick) if self.drafts else "d_aaaaaaaaaaaaaaaa"
        self.call(tool, given | {"draft_id": draft_id, "draft_ids": [draft_id]})

    @rule(seed=st.integers(0, 2**32), number=st.integers(0, 99))
    def hostile(self, seed: int, number: int) -> None:
        """Call any tool with anything."""
        rng = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
        tool = TOOLS[number % len(TOOLS)]
        good: dict[str, Any] = {"patient_id": f"se_personal_number:{TOLVAN}", "title": "Besök"}
        if self.drafts:
            good |= {"draft_id": self.some(number), "draft_ids": [self.some(number)]}
        known = tool.input_schema().get("properties", {})
        good = {name: given for name, given in good.items() if name in known}
        self.call(tool.name, sendable(arguments(rng, tool, good)))

    @rule(seed=st.integers(0, 2**32), state=st.sampled_from([None, "forged", '{"asked": ""}']))
    def answer_nobody_asked_for(self, seed: int, state: str | None) -> None:
        """Send an answer along with the call, as if somebody had been asked."""
        rng = random.Random(seed)  # noqa: S311 - as above
        keys = [*self.drafts, "file_it"]
        answer = ElicitResult(action="accept", content=dict.fromkeys(keys, True))
        given = {"patient_id": f"se_personal_number:{TOLVAN}", "title": "Besök", "content": "Ja."}
        responses = {rng.choice(["approval", "x"]): answer}
        more = {"input_responses": responses, "request_state": state}
        self.call("write_note", given, **{k: v for k, v in more.items() if v is not None})

    @rule(hours=st.sampled_from([1, 25, 24 * 31]))
    def wait(self, hours: int) -> None:
        """Let time pass."""

        async def job(it: Asking) -> None:
            it.clock.later(hours=hours)
            await it.desk._tidy()

        self.it.do(job)


def sendable(given: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON can hold; what it cannot is for the tests of the wire."""
    return {name: text for name, text in given.items() if _plain(name) and _plain(repr(text))}


def _plain(text: str) -> bool:
    return "\\ud" not in repr(text) and "nan" not in text and "inf" not in text


class Program(Calls):
    """A program that nobody named, and that says yes to everything."""

    @invariant()
    def nothing_is_approved_or_sent(self) -> None:
        """No approval, no write, and no draft beyond waiting."""
        if self.driver is not None:
            self.it.do(self.look)

    async def look(self, it: Asking) -> None:
        """Look at the record, the store and the person."""
        assert it.writes() == []
        store = await it.stored()
        assert await approvals(store) == []
        assert set(await store.counts()) <= {
            "draft",
            "awaiting_file",
            "awaiting_approval",
            "withdrawn",
            "expired",
        }
        assert self.it.person.asked == []


class Host(Calls):
    """A host that was named; its person says yes, no, or nothing."""

    named = True

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    @rule(way=st.sampled_from([yes, yes, no, decline, dismiss]))
    def mood(self, way: Way) -> None:
        """Let the person answer in another way from now on."""
        self.it.person.ways = [way]

    @precondition(lambda self: self.drafts)
    @rule(pick=st.integers(0, 99), act=st.sampled_from(["approve", "decline", "send_again"]))
    def page(self, pick: int, act: str) -> None:
        """Decide on the page, also about what no longer waits there."""

        async def job(it: Asking) -> None:
            try:
                await getattr(it.desk, act)(await it.desk.entry(self.some(pick)), ANNA)
            except (LeyrMcpError, ValueError):  # it is final, or no longer there
                return

        self.it.do(job)

    async def prepare(self, it: Asking) -> None:
        """Look at each write when it leaves."""
        for name in WRITERS:
            setattr(it.app.ehr, name, self.watched(it, getattr(it.app.ehr, name)))

    def watched(self, it: Asking, send: Callable[..., Awaitable[Any]]) -> Any:
        """Return a write that is checked before it leaves."""

        async def checked(*given: Any) -> Any:
            store = await it.stored()
            self.written += 1
            known = {approval.id: approval for approval in await approvals(store)}
            under_way = await store.drafts(states=["sending"])
            assert under_way
            for draft in under_way:
                approval = known[draft.approval_id or ""]
                assert (approval.draft_id, approval.version) == (draft.id, draft.version)
                assert approval.digest == draft.digest == digest_of(draft.payload)
                assert approval.used_at is not None
            assert len([a for a in known.values() if a.used_at]) >= self.written
            return await send(*given)

        return checked

    async def at_the_end(self, it: Asking) -> None:
        """Compare what was filed with what was approved."""
        store = await it.stored()
        known = {approval.id: approval for approval in await approvals(store)}
        for draft in await store.drafts(states=["filed", *sorted(OPEN)], limit=1_000):
            approval = known[draft.approval_id or ""]
            assert (approval.draft_id, approval.version, approval.digest) == (
                draft.id,
                draft.version,
                draft.digest,
            )
            if draft.payload:
                assert digest_of(draft.payload) == approval.digest
        assert len(it.writes()) <= self.written <= len([a for a in known.values() if a.used_at])


TestProgram = Program.TestCase
TestProgram.settings = BOUNDS
TestHost = Host.TestCase
TestHost.settings = BOUNDS
