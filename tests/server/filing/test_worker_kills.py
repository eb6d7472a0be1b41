"""A process that dies at any step of filing: nothing is filed twice, nothing is lost."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from leyr_mcp.server import filing
from leyr_mcp.server.ehr.port import Stored
from leyr_mcp.server.files import intake
from leyr_mcp.server.filing.checkpoints import NAMES, STAGING, checkpoint, hooked
from leyr_mcp.server.filing.payloads import Item
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Draft
from tests.server.filing.desk import (
    Desk,
    accepted,
    booking,
    desk,
    document,
    note,
    payload,
    virtual,
    world,
)
from tests.server.filing.simulator import Crash
from tests.server.filing.world import (
    CONFLICT,
    CUT,
    FAILED_AFTER,
    GOOD,
    HANG,
    HANG_LOST,
    REFUSED,
    RESET_AFTER,
    RESET_BEFORE,
    SAID_NO,
    SLOW_DOWN,
    STRANGE,
    Fault,
    clock,
    late,
)

AT_ONCE = Fault("at once", stored_after=0, told_after=0.001)
WITH_A_DRAFT = [name for name in NAMES if name not in STAGING]
KINDS: tuple[Item, ...] = (note(), booking(), document())
MODES = (
    *(GOOD, REFUSED, RESET_BEFORE, RESET_AFTER, HANG, HANG_LOST, FAILED_AFTER, CUT),
    *(SLOW_DOWN, SAID_NO, CONFLICT, STRANGE, late(90), late(500)),
)


class Trap:
    """Kills a process when it comes to a step for the first time."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.seen = list[str]()

    def __call__(self, name: str) -> None:
        self.seen.append(name)
        if name == self.step:
            raise Crash


async def _until_dead_or_done(at: Desk, draft: Draft, owner: str, trap: Trap) -> Draft:
    """Let one process work until it dies or until nothing moves the draft any more."""
    worker = at.worker(owner)
    with hooked(trap):
        running = asyncio.create_task(worker.run())
    waiting = asyncio.create_task(worker.outcome(draft.id, 1_000))
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    worker.stop()
    await asyncio.wait({running})
    if not running.cancelled():
        running.exception()
    return await at.now(draft)


@pytest.mark.parametrize("step", WITH_A_DRAFT)
@pytest.mark.parametrize("fault", MODES, ids=lambda fault: f"{fault.name} {fault.stored_after}")
@pytest.mark.parametrize("item", KINDS, ids=lambda item: type(item).__name__)
@virtual
async def test_a_death_at_any_step_loses_nothing_and_doubles_nothing(
    item: Item, fault: Fault, step: str
) -> None:
    async with desk(faults=lambda: fault) as at:
        draft = await at.approved(payload(item))
        await _until_dead_or_done(at, draft, "w1", Trap(step))
        found = await _until_dead_or_done(at, draft, "w2", Trap("none"))
        await asyncio.sleep(600)

        assert found.state in {"filed", "needs_human"}
        assert at.world.received.total() <= 1
        assert at.world.stored.total() <= 1
        if found.state == "filed":
            assert found.remote_id in at.world.entries
        elif fault.stored_after is not None and fault.stored_after < 100:
            # Only a process that died before it sent anything leaves such a write undone.
            assert at.world.stored.total() == 0


@virtual
async def test_a_death_after_a_job_was_asked_for_loses_nothing() -> None:
    async with desk() as at:
        draft = await accepted(at)
        at.world.jobs["j1"] = Stored(record_id="r1")
        at.world.put_note(note().new("a1"))

        await _until_dead_or_done(at, draft, "w1", Trap("asked"))
        assert (await at.now(draft)).state == "accepted"
        found = await _until_dead_or_done(at, draft, "w2", Trap("none"))

        assert (found.state, found.verified) == ("filed", "equal")


@virtual
async def test_every_step_is_reached() -> None:
    seen = set[str]()
    items: tuple[Item, ...] = (note(), document())
    ways = ((GOOD, "none"), (RESET_AFTER, "none"), (HANG, "claimed"))
    for item, (fault, step) in product(items, ways):
        async with desk(faults=lambda fault=fault: fault) as at:
            draft = await at.approved(payload(item))
            for owner, trap in (("w1", Trap(step)), ("w2", Trap("none"))):
                await _until_dead_or_done(at, draft, owner, trap)
                seen |= set(trap.seen)
    async with desk() as at:
        at.world.jobs["j1"] = Stored(record_id="r1")
        trap = Trap("none")
        with hooked(trap):
            await accepted(at)
            await asyncio.sleep(2)
            await at.worker()._steps.look_one()
        seen |= set(trap.seen)

    assert seen == set(NAMES) - set(STAGING)


def test_the_list_of_steps_is_that_of_the_code() -> None:
    folder = Path(filing.__file__).parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    named = re.findall(r"checkpoint\(\"(\w+)\"\)", code)
    before = re.findall(r"_step\(\"(\w+)\"\)", Path(intake.__file__).read_text(encoding="utf-8"))

    assert sorted({*before, *named}) == sorted(NAMES)
    assert set(before) == set(STAGING)
    assert len(re.findall(r"\bcheckpoint\(", code)) == len(named) + 1  # and where it is defined


def test_a_step_is_nothing_without_a_hook() -> None:
    seen = list[str]()

    checkpoint("due")
    with hooked(seen.append):
        checkpoint("checked")
    checkpoint("claimed")

    assert seen == ["checked"]


def _die_at(path: Path, step: str) -> None:
    """File one note in a process that ends at that step, with nothing closed."""

    def hook(name: str) -> None:
        if name == step:
            os._exit(9)

    async def main() -> None:
        store = SqliteStore(path, Keys(bytes(32)))
        await store.open()
        at = Desk(store, world(faults=lambda: AT_ONCE, read_faults=lambda: AT_ONCE))
        await at.approved(payload(note()))
        with hooked(hook):
            await at.worker()._steps.send_one()

    asyncio.run(main())


@pytest.mark.parametrize(("step", "stored"), [("claimed", False), ("answered", True)])
async def test_a_process_that_really_dies_leaves_what_another_needs(
    step: str,
    stored: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
) -> None:
    path = tmp_path / "state" / "ledger.db"
    process = multiprocessing.get_context("spawn").Process(target=_die_at, args=(path, step))
    process.start()
    process.join()
    assert process.exitcode == 9

    store = SqliteStore(path, Keys(bytes(32)))
    await store.open()
    at = Desk(store, world(faults=lambda: AT_ONCE, read_faults=lambda: AT_ONCE))
    if stored:
        at.world.put_note(note().new("a1"))
    (draft,) = await store.drafts()
    assert (draft.state, draft.attempt) == ("sending", 1)
    events = [row.body for row in await store.audit_rows()]
    assert sum(b'"phase":"intent"' in body for body in events) == 1

    worker = at.worker("w2")
    worker._steps._clock = lambda: clock() + timedelta(hours=1)
    while (await at.now(draft)).state in {"sending", "unknown"}:
        assert await worker._steps.look_one()
    found = await at.now(draft)
    assert found.state == ("filed" if stored else "needs_human")
    assert not at.world.received
    await store.close()
