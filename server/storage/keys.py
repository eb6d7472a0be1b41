"""The data key, and the keys that derive from it; one label for each use."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from leyr_mcp.server.errors import ConfigError, StorageError

_BYTES = 32


class Keys:
    """Derives a key for each use from one data key; shows none of them."""

    __slots__ = ("_root",)

    def __init__(self, data_key: bytes) -> None:
        if len(data_key) != _BYTES:
            raise ConfigError("LEYR_MCP_DATA_KEY must be 32 bytes, as base64.")
        self._root = hmac.new(b"leyr-mcp", data_key, hashlib.sha256).digest()  # HKDF-Extract

    def derive(self, label: str) -> bytes:
        """Return the key of one use (HKDF-Expand, one block)."""
        return hmac.new(self._root, label.encode() + b"\x01", hashlib.sha256).digest()

    def __repr__(self) -> str:
        return "Keys(***)"


def parse(text: str) -> Keys:
    """Return the keys of a data key written as base64.

    Raises:
        ConfigError: It is none.
    """
    try:
        return Keys(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError) as exc:
        raise ConfigError("LEYR_MCP_DATA_KEY must be 32 bytes, as base64.") from exc


def load_or_make(path: Path) -> Keys:
    """Return the keys of an owner-only file, which is made when there is none.

    Two processes that start at once agree on one key: it is written aside and linked into place.

    Raises:
        StorageError: The file is readable by others, damaged, or cannot be made.
    """
    try:
        if not path.exists():
            _make(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise StorageError(
                "The key file can be read by others; make it readable by its owner only."
            )
        return parse(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError, ConfigError) as exc:
        raise StorageError("The key file cannot be read or made.") from exc


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)
        except FileExistsError:
            return  # the other process was first
    finally:
        aside.unlink(missing_ok=True)
