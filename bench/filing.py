"""A call that files a note, beside a bare program that makes the very requests that the call made.

Our server runs over stdio with a host whose person says yes at once, in both eras of the protocol.
What it asks of the record for one filing is taken from the record's own log, and the bare program
makes the same requests in the same order over one kept connection. The record answers each after a
fixed time, much shorter than real ones take, so that more of the call is ours. The control is a
second bare program. It does not write to the disk as a filing must, so what the disk takes is
measured as well: too slow or too busy a disk fails nothing.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gc
import os
import random
import secrets
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from bench.contestants import OURS, WORK, BenchError, Contestant, Sample
from bench.filers import ERAS, Bare, Era, Host, Record, Request, bare, repeatable, shapes
from bench.measure import Samples

BARE, CONTROL = "bare", "second bare"
LIMIT = 1.3
STRAY_LIMIT = 0.03
# Of one durable write. The record answers in a tenth of the usual time, so a slower disk would
# weigh more than it does in earnest.
DISK_LIMIT_S = 0.002
_TEXT = "Knee, left: no swelling, full range of movement. Back in two weeks. " * 10
_ORDER = 7
_WRITES = 15


@dataclass(frozen=True, slots=True)
class FilingPlan:
    """How long the record takes to answer, and how much is measured."""

    delay_s: float = 0.02
    rounds: int = 6
    most_s: float = 55.0
    blocks: int = 6
    warm_up: int = 3


@dataclass(slots=True)
class Filings:
    """What was measured, and what one filing asks of the record in each era."""

    samples: Samples = field(default_factory=Samples)
    asked: dict[str, list[str]] = field(default_factory=dict)
    disk: list[float] = field(default_factory=list)

    @property
    def disk_s(self) -> float:
        """Return how long one durable write took meanwhile."""
        return statistics.median(self.disk)


@dataclass(frozen=True, slots=True)
class _Running:
    """What takes turns: our server in each era, the bare program and its control."""

    record: Record
    hosts: dict[Era, Host]
    bare: dict[str, Bare]


def measure_filing(ours: Contestant, seen: Sample, folder: Path, plan: FilingPlan) -> Filings:
    """Measure in rounds, each with new processes that take turns in another order each time."""
    found, began, longest = Filings(), time.monotonic(), 0.0
    order = random.Random(_ORDER)  # noqa: S311 - an order, not a secret
    for number in range(plan.rounds):
        started = time.monotonic()
        if number and started - began + longest > plan.most_s:
            break
        with contextlib.ExitStack() as stack:
            running = _start(ours, seen, folder / f"filing-{number}", stack)
            _round(running, plan, found, order)
        found.samples.rounds += 1
        longest = max(longest, time.monotonic() - started)
    return found


def of(era: str, delay_s: float) -> str:
    """Return the name of a measure."""
    return f"filing {era} {delay_s * 1000:.0f} ms"


def _start(ours: Contestant, seen: Sample, folder: Path, stack: contextlib.ExitStack) -> _Running:
    def log(name: str) -> IO[bytes]:
        return stack.enter_context((WORK / f"bench-filing-{name.replace(' ', '-')}.log").open("wb"))

    record = Record(seen, log("record"))
    stack.callback(record.close)
    env = ours.env | {
        "LEYR_BASE_URL": f"http://127.0.0.1:{record.port}/api",
        "LEYR_RESOURCE_ID": seen.resources[0]["id"],
        "LEYR_MCP_DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    running = _Running(record, {}, {})
    for era in ERAS:
        own = env | {"LEYR_MCP_STATE_DIR": str(folder / era)}
        running.hosts[era] = Host(dataclasses.replace(ours, env=own), era, log(era))
        stack.callback(running.hosts[era].close)
    for name in (BARE, CONTROL):
        program = bare(name, dataclasses.replace(ours, env=env))
        running.bare[name] = Bare(program, log(name))
        stack.callback(running.bare[name].close)
    return running


def _round(running: _Running, plan: FilingPlan, found: Filings, order: random.Random) -> None:
    requests = {era: _asked(running, era, plan, found) for era in ERAS}
    each = (1 + len(running.bare)) * sum(map(len, requests.values()))  # our calls make them too
    gc.collect()
    gc.disable()
    try:
        for delay_s in (plan.delay_s, 0.0):
            running.record.turn(delay_s)
            found.disk.append(_disk_s())
            _blocks(running, requests, plan, found, order, delay_s)
            if len(running.record.turn(0.0)) != plan.blocks * each:
                raise BenchError("one filing made other requests than another")
    finally:
        gc.enable()


def _disk_s() -> float:
    """Return how long a durable write takes where the stores are."""
    took = list[float]()
    with tempfile.TemporaryFile(dir=WORK) as file:
        for _ in range(_WRITES):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def _asked(running: _Running, era: Era, plan: FilingPlan, found: Filings) -> list[Request]:
    """Return what one filing asks of the record, once caches are full."""
    for _ in range(plan.warm_up):
        running.hosts[era].file(_fresh())
    running.record.turn(0.0)
    running.hosts[era].file(_fresh())
    asked = running.record.turn(0.0)
    if found.asked.setdefault(era, shapes(asked)) != shapes(asked):
        raise BenchError("a filing made other requests than in the round before")
    requests = repeatable(asked)
    for program in running.bare.values():
        program.make(requests)
    running.record.turn(0.0)
    return requests


def _blocks(
    running: _Running,
    requests: dict[Era, list[Request]],
    plan: FilingPlan,
    found: Filings,
    order: random.Random,
    delay_s: float,
) -> None:
    took = {era: {name: list[float]() for name in (OURS, *running.bare)} for era in ERAS}
    turns = [(era, name) for era in ERAS for name in took[era]]
    for _ in range(plan.blocks):
        order.shuffle(turns)
        for era, name in turns:
            if name == OURS:
                took[era][name].append(running.hosts[era].file(_fresh()))
            else:
                took[era][name].append(running.bare[name].make(requests[era]))
    for era, by_name in took.items():
        for name, times in by_name.items():
            found.samples.add(of(era, delay_s), name, times)


def _fresh() -> str:
    """Return a text that was not filed before."""
    return f"{secrets.token_hex(8)}. {_TEXT}"


def verdict(found: Filings, plan: FilingPlan, era: str) -> str:
    """Return whether filing is quick enough in an era.

    Nothing is concluded of a stray control, nor against us from a disk that is slow or busy.
    """
    if _stray(found, plan, era) > STRAY_LIMIT:
        return "INCONCLUSIVE"
    if found.samples.ratio(of(era, plan.delay_s), OURS, BARE).median <= LIMIT:
        return "PASS"
    return "FAIL" if found.disk_s <= DISK_LIMIT_S else "INCONCLUSIVE"


def exit_code(found: Filings, plan: FilingPlan) -> int:
    """Return 1 when a gate fails, 3 when one is inconclusive, else 0."""
    verdicts = {verdict(found, plan, era) for era in ERAS}
    return 1 if "FAIL" in verdicts else 3 if "INCONCLUSIVE" in verdicts else 0


def table(found: Filings, plan: FilingPlan, seconds: float) -> str:
    """Return the figures for a terminal."""
    delay = f"{plan.delay_s * 1000:.0f} ms"
    disk = f"{found.disk_s * 1000:.2f} ms"
    lines = [
        f"write_note until it is filed, against the bare requests it makes, in {seconds:.0f} s",
        "its person says yes at once; the text is another each time",
        f"a request is answered after {delay}; in the second lines at once, without a gate",
        f"a durable write took {disk} here; the bare program makes none",
        "",
        f"{'':26}{'ours / bare':>20}{'control':>10}{OURS:>12}{BARE:>12}",
    ]
    for era in ERAS:
        for title, delay_s in ((f"{era}, after {delay}", plan.delay_s), ("  at once", 0.0)):
            lines.append(_line(found.samples, title, of(era, delay_s)))
        asked = found.asked[era]
        lines.append(f"  {len(asked)} requests: {', '.join(_short(one) for one in asked)}")
    return "\n".join([*lines, "", *(_gate_line(found, plan, era) for era in ERAS)])


def _line(samples: Samples, title: str, measure: str) -> str:
    ratio = samples.ratio(measure, OURS, BARE)
    shown = f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"
    control = f"{samples.ratio(measure, CONTROL, BARE).median:.3f}x"
    values = "".join(f"{samples.value(measure, name) * 1000:>9.2f} ms" for name in (OURS, BARE))
    return f"{title:26}{shown:>20}{control:>10}{values}"


def _short(asked: str) -> str:
    """Return a request by what it is of, without the identifiers above."""
    method, _, target = asked.partition(" ")
    last = [part for part in target.split("/") if part]
    what = {"{note}": "note", "medical-notes": "note"}.get(last[-1], "patient")
    return f"{method} {what}"


def _gate_line(found: Filings, plan: FilingPlan, era: str) -> str:
    said = verdict(found, plan, era)
    measured = found.samples.ratio(of(era, plan.delay_s), OURS, BARE).median
    line = (
        f"{said:13} a call that files, {era}, against its {len(found.asked[era])} bare requests:"
        f" {measured:.2f}x, wanted <= {LIMIT:.1f}x"
    )
    if said != "INCONCLUSIVE":
        return line
    if _stray(found, plan, era) > STRAY_LIMIT:
        return f"{line} (the control is off by {_stray(found, plan, era):.1%})"
    return f"{line} (a durable write takes more than {DISK_LIMIT_S * 1000:.0f} ms)"


def _stray(found: Filings, plan: FilingPlan, era: str) -> float:
    return abs(found.samples.ratio(of(era, plan.delay_s), CONTROL, BARE).median - 1)


def as_json(found: Filings, plan: FilingPlan, seconds: float) -> dict[str, Any]:
    """Return every figure."""
    samples = found.samples
    return {
        "plan": asdict(plan) | {"took_s": round(seconds, 1)},
        "requests": found.asked,
        "durable_write_s": found.disk_s,
        "ratios": {
            measure: {name: asdict(samples.ratio(measure, name, BARE)) for name in (OURS, CONTROL)}
            for measure in samples.values
        },
        "values": {
            measure: {name: samples.value(measure, name) for name in (OURS, BARE, CONTROL)}
            for measure in samples.values
        },
        "gates": {era: {"limit": LIMIT, "verdict": verdict(found, plan, era)} for era in ERAS},
    }
