"""A record system that says what a test wants: the sandbox's answers rewritten, or canned ones."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir
from typing import Any, cast
from zoneinfo import ZoneInfo

from mcp import Client

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.server import app
from leyr_mcp.server.boundary import MODE_META, ToolContext
from leyr_mcp.server.ehr.leyr.backend import connect
from leyr_mcp.server.ehr.transport import ASGIApp
from leyr_mcp.server.ehr.units import Units
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.lazy import LazyDesk
from leyr_mcp.server.protocol import LeyrServer
from leyr_mcp.server.settings import load
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.tools.catalog import TOOLS
from tests.support.mcp_session import NOW, Mode

Rewrite = Callable[[str, Any], Any]
STOCKHOLM = ZoneInfo("Europe/Stockholm")


@dataclass
class Canned:
    """Answers a GET by the end of its path, with 200 and JSON; remembers what was asked."""

    answers: Mapping[str, Any]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        assert scope["method"] == "GET"
        path = scope["raw_path"].decode()
        self.asked.append(path)
        found = next(
            (answer for end, answer in self.answers.items() if path.endswith(end)),
            {"code": "NOT_FOUND"},
        )
        status = 404 if found == {"code": "NOT_FOUND"} else 200
        await _send_json(send, status, found)


@dataclass
class Rewritten:
    """The sandbox, each of its JSON answers passed through a function of path and value."""

    sandbox: Sandbox
    rewrite: Rewrite

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        await self.sandbox(scope, receive, keep)
        status = messages[0]["status"]
        found = json.loads(b"".join(m.get("body", b"") for m in messages[1:]))
        await _send_json(send, status, self.rewrite(scope["path"], found))


async def _send_json(send: Any, status: int, value: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


@asynccontextmanager
async def server_over(
    upstream: ASGIApp,
    *,
    emr: str = "webdoc",
    unit: str = "L0_1",
    now: datetime = NOW,
    zone: ZoneInfo = STOCKHOLM,
    tools: Any = TOOLS,
) -> AsyncIterator[LeyrServer]:
    """Yield a server whose record system is `upstream`."""
    ehr = connect(
        base_url="http://record.localhost/api",
        client_id="sandbox",
        client_secret="sandbox",
        emr=emr,
        app=upstream,
    )
    settings = load({"LEYR_MCP_BACKEND": "sandbox", "LEYR_MCP_TIMEZONE": zone.key})
    journal = Journal(
        lambda: app.make_store(settings, in_memory=True),
        clock=lambda: now,
        device="test",
        origin="test",
    )
    units = Units(ehr, default=unit)
    files = Path(gettempdir(), f"leyr-mcp-{secrets.token_hex(16)}")
    keys = Keys(secrets.token_bytes(32))
    desk = LazyDesk(
        lambda: app._make_desk(settings, journal, ehr, units, lambda: now, files, lambda: keys)
    )
    context = ToolContext(
        ehr=ehr,
        units=units,
        zone=zone,
        clock=lambda: now,
        sandbox=True,
        meta={MODE_META: "sandbox"},
        journal=journal,
        open_desk=desk,
        open_attaching=lambda: app._make_attaching(settings, desk(), None, lambda: now),
    )
    try:
        yield LeyrServer(tools, context)
    finally:
        await desk.close(0.0)
        await ehr.close()
        await journal.close()
        rmtree(files, ignore_errors=True)


@asynccontextmanager
async def client_over(upstream: ASGIApp, mode: str, **more: Any) -> AsyncIterator[Client]:
    """Yield a client of one era, connected to a server whose record system is `upstream`."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(server_over(upstream, **more))
        yield await stack.enter_async_context(Client(server, mode=cast("Mode", mode)))
