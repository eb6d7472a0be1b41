"""What every sandbox shares: one ASGI application with a control plane, requests kept, faults."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from leyr_mcp.sandbox.breakage import Exchange, inflict
from leyr_mcp.sandbox.control import KEPT_BODY, Plane
from leyr_mcp.sandbox.control_http import CONTROL, answer_control
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.routes import SMALL_BODY
from leyr_mcp.sandbox.wire import (
    ClientGoneError,
    Incoming,
    Receive,
    Reply,
    Scope,
    Send,
    incoming,
    read_body,
)


@dataclass(frozen=True)
class Meant:
    """What a request is for: the operation, how long its body may be, and what answers it."""

    operation: str | None
    body_limit: int
    answer: Callable[[bytes | None], Reply]


class Box:
    """A stand-in for one vendor's API."""

    api: ClassVar[str] = "/api/"

    def __init__(self) -> None:
        self._released: set[asyncio.Future[None]] = set()

    @property
    def plane(self) -> Plane:
        """The control plane."""
        raise NotImplementedError

    def means(self, request: Incoming) -> Meant:
        """Return what a request to the API is for."""
        raise NotImplementedError

    def refusal(self, fault: Fault) -> Reply:
        """Return the refusal that a fault stands for."""
        raise NotImplementedError

    def document(self, request: Incoming) -> Reply | None:
        """Return the answer to what is beside the API; None for a request to the API."""
        raise NotImplementedError

    def settings(self, origin: str) -> dict[str, str]:
        """Return the settings with which the server reaches it at an address."""
        raise NotImplementedError

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
            if request.raw_path == CONTROL or request.raw_path.startswith(f"{CONTROL}/"):
                body = await read_body(receive, SMALL_BODY)
                await answer_control(self.plane, request, body).send(send)
            elif (reply := self.document(request)) is not None:
                await read_body(receive, SMALL_BODY)
                await reply.send(send)
            else:
                await self._answer(scope, request, receive, send)

    async def _answer(self, scope: Scope, request: Incoming, receive: Receive, send: Send) -> None:
        meant, plane = self.means(request), self.plane
        entry = plane.requests.begin(request, meant.operation, plane.clock.now().isoformat())
        body = await read_body(receive, meant.body_limit)
        entry.body_bytes = len(body or b"")
        entry.body = (body or b"")[:KEPT_BODY].decode("utf-8", "replace")

        def act() -> Reply:
            reply = meant.answer(body)
            entry.carried_out = True
            return reply

        fault = None
        if request.raw_path.startswith(self.api):
            fault = plane.faults.take(request.method, request.raw_path, meant.operation)
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
                request,
                scope,
                receive,
                send,
                act,
                plane.late_commits.add,
                released,
                self.refusal,
            )
            entry.status = await inflict(fault, exchange)
        finally:
            self._released.discard(released)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
