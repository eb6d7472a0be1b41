"""`find_patient` over HTTP: our nodes with sign-in and audit, beside servers that have neither.

All run at once and take turns at short blocks of calls, at 1, 32 and 200 connections; a ratio is
the median of the ratios within blocks. The control is the bare SDK once more.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from bench.contestants import (
    BARE,
    CONTROL,
    GENERATED,
    OURS,
    WORK,
    BenchError,
    Contestant,
)
from bench.issuer import Issuer, issuing
from bench.load import Load, requests
from bench.measure import STRAY_LIMIT, Ratio, middle
from tests.support import postgres

THREE, SHARED, SHARED_THREE = "3 workers", "PostgreSQL", "PostgreSQL, 3"
NODES = (OURS, THREE, SHARED, SHARED_THREE)
CONNECTIONS = (1, 32, 200)
AT = 32  # at which the gates are
_KEY = base64.b64encode(bytes(range(32))).decode()
# Each may search 20 times a minute.
_USERS = 2_000
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class HttpPlan:
    """How much is measured: blocks, and calls in each, by connections."""

    blocks: int = 12
    calls: tuple[int, ...] = (60, 256, 400)


@dataclass(slots=True)
class HttpSamples:
    """Calls per second and the 99th percentile, by server and connections, block by block."""

    rate: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    p99: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def ratio(self, server: str, against: str, connections: int) -> Ratio:
        """Return how many times as many calls a second a server answers."""
        pairs = zip(self.rate[server, connections], self.rate[against, connections], strict=True)
        return middle([a / b for a, b in pairs])


# For each of our ways to be run.
GATES = tuple((name, *limit) for name in NODES for limit in ((BARE, 1.0), (GENERATED, 1.3)))


@dataclass(frozen=True, slots=True)
class _Server:
    name: str
    port: int
    made: Iterator[bytes]


def measure_http(servers: Sequence[Contestant], folder: Path) -> HttpSamples:
    """Return what was measured."""
    plan, samples = HttpPlan(), HttpSamples()
    by_name = {server.name: server for server in servers}
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(issuing())
        database = stack.enter_context(postgres.own())
        running = [
            stack.enter_context(_plain(by_name[name])) for name in (BARE, CONTROL, GENERATED)
        ]
        for name in NODES:
            url = database.new_database() if "PostgreSQL" in name else ""
            workers = 3 if "3" in name else 1
            running.append(
                stack.enter_context(_node(name, by_name[OURS], issuer, folder / name, url, workers))
            )
        asyncio.run(_measured(running, plan, samples))
    return samples


async def _measured(servers: Sequence[_Server], plan: HttpPlan, samples: HttpSamples) -> None:
    for server in servers:
        await Load(server.made, 200).run(server.port, 8)
    gc.collect()
    gc.disable()
    try:
        for block in range(plan.blocks):
            by = block % len(servers)
            for connections, calls in zip(CONNECTIONS, plan.calls, strict=True):
                for server in (*servers[by:], *servers[:by]):
                    load = Load(server.made, calls)
                    rate = await load.run(server.port, connections)
                    at = server.name, connections
                    samples.rate.setdefault(at, []).append(rate)
                    slowest = sorted(load.took)[ceil(calls * 0.99) - 1]
                    samples.p99.setdefault(at, []).append(slowest)
    finally:
        gc.enable()


def _port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


@contextlib.contextmanager
def _plain(server: Contestant) -> Iterator[_Server]:
    port = _port()
    with _running(server.name, (*server.command, str(port)), server.env, port):
        yield _Server(server.name, port, requests(f"127.0.0.1:{port}", server.arguments, ()))


@contextlib.contextmanager
def _node(
    name: str, ours: Contestant, issuer: Issuer, state: Path, url: str, workers: int
) -> Iterator[_Server]:
    port = _port()
    public = f"http://127.0.0.1:{port}"
    env = ours.env | {
        "LEYR_MCP_STATE_DIR": str(state),
        "LEYR_MCP_DATA_KEY": _KEY,
        "LEYR_MCP_PUBLIC_URL": public,
        "LEYR_MCP_AUTH_ISSUER": issuer.origin,
        "LEYR_MCP_STATE_KEYS": "k" * 40,
        **({"LEYR_MCP_DATABASE_URL": url} if url else {}),
    }
    command = (*ours.command, "serve", "--http", f"127.0.0.1:{port}", "--workers", str(workers))
    tokens = [issuer.token(user, f"{public}/mcp") for user in range(_USERS)]
    with _running(name, command, env, port):
        yield _Server(name, port, requests(f"127.0.0.1:{port}", ours.arguments, tokens))


@contextlib.contextmanager
def _running(name: str, command: Sequence[str], env: dict[str, str], port: int) -> Iterator[None]:
    log = WORK / f"bench-http-{name.replace(' ', '-').replace(',', '')}.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
        ) as process,
    ):
        try:
            until = time.monotonic() + _START_S
            while time.monotonic() < until and process.poll() is None:
                with socket.socket() as sock:
                    if sock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            else:
                raise BenchError(f"{name} did not start; see {log}")
            yield
        finally:
            process.terminate()


def stray(samples: HttpSamples) -> float:
    """Return by how much the same server twice differs."""
    return abs(samples.ratio(CONTROL, BARE, AT).median - 1)


def verdict(samples: HttpSamples, name: str, against: str, limit: float) -> str:
    """Return whether a gate holds; nothing is concluded of a stray control."""
    if stray(samples) > STRAY_LIMIT:
        return "INCONCLUSIVE"
    return "PASS" if samples.ratio(name, against, AT).median >= limit else "FAIL"


def exit_code(samples: HttpSamples) -> int:
    """Return 1 when a gate fails, 3 when one is inconclusive, else 0."""
    verdicts = {verdict(samples, *gate) for gate in GATES}
    return 1 if "FAIL" in verdicts else 3 if "INCONCLUSIVE" in verdicts else 0


def table(samples: HttpSamples, seconds: float) -> str:
    """Return the figures for a terminal."""
    names = (*NODES, BARE, GENERATED, CONTROL)
    lines = [
        f"find_patient over HTTP, with sign-in and audit on our side, in {seconds:.0f} s",
        "",
        f"{'':16}" + "".join(f"{f'{count} at once':>26}" for count in CONNECTIONS),
        f"{'':16}" + f"{'calls/s':>9}{'/ bare':>8}{'p99':>9}" * len(CONNECTIONS),
    ]
    for name in names:
        line = f"{name:16}"
        for count in CONNECTIONS:
            rate = statistics.median(samples.rate[name, count])
            slow = statistics.median(samples.p99[name, count]) * 1000
            ratio = samples.ratio(name, BARE, count).median
            line += f"{rate:>9.0f}{ratio:>7.2f}x{slow:>6.0f} ms"
        lines.append(line)
    lines.append("")
    for name, against, limit in GATES:
        said, found = verdict(samples, name, against, limit), samples.ratio(name, against, AT)
        line = (
            f"{said:13} {name}, calls/s on {AT} connections, against {against}: {found.median:.2f}x"
            f" ({found.low:.2f}-{found.high:.2f}), wanted >= {limit:.1f}x"
        )
        if said == "INCONCLUSIVE":
            line += f" (the control is off by {stray(samples):.1%})"
        lines.append(line)
    return "\n".join(lines)


def as_json(samples: HttpSamples, seconds: float) -> dict[str, Any]:
    """Return every figure."""
    return {
        "plan": asdict(HttpPlan()) | {"took_s": round(seconds, 1)},
        "servers": {
            f"{name} at {count}": {
                "calls_per_s": statistics.median(samples.rate[name, count]),
                "p99_s": statistics.median(samples.p99[name, count]),
                "against_bare": asdict(samples.ratio(name, BARE, count)),
                "against_generated": asdict(samples.ratio(name, GENERATED, count)),
            }
            for name, count in samples.rate
        },
        "gates": {
            f"{name} against {against}": verdict(samples, name, against, limit)
            for name, against, limit in GATES
        },
    }
