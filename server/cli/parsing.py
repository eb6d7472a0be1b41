"""How every command reads its options, and how it says that something went wrong.

With `--json` a failure is an object on stdout, as an answer is; else one sentence on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

USAGE = 2
_CODES = {1: "failed", USAGE: "usage"}


class _Telling:
    """Whether the command that runs was asked for JSON."""

    as_json = False


class Parser(argparse.ArgumentParser):
    """The options of one command."""

    def __init__(self, command: str, description: str, **more: Any) -> None:
        super().__init__(
            prog=f"leyr-mcp {command}", description=description, allow_abbrev=False, **more
        )

    def add_json(self, told: str) -> None:
        """Add `--json`."""
        self.add_argument("--json", action="store_true", help=f"{told} as JSON")

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> Any:  # type: ignore[override]  # always given here
        """Return the options, and remember whether JSON is asked for."""
        _Telling.as_json = "--json" in args
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End the program: the options are wrong."""
        if not _Telling.as_json:
            super().error(message)
        fail(f"{message[:1].upper()}{message[1:]}.", USAGE)
        sys.exit(USAGE)


def fail(text: str, code: int, *, name: str | None = None) -> int:
    """Say what went wrong, and return the exit code."""
    if _Telling.as_json:
        write({"error": {"code": name or _CODES.get(code, "failed"), "message": text}})
    else:
        sys.stderr.write(f"leyr-mcp: {text}\n")
    return code


def write(found: Any) -> None:
    """Write a value as JSON."""
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def port(text: str) -> int:
    """Return a port; 0 takes any that is free."""
    number = int(text)
    if not 0 <= number <= 65_535:  # noqa: PLR2004 - the ports that there are
        raise ValueError
    return number
