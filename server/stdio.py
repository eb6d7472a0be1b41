"""MCP over the process's own pipes, on asyncio rather than on worker threads.

The library's transport hops through two threads for each message, gives up what is under way when
the input ends, dies at once on SIGTERM and hangs on SIGINT. This one treats both signals like the
end of input, and there finishes what is under way, for ten seconds at most. A second signal ends
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self, cast

from mcp.server import MCPServer
from mcp.server.stdio import stdio_server
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import (
    CONNECTION_CLOSED,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)

LINE_LIMIT = 32 * 1024 * 1024
DRAIN_S = 10.0
# What is left to be done besides the answers, in so many seconds at most.
Finish = Callable[[float], Awaitable[None]]
# For what remains after that: the answers that say it was given up, and a client that reads none.
_LAST_WORDS_S = 1.0

_log = logging.getLogger("leyr_mcp.stdio")


class _UnderWay:
    """How many requests have not been answered, and which of ours the client has not."""

    def __init__(self) -> None:
        self.count = 0
        self.asked: set[str | int | None] = set()
        self.given_up = False
        self.changed = asyncio.Event()

    def begin(self) -> None:
        self.count += 1

    def end(self) -> None:
        self.count -= 1
        self.changed.set()

    def ask(self, number: str | int) -> None:
        self.asked.add(number)
        self.changed.set()

    async def end_unanswered(self) -> None:
        """Called by the library for a request that was cancelled."""
        self.end()


class _Stream:
    """One direction of the connection, with the requests counted that pass."""

    def __init__(self, stream: Any, calls: _UnderWay) -> None:
        self._stream = stream
        self._calls = calls

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Source(_Stream):
    """The incoming messages; their end waits for the answers to those that came before."""

    def __init__(self, stream: Any, calls: _UnderWay, at_end: Callable[[], float]) -> None:
        super().__init__(stream, calls)
        self._at_end = at_end
        self._ends: float | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        if self._ends is not None:
            return await self._drained(self._ends)
        try:
            item: SessionMessage | Exception = await anext(self._stream)
        except StopAsyncIteration:
            if self._calls.count:
                _log.info("the input ended; calls to finish: %s", self._calls.count)
            self._ends = self._at_end()
            return await self._drained(self._ends)
        if isinstance(item, SessionMessage):
            self._count(item)
        return item

    def _count(self, item: SessionMessage) -> None:
        if isinstance(item.message, JSONRPCRequest):
            self._calls.begin()
            item.metadata = ServerMessageMetadata(on_request_unanswered=self._calls.end_unanswered)
        elif isinstance(item.message, JSONRPCResponse | JSONRPCError):
            self._calls.asked.discard(item.message.id)

    async def _drained(self, ends: float) -> SessionMessage:
        """Return that a question to the client gets no answer any more, as long as one waits.

        Raises:
            StopAsyncIteration: All calls are answered, or the time is over.
        """
        calls = self._calls
        try:
            async with asyncio.timeout_at(ends):
                while calls.count and not calls.asked:
                    calls.changed.clear()
                    await calls.changed.wait()
        except TimeoutError:
            calls.given_up = True
            _log.warning("calls under way were given up")
            raise StopAsyncIteration from None
        if not calls.asked:
            raise StopAsyncIteration
        gone = ErrorData(code=CONNECTION_CLOSED, message="The client hung up.")
        return SessionMessage(JSONRPCError(jsonrpc="2.0", id=calls.asked.pop(), error=gone))


class _Sink(_Stream):
    """The outgoing messages; an answer ends its request once it is on its way."""

    async def send(self, item: SessionMessage) -> None:
        if isinstance(item.message, JSONRPCRequest):
            self._calls.ask(item.message.id)
        try:
            await self._stream.send(item)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                self._calls.end()


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[SessionMessage | Exception]:
    """The messages of a pipe, one a line; a line that is none comes as the error it is."""
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            _log.warning("a message longer than %s bytes was dropped", LINE_LIMIT)
            continue
        if not line:
            return
        item: SessionMessage | Exception
        try:
            item = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as exc:
            item = exc
        yield item


class _Lines:
    """A pipe that messages are written to without a thread."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, item: SessionMessage) -> None:
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        self._writer.write(text.encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # the client is gone, which ends the input too
            await self._writer.drain()

    async def aclose(self) -> None:
        """Nothing: the pipe is closed when the process ends its work."""


class _WriteEnd(asyncio.streams.FlowControlMixin):
    """Notices that the client reads no more."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        super().__init__()
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_lost()


async def serve(
    server: MCPServer[Any], *, drain_s: float = DRAIN_S, finish: Finish | None = None
) -> bool:
    """Serve until the input ends or a signal asks to stop; tell whether all calls were answered.

    After the last answer `finish` is told how much is left of `drain_s`. The signals mean until it
    is done what they meant before: the first one changes nothing, the second ends the process.
    """
    if sys.platform == "win32" or not (_is_pipe(0) and _is_pipe(1)):
        # A file, a terminal, or Windows: a thread sits in the read, so a signal can only kill.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return await _run(server, stdio_server(), drain_s, finish)
    return await _run(server, _pipes(), drain_s, finish)


async def _run(
    server: MCPServer[Any],
    transport: contextlib.AbstractAsyncContextManager[tuple[Any, Any]],
    drain_s: float,
    finish: Finish | None,
) -> bool:
    low = server._lowlevel_server  # noqa: SLF001 - the public call takes no streams
    calls = _UnderWay()
    loop = asyncio.get_running_loop()
    ends = loop.time()
    async with transport as (incoming, outgoing):
        try:
            async with asyncio.timeout(None) as limit:

                def at_end() -> float:
                    nonlocal ends
                    ends = loop.time() + drain_s
                    limit.reschedule(ends + _LAST_WORDS_S)
                    return ends

                source, sink = _Source(incoming, calls, at_end), _Sink(outgoing, calls)
                options = low.create_initialization_options()
                await low.run(cast("Any", source), sink, options)
        except TimeoutError:
            if not limit.expired():
                raise
            calls.given_up = True
        if finish is not None:
            await finish(max(0.0, ends - loop.time()))
    return not calls.given_up


def _is_pipe(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextlib.asynccontextmanager
async def _pipes() -> AsyncIterator[tuple[Any, Any]]:
    """Take stdin and stdout for the protocol; a stray print then lands on stderr."""
    loop = asyncio.get_running_loop()
    wire_in, wire_out = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    read_end, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), wire_in
    )

    def end_input() -> None:
        read_end.pause_reading()  # and not close: a client that still writes must not break on it
        reader.feed_eof()

    write_end, protocol = await loop.connect_write_pipe(lambda: _WriteEnd(end_input), wire_out)
    write_end.set_write_buffer_limits(0)  # a flush waits until nothing is left to lose at exit
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    with _ending_on_signal(loop, end_input):
        try:
            writer = asyncio.StreamWriter(write_end, protocol, None, loop)
            yield _messages(reader), _Lines(writer)
        finally:
            read_end.close()
            if not write_end.is_closing():  # else it is gone already
                write_end.abort()
            await asyncio.sleep(0)  # lets both say so


@contextlib.contextmanager
def _ending_on_signal(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> Any:
    signals = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        for number in signals:  # the second one is the system's business, whichever it is
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        end()

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
