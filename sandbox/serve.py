"""Serves a sandbox on a loopback port, inside the running event loop and without signal handlers.

Connections are spoken to by uvicorn's protocol; the listener is the sandbox's own, since the fault
`refuse` closes it for a while.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from leyr_mcp.sandbox.box import Box
from leyr_mcp.sandbox.breakage import TRANSPORT
from leyr_mcp.sandbox.wire import Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "::1", "localhost")
GRACE_S = 2.0
BACKLOG = 128

_QUIET = logging.getLogger("leyr_mcp.sandbox.serve")
_QUIET.setLevel(logging.CRITICAL + 1)


class LendingProtocol(H11Protocol):
    """Speaks HTTP, writes no log, and lends its transport to the application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _QUIET
        self.access_log = False
        served = self.app

        async def lend(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**(scope.get("extensions") or {}), TRANSPORT: self.transport}
            await served(scope, receive, send)

        self.app = lend


class Listener:
    """One sandbox on one port."""

    def __init__(self, sandbox: Box, host: str, port: int) -> None:
        self._sandbox = sandbox
        self._host = "127.0.0.1" if host == "localhost" else host
        self._port = port
        self._config = Config(
            sandbox,
            http=LendingProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._attaching: asyncio.Task[None] | None = None
        self._reopen: asyncio.TimerHandle | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port; the API lies below /api."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Take the port and listen, unless a fault refuses connections for now.

        Raises:
            OSError: the port cannot be had.
        """
        sock = self._listen()
        self._port = sock.getsockname()[1]
        await self._attach(sock)
        self._sandbox.plane.faults.watch(self._follow)
        self._follow()

    async def stop(self) -> None:
        """Stop listening, end what waits, give answers under way a moment, and close."""
        self._sandbox.plane.faults.unwatch(self._follow)
        self._cancel_reopen()
        if self._attaching is not None:
            await self._attaching
        self._shut()
        self._sandbox.release()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=GRACE_S)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        for task in tuple(self._state.tasks):
            task.cancel()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks))
        await asyncio.sleep(0)  # lets the closed connections say so

    def _follow(self) -> None:
        """Listen or refuse, as the faults in force want it."""
        self._cancel_reopen()
        seconds = self._sandbox.plane.faults.refused_for()
        if seconds is None:
            self._resume()
            return
        self._shut()
        loop = asyncio.get_running_loop()
        self._reopen = loop.call_later(seconds, self._follow)

    def _resume(self) -> None:
        if self._server is None and self._attaching is None:
            # Bound and listening from this moment on; asyncio takes over in the next step.
            self._attaching = asyncio.create_task(self._attach(self._listen()))

    def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._state.connections):
            connection.shutdown()
            _hang_up(connection.transport)

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        sock = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        # Made by create_server, its protocol number is 0, and then asyncio leaves Nagle's wait on.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _attach(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return LendingProtocol(self._config, self._state, {}, _loop=loop)

        self._server = await loop.create_server(protocol, sock=sock, backlog=BACKLOG)
        self._attaching = None
        if self._sandbox.plane.faults.refused_for() is not None:
            self._shut()

    def _cancel_reopen(self) -> None:
        if self._reopen is not None:
            self._reopen.cancel()
            self._reopen = None


def _hang_up(transport: asyncio.Transport) -> None:
    """Tell the peer of a closing connection at once; asyncio itself would do so a step later."""
    if transport.is_closing() and not transport.get_write_buffer_size():
        with suppress(OSError):
            transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def serving(sandbox: Box, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve a sandbox and yield its origin, such as http://127.0.0.1:49152.

    Raises:
        ValueError: the host is not this machine's loopback.
        OSError: the port cannot be had.
    """
    if host not in LOOPBACK:
        raise ValueError(f"The sandbox serves on loopback only: {', '.join(LOOPBACK)}.")
    listener = Listener(sandbox, host, port)
    await listener.start()
    try:
        yield listener.origin
    finally:
        await listener.stop()
