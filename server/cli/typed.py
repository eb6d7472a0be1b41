"""What a person types at a terminal, shown or hidden, and what a script sends instead."""

from __future__ import annotations

import getpass
import sys
import warnings
from collections.abc import Collection

from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.filing.passphrase import MOST_BYTES

# A passphrase of four bytes a character, and its line end.
_LINE = MOST_BYTES + 2


class NoTerminalError(Exception):
    """Nobody can be asked here, or what is typed could not be hidden."""


def at_terminal() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def line() -> str:
    """Return one line of stdin, without its end.

    Raises:
        EOFError: There is none.
    """
    text = sys.stdin.readline(_LINE) if sys.stdin else ""
    if not text:
        raise EOFError
    return text.removesuffix("\n").removesuffix("\r")


def hidden(prompt: str) -> str:
    """Return what is typed, which no screen shows.

    Raises:
        NoTerminalError: It would be shown.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except getpass.GetPassWarning as exc:
            raise NoTerminalError(
                "This terminal would show what is typed; use --stdin or --passphrase-stdin."
            ) from exc


def choice(screen: Screen, prompt: str, answers: Collection[str]) -> str | None:
    """Return which of these words was typed, in full or by its first letter; None at the end."""
    while True:
        screen.prompt(prompt)
        try:
            given = line().strip().lower()
        except EOFError:
            screen.line()
            return None
        for answer in answers:
            if given and given in (answer, answer[0]):
                return answer
        screen.line(f"Type {', '.join(answers)}, or the first letter.")
