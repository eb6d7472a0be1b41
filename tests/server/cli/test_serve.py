"""`leyr-mcp serve`: filing goes on by itself, and what keeps it from that harms nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leyr_mcp.server.app import App
from leyr_mcp.server.cli import serve
from leyr_mcp.server.errors import StorageError

LOCKED = StorageError("The local store is locked.")


@dataclass
class Fake:
    """An app whose filing starts as it is told to; serving it ends once that was tried enough."""

    ways: list[bool | Exception]
    tried: int = 0
    closed: list[float] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    server: Any = None

    @property
    def desk(self) -> Any:
        async def close(left_s: float) -> None:
            self.closed.append(left_s)

        return SimpleNamespace(close=close)

    async def start_filing(self) -> bool:
        way = self.ways[self.tried]
        self.tried += 1
        if self.tried == len(self.ways):
            self.enough.set()
        if isinstance(way, Exception):
            raise way
        return way

    async def close(self) -> None:
        self.closed.append(-1)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_START_FILING_S", 0)
    monkeypatch.setattr(serve, "_AGAIN_S", 0)


async def served(fake: Fake, monkeypatch: pytest.MonkeyPatch, *, files: bool = True) -> Fake:
    """Serve it until it was tried as often as it has ways, then hang up with 7 seconds left."""

    async def transport(
        _: Any, *, drain_s: float, finish: Callable[[float], Awaitable[None]]
    ) -> bool:
        assert drain_s == 10
        if files:
            await asyncio.wait_for(fake.enough.wait(), 5)
        await finish(7)
        return True

    monkeypatch.setattr("leyr_mcp.server.stdio.serve", transport)
    await serve.serve(cast("App", fake), files=files)
    return fake


async def test_filing_goes_on_and_ends_in_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = await served(Fake([True]), monkeypatch)
    assert (fake.tried, fake.closed) == (1, [7, -1])


async def test_store_that_comes_later_or_is_locked_for_a_while_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = await served(Fake([False, LOCKED, LOCKED, True]), monkeypatch)
    assert fake.tried == 4
    assert caplog.messages == ["filing does not run: The local store is locked."]


async def test_what_is_not_expected_is_told_without_its_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fake = await served(Fake([ValueError("Tolvansson")]), monkeypatch)
    assert fake.tried == 1
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("filing does not run: ValueError at ")


async def test_server_that_offers_nothing_that_writes_files_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = await served(Fake([True]), monkeypatch, files=False)
    assert (fake.tried, fake.closed) == (0, [7, -1])


@pytest.mark.parametrize(("option", "files"), [([], True), (["--read-only"], False)])
def test_read_only_is_what_keeps_it_from_filing(
    monkeypatch: pytest.MonkeyPatch, option: list[str], *, files: bool
) -> None:
    seen = list[bool]()

    async def noted(_: App, *, files: bool) -> None:
        seen.append(files)

    monkeypatch.setattr(serve, "serve", noted)
    assert serve.main(option) == 0
    assert seen == [files]
