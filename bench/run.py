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
from pathlib import Path

from bench.contestants import WORK, BenchError, contestants, make_venv, sample, upstream
from bench.measure import FULL, QUICK, Plan, Samples, measure
from bench.report import as_json, exit_code, table


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.run", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="under 45 s; intervals are wider")
    parser.add_argument(
        "--json", type=Path, default=WORK / "bench.json", metavar="FILE", help="all figures"
    )
    options = parser.parse_args()
    if sys.platform != "linux":
        print("bench: it reads other processes' CPU time and memory, which needs Linux.")
        return 2
    plan = QUICK if options.quick else FULL
    WORK.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    try:
        make_venv()
        began = time.monotonic()
        samples = _measure(plan)
    except subprocess.CalledProcessError as exc:
        print(f"bench: the generated server's environment cannot be made.\n{exc.stderr or exc}")
        return 2
    except BenchError as exc:
        print(f"bench: {exc}")
        return 2
    seconds = time.monotonic() - began
    text = json.dumps(as_json(samples, plan, seconds), indent=2)
    options.json.write_text(text + "\n", encoding="utf-8")
    print(table(samples, plan, seconds))
    return exit_code(samples)


def _measure(plan: Plan) -> Samples:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=WORK) as folder:
        found = sample(Path(folder))
        with upstream(found.patients) as port:
            return measure(contestants(port, found.openapi, Path(folder) / "state"), plan)


if __name__ == "__main__":
    sys.exit(main())
