"""Files that a caller names by path: only regular ones below the folders that the operator set.

A path is walked from its root's handle, one component after the other, and no link is followed.
A path that was checked and is then opened by its name could meanwhile name something else.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.files.verdict import UnfitError

_LONGEST = 1_024
_DEEPEST = 32
# Control characters and half characters, other systems' separators, drives, and addresses.
_STRANGE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]|\A(?:~|[A-Za-z]:|file:|[A-Za-z][A-Za-z0-9+.-]*:/)",
    re.IGNORECASE,
)
# Where a system has no such walk, nothing is taken by path.
CAN_WALK = (
    hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY") and os.open in os.supports_dir_fd
)
_FOLDER = (
    os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
)  # the root itself may be a link: the operator named it
_BELOW = _FOLDER | getattr(os, "O_NOFOLLOW", 0)
_FILE = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe must not keep us waiting for its other end
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is held open, as it was when it was opened."""

    handle: int
    name: str
    before: tuple[int, ...]
    size: int

    def unchanged(self) -> bool:
        """Return whether the file is still what it was, as far as its size and times tell."""
        return _as_it_is(os.fstat(self.handle)) == self.before


class Roots:
    """The folders below which files may be named."""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        prepare: Callable[[], None] = lambda: None,
        hint: str = "Ask the user for the file's name, or call again without path.",
    ) -> None:
        """Take folders; `prepare` fills one at the first file, `hint` says what is there."""
        self._folders = tuple(folders)
        self._prepare = prepare
        self._hint = hint

    @contextmanager
    def open(self, given: str) -> Iterator[Opened]:
        """Yield a file by its path: absolute below a root, or relative to one.

        Raises:
            LeyrMcpError: `file_not_allowed`: none may be named, or not this; `not_found`.
            UnfitError: It is empty or too large.
        """
        if not self._folders:
            raise LeyrMcpError(
                "No folder is set from which files may be attached.",
                code="file_not_allowed",
                field="path",
                next_step="Call again without path, and the user chooses the file on a page; or "
                "tell the operator to set LEYR_MCP_ROOTS.",
            )
        if not CAN_WALK:
            raise LeyrMcpError(
                "This system cannot open files safely by path.",
                code="file_not_allowed",
                field="path",
                next_step="Call again without path: the user chooses the file on a page.",
            )
        self._prepare()
        handle = self._found(given)
        try:
            yield _opened(handle, PurePosixPath(given).name)
        finally:
            os.close(handle)

    def _found(self, given: str) -> int:
        """Return the handle of the first root's file of this path that is there."""
        missing: FileNotFoundError | None = None
        for folder, parts in self._ways(given):
            try:
                return _walked(folder, parts)
            except FileNotFoundError as exc:
                missing = exc
            except OSError:  # a link, no folder, no right, a socket: all the same to the caller
                raise _not_allowed() from None
        raise LeyrMcpError(
            "There is no such file in the folders from which files may be attached.",
            code="not_found",
            field="path",
            next_step=self._hint,
        ) from missing

    def _ways(self, given: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Yield each root below which the path lies, and the path from there.

        Raises:
            LeyrMcpError: It lies below none, or is written in a way that is not taken.
        """
        parts = _parts(given)
        if not given.startswith("/"):
            for folder in self._folders:
                yield folder, parts
            return
        below = [
            (folder, parts[len(folder.parts) - 1 :])
            for folder in self._folders
            if ("/", *parts)[: len(folder.parts)] == folder.parts
        ]
        if not any(rest for _, rest in below):
            raise _not_allowed()
        yield from ((folder, rest) for folder, rest in below if rest)


def _parts(given: str) -> tuple[str, ...]:
    """Return the components of a path.

    Raises:
        LeyrMcpError: One of them is none that is taken.
    """
    strange = len(given) > _LONGEST or _STRANGE.search(given)
    parts = tuple(given.removeprefix("/").split("/"))
    # What is hidden was not meant to be handed out; it takes "." and ".." with it.
    if strange or len(parts) > _DEEPEST or any(not p or p.startswith(".") for p in parts):
        raise _not_allowed()
    return parts


def _walked(folder: Path, parts: Sequence[str]) -> int:
    """Return the handle of a file; every folder on the way is held while the next is opened.

    Raises:
        OSError: A component is not there, or is a link or something else than it should be.
    """
    at = os.open(folder, _FOLDER)
    try:
        for part in parts[:-1]:
            below = os.open(part, _BELOW, dir_fd=at)
            os.close(at)
            at = below
        return os.open(parts[-1], _FILE, dir_fd=at)
    finally:
        os.close(at)


def _opened(handle: int, name: str) -> Opened:
    """Return what was opened, if it is a file that has this one name alone.

    Raises:
        LeyrMcpError: It is something else.
        UnfitError: It is empty or too large.
    """
    seen = os.fstat(handle)
    if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1:
        raise _not_allowed()
    if seen.st_size == 0:
        raise UnfitError("empty")
    if seen.st_size > MAX_BYTES:
        raise UnfitError("too_many_bytes")
    return Opened(handle, name, _as_it_is(seen), seen.st_size)


def _as_it_is(seen: os.stat_result) -> tuple[int, ...]:
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def _not_allowed() -> LeyrMcpError:
    return LeyrMcpError(
        "That is no file that may be attached: it must lie below a folder that was set for that, "
        "and be a plain file that nothing else links to.",
        code="file_not_allowed",
        field="path",
    )
