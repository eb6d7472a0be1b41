"""The audit chain: each event authenticated together with the one before it.

Where several nodes share a store, each has a chain of its own, under a key of its own; in a file
there is one, of the node without a name. A chain does not show that its end was cut off, so its
head also stands in a second place, a file beside the database or on the node. Verifying the chain
is done elsewhere, from the rows and the head.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.rows import Row, Statement, Value, Work, micros, sql
from leyr_mcp.server.storage.seal import Sealer
from leyr_mcp.server.storage.store import AuditEntry, AuditRow

EVERY = 100
START = bytes(32)  # stands for the link before the first
ALONE = ""  # the node of a store that no other machine shares
_COLUMNS = "INSERT INTO audit (node, seq, time, body, prev, mac)"
_LAST = "SELECT seq, mac FROM audit WHERE node = ? ORDER BY seq DESC LIMIT 1"
_ADD = f"{_COLUMNS} VALUES (?, ?, ?, ?, ?, ?)"
_ADD_AFTER = (
    f"{_COLUMNS} SELECT ?, ?, ?, ?, ?, ?"  # noqa: S608 - the columns named above
    " WHERE (SELECT mac FROM audit WHERE node = ? ORDER BY seq DESC LIMIT 1) = ?"
)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class Head(NamedTuple):
    """How far the chain had come: its last link and how many there were."""

    seq: int
    links: int
    mac: bytes


class Tip(NamedTuple):
    """What the next link needs of the last one."""

    seq: int
    mac: bytes


class Chain:
    """Makes links."""

    __slots__ = ("_last", "_mac", "_node", "_sealer", "tip")

    def __init__(self, keys: Keys, sealer: Sealer, node: str = ALONE) -> None:
        self._mac = hmac.new(key_of(keys, node), digestmod="sha256")
        self._sealer = sealer
        self._node = node
        self._last = sql(_LAST, node)
        # What was added last from here; another process may have gone on since.
        self.tip: Tip | None = None

    def append(
        self, entry: AuditEntry, *, now: datetime, patient_key: str | None = None
    ) -> Work[int]:
        """Add an event to the caller's transaction and return its number.

        `patient_key` stands for the patient, however the entry names them.
        """
        rows = yield self._last
        last = Tip(*rows[0]) if rows else Tip(0, START)
        row, tip = self._link(last, entry, now, patient_key)
        yield _ADD, row
        self.tip = tip
        return tip.seq

    def after(self, last: Tip, entry: AuditEntry, *, now: datetime) -> tuple[Statement, Tip]:
        """Return the one statement that adds an event, and the tip that it leaves.

        It adds nothing if `last` is not the last link, whoever added another.
        """
        row, tip = self._link(last, entry, now, None)
        return (_ADD_AFTER, (*row, self._node, last.mac)), tip

    def after_all(
        self, last: Tip, entries: Iterable[tuple[AuditEntry, datetime]]
    ) -> tuple[list[Row], Tip]:
        """Return the rows that add events one after the other, and the tip that they leave."""
        rows = []
        for entry, now in entries:
            row, last = self._link(last, entry, now, None)
            rows.append(row)
        return rows, last

    def _link(
        self, last: Tip, entry: AuditEntry, now: datetime, patient_key: str | None
    ) -> tuple[tuple[Value, ...], Tip]:
        seq = last.seq + 1
        body = self._body(seq, entry, now, patient_key)
        mac = self._mac.copy()
        mac.update(_placed(seq, last.mac, body))
        tip = Tip(seq, mac.digest())
        return (self._node, seq, micros(now), body, last.mac, tip.mac), tip

    def _body(self, seq: int, entry: AuditEntry, now: datetime, patient_key: str | None) -> bytes:
        when = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event: dict[str, Any] = {
            **entry.fields,
            "seq": seq,
            "time": when,
            "event": entry.event,
            "action": entry.action,
            "outcome": entry.outcome,
        }
        if entry.patient is not None:
            sealed = self._sealer.seal("patient", entry.patient.encode(), "audit", seq, "patient")
            event["patient"] = base64.b64encode(sealed).decode()
            known = patient_key or entry.patient_key
            patient_key = known or self._sealer.patient_key(entry.patient)
        if patient_key is not None:
            event["patient_key"] = patient_key
        return canonical(event)


def key_of(keys: Keys, node: str = ALONE) -> bytes:
    """Return the key of a node's chain: no link of one can stand in another's."""
    return keys.derive("audit" if node == ALONE else f"audit {node}")


def canonical(value: dict[str, Any]) -> bytes:
    """Return the one spelling of this object as JSON."""
    return _encode(value).encode()


def link(key: bytes, seq: int, prev: bytes, body: bytes) -> bytes:
    """Return the code that authenticates an event and its place."""
    return hmac.digest(key, _placed(seq, prev, body), "sha256")


def _placed(seq: int, prev: bytes, body: bytes) -> bytes:
    return seq.to_bytes(8, "big") + prev + body


def open_patient(sealer: Sealer, event: dict[str, Any]) -> str | None:
    """Return the patient of an event as read from a body, or None if it names none.

    Raises:
        StorageError: It does not belong to this event.
    """
    if "patient" not in event:
        return None
    sealed = base64.b64decode(event["patient"])
    return sealer.open("patient", sealed, "audit", event["seq"], "patient").decode()


def rows_after(node: str, after: int, limit: int) -> Work[list[AuditRow]]:
    """Return links of a node's chain in order."""
    rows = yield sql(
        "SELECT seq, body, prev, mac FROM audit WHERE node = ? AND seq > ? ORDER BY seq LIMIT ?",
        node,
        after,
        limit,
    )
    return [AuditRow(seq=seq, body=body, prev=prev, mac=mac) for seq, body, prev, mac in rows]


def nodes() -> Work[list[str]]:
    """Return the nodes that have a chain."""
    # Each by one step into the index, however long the chains are.
    found = list[str]()
    rows = yield sql("SELECT MIN(node) FROM audit")
    while rows[0][0] is not None:
        found.append(rows[0][0])
        rows = yield sql("SELECT MIN(node) FROM audit WHERE node > ?", found[-1])
    return found


def holds(head: Head, node: str) -> Work[bool]:
    """Return whether the chain still has the link that was once its head."""
    rows = yield sql("SELECT mac FROM audit WHERE node = ? AND seq = ?", node, head.seq)
    return bool(rows) and hmac.compare_digest(rows[0][0], head.mac)


def mark_head(node: str) -> Statement:
    """Return the statement that records how far the chain has come.

    It is one, so that no lock is held while Python does something else.
    """
    return sql(
        "INSERT INTO audit_head (node, seq, links, mac)"
        " SELECT node, seq, seq - (SELECT MIN(seq) FROM audit WHERE node = ?) + 1, mac"
        " FROM audit WHERE node = ? AND seq = (SELECT MAX(seq) FROM audit WHERE node = ?)"
        " ON CONFLICT (node) DO UPDATE SET"
        " seq = excluded.seq, links = excluded.links, mac = excluded.mac",
        node,
        node,
        node,
    )


def marked_head(node: str) -> Work[Head | None]:
    """Return what `mark_head` recorded last."""
    rows = yield sql("SELECT seq, links, mac FROM audit_head WHERE node = ?", node)
    return Head(*rows[0]) if rows else None


def head_path(path: Path) -> Path:
    """Return where the head of this database's chain stands."""
    return path.with_name(f"{path.name}.head")


def write_head(path: Path, head: Head, keys: Keys) -> None:
    """Replace the file as a whole; only its owner can read it."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    text = canonical(
        {
            "seq": head.seq,
            "count": head.links,
            "mac": head.mac.hex(),
            "proof": _proof(head, keys).hex(),
        }
    )
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def read_head(path: Path, keys: Keys) -> Head | None:
    """Return the head that stands in the second place, or None if there is none yet.

    Raises:
        StorageError: It cannot be read, or was not written by this program.
    """
    try:
        found = json.loads(path.read_bytes())
        head = Head(int(found["seq"]), int(found["count"]), bytes.fromhex(found["mac"]))
        proof = bytes.fromhex(found["proof"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise StorageError("The head of the audit chain cannot be read.") from exc
    if not hmac.compare_digest(proof, _proof(head, keys)):
        raise StorageError("The head of the audit chain was changed.")
    return head


def _proof(head: Head, keys: Keys) -> bytes:
    text = f"{head.seq}\0{head.links}\0{head.mac.hex()}".encode()
    return hmac.digest(keys.derive("audit-head"), text, "sha256")
