"""What a person is asked through the client, and who that is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from leyr_mcp.server.filing.audit import About, Who
from leyr_mcp.server.filing.entries import Person

# What a person answered: for each draft yes or no; None where nobody decided.
Answer = Mapping[str, bool] | None


@dataclass(frozen=True, slots=True)
class Field:
    """One yes or no of a question, by the id of its draft.

    `bound` is what the answer is bound to besides the words: version, digest, and since when that
    version waits. It is not shown.
    """

    draft_id: str
    title: str
    bound: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked: the whole text of it, and one yes or no for each draft.

    `about` names whose data it shows, for the audit.
    """

    text: str
    fields: tuple[Field, ...]
    about: tuple[About, ...] = ()


# Tells the client how far a call has come: seconds since it began to wait, and a sentence.
Tell = Callable[[float, str], Awaitable[None]]


class Ask(Protocol):
    """Asks the person at the client; an answer that comes too late goes to `late`."""

    async def __call__(
        self, question: Question, late: Callable[[Answer], Awaitable[None]]
    ) -> Answer:
        """Return the answer; or ask the client to make the same call again with one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and how the person there is asked, if that client is one that counts.

    `panel` tells that the client shows the drafts of the answer in a panel, to be decided on there;
    `tell` is how it is told of a filing that takes a while; `unattended` that the policy may file
    what nobody was asked about.
    """

    who: Who
    ask: Ask | None = None
    panel: bool = False
    tell: Tell | None = None
    unattended: bool = True

    @property
    def person(self) -> Person:
        """The person who answers the client's own question."""
        return Person(name=self.who.subject, channel=f"host:{self.who.client}", who=self.who)
