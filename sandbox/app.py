"""The sandbox as one ASGI application: the API, its OpenAPI document and the control plane."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from leyr_mcp.sandbox.breakage import Exchange, inflict
from leyr_mcp.sandbox.clinic import build_clinic
from leyr_mcp.sandbox.clock import Clock
from leyr_mcp.sandbox.control import KEPT_BODY, Control
from leyr_mcp.sandbox.control_http import CONTROL, answer_control
from leyr_mcp.sandbox.dispatch import Backend, answer, route
from leyr_mcp.sandbox.openapi import build_openapi
from leyr_mcp.sandbox.options import Options
from leyr_mcp.sandbox.routes import SMALL_BODY, Match
from leyr_mcp.sandbox.seed import fill
from leyr_mcp.sandbox.store import Store
from leyr_mcp.sandbox.systems import SYSTEMS
from leyr_mcp.sandbox.wire import (
    ClientGoneError,
    Incoming,
    Receive,
    Reply,
    Scope,
    Send,
    incoming,
    json_reply,
    read_body,
)


class Sandbox:
    """A stand-in for the API in front of one record system.

    Raises:
        ValueError: the record system is unknown, or the state file belongs to another one.
    """

    def __init__(
        self,
        emr: str = "webdoc",
        state: Path | None = None,
        clock: Callable[[], datetime] | None = None,
        client_id: str = "sandbox",
        client_secret: str = "sandbox",  # noqa: S107 -- guards nothing but synthetic data
    ) -> None:
        if emr not in SYSTEMS:
            raise ValueError(f"Unknown EMR '{emr}'. Known: {', '.join(sorted(SYSTEMS))}.")
        system = SYSTEMS[emr]
        own_clock = Clock(clock)
        self._store = Store(state)
        self._backend = Backend(
            store=self._store,
            system=system,
            units=build_clinic(system),
            options=Options(),
            now=own_clock.now,
            client_id=client_id,
            client_secret=client_secret,
        )
        self.client_id = client_id
        self.client_secret = client_secret
        self.control = Control(self._backend, own_clock)
        self._released: set[asyncio.Future[None]] = set()
        try:
            self._open_state(emr)
        except BaseException:
            self._store.close()
            raise

    @property
    def emr(self) -> str:
        """The slug of the record system served."""
        return self._backend.system.slug

    def close(self) -> None:
        """End what is still waiting, drop late commits and close the state."""
        self.release()
        self.control.late_commits.drop()
        self._store.close()

    def release(self) -> None:
        """End all requests that a fault keeps waiting."""
        for future in tuple(self._released):
            if not future.done():
                future.set_result(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection: lifespan or HTTP."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = incoming(scope)
        with suppress(ClientGoneError):
            if request.raw_path == "/openapi.json":
                await _without_body(receive, self._document(request), send)
            elif request.raw_path == CONTROL or request.raw_path.startswith(f"{CONTROL}/"):
                body = await read_body(receive, SMALL_BODY)
                await answer_control(self.control, request, body).send(send)
            else:
                await self._answer(scope, request, receive, send)

    async def _answer(self, scope: Scope, request: Incoming, receive: Receive, send: Send) -> None:
        match = route(request)
        operation = match.operation.id if match.operation else None
        entry = self.control.requests.begin(
            request, operation, self.control.clock.now().isoformat()
        )
        limit = match.operation.body_limit if match.operation else SMALL_BODY
        body = await read_body(receive, limit)
        entry.body_bytes = len(body or b"")
        entry.body = (body or b"")[:KEPT_BODY].decode("utf-8", "replace")

        def act() -> Reply:
            reply = answer(self._backend, request, match, body)
            entry.carried_out = True
            return reply

        fault = None
        if request.raw_path.startswith("/api/"):
            fault = self.control.faults.take(request.method, request.raw_path, operation)
        if fault is None:
            reply = act()
            entry.status = reply.status
            await reply.send(send)
            return
        entry.fault = fault.kind
        released = asyncio.get_running_loop().create_future()
        self._released.add(released)
        try:
            exchange = Exchange(
                request, scope, receive, send, act, self.control.late_commits.add, released
            )
            entry.status = await inflict(fault, exchange)
        finally:
            self._released.discard(released)

    def _document(self, request: Incoming) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return answer(self._backend, request, Match(None, {}, ("GET",)), b"")
        return json_reply(build_openapi(self._backend))

    def _open_state(self, emr: str) -> None:
        backend = self._backend
        with backend.store.transaction():
            owner = backend.store.meta("emr")
            if owner is None:
                fill(backend.store, backend.system, backend.units, backend.now())
        if owner not in (None, emr):
            raise ValueError(f"The state file belongs to EMR '{owner}', not '{emr}'.")


async def _without_body(receive: Receive, reply: Reply, send: Send) -> None:
    await read_body(receive, SMALL_BODY)
    await reply.send(send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
