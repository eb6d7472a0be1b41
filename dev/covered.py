"""Runs the tests with branch coverage and holds each part to its bound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where a miss can harm a patient every branch is run.
WHOLE = ("server/ehr/identifiers.py",)
REST = 90.0


def main() -> int:
    """Return pytest's exit code, or 1 when a bound is missed."""
    work = ROOT / ".work"
    work.mkdir(exist_ok=True)
    env = os.environ | {"COVERAGE_FILE": str(work / "coverage")}
    run = [sys.executable, "-m", "coverage"]
    subprocess.run([*run, "erase"], env=env, cwd=ROOT, check=True)
    code = subprocess.run(
        [*run, "run", "-m", "pytest", "-q"], env=env, cwd=ROOT, check=False
    ).returncode
    if code:
        return code
    subprocess.run([*run, "combine", "--quiet"], env=env, cwd=ROOT, check=True)
    report = work / "coverage.json"
    subprocess.run([*run, "json", "--quiet", "-o", str(report)], env=env, cwd=ROOT, check=True)
    found = json.loads(report.read_text(encoding="utf-8"))
    low = [
        f"{name}: {data['summary']['percent_covered']:.1f} %"
        for name, data in found["files"].items()
        if name in WHOLE and data["summary"]["percent_covered"] < 100
    ]
    total = found["totals"]["percent_covered"]
    sys.stdout.write(f"Branch coverage {total:.1f} % (at least {REST} %).\n")
    if total < REST:
        low.append(f"in all: {total:.1f} %")
    sys.stdout.write("".join(f"Too low: {line}\n" for line in low))
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
