"""Fails when a file or function outgrows the limits of the house; there are no exceptions."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"server": 500, "tools": 500, "sandbox": 500, "bench": 500, "dev": 500, "tests": 700}
FUNCTION = 60


def main() -> int:
    """Print what is too large; exit code 1 if anything is."""
    found = []
    for folder, limit in LIMITS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.is_relative_to(ROOT / "dev" / "leyr_mcp"):
                continue
            text = path.read_text(encoding="utf-8")
            name = path.relative_to(ROOT)
            if (lines := text.count("\n")) > limit:
                found.append(f"{name}: {lines} lines, at most {limit}")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                    length = node.end_lineno - node.lineno + 1
                    if length > FUNCTION:
                        where = f"{name}:{node.lineno}: {node.name}"
                        found.append(f"{where} has {length} lines, at most {FUNCTION}")
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
