"""Runs the tests with branch coverage and holds each part to its bound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Where a miss can harm a patient every branch is run: of a module, or of all in a package.
WHOLE = (
    "server/ehr/identifiers.py",
    "server/elicitation.py",
    "server/files",
    "server/filing",
)
REST = 90.0
# As `make test` spreads the tests over the machine's cores.
SPREAD = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")


def main() -> int:
    """Return pytest's exit code, or 1 when a bound is missed."""
    work = ROOT / ".work"
    work.mkdir(exist_ok=True)
    report = work / "coverage.json"
    env = os.environ | {"COVERAGE_FILE": str(work / "coverage")}
    measured_by = ["--cov", "--cov-branch", f"--cov-report=json:{report}"]
    run = [sys.executable, "-m", "pytest", "-q", "--durations=10", *SPREAD, *measured_by]
    code = subprocess.run(run, env=env, cwd=ROOT, check=False).returncode
    if code:
        return code
    found = json.loads(report.read_text(encoding="utf-8"))
    measured = {Path(name).as_posix(): data for name, data in found["files"].items()}
    low = [
        f"{name}: {missed}" for name in whole_modules() if (missed := misses(measured.get(name)))
    ]
    total = found["totals"]["percent_covered"]
    sys.stdout.write(f"Branch coverage {total:.1f} % (at least {REST} %).\n")
    if total < REST:
        low.append(f"in all: {total:.1f} %")
    sys.stdout.write("".join(f"Too low: {line}\n" for line in low))
    return 1 if low else 0


def whole_modules() -> list[str]:
    """Return every module of which all is run, as coverage names it."""
    places = [ROOT / name for name in WHOLE]
    files = [file for place in places for file in sorted(place.rglob("*.py")) or [place]]
    return [file.relative_to(ROOT).as_posix() for file in files]


def misses(data: Mapping[str, Any] | None) -> str:
    """Return the lines and branches of a module that were not run; empty if there is none."""
    if data is None:
        return "not measured"
    lines: list[int] = data["missing_lines"]
    branches: list[tuple[int, int]] = data["missing_branches"]
    ways = [
        f"{start}->{end if end > 0 else 'exit'}" for start, end in branches if start not in lines
    ]
    return ", ".join([*map(str, lines), *ways])


if __name__ == "__main__":
    sys.exit(main())
