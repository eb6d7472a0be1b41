"""A person at a client, in memory: what they are asked, how they answer, and what is filed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from mcp import Client
from mcp.client import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.types import (
    CallToolResult,
    ElicitRequestFormParams,
    ElicitResult,
    Implementation,
    InputRequiredResult,
)

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.control import Recorded
from leyr_mcp.server.app import App, build
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.desk import Desk
from leyr_mcp.server.filing.entries import Person
from leyr_mcp.server.settings import load
from leyr_mcp.server.storage.rows import APPROVAL, sql, to_approval
from leyr_mcp.server.storage.store import Approval, Store
from tests.support.mcp_session import NOW, TOLVAN, Mode, Session, sandbox_of

HOST = Implementation(name="claude-code", version="1")
PROGRAM = Implementation(name="some-agent", version="1")
PATIENT = f"se_personal_number:{TOLVAN}"
NOTE: dict[str, Any] = {"patient_id": PATIENT, "title": "Besök", "content": "Mår bra."}

ANNA = Person(name="Anna", channel="page", who=Who(subject="anna"))

Form = ElicitRequestFormParams
Way = Callable[[Form], ElicitResult | Awaitable[ElicitResult]]


def yes(form: Form) -> ElicitResult:
    """Say yes to everything."""
    return ElicitResult(action="accept", content=dict.fromkeys(fields(form), True))


def no(form: Form) -> ElicitResult:
    """Send the form with a no in every field."""
    return ElicitResult(action="accept", content=dict.fromkeys(fields(form), False))


def decline(_form: Form) -> ElicitResult:
    """Refuse the form."""
    return ElicitResult(action="decline")


def dismiss(_form: Form) -> ElicitResult:
    """Close the form."""
    return ElicitResult(action="cancel")


def fields(form: Form) -> list[str]:
    """Return the fields of a form, each the id of a draft."""
    properties: dict[str, Any] = form.requested_schema["properties"]
    return list(properties)


@dataclass
class User:
    """Answers each question in the next way, and from then on in the last."""

    ways: list[Way]
    asked: list[Form] = field(default_factory=list)

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        assert isinstance(params, Form)
        self.asked.append(params)
        said = self.ways[min(len(self.asked), len(self.ways)) - 1](params)
        return said if isinstance(said, ElicitResult) else await said


def user(*ways: Way) -> User:
    """Return a person who answers in these ways."""
    return User(list(ways))


@dataclass
class Clock:
    """The time, which passes when a test says so."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def later(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)


@dataclass(frozen=True, kw_only=True)
class Asking(Session):
    """A session whose client can ask a person."""

    clock: Clock = field(default_factory=Clock)

    async def first(self, tool: str, **arguments: Any) -> InputRequiredResult:
        """Return the question that a call of the modern era ends with."""
        found = await self.again(tool, arguments)
        assert isinstance(found, InputRequiredResult)
        return found

    async def again(
        self, tool: str, arguments: dict[str, Any], **more: Any
    ) -> CallToolResult | InputRequiredResult:
        """Make one round of a call of the modern era."""
        return cast(
            "CallToolResult | InputRequiredResult",
            await self.client.session.call_tool(tool, arguments, allow_input_required=True, **more),
        )

    @property
    def desk(self) -> Desk:
        """The desk of the server."""
        return self.app.desk()

    async def stored(self) -> Store:
        """Return the store of the server."""
        return (await self.app.journal.opened())[0]

    def writes(self) -> list[Recorded]:
        """Return what the record system was asked to write so far."""
        return [request for request in self.requests() if request.method != "GET"]

    def notes(self, who: str = TOLVAN) -> list[str]:
        """Return the texts of a patient's notes with the title of these tests."""
        return [
            next(iter(note.content.values()))
            for note in self.control.notes(who)
            if note.title == NOTE["title"]
        ]

    async def approvals(self) -> list[Approval]:
        """Return every approval that there is."""
        return await approvals(await self.stored())


async def approvals(store: Store) -> list[Approval]:
    """Return every approval in a store, also those that were never used."""

    def work() -> Any:
        return [to_approval(row) for row in (yield sql(APPROVAL + " ORDER BY id"))]

    found: list[Approval] = await cast("Any", store)._read(work)
    return found


@asynccontextmanager
async def connected(
    app: App,
    mode: str,
    person: User | None = None,
    *,
    host: Implementation = HOST,
    clock: Clock | None = None,
    sandbox: Sandbox | None = None,
    panels: bool = False,
) -> AsyncIterator[Asking]:
    """Yield a client of one era at a server, with or without a person who is asked, or a panel."""
    box = sandbox or sandbox_of(app)
    client = Client(
        app.server,
        mode=cast("Mode", mode),
        elicitation_callback=person,
        client_info=host,
        extensions=[advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})] if panels else None,
    )
    async with client:
        yield Asking(client=client, app=app, sandbox=box, clock=clock or Clock())


@asynccontextmanager
async def asking(
    mode: str,
    person: User | None = None,
    *,
    host: Implementation = HOST,
    emr: str = "webdoc",
    **settings: str,
) -> AsyncIterator[Asking]:
    """Yield such a client at a server of its own, over a fresh sandbox."""
    async with AsyncExitStack() as stack:
        clock = Clock()
        app = await stack.enter_async_context(serving_app(clock, emr=emr, **settings))
        yield await stack.enter_async_context(connected(app, mode, person, host=host, clock=clock))


@asynccontextmanager
async def serving_app(clock: Clock, *, emr: str = "webdoc", **settings: str) -> AsyncIterator[App]:
    """Yield a server over a fresh sandbox, whose clock can be moved."""
    found = load({"LEYR_MCP_BACKEND": "sandbox", "LEYR_EMR": emr, **settings})
    app = build(found, clock=clock, in_memory=True)
    try:
        yield app
    finally:
        await app.close()
