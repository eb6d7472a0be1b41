"""The schema as numbered steps, each taken once and never back, in SQL that both engines accept.

Each step is one transaction with the row that records it, so an interrupted one leaves the schema
before it. Times are microseconds since 1970, UTC. SQLite takes BYTEA as any type it does not
know: bytes stay bytes.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import NamedTuple

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.rows import Work, micros, sql


class Migration(NamedTuple):
    """A step: its number, what it is for, its statements."""

    number: int
    name: str
    statements: tuple[str, ...]


_LEDGER_AND_CHAIN = (
    """
    CREATE TABLE drafts (
        id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        principal TEXT NOT NULL,
        care_unit_id TEXT NOT NULL,
        patient_key TEXT NOT NULL,
        dedupe TEXT UNIQUE,
        digest TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        approval_id TEXT,
        attempt INTEGER NOT NULL DEFAULT 0,
        first_sent_at BIGINT,
        last_sent_at BIGINT,
        lease_owner TEXT,
        lease_until BIGINT,
        next_at BIGINT,
        looked INTEGER NOT NULL DEFAULT 0,
        job_id TEXT,
        remote_id BYTEA,
        remote_key TEXT UNIQUE,
        matched_by TEXT,
        verified TEXT,
        reason BYTEA,
        dropped INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX drafts_by_time ON drafts (created_at, id)",
    "CREATE INDEX drafts_by_state_and_time ON drafts (state, created_at, id)",
    "CREATE INDEX drafts_by_state ON drafts (state, updated_at)",
    "CREATE INDEX drafts_by_patient ON drafts (patient_key, kind, digest)",
    "CREATE INDEX drafts_with_text ON drafts (state, updated_at) WHERE dropped = 0",
    """
    CREATE TABLE versions (
        draft_id TEXT NOT NULL REFERENCES drafts (id),
        version INTEGER NOT NULL,
        digest TEXT NOT NULL,
        payload BYTEA NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (draft_id, version)
    )
    """,
    """
    CREATE TABLE approvals (
        id TEXT PRIMARY KEY,
        draft_id TEXT NOT NULL REFERENCES drafts (id),
        version INTEGER NOT NULL,
        digest TEXT NOT NULL,
        approver TEXT NOT NULL,
        channel TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        used_at BIGINT
    )
    """,
    """
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        time BIGINT NOT NULL,
        body BYTEA NOT NULL,
        prev BYTEA NOT NULL,
        mac BYTEA NOT NULL
    )
    """,
    """
    CREATE TABLE audit_head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seq INTEGER NOT NULL,
        links INTEGER NOT NULL,
        mac BYTEA NOT NULL
    )
    """,
    "CREATE TABLE key_check (id INTEGER PRIMARY KEY CHECK (id = 1), mac BYTEA NOT NULL)",
)
# A primary key cannot be changed in SQL that both engines accept, so the tables are made anew.
_CHAIN_OF_EACH_NODE = (
    """
    CREATE TABLE node_audit (
        node TEXT NOT NULL,
        seq BIGINT NOT NULL,
        time BIGINT NOT NULL,
        body BYTEA NOT NULL,
        prev BYTEA NOT NULL,
        mac BYTEA NOT NULL,
        PRIMARY KEY (node, seq)
    )
    """,
    "INSERT INTO node_audit SELECT '', seq, time, body, prev, mac FROM audit ORDER BY seq",
    "DROP TABLE audit",
    "ALTER TABLE node_audit RENAME TO audit",
    """
    CREATE TABLE node_audit_head (
        node TEXT PRIMARY KEY,
        seq BIGINT NOT NULL,
        links BIGINT NOT NULL,
        mac BYTEA NOT NULL
    )
    """,
    "INSERT INTO node_audit_head SELECT '', seq, links, mac FROM audit_head",
    "DROP TABLE audit_head",
    "ALTER TABLE node_audit_head RENAME TO audit_head",
)
MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "ledger_and_chain", _LEDGER_AND_CHAIN),
    Migration(2, "what_is_shown", ("ALTER TABLE versions ADD COLUMN shown BYTEA",)),
    Migration(
        3,
        "queued_writes",
        (
            "ALTER TABLE drafts ADD COLUMN told BYTEA",
            "CREATE TABLE events (id TEXT PRIMARY KEY, came_at BIGINT NOT NULL)",
            "CREATE INDEX events_by_time ON events (came_at)",
        ),
    ),
    Migration(4, "chain_of_each_node", _CHAIN_OF_EACH_NODE),
    Migration(
        5,
        "shared_files",
        (
            """
            CREATE TABLE pieces (
                name TEXT NOT NULL,
                number INTEGER NOT NULL,
                last INTEGER NOT NULL,
                sealed BYTEA NOT NULL,
                came_at BIGINT NOT NULL,
                PRIMARY KEY (name, number)
            )
            """,
            "CREATE INDEX pieces_by_time ON pieces (came_at) WHERE number = 0",
        ),
    ),
)


def found() -> Work[frozenset[int]]:
    """Return the numbers of the steps that were taken."""
    yield sql(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    )
    rows = yield sql("SELECT number FROM migrations")
    return frozenset(row[0] for row in rows)


def missing(taken: frozenset[int]) -> tuple[Migration, ...]:
    """Return the steps still to take.

    Raises:
        StorageError: A newer program made this store.
    """
    if taken - {step.number for step in MIGRATIONS}:
        raise StorageError("The local store was made by a newer leyr-mcp; update this one.")
    return tuple(step for step in MIGRATIONS if step.number not in taken)


def take(step: Migration, now: datetime) -> Work[bool]:
    """Take one step, unless another process did meanwhile; return whether."""
    rows = yield sql("SELECT 1 FROM migrations WHERE number = ?", step.number)
    if rows:
        return False
    for statement in step.statements:
        yield sql(statement)
    yield sql("INSERT INTO migrations VALUES ?", (step.number, step.name, micros(now)))
    return True


def check_key(keys: Keys) -> Work[None]:
    """Prove that the store was written with these keys; the first to come leaves the proof.

    Raises:
        StorageError: It was written with others.
    """
    mine = hmac.digest(keys.derive("check"), b"leyr-mcp", "sha256")
    yield sql("INSERT INTO key_check VALUES (1, ?) ON CONFLICT (id) DO NOTHING", mine)
    rows = yield sql("SELECT mac FROM key_check WHERE id = 1")
    if not hmac.compare_digest(rows[0][0], mine):
        raise StorageError("The data key is not the one that the local store was made with.")
