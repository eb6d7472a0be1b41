"""What a worker takes over at its start from processes that are dead, and what it leaves alone."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from leyr_mcp.server.filing import owners
from leyr_mcp.server.filing.checkpoints import hooked
from leyr_mcp.server.filing.owners import here, is_dead, new_owner
from leyr_mcp.server.storage.store import Draft
from tests.server.filing.desk import Desk, desk, note, payload, virtual
from tests.server.filing.simulator import Crash
from tests.server.filing.world import HANG, RESET_AFTER


@pytest.fixture(scope="module")
def dead() -> str:
    """The name of a worker whose process is no more."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return f"{here()}:{ended.pid}:0badcafe"


def test_only_what_certainly_ended_on_this_machine_is_dead(dead: str) -> None:
    assert is_dead(dead)
    assert not is_dead(new_owner())
    assert not is_dead(f"elsewhere:{dead.split(':', 1)[1]}")
    for number in ("", "0", "-1", "1.0", "²", "9" * 30, "1"):
        assert not is_dead(f"{here()}:{number}:0badcafe")
    for name in ("", "w1", f"{here()}", f"{here()}:{os.getpid()}"):
        assert not is_dead(name)


def test_another_machine_of_the_same_name_is_never_dead(dead: str) -> None:
    _, pid, token = dead.rsplit(":", 2)
    for node in (platform.node(), f"{platform.node()}.{'0' * 12}"):
        assert not is_dead(f"{node}:{pid}:{token}")
    assert is_dead(dead)


def test_system_that_tells_nothing_of_itself_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_BOOT", tmp_path / "none")
    monkeypatch.setattr(owners, "_PROCESSES", tmp_path / "none")
    assert here.__wrapped__() == platform.node()
    (tmp_path / "boot").write_text("abc\n")
    monkeypatch.setattr(owners, "_BOOT", tmp_path / "boot")
    assert here.__wrapped__().startswith(f"{platform.node()}.")
    assert here.__wrapped__() == here.__wrapped__() != here()


def test_two_workers_of_one_process_have_two_names() -> None:
    assert new_owner() != new_owner()


async def died(at: Desk, owner: str, step: str) -> Draft:
    """Return a draft whose worker died at a step of sending it."""
    draft = await at.approved(payload(note()))

    def hook(name: str) -> None:
        if name == step:
            raise Crash

    with hooked(hook), pytest.raises(Crash):
        await at.worker(owner)._steps.send_one()
    return await at.now(draft)


@virtual
async def test_what_a_dead_process_was_about_to_send_is_free_at_once(dead: str) -> None:
    async with desk() as at:
        assert (await died(at, dead, "checked")).lease_owner == dead
        steps = at.worker("w2")._steps

        assert not await steps.send_one()
        await steps.look_one()
        assert await steps.send_one()


@virtual
async def test_what_a_dead_process_sent_is_looked_for_at_once(dead: str) -> None:
    async with desk() as at:
        draft = await died(at, dead, "answered")
        assert (draft.state, draft.lease_owner) == ("sending", dead)

        assert await at.worker("w2")._steps.look_one()

        found = await at.now(draft)
        assert (found.state, found.matched_by) == ("filed", "content")


@virtual
async def test_being_dead_decides_nothing_before_the_grace_is_over(dead: str) -> None:
    async with desk() as at:
        draft = await died(at, dead, "claimed")

        assert await at.worker("w2")._steps.look_one()

        assert (await at.now(draft)).state == "unknown"


@virtual
async def test_a_look_that_a_dead_process_began_is_made_again_at_once(dead: str) -> None:
    async with desk(faults=lambda: RESET_AFTER) as at:
        draft = await at.approved(payload(note()))
        await at.worker(dead)._steps.send_one()
        await asyncio.sleep(1)
        held = await at.worker(dead)._steps._take(("unknown",), 60)
        assert held is not None

        assert await at.worker("w2")._steps.look_one()

        assert (await at.now(draft)).state == "filed"


@pytest.mark.parametrize("owner", [new_owner(), "elsewhere:1:0badcafe"], ids=["here", "elsewhere"])
@virtual
async def test_what_a_living_process_holds_stays_its_own(owner: str) -> None:
    async with desk(faults=lambda: HANG) as at:
        draft = await died(at, owner, "claimed")

        assert not await at.worker("w2")._steps.look_one()

        found = await at.now(draft)
        assert (found.state, found.lease_owner) == ("sending", owner)
