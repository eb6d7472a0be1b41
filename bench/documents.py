"""A document attached by path until it is filed and read back, beside the vendor's own way.

Both programs store the same files in the same sandbox, on a port of its own. Ours also copies,
seals and looks through the file; it must hold no more of a large file than of a small one.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import secrets
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.client import Piped, Session, limit
from bench.contestants import LAST_NAME, OURS, ROOT, WORK, BenchError, Contestant, sandbox

NAIVE = "as the guide does"
SIZES_MIB = (1, 4, 20)
MOST_MB, FLAT_MB = 8.0, 2.0
_ROUNDS = 3
_KB = 1024
_HEAD = f" {OURS:>10}{NAIVE:>20}{'ratio':>8}"
_LINE = "Blodtryck 134/82, puls 68, saturation 98.\n"


@dataclass(slots=True)
class Documents:
    """Megabytes above what was held before, and seconds: by program and size."""

    risen: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    took: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def add(self, name: str, size: int, risen_kb: int, took_s: float) -> None:
        """Keep what one attachment came to."""
        self.risen.setdefault((name, size), []).append(risen_kb / _KB)
        self.took.setdefault((name, size), []).append(took_s)

    def mb(self, name: str, size: int) -> float:
        """Return by how much memory rose, usually."""
        return statistics.median(self.risen[name, size])

    def seconds(self, name: str, size: int) -> float:
        """Return how long it took, usually."""
        return statistics.median(self.took[name, size])


class _Naive(Piped):
    def store(self, path: Path, title: str) -> None:
        self._send([str(path), title])
        if not self._receive():
            raise BenchError(f"{self.name}: it ended; see its log in .work/")


def measure_documents(ours: Contestant, resource_id: str, folder: Path) -> Documents:
    """Measure with one process of each, which take turns."""
    files = folder / "files"
    files.mkdir()
    found = Documents()
    with contextlib.ExitStack() as stack:
        env = ours.env | stack.enter_context(sandbox())
        env |= {
            "LEYR_RESOURCE_ID": resource_id,
            "LEYR_MCP_APPROVAL": "trusted",
            "LEYR_MCP_ROOTS": str(files),
            "LEYR_MCP_STATE_DIR": str(folder / "documents"),
            "LEYR_MCP_DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        log = stack.enter_context((WORK / "bench-documents.log").open("wb"))
        session = Session(dataclasses.replace(ours, env=env), log)
        stack.callback(session.close)
        script = (sys.executable, str(ROOT / "bench" / "servers" / "naive_upload.py"))
        naive = _Naive(Contestant(NAIVE, script, env, {}), log)
        stack.callback(naive.close)
        for number in range(_ROUNDS + 1):
            for size in SIZES_MIB:
                path = _file(files, size, number)
                for program in (session, naive):
                    before, began = program.forget_peak(), time.perf_counter()
                    with limit(program.name):
                        _attach(session, path) if program is session else naive.store(path, "t")
                    took = time.perf_counter() - began
                    if number:  # the first round loads what is needed
                        name = OURS if program is session else NAIVE
                        found.add(name, size, program.peak_memory_kb() - before, took)
    return found


def _file(folder: Path, size: int, number: int) -> Path:
    path = folder / f"file-{size}-{number}.txt"
    whole = size * _KB * _KB
    path.write_text((f"{number} {_LINE}" * (whole // len(_LINE)))[:whole], encoding="ascii")
    return path


def _attach(session: Session, path: Path) -> None:
    arguments = {
        "patient_id": "se_personal_number:191212121212",
        "title": path.stem,
        "path": path.name,
        "expect": LAST_NAME,
    }
    answer = session.ask("tools/call", {"name": "attach_document", "arguments": arguments})
    told = answer.get("structuredContent") or {}
    if (told.get("status"), told.get("verified")) != ("filed", "equal"):
        raise BenchError(f"{session.name}: attach_document did not file: {json.dumps(told)[:300]}")


def gates(found: Documents) -> list[tuple[str, bool]]:
    """Return each promise, and whether it holds."""
    largest, middle = found.mb(OURS, SIZES_MIB[-1]), found.mb(OURS, SIZES_MIB[1])
    return [
        (f"20 MiB attached: {largest:.1f} MB more, wanted <= {MOST_MB:g} MB", largest <= MOST_MB),
        (
            f"20 MiB against 4 MiB: {largest - middle:+.1f} MB, wanted within {FLAT_MB:g} MB",
            abs(largest - middle) <= FLAT_MB,
        ),
    ]


def exit_code(found: Documents) -> int:
    """Return 1 when a gate fails."""
    return 0 if all(holds for _, holds in gates(found)) else 1


def table(found: Documents, seconds: float) -> str:
    """Return the figures for a terminal."""
    lines = [
        f"attach_document by path until it is filed and read back, in {seconds:.0f} s",
        f"{'':10}{'memory':>12}{_HEAD}{'time':>10}{_HEAD}",
    ]
    for size in SIZES_MIB:
        ours_mb, naive_mb = found.mb(OURS, size), found.mb(NAIVE, size)
        ours_s, naive_s = found.seconds(OURS, size), found.seconds(NAIVE, size)
        lines.append(
            f"{size:>4} MiB  {ours_mb:>20.1f} MB{naive_mb:>17.1f} MB{_ratio(ours_mb, naive_mb):>8}"
            f"{ours_s:>19.2f} s{naive_s:>18.2f} s{_ratio(ours_s, naive_s):>8}"
        )
    told = [f"{'PASS' if holds else 'FAIL':13} {text}" for text, holds in gates(found)]
    return "\n".join([*lines, "", *told])


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}x" if other > 0 else "-"


def as_json(found: Documents, seconds: float) -> dict[str, Any]:
    """Return every figure."""
    names = (OURS, NAIVE)
    return {
        "took_s": round(seconds, 1),
        "risen_mb": {name: {str(s): found.risen[name, s] for s in SIZES_MIB} for name in names},
        "took_by_size_s": {
            name: {str(s): found.took[name, s] for s in SIZES_MIB} for name in names
        },
        "gates": dict(gates(found)),
    }
