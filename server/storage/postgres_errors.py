"""What a failure of PostgreSQL means: connect again, run again, or a sentence for the caller.

The text of an exception, which may quote a row or the address, is never repeated.
"""

from __future__ import annotations

from asyncpg import InterfaceError, InternalClientError, PostgresError
from asyncpg.exceptions import InvalidCachedStatementError

from leyr_mcp.server.errors import StorageError

# Whatever the driver raises for what the database or the network did.
FAILURES = (PostgresError, InterfaceError, InternalClientError, OSError)
# A transaction that was taken back for another's sake can be run again as it is.
_TAKEN_BACK = frozenset({"40001", "40P01"})
_NOT_UNIQUE = "23505"
# Shut down, crashed, starting, idle for too long; and all connection exceptions.
_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
_LOST_CLASS = "08"
_LOST_SENTENCE = (
    "The connection to the database was lost; what was under way is stored whole or not at all."
)
_SLOW_SENTENCE = "The database is locked or too slow; nothing was stored."
_SENTENCES = {
    "55P03": _SLOW_SENTENCE,
    "57014": _SLOW_SENTENCE,
    "53100": "The disk of the database is full; nothing was stored.",
    "53300": "The database takes no more connections.",
    "25006": "The database can only be read: it is a copy, or was made so.",
    "3D000": "The database that LEYR_MCP_DATABASE_URL names does not exist.",
    "28000": "The database refuses the user of LEYR_MCP_DATABASE_URL.",
    "28P01": "The database refuses the user or the password of LEYR_MCP_DATABASE_URL.",
    "42501": "The database does not let the user of LEYR_MCP_DATABASE_URL do what is needed.",
}
_DISK_FULL = "53100"


def is_lost(exc: BaseException) -> bool:
    """Return whether this connection is of no use any more, or none could be made."""
    if isinstance(exc, PostgresError):
        state = exc.sqlstate or ""
        return state in _LOST or state.startswith(_LOST_CLASS)
    # The driver loses count of where it stands when the server hangs up between two statements.
    # A timeout is an OSError; a wrong value is an InterfaceError, but no fault of the connection.
    lost = InterfaceError | InternalClientError | OSError
    return isinstance(exc, lost) and not isinstance(exc, ValueError)


def is_taken_back(exc: BaseException) -> bool:
    """Return whether the transaction left nothing and may succeed when it is run again.

    Two processes of one node may add the same link: the key of the chain lets one of them in.
    """
    if isinstance(exc, InvalidCachedStatementError):  # somebody migrated meanwhile
        return True
    return is_second_link(exc) or (
        isinstance(exc, PostgresError) and (exc.sqlstate or "") in _TAKEN_BACK
    )


def is_second_link(exc: BaseException) -> bool:
    """Return whether a link stands already where one was to be added."""
    return (
        isinstance(exc, PostgresError)
        and exc.sqlstate == _NOT_UNIQUE
        and getattr(exc, "table_name", None) == "audit"
    )


def storage_error(exc: BaseException) -> StorageError:
    """Return what the caller is told."""
    state = (exc.sqlstate or "") if isinstance(exc, PostgresError) else ""
    if is_lost(exc):
        return StorageError(_LOST_SENTENCE)
    sentence = _SENTENCES.get(state, "The database cannot be read or written.")
    return StorageError(sentence, code="storage_full" if state == _DISK_FULL else None)
