"""Clients of the record for tests: an injected clock, no waiting, against any upstream."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.ehr.capabilities import capabilities_of
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.leyr.backend import LeyrEhr, connect
from leyr_mcp.server.ehr.leyr.errors import name_refusal
from leyr_mcp.server.ehr.port import Window
from leyr_mcp.server.ehr.transport import ASGIApp, Transport

NOW = datetime.fromisoformat("2026-03-02T07:00:00+01:00")  # a Monday, before opening
ORIGIN = "http://leyr.invalid"
CLIENT_ID, SECRET = "client-canary-id", "client-canary-secret"
HEADERS = (
    ("x-leyr-client-id", CLIENT_ID),
    ("x-leyr-client-secret", SECRET),
    ("Content-Type", "application/json"),
)
UNITS = {"webdoc": "L0_1", "anitasystems": "L0_1", "takecare": "10"}
WAYS = ("in process", "over a socket")

TOLVAN = PatientRef("se_personal_number", "191212121212")
ABC = PatientRef("emr_id", "abc_12345")
DOCTOR = ResourceRef("emr_id", "doctor-789")


class Clock:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Naps:
    """Stands for sleeping: notes how long, and goes on at once."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


class Highest(random.Random):
    """Draws the upper end of each range, so that a back-off shows its cap."""

    def uniform(self, a: float, b: float) -> float:
        return b


def transport_of(
    *,
    app: ASGIApp | None = None,
    origin: str = ORIGIN,
    deadline_s: float = 5.0,
    naps: Naps | None = None,
    monotonic: Callable[[], float] | None = None,
) -> Transport:
    """Return a transport that never waits between attempts."""
    return Transport(
        f"{origin}/api",
        HEADERS,
        name_refusal=name_refusal,
        app=app,
        deadline_s=deadline_s,
        rng=Highest(),
        sleep=naps or Naps(),
        monotonic=monotonic or Clock(),
    )


def record_over(transport: Transport, emr: str = "webdoc") -> LeyrEhr:
    """Return the record behind a transport."""
    return LeyrEhr(transport, emr, capabilities_of(emr))


@asynccontextmanager
async def connected(
    *, app: ASGIApp | None = None, origin: str = ORIGIN, emr: str = "webdoc"
) -> AsyncIterator[LeyrEhr]:
    """Yield the record as the server itself connects to it."""
    ehr = connect(
        base_url=f"{origin}/api", client_id=CLIENT_ID, client_secret=SECRET, emr=emr, app=app
    )
    try:
        yield ehr
    finally:
        await ehr.close()


@asynccontextmanager
async def quick(
    *,
    app: ASGIApp | None = None,
    origin: str = ORIGIN,
    emr: str = "webdoc",
    deadline_s: float = 5.0,
    naps: Naps | None = None,
) -> AsyncIterator[LeyrEhr]:
    """Yield a record whose client never waits between attempts."""
    ehr = record_over(transport_of(app=app, origin=origin, deadline_s=deadline_s, naps=naps), emr)
    try:
        yield ehr
    finally:
        await ehr.close()


@asynccontextmanager
async def sandboxed(
    way: str, emr: str = "webdoc", *, deadline_s: float | None = None
) -> AsyncIterator[tuple[Sandbox, LeyrEhr]]:
    """Yield a fresh sandbox and a record in front of it; with a deadline, one that never waits."""
    box = Sandbox(emr, clock=lambda: NOW, client_id=CLIENT_ID, client_secret=SECRET)
    try:
        if way == "in process":
            async with _opened(box, ORIGIN, emr, deadline_s) as ehr:
                yield box, ehr
        else:
            async with serving(box) as origin, _opened(None, origin, emr, deadline_s) as ehr:
                yield box, ehr
    finally:
        box.close()


@asynccontextmanager
async def _opened(
    app: ASGIApp | None, origin: str, emr: str, deadline_s: float | None
) -> AsyncIterator[LeyrEhr]:
    if deadline_s is None:
        async with connected(app=app, origin=origin, emr=emr) as ehr:
            yield ehr
    else:
        async with quick(app=app, origin=origin, emr=emr, deadline_s=deadline_s) as ehr:
            yield ehr


def days(first: int, last: int) -> Window:
    """Return the span between two days counted from the sandbox's today."""
    midnight = NOW.astimezone(UTC)
    return Window(midnight + timedelta(days=first), midnight + timedelta(days=last))


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield the parts of a file."""
    for part in parts:
        yield part
