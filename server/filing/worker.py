"""The worker: files what is approved and finds out what became of it, until it is stopped.

Any number of them, in any number of processes, may run over one store. What one is about to do is
in the ledger before it does it, so another can tell what a dead one may have done.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.filing.audit import AuditTrail
from leyr_mcp.server.filing.precheck import Files
from leyr_mcp.server.filing.steps import Steps
from leyr_mcp.server.filing.timing import Timing, utc_now
from leyr_mcp.server.logs import location
from leyr_mcp.server.storage.store import OPEN, Draft, Store

_log = logging.getLogger("leyr_mcp.filing")
_TIMING = Timing()
_LONGEST_PAUSE_S = 30.0


class _Bell:
    """Wakes the one who waits for it; rung before, it does not let them wait at all."""

    __slots__ = ("_rung", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake who waits, or who waits next."""
        self._rung = True
        self._wake()

    async def wait(self, seconds: float) -> bool:
        """Return whether it was rung in time."""
        if not self._rung:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(seconds, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        rung, self._rung = self._rung, False
        return rung

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Worker:
    """Works in the background; nothing that goes wrong with one draft ends it."""

    def __init__(  # noqa: PLR0913 - its whole surroundings, each replaced by tests
        self,
        store: Store,
        ehr: Ehr,
        *,
        owner: str,
        trail: AuditTrail,
        files: Files,
        environment: str | None = None,
        timing: Timing = _TIMING,
        clock: Callable[[], datetime] = utc_now,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._timing = timing
        self._clock = clock
        self._steps = Steps(
            store,
            ehr,
            owner=owner,
            trail=trail,
            environment=environment,
            files=files,
            timing=timing,
            clock=clock,
            rng=rng or random.Random(),  # noqa: S311 - spreads retries, guards nothing
            changed=self._tell,
        )
        self._stopping = False
        self._task: asyncio.Task[object] | None = None
        self._lanes: list[_Bell] = []
        self._waiting: dict[str, list[_Bell]] = {}

    async def run(self) -> None:
        """Work until stopped: one lane sends, one finds out, so that neither holds up the other."""
        self._task = asyncio.current_task()
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._lane(self._steps.send_one))
            lanes.create_task(self._lane(self._steps.look_one))

    def wake(self) -> None:
        """Look at the ledger now: something was approved."""
        for lane in self._lanes:
            lane.ring()

    def stop(self) -> None:
        """Start nothing new; `run` ends after what is under way."""
        self._stopping = True
        self.wake()

    async def drain(self, seconds: float) -> bool:
        """Stop, and return whether what was under way ended in time; else it is cancelled."""
        self.stop()
        task = self._task
        if task is None or task.done():
            return True
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
        return bool(done)

    async def outcome(self, draft_id: str, wait_s: float) -> Draft | None:
        """Return a draft once no worker moves it any more, or as it stands after `wait_s`."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_s
        changed = _Bell()
        # Registered before the state is read, so that no change between the two is missed.
        self._waiting.setdefault(draft_id, []).append(changed)
        try:
            while True:
                draft = await self._store.draft(draft_id)
                left = ends - loop.time()
                if draft is None or left <= 0 or not self._moves(draft):
                    return draft
                await changed.wait(min(left, self._timing.poll_s))
        finally:
            others = self._waiting[draft_id]
            others.remove(changed)
            if not others:
                del self._waiting[draft_id]

    def _moves(self, draft: Draft) -> bool:
        return draft.state in OPEN or draft.id in self._steps.verifying

    def _tell(self, draft_id: str) -> None:
        for changed in self._waiting.get(draft_id, ()):
            changed.ring()
        self.wake()

    async def _lane(self, step: Callable[[], Awaitable[bool]]) -> None:
        wake = _Bell()
        self._lanes.append(wake)
        failures = 0
        while not self._stopping:
            try:
                seen = await self._store.commits()
                if not await step():
                    await self._rest(wake, seen)
                failures = 0
            except Exception as exc:  # noqa: BLE001 - a dead worker would be a silent one
                failures += 1
                _log.error("filing: %s", location(exc))
                await wake.wait(
                    min(self._timing.poll_s * 2.0 ** min(failures, 10), _LONGEST_PAUSE_S)
                )

    async def _rest(self, wake: _Bell, seen: int) -> None:
        """Wait until woken, until another process committed something, or until one is due."""
        poll = self._timing.poll_s
        while True:
            due = await self._store.next_due()
            left = math.inf if due is None else (due - self._clock()).total_seconds()
            # What is due already and was not taken is in another's hands: no reason to hurry.
            if await wake.wait(min(left, poll) if left > 0 else poll) or left <= poll:
                return
            if await self._store.commits() != seen:
                return
