"""Fuzzes a served sandbox with schemathesis, every check on; part of `make soak`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.serve import serving

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = 300


async def main() -> int:
    """Return schemathesis' exit code."""
    box = Sandbox()
    try:
        async with serving(box) as origin:
            with tempfile.TemporaryDirectory(prefix="leyr-mcp-fuzz-") as folder:
                config = ROOT / "tests" / "sandbox" / "schemathesis.toml"
                command = Path(sys.executable).with_name("schemathesis")
                argv = [str(command), "--config-file", str(config), "run", f"{origin}/openapi.json"]
                for header in ("x-leyr-client-id", "x-leyr-client-secret"):
                    argv += ["-H", f"{header}: sandbox"]
                argv += ["--checks", "all", "-n", str(EXAMPLES)]
                process = await asyncio.create_subprocess_exec(*argv, cwd=folder)
                return await process.wait()
    finally:
        box.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
