"""How a server ends: what is under way is finished, for a bounded time, whoever ends it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e.wire import (
    COMMAND,
    INITIALIZE,
    LEGACY,
    MODERN,
    TOLVAN,
    Upstream,
    Wire,
    connected,
    python,
    start,
)

CLOSED = -32000  # what the library answers a call that it gives up
LIMIT_S = 10.0

# The command with a shorter limit.
IMPATIENT = """
import asyncio, sys
from leyr_mcp.server import logs
from leyr_mcp.server.app import build
from leyr_mcp.server.cli.serve import serve
from leyr_mcp.server.settings import load
settings = load()
logs.configure(settings.log_level)
{before}
asyncio.run(serve(build(settings), drain_s=0.3))
"""

# A server with something left to do after its last answer, until it is told that it is done.
UNFINISHED = """
import asyncio, pathlib, sys
from leyr_mcp.server import stdio
from leyr_mcp.server.app import build
from leyr_mcp.server.settings import load
async def finish(left_s):
    sys.stderr.write(f"{round(left_s)} s left\\n")
    while not pathlib.Path("done").exists():
        await asyncio.sleep(0.02)
sys.exit(not asyncio.run(stdio.serve(build(load()).server, finish=finish)))
"""

# A client that passes everything on, so that killing it leaves the server alone with its pipes.
BETWEEN = """
import subprocess, sys, threading
server = subprocess.Popen({command!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
def answers():
    for line in server.stdout:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
threading.Thread(target=answers, daemon=True).start()
for line in sys.stdin.buffer:
    server.stdin.write(line)
"""

# A client that closes its end of stdout, keeps stdin open, and waits.
DEAF = """
import subprocess, sys
server = subprocess.Popen({command!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
server.stdout.close()
sys.exit(server.wait())
"""

# A client that asks for more than a pipe holds, hangs up, and reads nothing.
STUCK = """
import json, subprocess, sys
server = subprocess.Popen({command!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
lines = [json.dumps({{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {params!r}}})]
lines += [json.dumps({{"jsonrpc": "2.0", "id": n, "method": "tools/list"}}) for n in range(1, 60)]
server.stdin.write("\\n".join(lines).encode() + b"\\n")
server.stdin.close()
code = server.wait()
server.stdout.close()
sys.exit(code)
"""


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream.running() as upstream:
        yield upstream


async def call_under_way(wire: Wire, upstream: Upstream) -> None:
    """Make a call, and return when it waits for the record system."""
    wire.send("tools/call", TOLVAN, id="slow")
    await asyncio.wait_for(upstream.arrived.wait(), 10)


def hang_up(wire: Wire) -> None:
    wire.close_input()


def terminate(wire: Wire) -> None:
    wire.process.terminate()


def interrupt(wire: Wire) -> None:
    wire.process.send_signal(signal.SIGINT)


def as_hosts_do(wire: Wire) -> None:
    wire.close_input()
    wire.process.terminate()


@pytest.mark.parametrize(
    ("era", "end"),
    [
        (LEGACY, hang_up),
        (MODERN, hang_up),
        (LEGACY, terminate),
        (MODERN, interrupt),
        (LEGACY, as_hosts_do),
    ],
)
async def test_call_under_way_is_answered_before_the_end(
    tmp_path: Path, upstream: Upstream, era: str, end: Callable[[Wire], None]
) -> None:
    async with connected(tmp_path, era=era, **upstream.settings) as wire:
        await call_under_way(wire, upstream)
        end(wire)
        await wire.logged("calls to finish: 1")
        upstream.released.set()
        ended = await wire.ended(LIMIT_S)
    (answer,) = ended.messages
    assert answer["id"] == "slow"
    assert answer["result"]["structuredContent"]["total"] == 0
    assert ended.code == 0


@pytest.mark.parametrize("end", [hang_up, interrupt])
async def test_idle_server_ends_at_once(tmp_path: Path, end: Callable[[Wire], None]) -> None:
    async with connected(tmp_path) as wire:
        end(wire)
        ended = await wire.ended(within_s=3)
    assert (ended.code, ended.messages) == (0, [])
    assert "Traceback" not in ended.errors


async def test_second_signal_ends_at_once(tmp_path: Path, upstream: Upstream) -> None:
    async with connected(tmp_path, **upstream.settings) as wire:
        await call_under_way(wire, upstream)
        wire.process.terminate()
        await wire.logged("calls to finish: 1")
        wire.process.send_signal(signal.SIGINT)
        ended = await wire.ended(within_s=3)
    assert (ended.code, ended.messages) == (-signal.SIGINT, [])


async def test_first_signal_leaves_what_is_finished_after_the_hang_up_alone(tmp_path: Path) -> None:
    async with connected(tmp_path, *python(UNFINISHED)) as wire:
        wire.close_input()
        await wire.logged("10 s left")
        wire.process.terminate()
        (tmp_path / "done").touch()
        ended = await wire.ended(within_s=3)
    assert (ended.code, ended.messages) == (0, [])


async def test_second_signal_ends_that_too(tmp_path: Path) -> None:
    async with connected(tmp_path, *python(UNFINISHED)) as wire:
        wire.process.terminate()
        await wire.logged("10 s left")
        wire.process.send_signal(signal.SIGINT)
        ended = await wire.ended(within_s=3)
    assert (ended.code, ended.messages) == (-signal.SIGINT, [])


async def test_request_that_comes_after_the_signal_does_no_harm(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with connected(tmp_path, **upstream.settings) as wire:
        await call_under_way(wire, upstream)
        wire.process.terminate()
        await wire.logged("calls to finish: 1")
        wire.send("tools/call", TOLVAN, id="too late")
        assert wire.process.stdin
        await wire.process.stdin.drain()
        upstream.released.set()
        ended = await wire.ended(LIMIT_S)
    assert (ended.code, ended.ids()) == (0, ["slow"])
    assert "Error" not in ended.errors


async def test_upstream_slower_than_the_limit_is_given_up(
    tmp_path: Path, upstream: Upstream
) -> None:
    impatient = python(IMPATIENT.format(before=""))
    async with connected(tmp_path, *impatient, **upstream.settings) as wire:
        await call_under_way(wire, upstream)
        ended = await wire.hang_up()
    (answer,) = ended.messages
    assert (answer["id"], answer["error"]["code"]) == ("slow", CLOSED)
    assert ended.code == 1
    assert "given up" in ended.errors
    assert "Traceback" not in ended.errors


async def test_hanging_name_lookup_does_not_hold_the_end_up(
    tmp_path: Path, upstream: Upstream
) -> None:
    hang = (
        "import socket, threading\n"
        "def hang(*given, **named):\n"
        "    sys.stderr.write('looking up\\n'); threading.Event().wait()\n"
        "socket.getaddrinfo = hang"
    )
    impatient = python(IMPATIENT.format(before=hang))
    settings = upstream.settings | {"LEYR_BASE_URL": f"http://localhost:{upstream.port}/api"}
    async with connected(tmp_path, *impatient, **settings) as wire:
        wire.send("tools/call", TOLVAN, id="slow")
        await wire.logged("looking up")
        wire.close_input()
        ended = await wire.ended(within_s=5)
    assert (ended.code, ended.ids()) == (1, ["slow"])


async def test_answers_reach_a_client_that_reads_late(tmp_path: Path) -> None:
    # Far more than a pipe holds, all of it read only after the hang-up.
    async with connected(tmp_path) as wire:
        for number in range(60):
            wire.send("tools/list", id=number + 100)
        wire.close_input()
        ended = await wire.ended()
    assert ended.code == 0
    assert sorted(ended.ids()) == [number + 100 for number in range(60)]


async def test_cancelled_call_is_neither_answered_nor_waited_for(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with connected(tmp_path, **upstream.settings) as wire:
        await call_under_way(wire, upstream)
        wire.send("notifications/cancelled", {"requestId": "slow"})
        await wire.ask("tools/list")
        wire.close_input()
        ended = await wire.ended(within_s=3)
    assert (ended.code, ended.messages) == (0, [])
    assert "calls to finish" not in ended.errors


@pytest.mark.parametrize("state", ["idle", "busy"])
async def test_killed_client_ends_the_server(
    tmp_path: Path, upstream: Upstream, state: str
) -> None:
    between = python(BETWEEN.format(command=COMMAND))
    async with connected(tmp_path, *between, **upstream.settings) as wire:
        if state == "busy":
            await call_under_way(wire, upstream)
        wire.process.kill()
        if state == "busy":
            await wire.logged("calls to finish: 1")
            upstream.released.set()
        ended = await wire.ended(within_s=5)  # when the server too has closed its stderr
    assert "Traceback" not in ended.errors


async def test_client_that_stops_reading_ends_the_server(tmp_path: Path) -> None:
    deaf = python(DEAF.format(command=COMMAND))
    async with start(tmp_path, *deaf) as wire:
        await wire.logged("serves over stdio")
        ended = await wire.ended(within_s=5)
    assert ended.code == 0
    assert "Traceback" not in ended.errors


async def test_client_that_never_reads_is_not_waited_for_without_limit(tmp_path: Path) -> None:
    impatient = python(IMPATIENT.format(before=""))
    stuck = python(STUCK.format(command=impatient, params=INITIALIZE))
    async with start(tmp_path, *stuck) as wire:
        ended = await wire.ended()
    assert ended.code == 1
    assert "given up" in ended.errors
    assert "Traceback" not in ended.errors


async def test_no_child_process_is_left(tmp_path: Path) -> None:
    async with connected(tmp_path) as wire:
        await wire.find_tolvan()
        assert children_of(wire.process.pid) == ""


def children_of(process: int) -> str:
    """Return the children of a process, where the system tells them."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    return listed.read_text() if listed.exists() else ""
