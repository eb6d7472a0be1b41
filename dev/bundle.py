"""Makes the bundle that Claude Desktop installs: `dist/leyr-mcp-VERSION.mcpb`.

It holds the packages, what installs them, and nothing else; the bundle's own program validates and
packs it. `uv` of the machine that installs it fetches the libraries at the first start.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKER = ROOT / ".work/outside/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js"
NODE = ROOT / ".work/outside/node_modules/.bin/node"
STAGE = ROOT / ".work/bundle"
FOLDERS = ("server", "tools", "sandbox")
FILES = ("manifest.json", "pyproject.toml", "README.md", "LICENSE")
START = '''"""Starts the server; the packages beside this file are installed by `uv run`."""

import sys

from leyr_mcp.server.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
'''


def stage(folder: Path) -> None:
    """Lay out what the bundle holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / "start.py").write_text(START, encoding="utf-8")


def main() -> int:
    """Make the bundle, and say where it is."""
    stage(STAGE)
    version = json.loads((STAGE / "manifest.json").read_text(encoding="utf-8"))["version"]
    made = ROOT / "dist" / f"leyr-mcp-{version}.mcpb"
    made.parent.mkdir(exist_ok=True)
    for command in (("validate", STAGE / "manifest.json"), ("pack", STAGE, made)):
        done = subprocess.run([NODE, PACKER, *command], check=False, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout + done.stderr)
            return 1
    print(f"{made.relative_to(ROOT)}: {made.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
