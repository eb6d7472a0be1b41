"""The options that choose tools, the same for every command that has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from leyr_mcp.server.app import choice_of
from leyr_mcp.server.settings import Settings
from leyr_mcp.tools.toolsets import Choice

if TYPE_CHECKING:
    import argparse

_MOST_WORKERS = 64


def with_choice(argv: list[str], settings: Settings, command: str) -> Choice:
    """Return the tools asked for by settings and options; an option replaces its setting."""
    choice = choice_of(settings)
    if not argv:
        return choice
    # A start without options does without it.
    from leyr_mcp.server.cli.parsing import Parser  # noqa: PLC0415

    parser = Parser(command, "Serve over stdio, or over HTTP.")
    add_choice(parser)
    add_http(parser)
    return chosen(parser.parse_args(argv), choice)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose tools."""
    parser.add_argument("--toolsets", metavar="A,B", help="offer these toolsets")
    parser.add_argument("--tools", metavar="A,B", help="offer these tools")
    parser.add_argument("--exclude-tools", metavar="A,B", help="do not offer these tools")
    parser.add_argument("--read-only", action="store_true", help="offer nothing that writes")


def add_http(parser: argparse.ArgumentParser) -> None:
    """Add the options of serving over HTTP."""
    from leyr_mcp.server.cli.http import address  # noqa: PLC0415 - with options alone

    parser.add_argument(
        "--http", type=address, metavar="HOST:PORT", help="serve over HTTP there, not over stdio"
    )
    parser.add_argument(
        "--workers", type=_workers, default=1, metavar="N", help="HTTP: processes that answer (1)"
    )


def _workers(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST_WORKERS:
        raise ValueError
    return number


def chosen(options: argparse.Namespace, choice: Choice) -> Choice:
    """Return the choice with the options applied; `--read-only` can only be added."""
    return replace(
        choice,
        toolsets=_names(options.toolsets) if options.toolsets is not None else choice.toolsets,
        tools=_names(options.tools),
        exclude=_names(options.exclude_tools),
        read_only=choice.read_only or options.read_only,
    )


def _names(value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())
