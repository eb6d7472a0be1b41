"""Servers that are killed while they file: the next one finds out by itself, and files once.

Each step of filing is killed once, and each fault of the record met once, by real processes over
real sockets, over both vendors. The product of both is in the long runs.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leyr_mcp.sandbox.faults import KINDS
from leyr_mcp.server.filing.checkpoints import NAMES
from tests.e2e.clinic import Clinic, Kind, clinic, say_yes
from tests.e2e.cobalt_clinic import cobalt_clinic
from tests.e2e.wire import ERAS, LEGACY, MODERN

AT_ONCE = 4
STEPS = tuple(name for name in NAMES if name != "asked")  # Leyr queues nothing
SECONDS = {"latency": 0.3, "refuse": 1.5, "drip": 0.1, "late_commit": 1.0}


@dataclass(frozen=True, slots=True)
class Case:
    """Which step is the last, the how manieth time; and which fault each write meets.

    With `again` nothing was drafted before that step, and the client calls once more.
    """

    step: str
    faults: tuple[str, ...]
    nth: int = 1
    kinds: tuple[Kind, ...] = ("note",)
    again: bool = False
    era: str = LEGACY
    vendor: str = "leyr"
    fate: str = "good"

    @property
    def name(self) -> str:
        """What it is called in a report and as a folder."""
        return "-".join((self.vendor, self.step, *self.faults, *self.kinds, self.fate))


CASES = (
    Case("due", ("latency",), era=MODERN),
    Case("checked", ("refuse",)),
    Case("claimed", ("503",), nth=2, kinds=("note", "appointment")),
    Case("answered", ("500_after", "html"), nth=2, kinds=("note", "appointment")),
    Case("recorded", ("reset_before", "drip"), nth=2, kinds=("note", "note"), era=MODERN),
    Case("verified", ("emr_401",), kinds=("appointment", "note")),
    Case("expired", ("hang",)),
    Case("taken", ("reset_after", "redirect"), kinds=("appointment", "appointment")),
    Case("looked", ("cut", "gzip_bomb"), nth=2, kinds=("note", "note")),
    Case("copied", ("latency",), nth=2, kinds=("document",), again=True),
    Case("inspected", ("hang",), kinds=("document",), again=True, era=MODERN),
    Case("given", ("refuse",), nth=3, kinds=("document",)),
    Case("dropped", ("drip",), kinds=("document",), era=MODERN),
    Case("concluded", ("late_commit", "unauthorized", "429"), kinds=("note",) * 3),
)


# Cobalt queues every write, so what comes after one comes by asking, and may be bad news.
QUEUED = (
    Case("asked", ("latency",), vendor="cobalt"),
    Case("asked", ("latency",), kinds=("document",), vendor="cobalt", fate="fail"),
    Case("answered", ("reset_after",), kinds=("appointment",), vendor="cobalt", era=MODERN),
    Case("claimed", ("503",), nth=2, kinds=("note", "appointment"), vendor="cobalt"),
    Case("recorded", ("latency",), kinds=("change",), vendor="cobalt"),
    Case("concluded", ("500_after",), vendor="cobalt", era=MODERN),
    Case("looked", ("late_commit",), kinds=("document",), vendor="cobalt"),
    Case("expired", ("hang",), kinds=("appointment",), vendor="cobalt"),
    Case("due", ("latency",), vendor="cobalt", fate="fail"),
    Case("dropped", ("latency",), kinds=("document",), vendor="cobalt"),
)


def killed(step: str, nth: int = 1) -> tuple[str, ...]:
    """Return the command of a server that dies at a step."""
    return (sys.executable, str(Path(__file__).with_name("killed.py")), step, str(nth))


async def live_through(case: Case, home: Path, *, must_die: bool) -> tuple[list[str], int]:
    """Return what is wrong after all of it, and how many processes that took."""
    opened = clinic if case.vendor == "leyr" else cobalt_clinic
    async with opened(home) as at:
        at.order(case.fate)
        calls = [at.call(kind) for kind in case.kinds]
        died = await _die(at, case, calls)
        async with at.server(era=case.era) as wire:  # the next one, asked for nothing, or again
            if case.again:
                await say_yes(wire, calls, first=lambda: _begin(at, case))
            drafts = await at.settled(len(case.kinds))
            ended = await wire.hang_up()
        wrong = await at.wrong(drafts, len(case.kinds))
        if ended.code != 0:
            wrong.append(f"the last process ended with {ended.code}: {ended.errors}")
        if must_die and not died:
            wrong.append("the step did not come")
        if must_die and at.control.faults.active():
            wrong.append("a fault was not met")
        return wrong, at.processes


def _begin(at: Clinic, case: Case) -> None:
    method = "PATCH" if case.kinds == ("change",) else "POST"
    for fault in case.faults:
        seconds = {"seconds": SECONDS[fault]} if fault in SECONDS else {}
        at.fail(fault, method=method, **seconds)


async def _die(at: Clinic, case: Case, calls: Sequence[dict[str, Any]]) -> bool:
    """File until dead, and return whether it came to that.

    What comes after a death needs a second process to die there. Some faults leave nothing to look
    for, so with them some steps do not come.
    """
    first = "answered" if case.step == "expired" else case.step

    async with at.server(*killed(first, case.nth), era=case.era) as wire:
        await say_yes(wire, calls, first=lambda: _begin(at, case))
        if wire.process.stdin is not None and wire.process.returncode is None:
            wire.close_input()
        ended = await wire.ended()
    if case.step == "expired":
        assert ended.code == -signal.SIGKILL, ended.errors
        async with at.server(*killed(case.step), era=case.era) as wire:
            ended = await wire.ended()
    assert ended.code in (-signal.SIGKILL, 0), ended.errors
    return ended.code != 0


async def all_of(cases: Sequence[Case], folder: Path, *, must_die: bool) -> int:
    """Live through them, a few at a time; return how many processes there were."""
    turn = asyncio.Semaphore(AT_ONCE)
    wrong = list[str]()
    processes = 0

    async def one(case: Case) -> None:
        nonlocal processes
        async with turn:
            try:
                found, count = await live_through(case, folder / case.name, must_die=must_die)
            except (AssertionError, TimeoutError) as exc:
                found, count = [f"{type(exc).__name__}: {exc}"], 0
        processes += count
        wrong.extend(f"{case.name}: {line}" for line in found)

    await asyncio.gather(*(one(case) for case in cases))
    assert not wrong, "\n".join(wrong)
    return processes


def test_each_step_and_each_fault_has_a_case() -> None:
    assert sorted(case.step for case in CASES) == sorted(STEPS)
    assert {fault for case in CASES for fault in case.faults} == set(KINDS)
    assert {case.era for case in CASES} == set(ERAS)


async def test_steps_of_queued_writes_killed(tmp_path: Path) -> None:
    expired = sum(case.step == "expired" for case in QUEUED)
    assert await all_of(QUEUED, tmp_path, must_die=True) == 2 * len(QUEUED) + expired


async def test_each_step_killed_and_each_fault_met(tmp_path: Path) -> None:
    assert await all_of(CASES, tmp_path, must_die=True) == 2 * len(CASES) + 1
