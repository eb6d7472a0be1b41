"""Many users through a proxy on nodes that die: every write once, every yes filed, nobody crossed.

`SOAK=1` is the whole clinic group: fifty users, two thousand visits, thirty nodes killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from leyr_mcp.server.storage.store import Draft
from tests.outside.programs import Outside
from tests.outside.site import Site, site
from tests.outside.visits import Client, Times, Visit, visit

SOAK = os.environ.get("SOAK") == "1"
UNITS = ("L0_1", "L0_2")
_SETTLED_S = 180.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    users: int
    visits: int
    kills: int
    restarts: int


SIZE = Size(50, 2_000, 30, 2) if SOAK else Size(6, 18, 3, 1)


async def test_every_write_once_whatever_dies(outside: Outside, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000) if SOAK else 7
    async with site(outside, tmp_path, _table(SIZE.users), nodes=3, seed=seed) as at:
        clients, visits = await _worked(at, SIZE)
        wrong = await _wrong(at, visits)
        tally = Counter(state for one in visits for state in one.states.values())
        told = (
            f"seed {seed}: {len(visits)} visits, {dict(tally)}, {at.killed} nodes killed, "
            f"{sum(one.lost for one in clients)} answers lost, "
            f"{sum(one.refused for one in clients)} refused"
        )
        sys.stdout.write(f"{told}\n")
        assert not wrong, (told, wrong[:10])
        assert at.killed == SIZE.kills
        assert len(visits) == SIZE.visits
        assert tally["filed"] > SIZE.visits
        for node in at.nodes:
            assert node.stop() in (0, -signal.SIGTERM)
            verdict = json.loads(at.command(node, "audit", "verify", "--json"))
            assert verdict["intact"], verdict


def _table(users: int) -> dict[str, dict[str, Any]]:
    """Return the operator's table: half of the users in each care unit, each an author of it."""
    authors = {"L0_1": ("1021", "1022", "1023"), "L0_2": ("1031", "1032", "1033")}
    found = {}
    for number in range(users):
        unit = UNITS[number % 2]
        own = authors[unit]
        found[f"user{number:02}"] = {
            "author_id": own[number // 2 % len(own)],
            "care_units": [unit],
        }
    return found


async def _worked(at: Site, size: Size) -> tuple[list[Client], list[Visit]]:
    """Have all visits made while nodes and the database fail."""
    table, times = _table(size.users), Times(at)
    queue = [(f"user{number % size.users:02}", number) for number in range(size.visits)]
    people = _patients(at)
    done = list[Visit]()
    progress = asyncio.Condition()
    clients = list[Client]()

    async def works(user: str) -> None:
        unit = table[user]["care_units"][0]
        chance = random.Random(f"{at.seed} {user}")  # noqa: S311 - no secret
        async with httpx2.AsyncClient(
            base_url=at.proxy.origin, trust_env=False, timeout=60
        ) as http:
            client = Client(user, await at.token(user), http)
            clients.append(client)
            for number in [number for whose, number in queue if whose == user]:
                word = f"Kanarie-{user}-{number:04}"
                author = table[user]["author_id"]
                patient, slot = chance.choice(people[unit]), times.next(unit)
                seen = Visit(user, author, patient, word, slot)
                made = await visit(client, seen, chance)
                async with progress:
                    done.append(made)
                    progress.notify_all()

    async def fails() -> None:
        """Kill as the work goes on, so that every kill meets work under way."""
        events = ["kill"] * size.kills + ["restart"] * size.restarts
        at.chance.shuffle(events)
        for number, event in enumerate(events, 1):
            due = number * size.visits // (len(events) + 1)
            async with progress:
                while len(done) < due:
                    await progress.wait()
            await (at.kill_one() if event == "kill" else at.restart_database())

    async with asyncio.TaskGroup() as group:
        group.create_task(fails())
        for user in table:
            group.create_task(works(user))
    return clients, done


def _patients(at: Site) -> dict[str, list[str]]:
    """Return patients by care unit, as calls name them."""
    found: dict[str, list[str]] = {unit: [] for unit in UNITS}
    for patient in at.sandbox.control.patients():
        if patient.external_id and len(patient.external_id) == len("191212121212"):
            found[patient.care_unit_id].append(f"se_personal_number:{patient.external_id}")
    return found


async def _wrong(at: Site, visits: Sequence[Visit]) -> list[str]:
    """Return what must not be."""
    found = []
    drafts = await _settled(at)
    for one in visits:
        for draft_id, tool in one.drafts.items():
            draft = drafts.pop(draft_id)
            copies = _copies(at, one, tool)
            wanted = "filed" if one.said[draft_id] else "declined"
            if draft.state != wanted or copies != (wanted == "filed"):
                found.append(
                    f"{one.word} {tool}: {draft.state} ({draft.reason}) instead of {wanted}, "
                    f"{copies} in the record"
                )
    found += [
        f"nobody knows of {draft.id}, {draft.kind} {draft.state}" for draft in drafts.values()
    ]
    return found


async def _settled(at: Site) -> dict[str, Draft]:
    """Return all drafts once no worker moves them any more."""
    async with at.store() as store, asyncio.timeout(_SETTLED_S):
        while True:
            drafts = await store.drafts(limit=100_000)
            if not any(draft.state in ("approved", "sending", "unknown") for draft in drafts):
                return {draft.id: draft for draft in drafts}
            await asyncio.sleep(0.5)


def _copies(at: Site, one: Visit, tool: str) -> int:
    """Return how often the record holds a draft, with the right patient and author alone."""
    control, number = at.sandbox.control, one.patient.partition(":")[2]
    if tool == "write_note":
        own = [note for note in control.notes(number) if one.word in str(note.content)]
        return sum(note.created_by_id == one.author for note in own)
    if tool == "attach_document":
        return sum(
            (file.title, file.created_by_id) == (one.word, one.author)
            for file in control.documents(number)
        )
    return sum(entry.comment == one.word for entry in control.appointments(number))
