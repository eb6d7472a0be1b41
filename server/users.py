"""Who may do what over HTTP: the scopes of a token, and what the operator's table says of a user.

Over stdio there is one user, of this machine, who may do everything that the settings offer.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from leyr_mcp.server.errors import ConfigError

Scope = Literal["ehr.read", "ehr.draft", "ehr.file", "ehr.file.unattended"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
Role = Literal["front-desk", "scribe"]
# The kinds of drafts that do not exist for a role.
UNSEEN: Mapping[str, frozenset[str]] = {
    "front-desk": frozenset({"note", "document"}),
    "scribe": frozenset({"patient"}),
}
_log = logging.getLogger("leyr_mcp.users")
_CAP = 200
_LARGEST = 4 * 1024 * 1024
_TEXTS = ("name", "author_id", "care_unit_id", "tenant")
_FIELDS = frozenset({*_TEXTS, "care_units", "role"})
# The row of whom no other row names.
ELSE = "*"
_NOTHING: Mapping[str, Any] = {"care_units": []}
_CLAIMED = ("author_id", "care_unit_id", "care_units", "role", "tenant")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user: whose drafts are theirs, and what they may do.

    Attributes:
        author_id: In whose name their notes are written, where the record system takes one.
        care_unit_id: The care unit that their calls mean when they name none.
        care_units: The only ones that they may name; None for all.
        role: What takes some content away.
        tenant: Whose they are, where one issuer serves several.
    """

    subject: str
    issuer: str
    client: str | None = None
    name: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    author_id: str | None = None
    care_unit_id: str | None = None
    care_units: frozenset[str] | None = None
    role: Role | None = None
    tenant: str | None = None

    @property
    def key(self) -> str:
        """What tells them from all others."""
        return " ".join((self.tenant or "", self.issuer, self.subject))

    def may(self, scope: str) -> bool:
        """Whether they may do what needs this scope."""
        return scope in self.scopes


class Users:
    """The operator's table, read again when the file changes; a claim of the issuer comes after it.

    Where there is a table, whom it does not name has no care unit, unless a claim or its row `*`
    gives some. Where there is none, the issuer alone decides who comes in.

    Raises:
        ConfigError: The file cannot be read, or says what cannot be understood.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: _Stamp | None = None
        self._table: Mapping[str, Mapping[str, Any]] = {}
        if path is not None:
            self._stamp = _stamp(path)
            self._table = _read(path)

    def of(self, claims: Mapping[str, Any], scopes: frozenset[str], client: str | None) -> User:
        """Return the user of a token."""
        self._look()
        subject, issuer = str(claims["sub"]), str(claims["iss"])
        row = self._row_of(subject, claims)
        units = frozenset(row["care_units"]) if "care_units" in row else None
        return User(
            subject=subject,
            issuer=issuer,
            client=client or None,
            name=row.get("name") or _text(claims.get("name")),
            scopes=scopes & frozenset(SCOPES),
            author_id=row.get("author_id"),
            care_unit_id=row.get("care_unit_id")
            or (next(iter(units)) if units is not None and len(units) == 1 else None),
            care_units=units,
            role=row.get("role"),
            tenant=row.get("tenant"),
        )

    def _row_of(self, subject: str, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        if subject in self._table and subject != ELSE:
            return self._table[subject]
        usual = self._table.get(ELSE, _NOTHING if self._path else {})
        claimed = _claimed(claims)
        return _NOTHING if claimed is None else {**usual, **claimed}

    def _look(self) -> None:
        """Read the file again if it changed; a broken one leaves what was good."""
        if self._path is None or (now := _stamp(self._path)) == self._stamp:
            return
        self._stamp = now
        try:
            self._table = _read(self._path)
        except ConfigError as exc:
            _log.error("the table of users is not taken: %s", exc.message)


_Stamp = tuple[int, int, int, int]


def _stamp(path: Path) -> _Stamp | None:
    """Return what changes with a file: its content, its place, or who may read it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _read(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the table.

    Raises:
        ConfigError: It is none, or others may read or change it.
    """
    try:
        raw = _bytes(path)
        if path.suffix.lower() == ".toml":
            found = tomllib.loads(raw.decode("utf-8"))
        else:
            found = json.loads(raw, object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError):
        raise ConfigError("LEYR_MCP_USERS_FILE cannot be read as JSON or TOML.") from None
    if not isinstance(found, dict):
        raise ConfigError("LEYR_MCP_USERS_FILE must hold an object: users by their subject.")
    return {subject: _row(row) for subject, row in found.items()}


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        known = os.fstat(file.fileno())
        if not stat.S_ISREG(known.st_mode) or known.st_size > _LARGEST:
            raise ConfigError("LEYR_MCP_USERS_FILE must be a file of at most 4 MiB.")
        # It says in whose name is written, so nobody else may write it; and it names people.
        if os.name == "posix" and known.st_mode & 0o077:
            raise ConfigError("LEYR_MCP_USERS_FILE must be for its owner alone (chmod 600).")
        return file.read(_LARGEST)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of somebody who is named twice nobody knows which row is meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("named twice")
    return found


def _row(row: object) -> Mapping[str, Any]:
    """Return a row, checked.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(row, dict) or set(row) - _FIELDS:
        raise ConfigError(f"LEYR_MCP_USERS_FILE: a user has {', '.join(sorted(_FIELDS))} alone.")
    units = row.get("care_units", [])
    if any(row.get(name) is not None and _text(row[name]) is None for name in _TEXTS):
        raise ConfigError("LEYR_MCP_USERS_FILE: names and ids are texts.")
    if not isinstance(units, list) or any(_text(unit) is None for unit in units):
        raise ConfigError("LEYR_MCP_USERS_FILE: care_units is a list of ids.")
    if row.get("role") not in (None, *get_args(Role)):
        raise ConfigError(f"LEYR_MCP_USERS_FILE: role is {' or '.join(get_args(Role))}.")
    return row


def _claimed(claims: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what the issuer says of a user whom the table does not name; None if it is wrong.

    Somebody whom it meant to bind is not let loose instead.
    """
    told = {name: claims.get(f"leyr_{name}") for name in _CLAIMED}
    try:
        return _row({name: value for name, value in told.items() if value is not None})
    except ConfigError:
        _log.warning("what the issuer says of a user cannot be used")
        return None


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= _CAP or not value.isprintable():
        return None
    return value
