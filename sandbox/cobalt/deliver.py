"""Webhooks as Cobalt delivers them: signed, one retry, and lost after that."""

import asyncio
import contextlib
import hmac
import json
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import httpx2

from leyr_mcp.sandbox.cobalt.events import logged, pushed
from leyr_mcp.sandbox.cobalt.options import Delivery, Options
from leyr_mcp.sandbox.cobalt.store import Body, Store

TOO_MANY = 429
FAILED = 500
KEPT = 1000
Result = Literal["success", "failed"]


@dataclass
class Attempt:
    """One delivery that was tried, as the control plane tells it."""

    url: str
    event_id: str
    attempt: int
    told: str


@dataclass
class Deliverer:
    """Sends events to the registered addresses, each by a task of its own."""

    store: Store
    options: Options
    orders: list[Delivery] = field(default_factory=list)
    log: deque[Attempt] = field(default_factory=lambda: deque(maxlen=KEPT))
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _held: list[tuple[Body, str]] = field(default_factory=list)

    def push(self, events: list[Body], now: datetime) -> None:
        """Begin to deliver; without a running event loop, or an address, nothing is sent."""
        urls = [one["url"] for one in self.store.all("webhook")]
        if not urls or not self.options.deliver:
            return
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            for event in events:
                for url in urls:
                    task = loop.create_task(self._deliver(event, url, self.secret(now)))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def stop(self) -> None:
        """Give up what is under way."""
        for task in tuple(self._tasks):
            with contextlib.suppress(RuntimeError):  # its loop is gone
                task.cancel()

    def secret(self, now: datetime) -> str:
        """Return the secret that signs now."""
        old, until = self.store.meta("old_secret"), self.store.meta("old_until")
        overlap = until is not None and now < datetime.fromisoformat(until)
        if self.options.sign_with == "old" and old and overlap:
            return old
        return self.store.meta("secret") or ""

    async def _deliver(self, event: Body, url: str, secret: str) -> None:
        order = self._order()
        if order is not None and order.result == "lose":
            self._note(event, url, 0, "lost on the way")
            return self._mark(event, "failed", 0)
        if order is not None and order.result == "late":
            await asyncio.sleep(order.seconds)
        if order is not None and order.result == "swap":
            self._held.append((event, url))
            return None
        if order is not None and order.result == "wrong_signature":
            secret = "whsec_of_somebody_else"  # noqa: S105 -- wrong on purpose
        older = order is not None and order.result == "older_shape"
        copies = 2 if order is not None and order.result == "twice" else 1
        for _ in range(copies):
            await self._send(event, url, secret, older=older)
        held, self._held = self._held, []
        for other, where in held:
            await self._send(other, where, secret, older=False)
        return None

    async def _send(self, event: Body, url: str, secret: str, *, older: bool) -> None:
        body = encoded(logged({**event, "older": True}) if older else pushed(event))
        headers = {
            "content-type": "application/json",
            "cobalt-verification": signature(body, secret),
            "webhook-id": event["id"],
            "webhook-timestamp": event["created"],
        }
        limits = (self.options.first_limit_s, self.options.retry_limit_s)
        async with httpx2.AsyncClient(trust_env=False, follow_redirects=False) as client:
            for attempt, limit in enumerate(limits, 1):
                again = False
                try:
                    async with asyncio.timeout(limit):
                        answer = await client.post(
                            url, content=body, headers={**headers, "webhook-attempt": str(attempt)}
                        )
                    told = str(answer.status_code)
                    if answer.is_success:
                        self._note(event, url, attempt, told)
                        return self._mark(event, "success", attempt)
                    again = answer.status_code >= FAILED or answer.status_code == TOO_MANY
                except (TimeoutError, httpx2.TimeoutException):
                    told = "timed out"
                except httpx2.HTTPError as error:
                    told, again = type(error).__name__, True
                self._note(event, url, attempt, told)
                if not again or attempt == len(limits):
                    break
                await asyncio.sleep(self.options.retry_after_s)
        return self._mark(event, "failed", attempt)

    def _order(self) -> Delivery | None:
        if not self.orders:
            return None
        order = self.orders[0]
        if order.times == 1:
            del self.orders[0]
        else:
            self.orders[0] = order.model_copy(update={"times": order.times - 1})
        return order

    def _note(self, event: Body, url: str, attempt: int, told: str) -> None:
        self.log.append(Attempt(url, event["id"], attempt, told))

    def _mark(self, event: Body, result: Result, attempts: int) -> None:
        with self.store.transaction():
            known = self.store.get("event", event["id"])
            if known is not None and known["delivery_status"] != "success":
                told = {**known, "delivery_status": result, "attempts": attempts}
                self.store.put("event", event["id"], told)


def encoded(body: dict[str, Any]) -> bytes:
    """Return JSON as JavaScript writes it: no spaces, the order kept, nothing escaped."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def signature(body: bytes, secret: str) -> str:
    """Return the hex HMAC-SHA256 of a body."""
    return hmac.digest(secret.encode(), body, "sha256").hex()
