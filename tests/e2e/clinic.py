"""A record on a socket, a person who says yes to every question, and the ledger on the disk."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.control import Recorded
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.sandbox.slots import free_slots
from leyr_mcp.server.filing.verify import verify_store
from leyr_mcp.server.settings import load
from leyr_mcp.server.storage.keys import parse
from leyr_mcp.server.storage.place import database_path
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Draft
from tests.e2e.wire import MODERN, Wire, connected

Kind = Literal["note", "appointment", "change", "document"]

HOST = "claude-code"
CANARY = "Svar från laboratoriet"
TOLVAN = "191212121212"
PATIENT = f"se_personal_number:{TOLVAN}"
KEY = base64.b64encode(bytes(range(32))).decode()
OVER = ("filed", "needs_human")
SETTLED_S = 30.0
_POLL_S = 0.05
_DAY_S = 86_400


@dataclass
class Clinic:
    """One record, one home folder, and all processes that ever ran there."""

    sandbox: Any
    origin: str
    home: Path
    processes: int = 0
    drafts: list[Draft] = field(default_factory=list)
    _times: int = 0

    @property
    def control(self) -> Any:
        """The control plane of the record."""
        return self.sandbox.control

    @property
    def settings(self) -> dict[str, str]:
        """What makes a server use this record, with short deadlines."""
        return {
            "LEYR_BASE_URL": f"{self.origin}/api",
            "LEYR_CLIENT_ID": self.sandbox.client_id,
            "LEYR_CLIENT_SECRET": self.sandbox.client_secret,
            "LEYR_EMR": "webdoc",
            "LEYR_CARE_UNIT_ID": "L0_1",
            "LEYR_RESOURCE_ID": "1021",
            "LEYR_MCP_DATA_KEY": KEY,
            "LEYR_MCP_WRITE_DEADLINE_S": "1",
            "LEYR_MCP_GRACE_S": "3",
            "LEYR_MCP_ROOTS": str(self.home / "files"),
        }

    @property
    def database(self) -> Path:
        """The file of the store that the processes share."""
        return database_path(
            load({**self.settings, "LEYR_MCP_STATE_DIR": str(self.home / "state")})
        )

    @asynccontextmanager
    async def server(self, *command: str, **more: str) -> AsyncIterator[Wire]:
        """Start a server here and open the connection, as a host that asks its person."""
        self.processes += 1
        self.home.mkdir(parents=True, exist_ok=True)
        settings = {**self.settings, **more}
        era = settings.pop("era", "legacy")
        async with connected(self.home, *command, era=era, client=HOST, **settings) as wire:
            yield wire

    def fail(self, *kinds: str, method: str = "POST", **more: Any) -> None:
        """Have each of these faults hit one write, in this order."""
        for kind in kinds:
            given = {"kind": kind, "method": method, **more}
            self.control.faults.add(Fault.model_validate(given))

    def order(self, fate: str) -> None:
        """Have writes end like this where they are queued; here nothing is."""
        assert fate == "good"

    def call(self, kind: Kind) -> dict[str, Any]:
        """Return a call that writes something which was not there before."""
        self._times += 1
        if kind == "note":
            text = f"Mår bra, besök {self._times}."
            arguments = {"patient_id": PATIENT, "title": "Besök", "content": text}
            return {"name": "write_note", "arguments": arguments}
        if kind == "appointment":
            start, end = self._free_time(self._times)
            arguments = {"patient_id": PATIENT, "start": start, "end": end}
            place = {"resource_id": "1021", "healthcare_service_id": "301"}
            return {"name": "book_appointment", "arguments": {**arguments, **place}}
        if kind == "document":
            arguments = {"patient_id": PATIENT, "title": "Svar", "path": self._file(self._times)}
            return {"name": "attach_document", "arguments": arguments}
        arguments = {"appointment_id": self._booked(), "action": "cancel"}
        return {"name": "change_appointment", "arguments": arguments}

    def _file(self, turn: int) -> str:
        """Return the name of a file that goes in several pieces."""
        folder = self.home / "files"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"svar-{turn}.txt"
        (folder / name).write_text(f"{CANARY} {turn}\n" * 40_000, encoding="utf-8")
        return name

    def staged(self) -> list[bytes]:
        """Return what lies staged, as it lies there."""
        folder = self.database.with_suffix(".files")
        return [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []

    def _free_time(self, turn: int) -> tuple[str, str]:
        unit = self.sandbox._backend.units[0]
        now = datetime.now(UTC)
        taken = self.sandbox._backend.store.taken(unit.id, None)
        from_s = now.timestamp() + _DAY_S
        free = [
            slot
            for slot in free_slots(unit, taken, now, from_s, from_s + 14 * _DAY_S)
            if (slot.resource_id, slot.service_id) == ("1021", "301")
        ]
        slot = free[turn]
        return tuple(  # type: ignore[return-value]  # two of them
            datetime.fromtimestamp(at, UTC).isoformat() for at in (slot.start, slot.end)
        )

    def _booked(self) -> str:
        now = datetime.now(UTC).timestamp()
        return next(
            str(item.id)
            for item in self.control.appointments(TOLVAN)
            if item.start_s > now and item.status == "booked" and item.care_unit_id == "L0_1"
        )

    def writes(self) -> list[Recorded]:
        """Return the writes that the record received, carried out or not."""
        return [entry for entry in self.control.requests.entries if entry.method != "GET"]

    async def received(self, count: int = 1) -> None:
        """Wait until the record has received so many writes."""
        async with asyncio.timeout(SETTLED_S):
            while True:
                if len(self.writes()) >= count:
                    return
                await asyncio.sleep(_POLL_S)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[SqliteStore]:
        """Open the ledger that the processes share."""
        store = SqliteStore(self.database, parse(KEY))
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    async def until(self, told: Callable[[list[Draft]], bool], within_s: float) -> list[Draft]:
        """Return the drafts once something is true of them, or as they stand after so long."""
        async with self.store() as store:
            drafts = await store.drafts()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    while not told(drafts):
                        await asyncio.sleep(_POLL_S)
                        drafts = await store.drafts()
            return drafts

    async def settled(self, count: int = 1) -> list[Draft]:
        """Return the drafts once all of them are where no worker moves them any more."""

        def over(drafts: list[Draft]) -> bool:
            return len(drafts) == count and all(draft.state in OVER for draft in drafts)

        return await self.until(over, SETTLED_S)

    def copies(self, draft: Draft) -> int:
        """Return how often the record holds what a draft is about."""
        item = json.loads(draft.payload)["item"]
        if draft.kind == "note":
            text = item["content"]["unstructured"]
            return sum(
                note.content.get("unstructured") == text for note in self.control.notes(TOLVAN)
            )
        if draft.kind == "appointment":
            start = datetime.fromisoformat(item["start"]).timestamp()
            return sum(entry.start_s == start for entry in self.control.appointments(TOLVAN))
        if draft.kind == "document":
            return sum(
                sha256(found.content).hexdigest() == item["sha256"]
                for found in self.control.documents(TOLVAN)
            )
        done = [entry for entry in self.writes() if entry.carried_out and entry.method == "PATCH"]
        return sum(entry.path.endswith(item["appointment_id"]) for entry in done)

    async def wrong(self, drafts: Sequence[Draft], count: int) -> list[str]:
        """Return what must not be, after all processes are gone."""
        found = [] if len(drafts) == count else [f"{len(drafts)} drafts instead of {count}"]
        for draft in drafts:
            copies, state = self.copies(draft), draft.state
            if state not in OVER or copies > 1 or (state == "filed") != (copies == 1):
                found.append(f"{draft.kind}: {state} ({draft.reason}), {copies} in the record")
        async with self.store() as store:
            verdict = await verify_store(store, parse(KEY))
            bodies = [json.loads(row.body) for row in await store.audit_rows(limit=10_000)]
        if not verdict.intact:
            found.append("the audit chain is broken")
        intents = Counter(body["draft_id"] for body in bodies if body.get("phase") == "intent")
        if any(CANARY.encode() in raw for raw in self.staged()):
            found.append("a staged file can be read")
        if len(self.writes()) > intents.total():
            found.append(f"{len(self.writes())} writes, {intents.total()} intents")
        return found


async def say_yes(
    wire: Wire, calls: Sequence[dict[str, Any]], *, first: Callable[[], None] | None = None
) -> list[dict[str, Any]]:
    """Make calls at once and say yes to each question; return the answers that came.

    They are fewer than the calls if the server dies. `first` is done before the first yes.
    """
    waiting: dict[int, dict[str, Any]] = {}
    for number, call in enumerate(calls, 1_000):
        waiting[number] = call
        wire.send("tools/call", call, id=number)
    answers = []
    asked = False
    while waiting and (message := await wire.message()) is not None:
        result = message.get("result", {})
        question = (
            message if "method" in message else result.get("inputRequests", {}).get("approval")
        )
        if question is None:
            waiting.pop(message["id"])
            answers.append(message)
            continue
        if not asked and first is not None:
            first()
        asked = True
        answer = {"action": "accept", "content": _yes(question["params"])}
        if wire.era == MODERN:
            again = {"inputResponses": {"approval": answer}, "requestState": result["requestState"]}
            wire.send("tools/call", {**waiting[message["id"]], **again}, id=message["id"])
        else:
            wire.answer(message["id"], answer)
    return answers


def _yes(params: dict[str, Any]) -> dict[str, bool]:
    return dict.fromkeys(params["requestedSchema"]["properties"], True)


@asynccontextmanager
async def clinic(home: Path) -> AsyncIterator[Clinic]:
    """Open a record of its own on a free port."""
    sandbox = Sandbox()
    try:
        async with serving(sandbox) as origin:
            yield Clinic(sandbox, origin, home)
    finally:
        sandbox.close()
