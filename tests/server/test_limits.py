"""How much is answered: buckets that fill evenly, room for some at once, refusals with a time."""

from __future__ import annotations

import asyncio

import pytest

from leyr_mcp.server import limits
from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.limits import AT_ONCE, AT_ONCE_IN_ALL, PER_MINUTE, WAITING, Limits, What


class Monotonic:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def once(at: Limits, user: str = "a", *what: What) -> str | None:
    """Return why a call was refused, or None."""
    try:
        async with at.turn(user, *(what or ("calls",))):
            return None
    except LeyrMcpError as exc:
        return exc.code if exc.retry_after_s else "never again"


@pytest.mark.parametrize("what", list(PER_MINUTE))
async def test_a_bucket_is_emptied_by_a_flood_and_fills_evenly(what: What) -> None:
    clock = Monotonic()
    at, most = Limits(clock), PER_MINUTE[what]
    assert [await once(at, "a", what) for _ in range(most)] == [None] * most
    assert await once(at, "a", what) == "rate_limited"
    assert await once(at, "b", what) is None
    clock.now += 60 / most
    assert await once(at, "a", what) is None
    assert await once(at, "a", what) == "rate_limited"
    clock.now += 3_600
    assert [await once(at, "a", what) for _ in range(most)] == [None] * most
    assert await once(at, "a", what) == "rate_limited"


async def test_a_refused_call_costs_no_bucket() -> None:
    at = Limits(Monotonic())
    for _ in range(PER_MINUTE["writes"]):
        await once(at, "a", "calls", "writes")
    for _ in range(100):
        assert await once(at, "a", "calls", "writes") == "rate_limited"
    left = PER_MINUTE["calls"] - PER_MINUTE["writes"]
    assert [await once(at) for _ in range(left)] == [None] * left


async def held(at: Limits, user: str, done: asyncio.Event) -> None:
    async with at.turn(user):
        await done.wait()


async def test_one_user_has_so_many_at_once() -> None:
    at, done = Limits(Monotonic()), asyncio.Event()
    tasks = [asyncio.create_task(held(at, "a", done)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    assert await once(at) == "busy"
    assert await once(at, "b") is None
    done.set()
    await asyncio.gather(*tasks)
    assert await once(at) is None


async def test_all_together_have_room_a_queue_and_no_more() -> None:
    at, done = Limits(Monotonic()), asyncio.Event()
    many = AT_ONCE_IN_ALL + WAITING
    tasks = [asyncio.create_task(held(at, f"u{n}", done)) for n in range(many)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert await once(at, "late") == "busy"
    tasks[-1].cancel()
    await asyncio.gather(tasks[-1], return_exceptions=True)
    waiting = asyncio.create_task(once(at, "late"))
    await asyncio.sleep(0)
    assert not waiting.done()
    done.set()
    await asyncio.gather(*tasks[:-1])
    assert await waiting is None


async def test_users_who_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_USERS", 3)
    at, done = Limits(Monotonic()), asyncio.Event()
    kept = asyncio.create_task(held(at, "kept", done))
    await asyncio.sleep(0)
    for number in range(10):
        await once(at, f"u{number}")
    assert len(at._uses) == 3
    assert "kept" in at._uses
    done.set()
    await kept
