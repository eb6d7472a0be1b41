"""The approver's passphrase: set by a person, kept as a hash, guessed five times at most.

A guess is counted before it is tried, so that neither a second process nor a kill gives one more.
The clock is the caller's. Whoever can write to the state folder is not kept out by any of this.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any, Literal

from leyr_mcp.server.errors import InputError, StorageError

LEAST = 8
MOST_BYTES = 1024
NAME_MOST = 100
GUESSES = 5
LOCKED_FOR = timedelta(minutes=15)

_VERSION = 1
_N, _R, _P = 2**15, 8, 1
# OpenSSL's own limit of 32 MiB lies just below what these parameters take.
_MEMORY = 2 * 128 * _N * _R
_SALT = 16
# Control, format and private characters, surrogates, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Approver:
    """The person who set the passphrase, under the name given then."""

    name: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nobody was recognised; `left` guesses remain, or none until `until`."""

    reason: Literal["unset", "wrong", "locked"]
    left: int = 0
    until: datetime | None = None
    minutes: int = 0

    @property
    def message(self) -> str:
        """Say it in a sentence, with what to do."""
        if self.reason == "unset":
            return "No passphrase is set. Set one with: leyr-mcp passphrase"
        if self.reason == "locked":
            return f"Too many wrong passphrases. Try again in {_count(self.minutes, 'minute')}."
        return f"That is not the passphrase. {_count(self.left, 'guess', 'guesses')} left."


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the file holds."""

    name: str
    set_at: datetime
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Tries:
    """Guesses since the last right one; at the last of them `until` is set."""

    count: int = 0
    until: datetime | None = None


class Passphrase:
    """The passphrase of one state folder. `set` and `verify` take about a tenth of a second."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._file = folder / "approver.json"
        self._tries = folder / "approver.tries.json"
        self._clock = clock

    def approver(self) -> Approver | None:
        """Return who may approve, or None where no passphrase is set.

        Raises:
            StorageError: The file is damaged or readable by others.
        """
        kept = self._read()
        return Approver(kept.name, kept.set_at) if kept else None

    def set(self, new: str, *, name: str, old: str | None = None) -> Approver | Refused:
        """Set or change the passphrase; a change needs the old one, which counts as a guess.

        Raises:
            InputError: The new one or the name does not meet the rules.
            StorageError: The files cannot be read or written, or another process changed them.
        """
        text, shown = _new(new), _name(name)
        before = self._read()
        if before is not None:
            found = self.verify(old or "")
            if isinstance(found, Refused):
                return found
        salt = secrets.token_bytes(_SALT)
        kept = _Kept(shown, self._now(), salt, _hash(text, salt))
        with self._locked():
            if self._read() != before:
                raise StorageError("The passphrase was changed meanwhile; nothing was done.")
            self._write(self._file, _as_json(kept))
            self._count(_Tries())
        return Approver(kept.name, kept.set_at)

    def verify(self, text: str) -> Approver | Refused:
        """Return the approver whose passphrase this is, or why not.

        Raises:
            StorageError: The files cannot be read or written; no guess was tried then.
        """
        with self._locked():
            kept = self._read()
            if kept is None:
                return Refused("unset")
            taken = self._take_guess()
        if isinstance(taken, Refused):
            return taken
        if not _matches(text, kept):
            return self._locked_out(taken.until) if taken.until else _wrong(taken.count)
        with self._locked():
            if self._read() != kept:
                return _wrong(taken.count)  # changed while this one was being tried
            self._count(_Tries())
        return Approver(kept.name, kept.set_at)

    def _take_guess(self) -> _Tries | Refused:
        """Count one guess, durably, before it is tried; the last one locks."""
        tries, now = self._counted(), self._now()
        if tries.until is not None:
            # A clock set back only prolongs it: nothing here measures from an earlier moment.
            if now < tries.until:
                return self._locked_out(tries.until)
            tries = _Tries()
        count = tries.count + 1
        taken = _Tries(count, now + LOCKED_FOR if count >= GUESSES else None)
        self._count(taken)
        return taken

    def _locked_out(self, until: datetime) -> Refused:
        left = until - self._now()
        minutes = max(1, ceil(left / timedelta(minutes=1)))
        return Refused("locked", 0, until, minutes)

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC)

    def _read(self) -> _Kept | None:
        found = self._load(self._file)
        if found is None:
            return None
        with _damaged():
            if found["version"] != _VERSION:
                raise StorageError("The passphrase file is of another version of this program.")
            salt, digest = bytes.fromhex(found["salt"]), bytes.fromhex(found["hash"])
            return _Kept(str(found["name"]), _moment(found["set_at"]), salt, digest)

    def _counted(self) -> _Tries:
        found = self._load(self._tries)
        if found is None:
            return _Tries()
        with _damaged():
            until = found["until"]
            return _Tries(int(found["count"]), _moment(until) if until else None)

    def _count(self, tries: _Tries) -> None:
        until = tries.until.isoformat() if tries.until else None
        self._write(self._tries, {"count": tries.count, "until": until})

    def _load(self, path: Path) -> dict[str, Any] | None:
        with _damaged():
            try:
                handle = path.open("rb")
            except FileNotFoundError:
                return None
            with handle:
                if os.name == "posix" and os.fstat(handle.fileno()).st_mode & 0o077:
                    raise StorageError(
                        "The passphrase file can be read by others; make it its owner's only."
                    )
                return dict(json.loads(handle.read(4 * MOST_BYTES)))

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        """Write a file whole or not at all, for its owner alone, and see it on the disk."""
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(content).encode())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            _sync_folder(self._folder)
        except OSError as exc:
            raise StorageError("The passphrase file cannot be written.") from exc
        finally:
            aside.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process, and one thread of it, in at a time; the end of a process frees it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._folder / "approver.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise StorageError("The passphrase file cannot be read or written.") from exc
        try:
            _take(handle)
            yield
        finally:
            os.close(handle)


def _take(handle: int) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - exists only there

            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - exists only there

            fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as exc:
        raise StorageError("Another process holds the passphrase file; try again.") from exc


def _sync_folder(folder: Path) -> None:
    """Make a rename in it survive a power cut, where a folder can be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _damaged() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        # Without the cause: its text may repeat what stands in the file.
        raise StorageError("The passphrase file cannot be read, or it is damaged.") from None


def _as_json(kept: _Kept) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "name": kept.name,
        "set_at": kept.set_at.isoformat(),
        "salt": kept.salt.hex(),
        "hash": kept.digest.hex(),
    }


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError
    return found


def _encoded(text: str) -> bytes | None:
    """Return the same bytes however the keyboard composed the letters; None if too many."""
    if len(text) > MOST_BYTES:
        return None
    encoded = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
    return encoded if len(encoded) <= MOST_BYTES else None


def _hash(encoded: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(encoded, salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY)


def _matches(text: str, kept: _Kept) -> bool:
    encoded = _encoded(text)
    return encoded is not None and hmac.compare_digest(_hash(encoded, kept.salt), kept.digest)


def _new(text: str) -> bytes:
    """Return a new passphrase as it is hashed, or name the rule that it breaks."""
    encoded = _encoded(text)
    if encoded is None:
        raise InputError(f"A passphrase has at most {MOST_BYTES} bytes.", field="passphrase")
    if _hidden(text):
        raise InputError("A passphrase has no control characters.", field="passphrase")
    if len(unicodedata.normalize("NFC", text).strip()) < LEAST:
        raise InputError(f"A passphrase has at least {LEAST} characters.", field="passphrase")
    return encoded


def _name(name: str) -> str:
    shown = " ".join(unicodedata.normalize("NFC", name[: 4 * NAME_MOST]).split())
    if not 1 <= len(shown) <= NAME_MOST or _hidden(shown):
        raise InputError(
            f"A name has 1 to {NAME_MOST} characters, none of them a control character.",
            field="name",
        )
    return shown


def _hidden(text: str) -> bool:
    return any(unicodedata.category(sign) in _UNSEEN for sign in text)


def _wrong(count: int) -> Refused:
    return Refused("wrong", GUESSES - count)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
