"""Files that wait to be sent: sealed in pieces, each under its own key, and gone after a day.

A staged file is named by chance. It opens only whole and in its order, under the name it was
written as; nobody can read it, cut it short or put it together anew without the data key.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.files.verdict import UnfitError
from leyr_mcp.server.storage.keys import Keys

PIECE = 192 * 1024  # a multiple of three, so that base64 needs no padding within
KEPT_S = 24 * 3_600.0
_TAG = 16
ALONE_S = 3_600.0  # longer than any file takes to come in
MOST = 200  # files at once: about as many as a clinic could ever leave undecided in a day
_NAME = re.compile(r"f_[0-9a-f]{32}")
_LAST, _MORE = b"\x01", b"\x00"


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that lies here."""

    name: str
    size: int
    sha256: str


class Staging:
    """One folder of sealed files, for their owner alone."""

    def __init__(self, folder: Path, keys: Callable[[], Keys]) -> None:
        self._folder = folder
        self._keys = keys

    def writer(self) -> Writer:
        """Return what takes the pieces of a new file.

        Raises:
            StorageError: The folder cannot be made or written.
        """
        name = f"f_{secrets.token_hex(16)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if sum(1 for _ in self._folder.iterdir()) >= MOST:
                raise full()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            handle = os.open(self._folder / name, flags, 0o600)
        except OSError as exc:
            raise _unwritable(exc) from exc
        return Writer(name, self._folder / name, os.fdopen(handle, "wb"), self._cipher(name))

    def read(self, name: str) -> AsyncIterable[bytes]:
        """Return a file, which gives its pieces at each iteration, each proven.

        What is not here, was changed or was cut short raises `StorageError` as it is read.
        """
        return _File(self._pieces, name)

    async def _pieces(self, name: str) -> AsyncIterator[bytes]:
        cipher, number = self._cipher(name), 0
        async for sealed, last in self._sealed(name):
            yield _opened(cipher, sealed, number, last=last)
            number += 1

    async def _sealed(self, name: str) -> AsyncIterator[tuple[bytes, bool]]:
        """Yield the pieces of a file as they lie here, and of each whether it is the last."""
        for piece in sealed_pieces(self._path(name)):
            yield piece
            await asyncio.sleep(0)  # others have their turn

    async def share(self, name: str) -> None:
        """Have every node reach a file that is taken; one that is alone has nothing to do."""

    async def has(self, name: str) -> bool:
        """Return whether a file lies here."""
        return self._path(name).is_file()

    async def drop(self, name: str) -> None:
        """Delete a file; what cannot be deleted now is within a day."""
        self.drop_here(name)

    def drop_here(self, name: str) -> None:
        """Delete a file that no other node can know of."""
        with suppress(OSError, StorageError):
            self._path(name).unlink(missing_ok=True)

    async def sweep(self, awaited: Collection[str], *, now_s: float) -> int:
        """Delete what has waited for a day, and for an hour what nothing waits for; count it.

        Raises:
            StorageError: The folder cannot be read, or a file not be deleted.
        """
        return self._swept(awaited, now_s)

    def _swept(self, awaited: Collection[str], now_s: float) -> int:
        count = 0
        try:
            for entry in os.scandir(self._folder):
                age_s = now_s - entry.stat(follow_symlinks=False).st_mtime
                if age_s >= (KEPT_S if entry.name in awaited else ALONE_S):
                    Path(entry.path).unlink(missing_ok=True)
                    count += 1
        except FileNotFoundError:
            return count
        except OSError as exc:
            raise StorageError("A staged file cannot be deleted.") from exc
        return count

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StorageError("The staged file is gone.")
        return self._folder / name

    def _cipher(self, name: str) -> Any:
        # Not at the top: a server that attaches nothing needs no cipher.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        return AESGCM(self._keys().derive(f"staged {name}"))


class _File:
    """A staged file that can be read again and again."""

    def __init__(self, pieces: Callable[[str], AsyncIterator[bytes]], name: str) -> None:
        self._pieces = pieces
        self._name = name

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces(self._name)


class Writer:
    """Takes the pieces of one file, hashes and seals them; in the end kept or given up."""

    def __init__(self, name: str, path: Path, file: BinaryIO, cipher: Any) -> None:
        self._name = name
        self._path = path
        self._file = file
        self._cipher = cipher
        self._digest = sha256()
        self._size = 0
        self._held = bytearray()
        self._number = 0

    def add(self, part: bytes) -> None:
        """Take the next bytes.

        Raises:
            UnfitError: They are more than a file may have.
            StorageError: They cannot be stored.
        """
        self._size += len(part)
        if self._size > MAX_BYTES:
            raise UnfitError("too_many_bytes")
        self._digest.update(part)
        self._held += part
        while len(self._held) > PIECE:  # the last piece is sealed as such, so one is always held
            self._put(bytes(self._held[:PIECE]), _MORE)
            del self._held[:PIECE]

    def keep(self) -> Staged:
        """Return the file, which is whole now and on the disk.

        Raises:
            UnfitError: It is empty.
            StorageError: It cannot be stored.
        """
        if not self._size:
            raise UnfitError("empty")
        self._put(bytes(self._held), _LAST)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as exc:
            raise _unwritable(exc) from exc
        return Staged(self._name, self._size, self._digest.hexdigest())

    def give_up(self) -> None:
        """Leave nothing of it; what cannot be deleted now is within a day."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _put(self, piece: bytes, last: bytes) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last), piece, None)
        self._number += 1
        try:
            self._file.write(sealed)
        except OSError as exc:
            raise _unwritable(exc) from exc


def copied(parts: Iterable[bytes], writer: Writer, each: Callable[[], None]) -> Staged:
    """Return the file that these parts make; `each` is called after every one.

    Raises:
        UnfitError: It is empty or too large.
        StorageError: It cannot be stored.
    """
    try:
        for part in parts:
            writer.add(part)
            each()
        return writer.keep()
    except BaseException:
        writer.give_up()
        raise


def sealed_pieces(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield the pieces of a file as they lie there, and of each whether it is the last.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            held = file.read(PIECE + _TAG)
            while True:
                following = file.read(PIECE + _TAG)
                yield held, not following
                if not following:
                    return
                held = following
    except OSError as exc:
        raise StorageError("The staged file is gone.") from exc


def full() -> StorageError:
    """Return that there is no room for another file."""
    return StorageError(
        "Too many files wait here to be filed.",
        code="storage_full",
        next_step="Tell the user to decide on the drafts that wait, or discard some.",
    )


def _opened(cipher: Any, sealed: bytes, number: int, *, last: bool) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - loaded with the cipher

    try:
        piece: bytes = cipher.decrypt(_nonce(number, _LAST if last else _MORE), sealed, None)
    except (InvalidTag, ValueError):
        raise StorageError("The staged file was changed.") from None
    return piece


def _nonce(number: int, last: bytes) -> bytes:
    """Return the nonce of a piece: each key seals one file, so its number is used once."""
    return number.to_bytes(11, "big") + last


def _unwritable(exc: OSError) -> StorageError:
    full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
    return StorageError(
        "The disk is full; the file was not taken." if full else "Files cannot be kept here.",
        code="storage_full" if full else None,
    )
