"""`make bench`: start, calls per second, memory and tool list beside two other servers, as ratios.

Exit code 0: every gate holds. 1: one does not. 2: nothing could be measured. 3: the control was
off, so the machine was too busy to tell.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import documents, filing, nodes, report, stores
from bench.contestants import (
    WORK,
    BenchError,
    Contestant,
    Sample,
    contestants,
    make_venv,
    sample,
    upstream,
)
from bench.measure import FULL, QUICK, measure

ROWS = ("servers", "http", "stores", "filing", "documents")


@dataclass(frozen=True, slots=True)
class Found:
    """What one group of rows came to."""

    text: str
    figures: dict[str, Any]
    code: int


def main() -> int:
    options = _options()
    if sys.platform != "linux":
        print("bench: it reads other processes' CPU time and memory, which needs Linux.")
        return 2
    WORK.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    try:
        if {"servers", "http"} & set(options.rows):
            make_venv()
        found = []
        for one in _measure(options.rows, quick=options.quick):
            found.append(one)
            print(f"{one.text}\n", flush=True)
    except subprocess.CalledProcessError as exc:
        print(f"bench: the generated server's environment cannot be made.\n{exc.stderr or exc}")
        return 2
    except BenchError as exc:
        print(f"bench: {exc}")
        return 2
    figures = {name: value for one in found for name, value in one.figures.items()}
    options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    codes = {one.code for one in found}
    return next((code for code in (1, 3) if code in codes), 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.run", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="under 45 s; intervals are wider, beside other servers only",
    )
    parser.add_argument(
        "--rows",
        choices=ROWS,
        action="append",
        help="only these: beside other servers over stdio or HTTP, over a full store, filing "
        "beside bare requests, or attaching beside the vendor's own way",
    )
    parser.add_argument(
        "--json", type=Path, default=WORK / "bench.json", metavar="FILE", help="all figures"
    )
    options = parser.parse_args()
    options.rows = options.rows or (ROWS[:1] if options.quick else ROWS)
    return options


def _measure(rows: Sequence[str], *, quick: bool) -> Iterator[Found]:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=WORK) as name:
        folder = Path(name)
        seen = sample(folder)
        with upstream(seen.patients) as port:
            servers = contestants(port, seen.openapi, folder / "state")
            if "servers" in rows:
                yield _servers(servers, quick=quick)
            if "http" in rows:
                yield _http(servers, folder)
            if "stores" in rows:
                yield _stores(servers[0], folder)
            if "filing" in rows:
                yield _filing(servers[0], seen, folder)
            if "documents" in rows:
                yield _documents(servers[0], seen, folder)


def _servers(servers: Sequence[Contestant], *, quick: bool) -> Found:
    plan, began = QUICK if quick else FULL, time.monotonic()
    samples = measure(servers, plan)
    took = time.monotonic() - began
    figures = report.as_json(samples, plan, took)
    return Found(report.table(samples, plan, took), figures, report.exit_code(samples))


def _http(servers: Sequence[Contestant], folder: Path) -> Found:
    began = time.monotonic()
    samples = nodes.measure_http(servers, folder)
    took = time.monotonic() - began
    figures = {"http": nodes.as_json(samples, took)}
    return Found(nodes.table(samples, took), figures, nodes.exit_code(samples))


def _stores(ours: Contestant, folder: Path) -> Found:
    plan, began = stores.StorePlan(), time.monotonic()
    samples = stores.measure_stores(ours, folder, plan)
    took = time.monotonic() - began
    figures = {"stores": stores.as_json(samples, plan, took)}
    return Found(stores.table(samples, plan, took), figures, stores.exit_code(samples))


def _filing(ours: Contestant, seen: Sample, folder: Path) -> Found:
    plan, began = filing.FilingPlan(), time.monotonic()
    measured = filing.measure_filing(ours, seen, folder, plan)
    took = time.monotonic() - began
    figures = {"filing": filing.as_json(measured, plan, took)}
    return Found(filing.table(measured, plan, took), figures, filing.exit_code(measured, plan))


def _documents(ours: Contestant, seen: Sample, folder: Path) -> Found:
    began = time.monotonic()
    measured = documents.measure_documents(ours, seen.resources[0]["id"], folder)
    took = time.monotonic() - began
    figures = {"documents": documents.as_json(measured, took)}
    return Found(documents.table(measured, took), figures, documents.exit_code(measured))


if __name__ == "__main__":
    sys.exit(main())
