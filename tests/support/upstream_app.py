"""An upstream in process: gives the answers it was told to give, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; the body is JSON unless the content type says otherwise."""

    body: bytes = b"[]"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class ScriptedApp:
    """Plays its outcomes in turn and then the last one again; an exception is raised."""

    outcomes: list[Reply | BaseException]
    asked: list[Asked] = field(default_factory=list)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        body = b""
        while (part := await receive()).get("more_body"):
            body += part["body"]
        self.asked.append(
            Asked(
                scope["method"],
                scope["raw_path"].decode("ascii"),
                scope["query_string"].decode("ascii"),
                {name.decode(): value.decode() for name, value in scope["headers"]},
                body,
            )
        )
        outcome = self.outcomes[min(len(self.asked), len(self.outcomes)) - 1]
        if isinstance(outcome, BaseException):
            raise outcome
        kind = outcome.content_type
        headers = [*outcome.headers, *((("content-type", kind),) if kind is not None else ())]
        await send(
            {
                "type": "http.response.start",
                "status": outcome.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers],
            }
        )
        await send({"type": "http.response.body", "body": outcome.body})


def app_of(*outcomes: Reply | BaseException) -> ScriptedApp:
    """Return an upstream that plays these outcomes; without any, it answers with an empty list."""
    return ScriptedApp(list(outcomes) or [Reply()])


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    """Return an answer in JSON; underscores in names of headers stand for hyphens."""
    named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Reply(json.dumps(value).encode(), status, named)


def problem(code: str, status: int = 400, *error_codes: str, **fields: object) -> Reply:
    """Return a refusal in Leyr's envelope."""
    errors = [{"error_code": item, "details": "", "path": None} for item in error_codes]
    return json_reply({"code": code, "status": status, "errors": errors, **fields}, status)
