"""The panel's side of the server: the page's own answers, for the drafts whose tickets are given.

A client shows the panel inside its chat. What the panel asks for comes as a call, which any client
and any model could make as well: the tickets alone say what it may see and decide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from leyr_mcp.server.boundary import Arguments
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.attaching import Attaching
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.desk import Desk
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.filing.tickets import Tickets, void
from leyr_mcp.server.web import page
from leyr_mcp.server.web.deciding import ACTIONS, Decide, Drafts, Edit, Review
from leyr_mcp.server.web.seats import PanelSeat


@dataclass(frozen=True, slots=True)
class PanelAnswer:
    """What the panel is told, and the tickets that take the place of those it holds."""

    data: Mapping[str, Any]
    tickets: Sequence[Mapping[str, str]] = ()


class Panel:
    """Answers what panels ask for, and hands out what lets them ask."""

    def __init__(
        self,
        open_desk: Callable[[], Desk],
        journal: Journal,
        tickets: Tickets,
        *,
        open_attaching: Callable[[], Attaching],
        review_url: Callable[[str], Awaitable[str | None]],
        zone: ZoneInfo,
        sandbox: bool,
    ) -> None:
        self._open_desk = open_desk
        self._journal = journal
        self._tickets = tickets
        self._open_attaching = open_attaching
        self._review_url = review_url
        self._zone = zone
        self._sandbox = sandbox

    def document(self) -> str:
        """Return the panel itself, which holds no data."""
        return page.panel().body.decode()

    async def handed_out(self, draft_ids: Sequence[str], who: Who) -> dict[str, Any]:
        """Return what a panel needs to show these drafts of this user and have them decided on."""
        found: dict[str, Any] = {"tickets": [await self._issued(one, who) for one in draft_ids]}
        if draft_ids and (url := await self._review_url(draft_ids[0])):
            found["page"] = url
        return found

    async def call(
        self, action: str, tickets: Sequence[str], body: Mapping[str, Any], who: Who
    ) -> PanelAnswer:
        """Do what a panel asks for.

        Raises:
            LeyrMcpError: It cannot be done, or a ticket is missing, spent or not good at all.
        """
        try:
            ask = ACTIONS[action].model.model_validate(body)
        except ValidationError:
            raise InputError("The request is not in its form.", field="body") from None
        named = _named(ask)
        known = [self._tickets.read(text, who) for text in tickets]
        seat = PanelSeat(who, known, sandbox=self._sandbox)
        if not all(map(seat.holds, named)):
            raise void()
        if ACTIONS[action].decides and not await self._any_fits(seat, named):
            raise void()
        data = await self._review(seat).call(action, body)
        if isinstance(ask, Edit):
            return PanelAnswer(data, [await self._issued(ask.draft_id, who)])
        return PanelAnswer(data)

    async def _any_fits(self, seat: PanelSeat, named: Sequence[str]) -> bool:
        """Return whether any of these tickets is not spent; each draft sees to its own later."""
        return any([seat.fits(await self._open_desk().entry(one, seat.who)) for one in named])

    async def _issued(self, draft_id: str, who: Who) -> dict[str, str]:
        entry = await self._open_desk().entry(draft_id, who)
        return {"draft_id": draft_id, "ticket": self._tickets.issue(entry, who)}

    def _review(self, seat: PanelSeat) -> Review:
        return Review(
            self._open_desk,
            self._journal,
            seat,
            open_attaching=self._open_attaching,
            zone=self._zone,
        )


def _named(ask: Arguments) -> list[str]:
    """Return the drafts that a request names."""
    match ask:
        case Drafts():
            return ask.draft_ids
        case Decide():
            return [decision.draft_id for decision in ask.decisions]
        case Edit():
            return [ask.draft_id]
        case _:
            return []
