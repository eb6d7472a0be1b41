"""Who sits at the page or at the panel, and how it is known that they may decide."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.filing.audit import Who, local_user
from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.filing.passphrase import Passphrase, Refused
from leyr_mcp.server.filing.tickets import Ticket
from leyr_mcp.server.users import UNSEEN, User

PAGE = "review page"


class NotRecognisedError(LeyrMcpError):
    """Whoever asked did not prove to be an approver; `cause` is what the audit is told."""

    default_code: ClassVar[str] = "invalid_argument"

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message, field="passphrase")
        self.cause = cause


class Seat(Protocol):
    """A place at which a person reads drafts and decides on them."""

    @property
    def channel(self) -> str:
        """Through what decisions come from here."""
        ...

    @property
    def who(self) -> Who:
        """As whom what happens here is stored."""
        ...

    @property
    def owner(self) -> Who | None:
        """Whose drafts alone are seen from here; None where all are."""
        ...

    @property
    def unseen(self) -> frozenset[str]:
        """The kinds of drafts that do not exist for who sits here."""
        ...

    async def mode(self) -> dict[str, Any]:
        """Return what is told of this place: what proof it asks for."""
        ...

    async def person(self, phrase: str | None) -> Person:
        """Return the person who decides.

        Raises:
            NotRecognisedError: That is no approver.
        """
        ...

    def anyone(self) -> Person:
        """Return whoever sits here: enough to decline and to edit, which files nothing."""
        ...

    def fits(self, entry: Entry) -> bool:
        """Return whether what is decided here is still decided on that draft as it was seen."""
        ...


class PageSeat:
    """At the page: the approver's passphrase, asked for each time; the sandbox asks for none."""

    channel = PAGE
    owner: Who | None = None
    unseen: frozenset[str] = frozenset()

    def __init__(self, passphrase: Passphrase, *, sandbox: bool) -> None:
        self._passphrase = passphrase
        self._sandbox = sandbox
        self.who = Who(subject=local_user(), client=PAGE)

    async def mode(self) -> dict[str, Any]:
        """Return what proof is asked for, and of whom."""
        approver = await asyncio.to_thread(self._passphrase.approver)
        return {
            "sandbox": self._sandbox,
            "passphrase": not self._sandbox,
            "approver": approver.name if approver else None,
        }

    async def person(self, phrase: str | None) -> Person:
        """Return the approver whose passphrase this is.

        Raises:
            NotRecognisedError: It is nobody's.
        """
        if self._sandbox:
            return self.anyone()
        found = await asyncio.to_thread(self._passphrase.verify, phrase or "")
        if isinstance(found, Refused):
            told = f"{found.message} Nothing was done."
            raise NotRecognisedError(told, cause=f"passphrase_{found.reason}")
        return self._named(found.name)

    def anyone(self) -> Person:
        """Return whoever sits here."""
        return self._named(local_user())

    def fits(self, entry: Entry) -> bool:  # noqa: ARG002 - each request names its version
        """Return True."""
        return True

    def _named(self, name: str) -> Person:
        return Person(name=name, channel=PAGE, who=dataclasses.replace(self.who, name=name))


class NodeSeat:
    """At the page of a node: whoever signed in, and what their scopes let them do."""

    channel = PAGE

    def __init__(self, user: User, *, sandbox: bool) -> None:
        self._user = user
        self._sandbox = sandbox
        self.who = Who(subject=user.subject, role=user.role).signed_in(user)
        self.owner: Who | None = self.who
        self.unseen: frozenset[str] = UNSEEN.get(user.role or "", frozenset())

    async def mode(self) -> dict[str, Any]:
        """Return who signed in; no passphrase is asked for."""
        name = self._user.name or self._user.subject
        return {"sandbox": self._sandbox, "passphrase": False, "approver": None, "user": name}

    async def person(self, phrase: str | None) -> Person:  # noqa: ARG002 - the sign-in is the proof
        """Return who signed in, if they may approve.

        Raises:
            LeyrMcpError: They may not.
        """
        return self._may("ehr.file")

    def anyone(self) -> Person:
        """Return who signed in, if they may draft.

        Raises:
            LeyrMcpError: They may not.
        """
        return self._may("ehr.draft")

    def fits(self, entry: Entry) -> bool:  # noqa: ARG002 - each request names its version
        """Return True."""
        return True

    def _may(self, scope: str) -> Person:
        if not self._user.may(scope):
            raise LeyrMcpError(f"Your sign-in lacks {scope}.", code="scope_missing")
        return Person(name=self._user.name or self._user.subject, channel=PAGE, who=self.who)


class PanelSeat:
    """At a client's panel: whoever holds a ticket, which the client keeps from its model."""

    def __init__(self, who: Who, tickets: Iterable[Ticket], *, sandbox: bool) -> None:
        self.who = who
        self.owner: Who | None = who
        self.unseen: frozenset[str] = frozenset()
        self.channel = f"panel:{who.client}"
        self._tickets = {ticket.draft_id: ticket for ticket in tickets}
        self._sandbox = sandbox

    def holds(self, draft_id: str) -> bool:
        """Return whether a ticket of this draft was given."""
        return draft_id in self._tickets

    async def mode(self) -> dict[str, Any]:
        """Return that no passphrase is asked for."""
        return {"sandbox": self._sandbox, "passphrase": False, "approver": None}

    async def person(self, phrase: str | None) -> Person:  # noqa: ARG002 - the ticket is the proof
        """Return the user of the client."""
        return self.anyone()

    def anyone(self) -> Person:
        """Return the user of the client."""
        return Person(name=self.who.subject, channel=self.channel, who=self.who)

    def fits(self, entry: Entry) -> bool:
        """Return whether the draft's ticket is not spent."""
        ticket = self._tickets.get(entry.id)
        return ticket is not None and ticket.fits(entry)
