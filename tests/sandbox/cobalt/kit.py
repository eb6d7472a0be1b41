"""What the tests of the Cobalt sandbox share: a fixed time, a client in process, a receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx2
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox

NOW = datetime.fromisoformat("2026-03-02T07:00:00-06:00")  # a Monday, before opening
CREDENTIALS = {"client_id": "sandbox", "client_secret": "sandbox", "access_token": "sandbox"}
ORIGIN = "http://sandbox.test"
IMA = "MRN-10005"
FOLDER = "Documents"


@asynccontextmanager
async def sandbox(**settings: Any) -> AsyncIterator[tuple[CobaltSandbox, httpx2.AsyncClient]]:
    """Yield a fresh sandbox at the fixed time, and a client of its API."""
    box = CobaltSandbox(**{"clock": lambda: NOW, **settings})
    transport = httpx2.ASGITransport(app=box)
    base = f"{ORIGIN}/v1"
    try:
        async with httpx2.AsyncClient(
            transport=transport, base_url=base, headers=CREDENTIALS
        ) as client:
            yield box, client
    finally:
        box.close()


def note(**changes: Any) -> dict[str, Any]:
    """Return the body of a note."""
    location = "a1f0c3d2-0001-4b7e-9a11-000000000001"
    body = {"note": "Feels well.", "subject": "Check", "patient_mrn": IMA, "location_id": location}
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


async def events(client: httpx2.AsyncClient, **query: str) -> list[dict[str, Any]]:
    """Return the log of events."""
    found: list[dict[str, Any]] = (await client.get("/webhook-events", params=query)).json()[
        "webhook_events"
    ]
    return found


@dataclass
class Receiver:
    """Takes webhooks on a port of its own, and answers each as it is told to."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int | None] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What came, read."""
        return [json.loads(body) for _, body in self.got]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.got.append((headers, body))
        status = self.answers.pop(0) if self.answers else 200
        if status is None:  # never answers
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Open one."""
    app = Receiver()
    config = Config(app, ws="none", lifespan="off", interface="asgi3", log_config=None)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: H11Protocol(config, state, {}, _loop=loop), "127.0.0.1", 0
    )
    app.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield app
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(set(state.tasks))
        await asyncio.sleep(0)
