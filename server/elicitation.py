"""The client's own question to its person, in both eras of the protocol.

In the modern one the call ends with the question, and the client makes the same call again with
the answer; in the older one the server asks in the middle of the call. Only hosts that the operator
named are asked at all, since a program could answer for the person.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any

from mcp import MCPError
from mcp.types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)

from leyr_mcp.server.boundary import QuestionPending
from leyr_mcp.server.filing.asking import Answer, Ask, Question
from leyr_mcp.server.logs import location

MODERN = "2026-07-28"
LEGACY_WAIT_S = 50.0
LATE_S = 3_600.0
_KEY = "approval"

_log = logging.getLogger("leyr_mcp.elicitation")
# Questions that were not answered in time; an answer may still come.
_open: set[asyncio.Task[None]] = set()

Late = Callable[[Answer], Awaitable[None]]
# Stores that a question is about to go out, which shows whose data it is.
Told = Callable[[Question], Awaitable[None]]


def asker(context: Any, told: Told, *, wait_s: float | None = None) -> Ask | None:
    """Return how this client is asked, or None if it cannot ask its person."""
    capabilities = context.client_capabilities
    form = capabilities.elicitation if capabilities else None
    if form is None or (form.form is None and form.url is not None):
        return None
    if (context.protocol_version or "") >= MODERN:
        return _Modern(context, told)
    return _Legacy(context, told, LEGACY_WAIT_S if wait_s is None else wait_s)


class _Modern:
    """The question is the answer to the call; the next call brings what the person said."""

    def __init__(self, context: Any, told: Told) -> None:
        self._context = context
        self._told = told

    async def __call__(self, question: Question, late: Late) -> Answer:  # noqa: ARG002 - never late
        """Return the answer that this call brought, if it is one to this very question.

        Raises:
            QuestionPending: It brought none.
        """
        digest = _digest(question)
        given = (self._context.input_responses or {}).get(_KEY)
        if isinstance(given, ElicitResult) and _asked(self._context.request_state) == digest:
            return _read(question, given)
        await self._told(question)
        request = ElicitRequest(params=_form(question))
        raise QuestionPending(
            InputRequiredResult(
                input_requests={_KEY: request}, request_state=json.dumps({"asked": digest})
            )
        )


class _Legacy:
    """The server asks in the middle of the call, and waits as long as clients usually do."""

    def __init__(self, context: Any, told: Told, wait_s: float) -> None:
        self._context = context
        self._told = told
        self._wait_s = wait_s

    async def __call__(self, question: Question, late: Late) -> Answer:
        """Return the answer; one that comes later goes to `late`, which decides if it counts."""
        await self._told(question)
        asked = asyncio.ensure_future(self._ask(question))
        try:
            done, _ = await asyncio.wait({asked}, timeout=self._wait_s)
        except asyncio.CancelledError:  # the client gave the call up
            asked.cancel()
            raise
        if done:
            return asked.result()
        task = asyncio.create_task(_await(asked, late))
        _open.add(task)
        task.add_done_callback(_open.discard)
        return None

    async def _ask(self, question: Question) -> Answer:
        form = _form(question)
        try:
            result = await self._context.session.elicit_form(
                form.message, form.requested_schema, self._context.request_id
            )
        except MCPError as exc:
            _log.info("the client did not ask its person: code %s", exc.error.code)
            return None
        except Exception as exc:  # noqa: BLE001 - a broken client leaves the draft waiting
            _log.warning("the client did not ask its person: %s", location(exc))
            return None
        return _read(question, result)


async def _await(asked: asyncio.Future[Answer], late: Late) -> None:
    try:
        async with asyncio.timeout(LATE_S):
            answer = await asked
        await late(answer)
    except TimeoutError:
        _log.info("a question was never answered")
    except Exception as exc:  # noqa: BLE001 - nobody waits for it any more
        _log.warning("a late answer was not used: %s", location(exc))


def _form(question: Question) -> ElicitRequestFormParams:
    properties = {
        field.draft_id: {"type": "boolean", "title": field.title} for field in question.fields
    }
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
    return ElicitRequestFormParams(message=question.text, requested_schema=schema)


def _read(question: Question, result: ElicitResult) -> Answer:
    """Return what was answered; what is no plain yes or no decides nothing."""
    if result.action == "decline":
        return {field.draft_id: False for field in question.fields}
    if result.action != "accept":
        return None
    content: Mapping[str, Any] = result.content or {}
    given = {field.draft_id: content.get(field.draft_id) for field in question.fields}
    return {name: value for name, value in given.items() if isinstance(value, bool)}


def _digest(question: Question) -> str:
    fields = [(field.draft_id, field.title, field.bound) for field in question.fields]
    whole = [question.text, *(part for field in fields for part in field)]
    return sha256("\0".join(whole).encode("utf-8", "surrogatepass")).hexdigest()


def _asked(state: str | None) -> str | None:
    try:
        found = json.loads(state or "")
    except ValueError:
        return None
    return found.get("asked") if isinstance(found, dict) else None
