"""The figures as a table, as gates and as JSON. Nothing here is kept from an earlier run."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from bench.contestants import BARE, CONTROL, FASTMCP, GENERATED, OURS, SHARED
from bench.measure import (
    CALL_CPU,
    CALLS,
    MEMORY,
    P50,
    P99,
    START_CPU,
    START_WALL,
    STRAY_LIMIT,
    Plan,
    Ratio,
    Samples,
    sizes,
)

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]
SERVERS = (OURS, BARE, GENERATED)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.2f} ms"


ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("cold start to tools/list", START_WALL, _ms),
    ("  its CPU time", START_CPU, _ms),
    ("find_patient, calls/s *", CALLS, lambda v: f"{v:.0f}/s"),
    ("  median of a call", P50, _ms),
    ("  99th percentile", P99, _ms),
    ("  CPU time of a call", CALL_CPU, _ms),
    ("peak memory", MEMORY, lambda v: f"{v / 1024:.0f} MB"),
)


@dataclass(frozen=True, slots=True)
class Gate:
    """A promise about one ratio."""

    text: str
    measure: str
    against: str
    limit: float
    at_least: bool

    def verdict(self, samples: Samples) -> Verdict:
        """Return whether it holds; nothing is concluded when the control is off."""
        if samples.stray(self.measure) > STRAY_LIMIT:
            return "INCONCLUSIVE"
        found = samples.ratio(self.measure, OURS, self.against).median
        holds = found >= self.limit if self.at_least else found <= self.limit
        return "PASS" if holds else "FAIL"


GATES = (
    Gate("cold start, against the bare SDK", START_WALL, BARE, 1.1, at_least=False),
    Gate("find_patient calls/s, against the bare SDK", CALLS, BARE, 1.2, at_least=True),
    Gate(
        "find_patient calls/s, against the generated server", CALLS, GENERATED, 1.4, at_least=True
    ),
)


def exit_code(samples: Samples) -> int:
    """Return 1 when a gate fails, 3 when one is inconclusive, else 0."""
    verdicts = {gate.verdict(samples) for gate in GATES}
    return 1 if "FAIL" in verdicts else 3 if "INCONCLUSIVE" in verdicts else 0


def table(samples: Samples, plan: Plan, seconds: float) -> str:
    """Return the figures for a terminal."""
    head = f"{'':26}{'bare SDK':>20}{'generated':>20}{'control':>10}"
    lines = [
        f"{OURS} against other servers, {samples.rounds} rounds in {seconds:.0f} s",
        _dim(f"in each round, per server: 2 starts, {plan.blocks} x {plan.calls} calls"),
        "",
        head + _dim(f"   {OURS:>11}{BARE:>11}{GENERATED:>11}"),
    ]
    for title, measure, shown in ROWS:
        ratios = [_ratio(samples.ratio(measure, OURS, other)) for other in (BARE, GENERATED)]
        control = f"{samples.ratio(measure, CONTROL, BARE).median:.3f}x"
        values = "".join(f"{shown(samples.value(measure, name)):>11}" for name in SERVERS)
        lines.append(
            f"{title:26}{ratios[0]:>20}{ratios[1]:>20}{control:>10}" + _dim(f"   {values}")
        )
    lines += [*_size_lines(samples), ""]
    lines.append(_dim("(): 95 % interval of the ratio. *: more is better; elsewhere less is."))
    lines.append(_dim("control: the bare SDK's server a second time, against itself."))
    lines += ["", *(_gate_line(gate, samples) for gate in GATES)]
    return "\n".join(lines)


def as_json(samples: Samples, plan: Plan, seconds: float) -> dict[str, Any]:
    """Return every figure, with versions and what the machine is."""
    measures = [measure for _, measure, _ in ROWS]
    return {
        "versions": {name: version(name) for name in ("leyr-mcp", *SHARED)} | {"fastmcp": FASTMCP},
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "system": f"{platform.system()} {platform.machine()}",
            "python": f"{platform.python_implementation()} {platform.python_version()}",
        },
        "plan": asdict(plan) | {"rounds_done": samples.rounds, "took_s": round(seconds, 1)},
        "ratios": {
            measure: {
                **{
                    other: asdict(samples.ratio(measure, OURS, other))
                    for other in (BARE, GENERATED)
                },
                CONTROL: asdict(samples.ratio(measure, CONTROL, BARE)),
            }
            for measure in measures
        },
        "values": {
            measure: {name: samples.value(measure, name) for name in (*SERVERS, CONTROL)}
            for measure in measures
        },
        "tool_list": {name: sizes(samples.tools[name]) for name in SERVERS},
        "gates": [asdict(gate) | {"verdict": gate.verdict(samples)} for gate in GATES],
    }


def _size_lines(samples: Samples) -> list[str]:
    found = [sizes(samples.tools[name]) for name in SERVERS]
    lines = []
    for title, key in (
        ("tool list, tools", "tools"),
        ("  bytes", "bytes"),
        ("  bytes a model sees", "model_bytes"),
    ):
        ours, bare, generated = (size[key] for size in found)
        ratio = f"{ours / generated:.2f}x" + " " * 12
        values = f"{ours:>11,}{bare:>11,}{generated:>11,}"
        lines.append(f"{title:26}{'':20}{ratio:>20}{'':10}" + _dim(f"   {values}"))
    return lines


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"


def _gate_line(gate: Gate, samples: Samples) -> str:
    verdict = gate.verdict(samples)
    found = samples.ratio(gate.measure, OURS, gate.against).median
    sign = ">=" if gate.at_least else "<="
    line = f"{verdict:13} {gate.text}: {found:.2f}x, wanted {sign} {gate.limit:.1f}x"
    if verdict == "INCONCLUSIVE":
        line += f" (the control is off by {samples.stray(gate.measure):.1%})"
    return line


def _dim(text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[2m{text}\x1b[0m"
