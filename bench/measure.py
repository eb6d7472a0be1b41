"""Rounds in which all servers are measured side by side, and what follows from them.

One round starts each server twice, the second time in the opposite order, then lets them take
turns at short blocks of calls; the order differs from round to round. Of two starts the faster
counts: what comes on top is the machine's other work. A ratio is the median of the ratios within
rounds, so that what slows the machine for a while falls on both sides. Only the control decides
whether more rounds are needed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor, sqrt
from typing import IO, Any

from bench.client import Session, Start
from bench.contestants import BARE, CONTROL, WORK, Contestant

START_WALL, START_CPU = "start_wall_s", "start_cpu_s"
CALLS, P50, P99, CALL_CPU = "calls_per_s", "p50_s", "p99_s", "cpu_per_call_s"
MEMORY = "peak_memory_kb"
GATED = (START_WALL, CALLS)
# The control is the same server: what it is off by is the error of the method.
STRAY_LIMIT = 0.03
_STRAY_AIM = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    most_rounds: int
    most_s: float
    blocks: int = 6
    calls: int = 50
    warm_up: int = 40


FULL = Plan(rounds=20, most_rounds=48, most_s=215)
QUICK = Plan(rounds=4, most_rounds=8, most_s=37)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A median of paired ratios with its 95 % interval."""

    median: float
    low: float
    high: float


@dataclass(slots=True)
class Samples:
    """What was measured: per measure and server a list of rounds, each a list of blocks."""

    values: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    rounds: int = 0

    def add(self, measure: str, server: str, blocks: list[float]) -> None:
        """Add one round's blocks."""
        self.values.setdefault(measure, {}).setdefault(server, []).append(blocks)

    def value(self, measure: str, server: str) -> float:
        """Return the median of a server's rounds."""
        return statistics.median(statistics.median(b) for b in self.values[measure][server])

    def ratio(self, measure: str, server: str, against: str) -> Ratio:
        """Return how many times the other's value a server has."""
        pairs = zip(self.values[measure][server], self.values[measure][against], strict=True)
        return middle(
            [statistics.median(a / b for a, b in zip(*pair, strict=True)) for pair in pairs]
        )

    def stray(self, measure: str) -> float:
        """Return how far the control is off."""
        return abs(self.ratio(measure, CONTROL, BARE).median - 1)


def middle(values: Sequence[float]) -> Ratio:
    """Return the median and, by the binomial distribution of ranks, its 95 % interval."""
    ranked, count = sorted(values), len(values)
    reach = 0.98 * sqrt(count)
    low, high = max(0, floor(count / 2 - reach)), min(count - 1, ceil(count / 2 + reach) - 1)
    return Ratio(statistics.median(ranked), ranked[low], ranked[high])


def measure(contestants: Sequence[Contestant], plan: Plan) -> Samples:
    """Measure in rounds until there are enough of them and the control agrees, or time is up."""
    samples, began, longest = Samples(), time.monotonic(), 0.0
    _round(contestants, Plan(1, 1, 0, blocks=1, calls=5), Samples())  # compiles and fills caches
    while True:
        started = time.monotonic()
        _round(_turned(contestants, samples.rounds), plan, samples)
        samples.rounds += 1
        longest = max(longest, time.monotonic() - started)
        if time.monotonic() - began + longest > plan.most_s or samples.rounds >= plan.most_rounds:
            return samples
        # Whole turns only, so that each server was in each place equally often.
        enough = samples.rounds >= plan.rounds and samples.rounds % len(contestants) == 0
        if enough and all(samples.stray(name) <= _STRAY_AIM for name in GATED):
            return samples


def _turned(contestants: Sequence[Contestant], turn: int) -> list[Contestant]:
    """Return another order each time: each one first in turn, then the same backwards."""
    by = turn % len(contestants)
    order = [*contestants[by:], *contestants[:by]]
    return order[::-1] if turn // len(contestants) % 2 else order


def _round(contestants: Sequence[Contestant], plan: Plan, samples: Samples) -> None:
    with contextlib.ExitStack() as stack:
        logs = {
            c.name: stack.enter_context((WORK / f"bench-{c.name.replace(' ', '-')}.log").open("wb"))
            for c in contestants
        }
        first = {c.name: _start_once(c, logs[c.name]) for c in contestants}
        sessions = []
        for contestant in contestants[::-1]:
            session = Session(contestant, logs[contestant.name])
            stack.callback(session.close)
            sessions.append(session)
            starts = (first[session.name], session.start)
            samples.add(START_WALL, session.name, [min(start.wall_s for start in starts)])
            samples.add(START_CPU, session.name, [min(start.cpu_s for start in starts)])
            samples.tools[session.name] = session.start.tools
        for session in sessions:
            session.calls(plan.warm_up)
        _calls(sessions, plan, samples)
        for session in sessions:
            samples.add(MEMORY, session.name, [session.peak_memory_kb()])


def _start_once(contestant: Contestant, log: IO[bytes]) -> Start:
    session = Session(contestant, log)
    session.close()
    return session.start


def _calls(sessions: Sequence[Session], plan: Plan, samples: Samples) -> None:
    took: dict[str, list[list[float]]] = {session.name: [] for session in sessions}
    cpu_before = {session.name: session.cpu_s() for session in sessions}
    gc.collect()
    gc.disable()
    try:
        for block in range(plan.blocks):
            for session in sessions[:: -1 if block % 2 else 1]:
                took[session.name].append(session.calls(plan.calls))
    finally:
        gc.enable()
    for session in sessions:
        blocks = took[session.name]
        every = sorted(call for block in blocks for call in block)
        cpu = session.cpu_s() - cpu_before[session.name]
        samples.add(CALLS, session.name, [len(block) / sum(block) for block in blocks])
        samples.add(P50, session.name, [statistics.median(every)])
        samples.add(P99, session.name, [every[ceil(len(every) * 0.99) - 1]])
        samples.add(CALL_CPU, session.name, [cpu / len(every)])


def sizes(tools: dict[str, Any]) -> dict[str, int]:
    """Return a tool list's length: tools, bytes, and the bytes of what a model is shown of it."""
    shown = [
        {key: tool[key] for key in ("name", "description", "inputSchema") if key in tool}
        for tool in tools["tools"]
    ]
    return {
        "tools": len(shown),
        "bytes": _compact_bytes(tools),
        "model_bytes": _compact_bytes(shown),
    }


def _compact_bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
