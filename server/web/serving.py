"""Serves the page on this machine's own address, inside the running event loop.

Only uvicorn's HTTP protocol is used: its server would take the process's signals, and its log
would name the secret part of the address.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable

from uvicorn import Config
from uvicorn.server import ServerState

from leyr_mcp.server.web.asgi import Message, Receive, ReviewApp, Send
from leyr_mcp.server.web.deciding import Review
from leyr_mcp.server.web.wire import PatientProtocol

Application = Callable[[Message, Receive, Send], Awaitable[None]]

_ADDRESS = "127.0.0.1"
_TOKEN_BYTES = 24  # 32 characters
_GRACE_S = 1.0
_BACKLOG = 32
_MOST_AT_ONCE = 64


class Listener:
    """An application on one port of this machine."""

    def __init__(self, server: asyncio.Server, state: ServerState, origin: str) -> None:
        self._server = server
        self._state = state
        self.origin = origin

    @staticmethod
    async def open(host: str, port: int, app: Application) -> Listener:
        """Take a port, or any if it is 0, and listen.

        Raises:
            OSError: The port cannot be had.
        """
        return await Listener.on(_socket(host, port), app)

    @staticmethod
    async def on(sock: socket.socket, app: Application) -> Listener:
        """Return a listener on an open socket."""
        config = Config(
            app,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=_MOST_AT_ONCE,
        )
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return PatientProtocol(config, state, {}, _loop=loop)

        server = await loop.create_server(protocol, sock=sock, backlog=_BACKLOG)
        host, number = sock.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return Listener(server, state, f"http://{shown}:{number}")

    async def stop(self) -> None:
        """Stop listening, give answers under way a moment, and close."""
        self._server.close()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=_GRACE_S)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        for task in tuple(self._state.tasks):
            task.cancel()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks))
        await asyncio.sleep(0)  # lets the closed connections say so


def _socket(host: str, port: int) -> socket.socket:
    """Return an open socket.

    Raises:
        OSError: The port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    # Made by create_server, its protocol number is 0, and asyncio leaves Nagle's wait on.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class ReviewPage:
    """The page's address; it is served from the first time that somebody asks for it."""

    def __init__(self, review: Review) -> None:
        self._review = review
        self._token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._lock = asyncio.Lock()
        self._port = 0
        self._listener: Listener | None = None
        self._closed = False

    async def url(self, draft_id: str | None = None) -> str | None:
        """Return the address at which a person reviews this draft; None once it is closed.

        Raises:
            OSError: No port can be had.
        """
        await self.start()
        if self._listener is None:
            return None
        place = f"#{draft_id}" if draft_id else ""
        return f"http://{_ADDRESS}:{self._port}/{self._token}/{place}"

    async def start(self, port: int = 0) -> None:
        """Serve the page on this port or any, unless it is served already.

        Raises:
            OSError: The port cannot be had.
        """
        async with self._lock:
            if self._listener is not None or self._closed:
                return
            sock = _socket(_ADDRESS, port)
            self._port = sock.getsockname()[1]
            hosts = (f"{_ADDRESS}:{self._port}", f"localhost:{self._port}")
            app = ReviewApp(
                lambda _headers: self._review,
                path=f"/{self._token}/",
                origins={host: f"http://{host}" for host in hosts},
            )
            self._listener = await Listener.on(sock, app)

    async def close(self) -> None:
        """Serve it no more."""
        async with self._lock:
            self._closed = True
            listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stop()
