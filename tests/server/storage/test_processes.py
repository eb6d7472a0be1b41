"""Several processes on one file, and processes and power that end at the wrong moment."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

import pytest

from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Store
from tests.server.storage.builders import (
    HOUR,
    KEYS,
    NOW,
    READ,
    approved,
    claimed,
    event,
    known,
    links,
    opened,
    unbroken,
)

PROJECT = Path(__file__).parents[3]
CHILD = Path(__file__).with_name("child.py")
ORDER = ("awaiting_approval", "approved", "sending", "filed")
SEED = 20260302


async def started(what: str, path: Path, count: int) -> list[Process]:
    """Return processes that have opened the store and wait for a word."""
    return await started_at(what, [str(path)] * count)


async def started_at(what: str, places: list[str]) -> list[Process]:
    """Return such processes, each with its own way to the store."""
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = (sys.executable, str(CHILD), what)
    children = await asyncio.gather(
        *(
            asyncio.create_subprocess_exec(*command, place, stdin=PIPE, stdout=PIPE, env=env)
            for place in places
        )
    )
    for child in children:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
    return children


async def told(children: list[Process]) -> list[list[str]]:
    """Let them all work at once, and return what each one said."""
    found = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
    assert [child.returncode for child in children] == [0] * len(children)
    return [out.decode().splitlines() for out, _ in found]


async def test_the_same_call_in_four_processes_makes_one_draft(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    said = await told(await started("stage", path, 4))
    assert len({line for lines in said for line in lines}) == 1
    async with opened(SqliteStore(path, KEYS)) as store:
        assert len(await store.drafts()) == unbroken(await store.audit_rows()) == 1


async def test_three_processes_send_each_of_200_drafts_once(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        drafts = {(await approved(store, dedupe=str(n), digest=str(n))).id for n in range(200)}
        seen = await store.commits()
        said = await told(await started("claim", path, 3))
        assert await store.commits() != seen  # what others did is noticed
        sent = Counter(line for lines in said for line in lines)
        assert sent == Counter(f"{draft_id} 1" for draft_id in drafts)
        assert len(await store.drafts(states=["filed"], limit=1000)) == 200
        assert unbroken(await store.audit_rows()) == 600


async def test_three_processes_append_to_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    said = await told(await started("append", path, 3))
    numbers = sorted(int(line) for lines in said for line in lines)
    assert numbers == list(range(1, 451))
    async with opened(SqliteStore(path, KEYS)) as store:
        rows = await store.audit_rows()
        assert unbroken(rows) == 450
    assert chain.read_head(chain.head_path(path), KEYS) == chain.Head(450, 450, rows[-1].mac)


async def consistent(store: Store) -> None:
    """Fail if anything in this store contradicts anything else."""
    drafts = await store.drafts(limit=100_000)
    rows = await store.audit_rows(limit=100_000)
    await links(store)
    told: dict[str, list[str]] = {}
    for row in rows:
        found = event(row)
        if "draft_id" in found:
            told.setdefault(found["draft_id"], []).append(found["state"])
    assert set(told) == {draft.id for draft in drafts}
    for draft in drafts:
        step = ORDER.index(draft.state)
        assert told[draft.id] == list(ORDER[: step + 1])
        assert draft.attempt == (step >= 2)
        assert (draft.lease_owner is not None) == (draft.state == "sending")
        assert (draft.remote_id is not None) == (draft.state == "filed")
        assert (draft.approval_id is not None) == (step >= 1)
        if draft.approval_id is not None:
            approval = await store.approval(draft.approval_id)
            assert approval is not None
            assert (approval.used_at is not None) == (step >= 2)


@pytest.mark.parametrize("lines", [3, 41, 222])
async def test_a_killed_process_leaves_whole_transactions(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "leyr.db"
    (child,) = await started("work", path, 1)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"go\n")
    said = [(await child.stdout.readline()).decode().split() for _ in range(lines)]
    child.kill()
    rest, _ = await child.communicate()
    said += [line.split() for line in rest.decode().split("\n")[:-1]]
    assert child.returncode == -9
    async with opened(SqliteStore(path, KEYS)) as store:
        await consistent(store)
        last = {draft_id: state for state, draft_id in said if state != "read"}
        for draft_id, state in last.items():
            now = (await known(store, draft_id)).state
            least = ORDER.index("awaiting_approval" if state == "staged" else state)
            assert least <= ORDER.index(now) <= least + 1
        reads = [int(number) for what, number in said if what == "read"]
        assert len(await store.audit_rows(limit=100_000)) >= max(reads, default=0)
        left = await store.drafts(states=["sending"])
        assert await store.expire_leases(now=NOW + HOUR) == len(left) <= 1
        assert await store.append(READ, now=NOW, durable=True)


async def test_a_power_cut_leaves_whole_transactions_in_order(tmp_path: Path) -> None:
    """Of the log, only what was synced is certain; wherever it ends, what is left is whole."""
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        for number in range(12):
            await approved(store, dedupe=str(number), digest=str(number))
            assert await claimed(store) is not None
            await store.append(READ, now=NOW, durable=False)
        pieces = {name: (tmp_path / name).read_bytes() for name in ("leyr.db", "leyr.db-wal")}
    chance = random.Random(SEED)  # noqa: S311 - places in a file
    seen = set()
    for cut in [0, *(chance.randrange(len(pieces["leyr.db-wal"])) for _ in range(40))]:
        folder = tmp_path / "cut"
        folder.mkdir(mode=0o700)
        (folder / "leyr.db").write_bytes(pieces["leyr.db"])
        # A page that was being written when the power went may hold anything.
        torn = pieces["leyr.db-wal"][:cut] + chance.randbytes(200)
        (folder / "leyr.db-wal").write_bytes(torn)
        async with opened(SqliteStore(folder / "leyr.db", KEYS)) as store:
            await consistent(store)
            seen.add(len(await store.audit_rows(limit=1000)))
            await store.append(READ, now=NOW, durable=True)
        shutil.rmtree(folder)
    assert len(seen) > 10
