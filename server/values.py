"""What a setting may be: each function reads one kind of text, and its error says what it must be.

The sentences name no part of what was given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from leyr_mcp.server.addresses import database_address, web_address

_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,130}")
_HEADER = re.compile(r"[!-~]*")
_LEAST_S = 0.5
_MOST_SECRETS = 2
_LEAST_KEY = 32
_YES, _NO = ("1", "true", "yes"), ("", "0", "false", "no")
_MOST_LINES, _LONGEST_LINE = 6, 100


class Secret:
    """A value that never prints itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "***"


def text_line(value: str) -> str:
    """Return one line of printable text."""
    if not value.isprintable():
        raise ValueError("must be printable text on one line")
    return value.strip()


def id_text(value: str) -> str:
    """Return what can stand in an address as it is."""
    if value.strip() and not _ID.fullmatch(value.strip()):
        raise ValueError("must be an id: letters, digits, dot, hyphen, underscore or colon")
    return value.strip()


def credential(value: str) -> str:
    """Return what can be sent in a header; a file's last line break is forgiven."""
    if not _HEADER.fullmatch(value.strip()):
        raise ValueError("must be ASCII characters without spaces")
    return value.strip()


def secret(value: str) -> Secret:
    """Return a credential that never prints itself."""
    return Secret(credential(value))


def secrets(value: str) -> tuple[Secret, ...]:
    """Return one secret, or two during a rotation."""
    found = tuple(map(secret, filter(None, map(str.strip, value.split(",")))))
    if len(found) > _MOST_SECRETS:
        raise ValueError("must be one secret, or two with a comma between them")
    return found


def database(value: str) -> Secret:
    """Return the address of a database, which may hold a password."""
    return Secret(database_address(credential(value)))


def web_address_or_none(value: str) -> str:
    """Return an address, or nothing."""
    return web_address(value) if value.strip() else ""


def issuer(value: str) -> str:
    """Return it to the letter: names are compared, and a slash at the end is a part of one."""
    return value.strip() if web_address_or_none(value) else ""


def state_keys(value: str) -> tuple[Secret, ...]:
    """Return keys, each of them long enough."""
    found = tuple(map(secret, filter(None, map(str.strip, value.split(",")))))
    if any(len(key.reveal()) < _LEAST_KEY for key in found):
        raise ValueError(f"must be keys of {_LEAST_KEY} characters or more")
    return found


def path_or_none(value: str) -> Path | None:
    """Return an absolute path, or none."""
    text = text_line(value)
    if text and not Path(text).is_absolute():
        raise ValueError("must be an absolute path")
    return Path(text) if text else None


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return what reads one of these words."""

    def parse(value: str) -> str:
        if value.strip() not in allowed:
            raise ValueError(f"must be {' or '.join(a for a in allowed if a)}")
        return value.strip()

    return parse


def flag(value: str) -> bool:
    """Return whether it says yes."""
    word = value.strip().lower()
    if word not in {*_YES, *_NO}:
        raise ValueError("must be 1 or 0")
    return word in _YES


def names(value: str) -> tuple[str, ...]:
    """Return names with commas between them."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def seconds(most: int) -> Callable[[str], float | None]:
    """Return what reads a span of time, so long at most; nothing is None."""

    def parse(value: str) -> float | None:
        if not value.strip():
            return None
        try:
            found = float(value)
        except ValueError:
            found = 0.0
        if not _LEAST_S <= found <= most:
            raise ValueError(f"must be a number of seconds from {_LEAST_S} to {most}")
        return found

    return parse


def folders(value: str) -> tuple[Path, ...]:
    """Return absolute folders, none of which is a whole disk."""
    found = []
    for part in filter(None, map(str.strip, text_line(value).split(os.pathsep))):
        try:
            path = Path(part).expanduser()
        except RuntimeError as exc:
            raise ValueError("must name folders that can be found") from exc
        if not path.is_absolute() or ".." in path.parts or path == Path(path.anchor):
            raise ValueError(f"must be absolute folders, with {os.pathsep} between them")
        found.append(path)
    return tuple(found)


def lines(value: str) -> tuple[str, ...]:
    """Return a few lines of text, with a bar between them."""
    found = tuple(part.strip() for part in text_line(value).split("|") if part.strip())
    if len(found) > _MOST_LINES or any(len(line) > _LONGEST_LINE for line in found):
        raise ValueError(f"must be at most {_MOST_LINES} lines of {_LONGEST_LINE} characters")
    return found


def hosts(value: str) -> tuple[str, ...]:
    """Return names; the word none is none of them."""
    return () if value.strip() == "none" else names(text_line(value))


def zone(value: str) -> ZoneInfo | None:
    """Return a time zone; nothing is None."""
    try:
        return ZoneInfo(value.strip()) if value else None
    except (KeyError, ValueError, OSError) as exc:
        raise ValueError("must be a time zone like Europe/Stockholm") from exc


def level(value: str) -> str:
    """Return how much is logged."""
    return one_of("DEBUG", "INFO", "WARNING", "ERROR")(value.strip().upper())
