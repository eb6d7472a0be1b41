"""Run as a program: read from the origin given, and print what it cost as JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

from leyr_mcp.server.errors import UpstreamError
from tests.support.leyr_client import quick


async def measure(origin: str) -> dict[str, object]:
    """Return the error code of one read, the seconds it took and the growth of memory in MiB."""
    async with quick(origin=origin) as ehr:
        await ehr.care_units()  # loads what the first call needs; only the next one is measured
        before, started = _peak_kib(), time.monotonic()
        try:
            await ehr.care_units()
            code = ""
        except UpstreamError as exc:
            code = exc.code
        return {
            "code": code,
            "seconds": time.monotonic() - started,
            "grown_mib": (_peak_kib() - before) / 1024,
        }


def _peak_kib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else peak


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(measure(sys.argv[1]))))
