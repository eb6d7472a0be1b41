"""The directory of care units: asked for once in a while, in parallel; failures are forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.server.ehr.units import TTL_S, Units
from leyr_mcp.server.errors import InputError, UpstreamError
from tests.support.leyr_client import WAYS, Clock, connected, quick, sandboxed
from tests.support.upstream_app import ScriptedApp, app_of, json_reply, problem
from tests.support.upstream_raw import RawUpstream, answer, raw_upstream

UNITS = [{"id": "L0_1", "name": "Söder"}, {"id": "L0_2"}]


@asynccontextmanager
async def units_of(
    app: ScriptedApp, *, default: str = "", clock: Clock | None = None
) -> AsyncIterator[Units]:
    """Yield the directory in front of an upstream."""
    async with connected(app=app) as ehr:
        yield Units(ehr, default=default, monotonic=clock or Clock())


async def test_units_are_asked_for_once_until_their_time_is_up() -> None:
    app, clock = app_of(json_reply(UNITS)), Clock()
    async with units_of(app, clock=clock) as units:
        assert [unit.id for unit in await units.all()] == ["L0_1", "L0_2"]
        clock.now += TTL_S - 1
        assert len(await units.all()) == 2
        assert len(app.asked) == 1
        clock.now += 1
        await units.all()
        assert len(app.asked) == 2


async def test_each_unit_has_its_own_resources_and_services() -> None:
    app = app_of(json_reply([{"id": "1", "name": "One"}]))
    async with units_of(app) as units:
        first = await units.unit("L0_1", "Söder")
        assert (first.id, first.name) == ("L0_1", "Söder")
        assert (first.resources[0].name, first.services[0].id) == ("One", "1")
        assert first == await units.unit("L0_1", "Söder")
        await units.unit("L0_2")
    assert sorted(
        asked.path.removeprefix("/api/emrs/webdoc/care-units/") for asked in app.asked
    ) == [
        "L0_1/healthcare-services",
        "L0_1/resources",
        "L0_2/healthcare-services",
        "L0_2/resources",
    ]


async def test_resources_and_services_are_asked_for_at_the_same_time() -> None:
    both = asyncio.Event()

    async def together(upstream: RawUpstream, writer: asyncio.StreamWriter) -> None:
        if len(upstream.requests) == 2:
            both.set()
        await both.wait()
        writer.write(answer())
        await writer.drain()

    async with raw_upstream(together) as upstream, quick(origin=upstream.origin) as ehr:
        unit = await Units(ehr).unit("L0_1")
    assert (unit.resources, unit.services) == ((), ())


async def test_a_failure_is_not_remembered() -> None:
    app = app_of(problem("BAD_REQUEST"), json_reply(UNITS))
    async with units_of(app) as units:
        with pytest.raises(UpstreamError):
            await units.all()
        assert len(await units.all()) == 2
        await units.all()
    assert len(app.asked) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_half_a_failure_keeps_the_half_that_was_answered(way: str) -> None:
    async with sandboxed(way) as (box, ehr):
        box.control.faults.add(Fault(kind="emr_401", path="/resources$"))
        units = Units(ehr, monotonic=Clock())
        with pytest.raises(UpstreamError):
            await units.unit("L0_1")
        unit = await units.unit("L0_1")
        seen = [entry.path.rsplit("/", 1)[1] for entry in box.control.requests.entries]
    assert (len(unit.resources), len(unit.services)) == (3, 3)
    assert seen.count("resources") == 2


async def test_the_cache_is_bounded() -> None:
    app = app_of()
    async with units_of(app) as units:
        for number in range(501):
            await units.unit(f"u{number}")
        assert len(units._cache) < 1000
        await units.unit("u0")
    assert len(app.asked) == 502 * 2


async def test_a_named_unit_is_taken_without_asking() -> None:
    app = app_of()
    async with units_of(app, default="L0_9") as units:
        assert await units.resolve("L0_1") == "L0_1"
        assert await units.resolve(None) == "L0_9"
    assert app.asked == []


async def test_the_only_unit_is_meant_when_none_is_named() -> None:
    async with units_of(app_of(json_reply([{"id": "L0_7"}]))) as units:
        assert await units.resolve(None) == "L0_7"


@pytest.mark.parametrize("listed", [[], UNITS])
async def test_among_several_units_or_none_the_caller_must_choose(listed: list[object]) -> None:
    async with units_of(app_of(json_reply(listed))) as units:
        with pytest.raises(InputError) as caught:
            await units.resolve(None)
    assert caught.value.field == "care_unit_id"
    assert str(len(listed)) in caught.value.message
    assert "list_care_units" in caught.value.next_step


@pytest.mark.parametrize("text", ["", "..", "a/b", "a b", "é", "x" * 97])
async def test_a_unit_of_the_wrong_form_is_refused_without_asking(text: str) -> None:
    app = app_of()
    async with units_of(app) as units:
        with pytest.raises(InputError) as caught:
            await units.resolve(text)
    assert (caught.value.field, app.asked) == ("care_unit_id", [])
