"""Slow clients as slowhttptest makes them: all of them are cut, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import httpx2
import pytest

from tests.e2e.test_http import serving
from tests.outside.programs import SET_UP, Outside

MODES = {
    "headers": ("-H",),
    "bodies": ("-B", "-s", "8192"),
    "readers": ("-X", "-w", "10", "-y", "20", "-z", "5", "-k", "3", "-n", "2"),
}


@pytest.mark.parametrize("mode", MODES)
async def test_slow_clients_keep_nobody_from_being_served(
    outside: Outside, tmp_path: Path, mode: str
) -> None:
    tool = shutil.which("slowhttptest") or pytest.fail(f"slowhttptest is missing. {SET_UP}")
    async with serving(tmp_path) as (origin, _):
        common = ("-c", "300", "-r", "150", "-i", "2", "-x", "24", "-l", "22", "-p", "3")
        running = asyncio.create_task(
            asyncio.to_thread(
                outside.run, tool, *MODES[mode], *common, "-u", f"{origin}/mcp", timeout_s=60
            )
        )
        slowest = 0.0
        async with httpx2.AsyncClient(base_url=origin, trust_env=False, timeout=10) as http:
            while not running.done():
                answer = await http.get("/readyz")
                assert answer.status_code == 200
                slowest = max(slowest, answer.elapsed.total_seconds())
                await asyncio.wait({running}, timeout=0.2)
        told = re.sub(r"\x1b\[[0-9;]*m", "", running.result().stdout)
    reports = re.findall(r"service available:\s+(\w+)", told)
    assert reports, told
    assert set(reports) == {"YES"}
    assert slowest <= 3.0
    if mode != "readers":  # what those do not read fits into the buffers on the way
        assert "No open connections left" in told, told[-600:]
