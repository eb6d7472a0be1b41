"""Tickets: what lets the person at a client decide on one draft, without a passphrase.

A ticket is made here alone and goes where no model reads it. It is good for one draft in one
version, for one user, as long as that draft waits as it does now, and for fifteen minutes. Nothing
is stored: a decision or an edit moves the draft, and with that its ticket is spent.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.entries import Entry, principal
from leyr_mcp.server.storage.keys import Keys

GOOD_FOR = timedelta(minutes=15)
LONGEST = 240
_LABEL = "ticket"
_BOUND = 32


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that was made here, for this user, and whose time is not over."""

    draft_id: str
    bound: str

    def fits(self, entry: Entry) -> bool:
        """Return whether the draft still waits as it did when the ticket was made."""
        return entry.id == self.draft_id and hmac.compare_digest(self.bound, _bound(entry))


class Tickets:
    """Makes tickets and knows its own."""

    def __init__(self, keys: Callable[[], Keys], *, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._clock = clock

    def issue(self, entry: Entry, who: Who) -> str:
        """Return a ticket for a draft of this user."""
        until = int((self._clock() + GOOD_FOR).timestamp())
        said = f"{entry.id}.{until}.{_bound(entry)}"
        return f"{said}.{self._seal(said, who)}"

    def read(self, text: str, who: Who) -> Ticket:
        """Return a ticket that may at least see its draft.

        Raises:
            LeyrMcpError: It was not made here, not for this user, or its time is over.
        """
        said, _, seal = text.rpartition(".")
        given = seal.encode("utf-8", "surrogatepass")
        own = hmac.compare_digest(given, self._seal(said, who).encode())
        draft_id, until, bound = said.split(".") if own else ("", "0", "")
        if int(until) <= self._clock().timestamp():
            raise void()
        return Ticket(draft_id, bound)

    def _seal(self, said: str, who: Who) -> str:
        key = self._keys().derive(_LABEL)
        whole = f"{principal(who)}\0{said}".encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(hmac.digest(key, whole, sha256)).decode().rstrip("=")


def void() -> LeyrMcpError:
    """Return the refusal of a ticket that is not good, which never says why."""
    return LeyrMcpError(
        "This panel can no longer decide on that: it was changed, decided on or filed since, or 15 "
        "minutes went by. Nothing was done.",
        code="approval_void",
    )


def _bound(entry: Entry) -> str:
    return sha256(entry.bound.encode()).hexdigest()[:_BOUND]
