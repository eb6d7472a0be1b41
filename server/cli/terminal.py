"""Plain, coloured where the terminal can, wrapped to its width.

Used by every command a person reads.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_MOST = 100
_LEAST = 16
_OFTEN_S = 0.2
_QUICK_S = 1.0


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """Yield what counts steps of long work; on a terminal a line of stderr shows how far it is.

    Work that takes no time shows none, and nothing of the line is left behind.
    """
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    done, began, shown = 0, time.monotonic(), 0.0

    def step(count: int) -> None:
        nonlocal done, shown
        done += count
        now = time.monotonic()
        if now - shown < _OFTEN_S or now - began < _QUICK_S:
            return
        shown = now
        sys.stderr.write(f"\r\x1b[K{done:,} {what}, {done / (now - began):,.0f} a second")
        sys.stderr.flush()

    try:
        yield step
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class Screen:
    """Writes to one stream; colour only for a terminal that did not ask for none."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.colour = (
            out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        )
        self.width = min(_MOST, shutil.get_terminal_size((_MOST, 24)).columns)

    def line(self, text: str = "") -> None:
        """Write one line."""
        self._out.write(text + "\n")
        self._out.flush()

    def prompt(self, text: str) -> None:
        """Write what is asked, and leave the cursor behind it."""
        self._out.write(text)
        self._out.flush()

    def heading(self, text: str) -> None:
        """Write a heading after an empty line."""
        self.line()
        self.line(self.bold(text))

    def columns(
        self, lead: str, text: str, *, indent: int, paint: Callable[[str], str] = str
    ) -> None:
        """Write text wrapped from a column on, after a lead that is as wide (colour apart)."""
        rows = textwrap.wrap(text, max(_LEAST, self.width - indent), break_on_hyphens=False) or [""]
        self.line(f"{lead}{paint(rows[0])}".rstrip())
        for row in rows[1:]:
            self.line(f"{' ' * indent}{paint(row)}")

    def paragraph(self, text: str, *, indent: int = 0) -> None:
        """Write text wrapped to the width, keeping its own line breaks."""
        pad = " " * indent
        for part in text.split("\n"):
            wrapped = textwrap.wrap(
                part,
                max(_LEAST, self.width - indent),
                initial_indent=pad,
                subsequent_indent=pad + " " * (len(part) - len(part.lstrip())),
                break_on_hyphens=False,
                drop_whitespace=True,
                replace_whitespace=False,
            )
            for row in wrapped or [""]:
                self.line(row)

    def quote(self, text: str) -> None:
        """Write text behind a bar, wrapped to the width."""
        body = text.lstrip(" ")
        hang = " " * (len(text) - len(body) + 2)
        wrapped = textwrap.wrap(
            body,
            max(30, self.width - 6),
            initial_indent=hang[2:],
            subsequent_indent=hang,
            break_on_hyphens=False,
        )
        for row in wrapped or [""]:
            self.line(f"   {self.dim('|')} {row}".rstrip())

    def verbatim(self, text: str) -> None:
        """Write text behind a bar, line by line; no space is lost where a line is too long.

        Only where a line of the text itself begins stands a bar.
        """
        width = max(30, self.width - 6)
        for part in text.expandtabs(4).split("\n"):
            rows = textwrap.wrap(
                part, width, drop_whitespace=False, expand_tabs=False, break_on_hyphens=False
            ) or [""]
            for number, row in enumerate(rows):
                self.line(f"  {self.dim(' ' if number else '|')} {row}")

    def bold(self, text: str) -> str:
        """Return text made prominent."""
        return self._wrapped("1", text)

    def dim(self, text: str) -> str:
        """Return text made secondary."""
        return self._wrapped("2", text)

    def good(self, text: str) -> str:
        """Return text that says all is well."""
        return self._wrapped("32", text)

    def bad(self, text: str) -> str:
        """Return text that says something is wrong."""
        return self._wrapped("31", text)

    def warn(self, text: str) -> str:
        """Return text that asks for attention."""
        return self._wrapped("33", text)

    def accent(self, text: str) -> str:
        """Return text in the colour of steps."""
        return self._wrapped("36", text)

    def _wrapped(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text
