"""The review panel over the wire: who has it, what its tickets open, and what never does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from mcp import MCPError
from mcp.server import apps
from mcp.types import CallToolResult, Implementation, TextContent

from leyr_mcp.server import panel
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing.tickets import Tickets
from leyr_mcp.server.panel import ANSWER_META, REVIEW_META, TOOL, URI
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.spec import WRITES
from tests.support.mcp_asking import (
    HOST,
    NOTE,
    PROGRAM,
    Asking,
    Clock,
    User,
    connected,
    serving_app,
    user,
    yes,
)
from tests.support.mcp_session import both_eras

pytestmark = both_eras
DRAFTING = {spec.name for spec in TOOLS if spec.annotations is WRITES}
SECOND = {**NOTE, "title": "Andra", "content": "Ses om en vecka."}
THIRD = {**NOTE, "title": "Tredje", "content": "Recept förnyat."}


@dataclass(frozen=True)
class Shown:
    """A draft as a panel holds it."""

    draft_id: str
    ticket: str
    version: int
    digest: str

    def decision(self, *, approve: bool = True) -> dict[str, Any]:
        return {
            "draft_id": self.draft_id,
            "version": self.version,
            "digest": self.digest,
            "approve": approve,
        }


@dataclass(frozen=True)
class Chat:
    """A client that shows panels, and the panel in it."""

    session: Asking

    async def drafted(self, tool: str = "write_note", **arguments: Any) -> list[Shown]:
        """Have a tool draft, and return what the panel of its answer holds."""
        result = await self.session.call(tool, **(arguments or NOTE))
        assert not result.is_error, result.content
        return await self.opened((result.meta or {})[REVIEW_META]["tickets"])

    async def opened(self, given: Sequence[dict[str, str]]) -> list[Shown]:
        answer = await self.asked(
            "drafts",
            [one["ticket"] for one in given],
            draft_ids=[one["draft_id"] for one in given],
        )
        stands = {one["status"]["draft_id"]: one["status"] for one in answer["drafts"]}
        return [
            Shown(
                one["draft_id"],
                one["ticket"],
                stands[one["draft_id"]]["version"],
                stands[one["draft_id"]]["digest"],
            )
            for one in given
        ]

    async def call(self, action: str, tickets: Sequence[str], **body: Any) -> CallToolResult:
        return await self.session.call(TOOL, action=action, tickets=list(tickets), body=body)

    async def asked(self, action: str, tickets: Sequence[str], **body: Any) -> dict[str, Any]:
        """Return what the panel is told; the model's part of the answer says nothing."""
        result = await self.call(action, tickets, **body)
        assert not result.is_error, result.content
        assert [block.text for block in result.content if isinstance(block, TextContent)] == ["ok"]
        assert result.structured_content is None
        found: dict[str, Any] = (result.meta or {})[ANSWER_META]
        return found

    async def decide(self, *shown: Shown, no: Sequence[Shown] = ()) -> list[dict[str, Any]]:
        decisions = [one.decision() for one in shown]
        decisions += [one.decision(approve=False) for one in no]
        tickets = [one.ticket for one in (*shown, *no)]
        found = await self.asked("decide", tickets, decisions=decisions)
        results: list[dict[str, Any]] = found["results"]
        return results

    async def refused(self, action: str, tickets: Sequence[str], **body: Any) -> str:
        """Return the code of a refusal, after which nothing was decided."""
        writes = len(self.session.writes())
        result = await self.call(action, tickets, **body)
        assert result.is_error
        assert len(self.session.writes()) == writes
        meta = result.meta or {}
        assert ANSWER_META not in meta
        assert REVIEW_META not in meta
        code: str = meta["leyr-mcp/error"]["code"]
        return code

    async def state(self, draft_id: str) -> str:
        _, found = await self.session.ask("get_draft", draft_id=draft_id)
        state: str = found["status"]
        return state

    async def filed(self, draft_id: str) -> None:
        entry = await self.session.desk.entry(draft_id)
        assert (await self.session.desk.outcome(entry, 10)).draft.state == "filed"


@asynccontextmanager
async def chat(mode: str, person: User | None = None) -> AsyncIterator[Chat]:
    async with connecting(mode, person) as session:
        yield Chat(session)


@asynccontextmanager
async def connecting(
    mode: str,
    person: User | None = None,
    *,
    host: Implementation = HOST,
    panels: bool = True,
    settings: dict[str, str] | None = None,
) -> AsyncIterator[Asking]:
    clock = Clock()
    async with (
        serving_app(clock, **(settings or {})) as app,
        connected(app, mode, person, host=host, clock=clock, panels=panels) as session,
    ):
        yield session


# Who has it


def test_the_extension_is_called_what_the_library_calls_it(mode: str) -> None:
    assert (panel.EXTENSION_ID, panel.APP_MIME_TYPE) == (apps.EXTENSION_ID, apps.APP_MIME_TYPE)


async def test_a_host_with_panels_is_told_where_it_is(mode: str) -> None:
    async with chat(mode) as at:
        tools = (await at.session.client.list_tools()).tools
        shown = {tool.name: (tool.meta or {}).get("ui") for tool in tools}
        assert {name for name, ui in shown.items() if ui} == DRAFTING | {TOOL}
        assert shown.pop(TOOL) == {"resourceUri": URI, "visibility": ["app"]}
        assert [tool.name for tool in tools][-1] == TOOL
        assert all(ui == {"resourceUri": URI} for ui in shown.values() if ui)
        (shown_here,) = (await at.session.client.read_resource(URI)).contents
        assert shown_here.mime_type == "text/html;profile=mcp-app"
        assert shown_here.meta == {
            "ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}
        }


@pytest.mark.parametrize(
    "more",
    [
        {"panels": False},
        {"host": PROGRAM},
        {"settings": {"LEYR_MCP_APPROVAL_HOSTS": "none"}},
        {"settings": {"LEYR_MCP_READ_ONLY": "1"}},
    ],
    ids=["without the extension", "not named", "none named", "read-only"],
)
async def test_no_other_host_sees_or_can_call_it(mode: str, more: dict[str, Any]) -> None:
    async with connecting(mode, **more) as session:
        tools = (await session.client.list_tools()).tools
        assert TOOL not in [tool.name for tool in tools]
        assert not any((tool.meta or {}).get("ui") for tool in tools)
        with pytest.raises(MCPError, match="Unknown tool"):
            await session.call(TOOL, action="drafts", tickets=[], body={"draft_ids": []})
        with pytest.raises(MCPError, match="no such resource"):
            await session.client.read_resource(URI)
        if "LEYR_MCP_READ_ONLY" not in more.get("settings", {}):
            result = await session.call("write_note", **NOTE)
            assert REVIEW_META not in (result.meta or {})
            assert "panel" not in json.dumps(result.structured_content)


async def test_a_ticket_does_not_help_a_host_without_the_panel(mode: str) -> None:
    async with chat(mode) as at:
        (shown,) = await at.drafted()
        async with connected(at.session.app, mode, host=PROGRAM, panels=True) as other:
            with pytest.raises(MCPError, match="Unknown tool"):
                await other.call(
                    TOOL, action="decide", tickets=[shown.ticket], body={"decisions": []}
                )
        assert await at.state(shown.draft_id) == "awaiting_approval"


# What it does


async def test_a_person_approves(mode: str) -> None:
    async with chat(mode) as at:
        (shown,) = await at.drafted()
        (result,) = await at.decide(shown)
        assert result["done"]
        await at.filed(shown.draft_id)
        assert at.session.notes() == [NOTE["content"]]
        (approval,) = await at.session.approvals()
        assert approval.channel == f"panel:{HOST.name}"


async def test_a_person_declines(mode: str) -> None:
    async with chat(mode) as at:
        (shown,) = await at.drafted()
        (result,) = await at.decide(no=[shown])
        assert result["done"]
        assert await at.state(shown.draft_id) == "declined"
        assert at.session.writes() == []


async def test_a_person_edits_and_approves_what_was_edited(mode: str) -> None:
    async with chat(mode) as at:
        (shown,) = await at.drafted()
        edit = {"draft_id": shown.draft_id, "version": shown.version, "digest": shown.digest}
        result = await at.call(
            "edit", [shown.ticket], **edit, texts={"unstructured": "Mår mycket bra."}
        )
        meta = result.meta or {}
        (fresh,) = await at.opened(meta[REVIEW_META]["tickets"])
        assert fresh.version == 2
        assert await at.refused("decide", [shown.ticket], decisions=[shown.decision()]) == (
            "approval_void"
        )
        assert (await at.decide(fresh))[0]["done"]
        await at.filed(shown.draft_id)
        assert at.session.notes() == ["Mår mycket bra."]


async def test_some_of_several_are_filed(mode: str) -> None:
    async with chat(mode) as at:
        kept = [
            (await at.drafted(**note, draft=True))[0].draft_id for note in (NOTE, SECOND, THIRD)
        ]
        first, second, third = await at.drafted("file_drafts", draft_ids=kept)
        results = await at.decide(first, third, no=[second])
        assert [one["done"] for one in results] == [True, True, True]
        await at.filed(first.draft_id)
        await at.filed(third.draft_id)
        assert await at.state(second.draft_id) == "declined"
        assert len(at.session.writes()) == 2


async def test_what_became_of_it_is_still_told(mode: str) -> None:
    async with chat(mode) as at:
        (shown,) = await at.drafted()
        await at.decide(shown)
        await at.filed(shown.draft_id)
        for action, key in (("states", "states"), ("drafts", "drafts")):
            found = await at.asked(action, [shown.ticket], draft_ids=[shown.draft_id])
            assert "filed" in json.dumps(found[key])


async def test_the_panel_needs_no_passphrase_and_says_where_the_page_is(mode: str) -> None:
    async with chat(mode) as at:
        result = await at.session.call("write_note", **NOTE)
        given = (result.meta or {})[REVIEW_META]
        assert given["page"].startswith("http://127.0.0.1:")
        (one,) = given["tickets"]
        mode_told = await at.asked("drafts", [one["ticket"]], draft_ids=[one["draft_id"]])
        assert mode_told["passphrase"] is False
        assert (result.structured_content or {})["approval"]["channel"] == "panel"


async def test_a_client_that_also_asks_is_asked_first(mode: str) -> None:
    async with chat(mode, user(yes)) as at:
        result = await at.session.call("write_note", **NOTE)
        assert (result.structured_content or {})["status"] == "filed"
        (shown,) = await at.opened((result.meta or {})[REVIEW_META]["tickets"])
        (told,) = await at.decide(shown)
        assert not told["done"]
        assert len(at.session.writes()) == 1


async def test_a_draft_is_answered_even_where_no_ticket_can_be_made(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise StorageError("The key file cannot be read or made.")

    async with chat(mode) as at:
        monkeypatch.setattr(Tickets, "issue", broken)
        result = await at.session.call("write_note", **NOTE)
        assert not result.is_error
        assert (result.structured_content or {})["status"] == "awaiting_approval"
        assert REVIEW_META not in (result.meta or {})


# What never opens it


async def test_what_models_read_holds_no_ticket(mode: str) -> None:
    async with chat(mode) as at:
        seen = list[str]()
        tickets = list[str]()
        calls = [("write_note", {**NOTE, "draft": True}), ("write_note", SECOND)]
        for tool, arguments in calls:
            result = await at.session.call(tool, **arguments)
            tickets += [one["ticket"] for one in (result.meta or {})[REVIEW_META]["tickets"]]
            seen.append(json.dumps([block.model_dump() for block in result.content]))
            seen.append(json.dumps(result.structured_content))
        ids = [ticket.split(".")[0] for ticket in tickets]
        for tool, arguments in (
            ("file_drafts", {"draft_ids": ids}),
            ("list_drafts", {}),
            ("get_draft", {"draft_id": ids[0]}),
        ):
            result = await at.session.call(tool, **arguments)
            seen.append(json.dumps([block.model_dump() for block in result.content]))
            seen.append(json.dumps(result.structured_content))
        seals = [ticket.rsplit(".", 1)[1] for ticket in tickets]
        assert len(set(seals)) == 2
        assert not [seal for seal in seals if any(seal in text for text in seen)]


async def test_a_forged_foreign_or_missing_ticket_decides_nothing(mode: str) -> None:
    async with chat(mode) as at, chat(mode) as elsewhere:
        (shown,) = await at.drafted()
        (other,) = await at.drafted(**SECOND)
        (foreign,) = await elsewhere.drafted()
        said, _, seal = shown.ticket.rpartition(".")
        flipped = ("B" if seal[0] == "A" else "A") + seal[1:]
        wrong = [
            [],
            ["x"],
            [f"{said}.{flipped}"],
            [other.ticket],
            [foreign.ticket],
            [shown.ticket, "x"],
        ]
        for tickets in wrong:
            for action, body in (
                ("decide", {"decisions": [shown.decision()]}),
                ("decide", {"decisions": [shown.decision(approve=False)]}),
                ("drafts", {"draft_ids": [shown.draft_id]}),
                ("states", {"draft_ids": [shown.draft_id]}),
            ):
                assert await at.refused(action, tickets, **body) == "approval_void"
        assert await at.state(shown.draft_id) == "awaiting_approval"
        assert (await at.decide(shown))[0]["done"]  # a wrong guess blocks nobody
        await at.filed(shown.draft_id)


async def test_a_ticket_decides_once(mode: str) -> None:
    async with chat(mode) as at:
        (shown,) = await at.drafted()
        await at.decide(shown)
        await at.filed(shown.draft_id)
        again = {"decisions": [shown.decision()]}
        assert await at.refused("decide", [shown.ticket], **again) == "approval_void"
        assert len(at.session.writes()) == 1


async def test_a_ticket_is_spent_where_the_draft_waits_anew(mode: str) -> None:
    async with chat(mode) as at:
        (kept,) = await at.drafted(**NOTE, draft=True)
        at.session.clock.later(seconds=1)
        (asked,) = await at.drafted("file_drafts", draft_ids=[kept.draft_id])
        old = {"decisions": [kept.decision()]}
        assert await at.refused("decide", [kept.ticket], **old) == "approval_void"
        assert (await at.decide(asked))[0]["done"]


async def test_a_ticket_ends_after_a_quarter_of_an_hour(mode: str) -> None:
    async with chat(mode) as at:
        (shown,) = await at.drafted()
        at.session.clock.now += timedelta(minutes=15)
        for action, body in (
            ("decide", {"decisions": [shown.decision()]}),
            ("states", {"draft_ids": [shown.draft_id]}),
        ):
            assert await at.refused(action, [shown.ticket], **body) == "approval_void"
        assert await at.state(shown.draft_id) == "awaiting_approval"


async def test_refusals_are_stored_and_hold_no_ticket(mode: str) -> None:
    async with chat(mode) as at:
        (shown,) = await at.drafted()
        await at.refused("decide", ["forged"], decisions=[shown.decision()])
        store, _ = await at.session.app.journal.opened()
        events = [json.loads(row.body) for row in await store.audit_rows()]
        refused = [one for one in events if one.get("error") == "approval_void"]
        assert [(one["event"], one["client"]["name"]) for one in refused] == [
            ("approve", HOST.name)
        ]
        assert shown.ticket.rsplit(".", 1)[1] not in json.dumps(events)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"action": "resolve", "tickets": [], "body": {}},
        {"action": "queue", "tickets": [], "body": {}},
        {"action": "decide", "tickets": [], "body": {"decisions": []}},
        {"action": "decide", "tickets": ["x" * 1000], "body": {}},
        {"action": "drafts", "tickets": [], "body": {"draft_ids": ["../x"]}},
        {"action": "drafts", "tickets": [], "body": {"draft_ids": [], "more": 1}},
        {"action": "drafts", "tickets": "x", "body": {"draft_ids": []}},
        {"action": "edit", "tickets": [], "body": {}, "more": 1},
    ],
)
async def test_what_is_not_in_its_form_is_refused(mode: str, arguments: dict[str, Any]) -> None:
    async with chat(mode) as at:
        result = await at.session.call(TOOL, **arguments)
        assert result.is_error
        assert (result.meta or {})["leyr-mcp/error"]["code"] == "invalid_argument"
