"""Who may do what over HTTP: the scopes of a token, and what the operator's table says of a user.

Over stdio there is one user, of this machine, who may do everything that the settings offer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from leyr_mcp.server.errors import ConfigError

Scope = Literal["ehr.read", "ehr.draft", "ehr.file", "ehr.file.unattended"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
Role = Literal["front-desk", "scribe"]
_log = logging.getLogger("leyr_mcp.users")
_CAP = 200
_LARGEST = 4 * 1024 * 1024
_FIELDS = frozenset({"name", "author_id", "care_unit_id", "care_units", "role"})


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user: whose drafts are theirs, and what they may do.

    Attributes:
        author_id: In whose name their notes are written, where the record system takes one.
        care_unit_id: The care unit that their calls mean when they name none.
        care_units: The only ones that they may name; empty for all.
        role: What takes some content away.
    """

    subject: str
    issuer: str
    client: str | None = None
    name: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    author_id: str | None = None
    care_unit_id: str | None = None
    care_units: frozenset[str] = field(default_factory=frozenset)
    role: Role | None = None

    def may(self, scope: str) -> bool:
        """Whether they may do what needs this scope."""
        return scope in self.scopes


class Users:
    """The operator's table, read again when the file changes; a claim of the issuer comes after it.

    Raises:
        ConfigError: The file cannot be read, or says what cannot be understood.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._table: Mapping[str, Mapping[str, Any]] = {}
        if path is not None:
            self._table = _read(path)
            self._stamp = _stamp(path)

    def of(self, claims: Mapping[str, Any], scopes: frozenset[str], client: str | None) -> User:
        """Return the user of a token."""
        self._look()
        subject, issuer = str(claims["sub"]), str(claims["iss"])
        row = self._table.get(subject) or _claimed(claims)
        units = frozenset(row.get("care_units", ()))
        return User(
            subject=subject,
            issuer=issuer,
            client=client,
            name=row.get("name") or _text(claims.get("name")),
            scopes=scopes & frozenset(SCOPES),
            author_id=row.get("author_id"),
            care_unit_id=row.get("care_unit_id")
            or (next(iter(units)) if len(units) == 1 else None),
            care_units=units,
            role=row.get("role"),
        )

    def _look(self) -> None:
        """Read the file again if it changed; a broken one leaves what was good."""
        if self._path is None or (now := _stamp(self._path)) == self._stamp:
            return
        self._stamp = now
        try:
            self._table = _read(self._path)
        except ConfigError as exc:
            _log.error("the table of users is not taken: %s", exc.message)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _read(path: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        raw = path.read_bytes()
        found = json.loads(raw) if len(raw) <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        raise ConfigError("LEYR_MCP_USERS_FILE cannot be read as JSON.") from None
    if not isinstance(found, dict):
        raise ConfigError("LEYR_MCP_USERS_FILE must hold an object: users by their subject.")
    return {subject: _row(row) for subject, row in found.items()}


def _row(row: object) -> Mapping[str, Any]:
    """Return a row, checked.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(row, dict) or set(row) - _FIELDS:
        raise ConfigError(f"LEYR_MCP_USERS_FILE: a user has {', '.join(sorted(_FIELDS))} alone.")
    texts = [row.get(name) for name in ("name", "author_id", "care_unit_id")]
    units = row.get("care_units", [])
    if any(text is not None and _text(text) is None for text in texts) or not isinstance(
        units, list
    ):
        raise ConfigError("LEYR_MCP_USERS_FILE: names and ids are texts, care_units is a list.")
    if any(_text(unit) is None for unit in units):
        raise ConfigError("LEYR_MCP_USERS_FILE: care_units is a list of ids.")
    if row.get("role") not in (None, *get_args(Role)):
        raise ConfigError(f"LEYR_MCP_USERS_FILE: role is {' or '.join(get_args(Role))}.")
    return row


def _claimed(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the issuer says of a user whom the table does not name."""
    told = {
        "author_id": claims.get("leyr_author_id"),
        "care_unit_id": claims.get("leyr_care_unit_id"),
        "care_units": claims.get("leyr_care_units"),
        "role": claims.get("leyr_role"),
    }
    given = {name: value for name, value in told.items() if value is not None}
    try:
        return _row(given)
    except ConfigError:
        _log.warning("what the issuer says of a user cannot be used")
        return {"care_units": ["none"]}  # somebody it meant to bind is not let loose instead


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= _CAP or not value.isprintable():
        return None
    return value
