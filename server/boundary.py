"""The border between the model and this server.

It says what a tool may use, and where failures become answers.
The only place where an exception turns into a result. A tool sees a `ToolContext` and nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from mcp import MCPError
from mcp.types import CallToolResult, ContentBlock, InputRequiredResult, TextContent
from pydantic import BaseModel, ConfigDict, ValidationError

from leyr_mcp.server import telemetry
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef, parse_patient, parse_resource
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.ehr.units import Units
from leyr_mcp.server.errors import CODES, InputError, LeyrMcpError, UpstreamError
from leyr_mcp.server.filing.audit import NOTHING, About, Who
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.logs import location
from leyr_mcp.server.settings import Environment

if TYPE_CHECKING:
    from leyr_mcp.server.filing.asking import Caller
    from leyr_mcp.server.filing.attaching import Attaching
    from leyr_mcp.server.filing.desk import Desk
    from leyr_mcp.server.filing.entries import Entry

ERROR_META = "leyr-mcp/error"
MODE_META = "leyr-mcp/mode"

_log = logging.getLogger("leyr_mcp.boundary")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


class Arguments(BaseModel):
    """The arguments of a tool: closed, strict about types, never repeated in an error."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a tool answers: the same facts for programs and, as compact text, for models.

    `about` names whose data it holds, for the audit.
    """

    data: Mapping[str, Any]
    text: str
    links: tuple[ContentBlock, ...] = ()
    about: tuple[About, ...] = ()


class QuestionPending(Exception):  # noqa: N818 - not a failure: the call goes on with an answer
    """A person is to be asked, and the client makes the same call again with the answer."""

    def __init__(self, result: InputRequiredResult) -> None:
        super().__init__("a person is asked")
        self.result = result


async def no_page(_draft_id: str) -> str | None:
    """Return no address: there is no review page."""
    return None


async def no_text(_raw: bytes) -> str | None:
    """Return no text: nothing here reads a PDF."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Everything that a tool may use.

    Attributes:
        open_desk: Makes the desk at its first use; what only reads never loads it.
        open_attaching: The same for what makes documents.
        pdf_text: The text of a PDF; None where that cannot be told.
        review_url: The address at which a person reviews a draft, if there is a page.
        upload_link: Makes a link by which a program brings a draft's file; None where none can.
        caller: Who calls, and how the person there is asked; set for each call.
        role: What the operator set, which takes some content away.
    """

    ehr: Ehr
    units: Units
    zone: ZoneInfo
    clock: Callable[[], datetime]
    environment: Environment = None
    sandbox: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)
    journal: Journal | None = None
    open_desk: Callable[[], Desk] | None = None
    open_attaching: Callable[[], Attaching] | None = None
    pdf_text: Callable[[bytes], Awaitable[str | None]] = no_text
    review_url: Callable[[str], Awaitable[str | None]] = no_page
    upload_link: Callable[[Entry, Who], tuple[str, datetime]] | None = None
    caller: Caller | None = None
    role: str | None = None

    @property
    def desk(self) -> Desk:
        """The only way to write."""
        if self.open_desk is None:
            raise RuntimeError("this context has no desk")
        return self.open_desk()

    @property
    def attaching(self) -> Attaching:
        """The only way in for files."""
        if self.open_attaching is None:
            raise RuntimeError("this context takes no files")
        return self.open_attaching()

    @property
    def who(self) -> Who:
        """Who calls."""
        if self.caller is None:
            raise RuntimeError("nobody calls")
        return self.caller.who

    def now(self) -> datetime:
        """Return the present moment in the clinic's zone."""
        return self.clock().astimezone(self.zone)

    def today(self) -> date:
        """Return the present day in the clinic's zone."""
        return self.now().date()

    def patient_ref(self, raw: str) -> PatientRef:
        """Return a checked patient identifier; a bare one is of the record system's own type."""
        ref = parse_patient(raw, today=self.today(), environment=self.environment)
        own = self.ehr.capabilities.own_type
        return PatientRef(own, ref.value) if ref.type == "emr_id" and ":" not in raw else ref

    def resource_ref(self, raw: str | None) -> ResourceRef | None:
        """Return a checked resource identifier, or None where none was given."""
        if raw is None:
            return None
        return parse_resource(raw, today=self.today(), environment=self.environment)


class Runnable(Protocol):
    """The parts of a tool that the boundary runs."""

    @property
    def name(self) -> str:
        """The tool's name."""
        ...

    @property
    def input(self) -> type[Arguments]:
        """The model of its arguments."""
        ...

    @property
    def handler(self) -> Callable[[ToolContext, Any], Awaitable[Reply]]:
        """What it does."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as the caller is told."""

    code: str
    message: str
    next_step: str
    retry: str
    ref: str
    field: str | None = None
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        """The one line that a model reads."""
        return f"{self.code}: {self.message} Next: {self.next_step} (ref {self.ref})"

    def as_dict(self) -> dict[str, Any]:
        """The same for programs."""
        found = {
            "code": self.code,
            "message": self.message,
            "field": self.field,
            "retry": self.retry,
            "retry_after_s": self.retry_after_s,
            "next": self.next_step,
            "ref": self.ref,
        }
        return {name: value for name, value in found.items() if value is not None}


async def run(
    tool: Runnable,
    arguments: dict[str, Any],
    context: ToolContext,
    caller: Caller,
    admit: AbstractAsyncContextManager[None] | None = None,
) -> CallToolResult | InputRequiredResult:
    """Run one tool call; whatever happens, the caller gets an answer and the audit an event.

    Where a person must first be asked, the answer is that question. `admit` lets the call in, or
    says why not.

    Raises:
        MCPError: Raised by the tool on purpose, as a protocol error.
    """
    meta: dict[str, Any] = dict(context.meta)
    parsed: Arguments | None = None
    began, listening = time.perf_counter(), telemetry.current()
    try:
        async with admit or contextlib.nullcontext():
            parsed = tool.input.model_validate(_given(tool.input, arguments))
            reply = await tool.handler(replace(context, caller=caller), parsed)
            if context.journal is not None:
                await context.journal.answered(tool.name, caller.who, reply.about)
    except QuestionPending as pending:  # its event was stored before
        return pending.result
    except MCPError:
        raise
    except Exception as exc:  # noqa: BLE001 - the one place where any failure becomes an answer
        failure = describe(exc, what=tool.name, model=tool.input)
        raw = getattr(parsed, "patient_id", None)
        await refused(context, tool.name, caller.who, raw, failure.code)
        if listening:
            listening.called(tool.name, failure.code, time.perf_counter() - began)
        meta[ERROR_META] = failure.as_dict()
        content = TextContent(type="text", text=failure.text)
        return CallToolResult(content=[content], is_error=True, _meta=meta)
    if listening:
        listening.called(tool.name, "ok", time.perf_counter() - began)
    content = TextContent(type="text", text=reply.text)
    return CallToolResult(
        content=[content, *reply.links], structured_content=dict(reply.data), _meta=meta or None
    )


async def refused(
    context: ToolContext, tool: str, who: Who, patient_id: str | None, code: str
) -> None:
    """Store a refusal; the caller is told of it even where the audit cannot be written."""
    if context.journal is None:
        return
    about = NOTHING
    if patient_id:
        with contextlib.suppress(InputError):  # then it names no patient
            about = About(patient=str(context.patient_ref(patient_id)))
    try:
        await context.journal.refused(tool, who, about, code)
    except LeyrMcpError as exc:
        describe(exc, what=f"audit of {tool}")


def _given(model: type[Arguments], arguments: dict[str, Any]) -> dict[str, Any]:
    """Leave out optional arguments sent empty, as forms and some models do."""
    if "" not in arguments.values():
        return arguments
    fields = model.model_fields
    return {
        name: value
        for name, value in arguments.items()
        if value != "" or name not in fields or fields[name].is_required()
    }


def describe(exc: Exception, *, what: str, model: type[Arguments] | None = None) -> Failure:
    """Return what the caller is told of a failure, and log it under the same reference."""
    ref = secrets.token_hex(4)
    if isinstance(exc, ValidationError) and model is not None and exc.title == model.__name__:
        exc = _invalid(exc, model)
    if not isinstance(exc, LeyrMcpError):
        _log.error("ref=%s %s failed unexpectedly: %s", ref, what, location(exc))
        info = CODES["internal"]
        return Failure("internal", "This server failed.", info.next_step, info.retry, ref)
    if isinstance(exc, UpstreamError):
        _log.warning(
            "ref=%s %s: %s (status %s, vendor code %s, vendor ref %s)",
            ref,
            what,
            exc.code,
            exc.status,
            exc.vendor_code,
            exc.request_id,
        )
    else:
        _log.info("ref=%s %s: %s", ref, what, exc.code)
    after = None if exc.retry_after_s is None else round(exc.retry_after_s, 1)
    return Failure(exc.code, exc.message, exc.next_step, exc.retry, ref, exc.field, after)


def _where(path: tuple[int | str, ...]) -> str:
    """Return where an error is: the argument, and a place in a list; never a key of the caller."""
    inner = [str(part) for part in path[1:] if isinstance(part, int)]
    return ".".join([*map(str, path[:1]), *inner]) or "arguments"


def _invalid(exc: ValidationError, model: type[Arguments]) -> InputError:
    """Name each wrong field and its rule; a value is never repeated."""
    found = exc.errors(include_url=False, include_input=False, include_context=False)
    first = str(found[0]["loc"][0]) if found[0]["loc"] else None
    lines = []
    for error in found[:5]:
        name = _where(error["loc"])
        if error["type"] == "extra_forbidden":
            shown = name if _PLAIN_NAME.fullmatch(name) else "one of the arguments"
            lines.append(f"{shown} is not an argument; known are {', '.join(model.model_fields)}")
        else:
            lines.append(f"{name}: {error['msg'].removeprefix('Value error, ')}")
    known = first if first in model.model_fields else None
    return InputError(f"{'; '.join(lines)}.", field=known)
