"""Users at work: visits made by many programs at once, which try again until they get an answer."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from leyr_mcp.sandbox.slots import Slot, free_slots
from tests.outside.site import HOST, Site

MODERN = "2026-07-28"
DAY_S = 86_400
_AGAIN_S = 0.1
_PATIENCE_S = 240.0
# Nothing was done, and it can be tried again once the database is there.
_STORE_AWAY = ("audit_unavailable", "storage_full")
_WAITING = ("draft", "awaiting_approval")
_ENDED = ("filed", "declined", "needs_human")
_CANARY = re.compile(r"Kanarie-([a-z0-9]+)-")


@dataclass
class Visit:
    """What was drafted for one patient, and what the person said to it."""

    user: str
    author: str
    patient: str
    word: str
    slot: Slot
    drafts: dict[str, str] = field(default_factory=dict)
    said: dict[str, bool] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)


class CrossedError(AssertionError):
    """Somebody was told what is another's."""


@dataclass
class Client:
    """One user's program; a lost or refused answer is asked for again with the very same call."""

    user: str
    token: str
    http: httpx2.AsyncClient
    lost: int = 0
    refused: int = 0
    bytes_read: int = 0

    async def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a tool, once there is one.

        A question to the person is a result too.
        """
        return await self.again({"name": name, "arguments": arguments})

    async def again(self, params: dict[str, Any]) -> dict[str, Any]:
        """Make one call until it is answered."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                result = await self._once(params)
                if result is None:
                    self.lost += 1
                    await asyncio.sleep(_AGAIN_S)
                    continue
                error = (result.get("_meta") or {}).get("leyr-mcp/error") or {}
                if error.get("retry", "no") == "no" and error.get("code") not in _STORE_AWAY:
                    return result
                self.refused += 1
                await asyncio.sleep(float(error.get("retry_after_s") or _AGAIN_S))

    async def _once(self, params: dict[str, Any]) -> dict[str, Any] | None:
        """Return what came back of one request; None where that cannot be known."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "visits", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        }
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {**params, "_meta": meta},
        }
        headers = {
            "host": HOST,
            "authorization": f"Bearer {self.token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": MODERN,
            "mcp-method": "tools/call",
            "mcp-name": params["name"],
        }
        try:
            answer = await self.http.post("/mcp", json=body, headers=headers)
        except httpx2.TransportError:
            return None
        if answer.status_code in (502, 503, 504):
            return None
        assert answer.status_code == 200, (answer.status_code, answer.text)
        self.bytes_read += len(answer.content)
        self._look(answer.text)
        message = _message(answer)
        assert message is None or "result" in message, message
        return None if message is None else dict(message["result"])

    def _look(self, text: str) -> None:
        """See that nothing of another user is in an answer."""
        others = {found for found in _CANARY.findall(text) if found != self.user}
        if others:
            raise CrossedError(f"{self.user} was told of {', '.join(others)}")


def _message(answer: httpx2.Response) -> dict[str, Any] | None:
    """Return the last message of an answer or a stream of events; None if it broke off."""
    if answer.headers["content-type"].startswith("application/json"):
        return dict(answer.json())
    lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    found = [json.loads(line.removeprefix("data: ")) for line in lines]
    return next((one for one in reversed(found) if "result" in one or "error" in one), None)


class Times:
    """Free times of the record, each given once."""

    def __init__(self, site: Site) -> None:
        backend = site.sandbox._backend
        now = datetime.now(UTC)
        self._left = dict[str, Iterator[Slot]]()
        for unit in backend.units:
            taken = backend.store.taken(unit.id, None)
            from_s = now.timestamp() + DAY_S
            slots = free_slots(unit, taken, now, from_s, from_s + 115 * DAY_S)
            self._left[unit.id] = iter(_apart(slots))

    def next(self, unit: str) -> Slot:
        """Return one that nobody else gets."""
        return next(self._left[unit])


def _apart(slots: list[Slot]) -> list[Slot]:
    """Return those that do not overlap another one of the same resource."""
    ends = dict[str, int]()
    found = []
    for slot in slots:
        if slot.start >= ends.get(slot.resource_id, 0):
            ends[slot.resource_id] = slot.end
            found.append(slot)
    return found


async def visit(client: Client, seen: Visit, chance: random.Random) -> Visit:
    """Make one visit: find, look, draft, have it approved in part or whole, see it through."""
    found = await client.call("find_patient", {"patient_id": seen.patient})
    assert found["structuredContent"]["patients"], found
    start = datetime.fromtimestamp(seen.slot.start, UTC).isoformat()
    end = datetime.fromtimestamp(seen.slot.end, UTC).isoformat()
    times = await client.call("list_timeslots", {"start": start, "end": end})
    assert not times.get("isError"), times
    note = f"{seen.word} mår bra."
    await _draft(client, seen, "write_note", title="Besök", content=note)
    await _draft(
        client,
        seen,
        "book_appointment",
        start=start,
        end=end,
        resource_id=seen.slot.resource_id,
        healthcare_service_id=seen.slot.service_id,
        comment=seen.word,
    )
    if chance.random() < 0.25:
        await _draft(client, seen, "attach_document", title=seen.word, text=f"Brev: {seen.word}")
    await _decided(client, seen, chance)
    for draft_id, said in seen.said.items():
        seen.states[draft_id] = await _seen_through(client, draft_id, said=said)
    return seen


async def _draft(client: Client, seen: Visit, tool: str, **more: Any) -> None:
    given = {"patient_id": seen.patient, "draft": True, **more}
    result = await client.call(tool, given)
    assert not result.get("isError"), result
    seen.drafts[result["structuredContent"]["draft_id"]] = tool


async def _decided(client: Client, seen: Visit, chance: random.Random) -> None:
    """Have a person asked, who says no to some of it now and then."""
    call = {"name": "file_drafts", "arguments": {"draft_ids": list(seen.drafts)}}
    result = await client.again(call)
    while result.get("resultType") == "input_required":
        asked = result["inputRequests"]["approval"]["params"]["requestedSchema"]["properties"]
        for draft_id in asked:  # who was asked before says the same again
            seen.said.setdefault(draft_id, chance.random() > 0.1)
        answer = {draft_id: seen.said[draft_id] for draft_id in asked}
        again = {
            "inputResponses": {"approval": {"action": "accept", "content": answer}},
            "requestState": result["requestState"],
        }
        result = await client.again({**call, **again})
    assert not result.get("isError"), result
    for one in result["structuredContent"]["results"]:
        assert one["status"] not in _WAITING, one
        assert one["draft_id"] in seen.said, one


async def _seen_through(client: Client, draft_id: str, *, said: bool) -> str:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            result = await client.call("get_draft", {"draft_id": draft_id})
            status = str(result["structuredContent"]["status"])
            if status in _ENDED or not said:
                return status
            await asyncio.sleep(_AGAIN_S * 5)
