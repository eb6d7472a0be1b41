"""The breaker: when it opens, what it lets through, and how it closes again."""

from __future__ import annotations

import asyncio

import pytest

from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.port import NewDocument
from leyr_mcp.server.ehr.resilience import Breaker
from leyr_mcp.server.errors import InputError, UpstreamError, UpstreamUnavailableError
from tests.support.leyr_client import TOLVAN, Clock, Naps, pieces, record_over, transport_of
from tests.support.upstream_app import Reply, ScriptedApp, app_of, problem
from tests.support.upstream_raw import hang, raw_upstream

DOWN = Reply(b"", 503, (("retry-after", "3600"),))  # too long to be waited for: one attempt a call


def _record(app: ScriptedApp, clock: Clock) -> LeyrEhr:
    return record_over(transport_of(app=app, naps=Naps(), monotonic=clock))


async def _fail(ehr: LeyrEhr, times: int = 1) -> UpstreamError:
    for _ in range(times):
        with pytest.raises(UpstreamError) as caught:
            await ehr.care_units()
    return caught.value


async def _opened(app: ScriptedApp, clock: Clock) -> LeyrEhr:
    ehr = _record(app, clock)
    await _fail(ehr, 20)
    assert len(app.asked) == 20
    app.asked.clear()
    return ehr


async def test_twenty_failures_open_it_and_nothing_is_sent_any_more() -> None:
    clock, app = Clock(), app_of(DOWN)
    ehr = await _opened(app, clock)
    error = await _fail(ehr)
    assert app.asked == []
    assert isinstance(error, UpstreamUnavailableError)
    assert (error.code, error.retry_after_s) == ("upstream_unreachable", 15.0)
    assert error.not_received
    clock.now += 14
    assert (await _fail(ehr)).retry_after_s == 1.0
    assert app.asked == []


async def test_nineteen_failures_are_not_enough_and_the_twentieth_call_decides() -> None:
    clock, app = Clock(), app_of(DOWN)
    ehr = _record(app, clock)
    await _fail(ehr, 19)
    app.outcomes[:] = [Reply()]
    assert await ehr.care_units() == []  # goes out; with it, 19 of 20 have failed
    assert (await _fail(ehr)).retry_after_s == 15.0
    assert len(app.asked) == 20


async def test_half_of_the_calls_must_fail() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(11):
        breaker.record(ok=True)
    for _ in range(10):
        breaker.record(ok=False)
    assert breaker.wait_s() == 0.0
    breaker.record(ok=False)
    assert breaker.wait_s() == 15.0


def test_failures_older_than_half_a_minute_do_not_count() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(19):
        breaker.record(ok=False)
    clock.now += 30.5
    for _ in range(19):
        breaker.record(ok=False)
    assert breaker.wait_s() == 0.0
    breaker.record(ok=False)
    assert breaker.wait_s() == 15.0


async def test_refusals_and_strange_answers_do_not_open_it() -> None:
    clock, app = Clock(), app_of(problem("BAD_REQUEST"))
    ehr = _record(app, clock)
    await _fail(ehr, 30)
    app.outcomes[:] = [Reply(b"<html>", content_type="text/html")]
    await _fail(ehr, 30)
    assert len(app.asked) == 60


async def test_after_the_pause_one_probe_closes_it() -> None:
    clock, app = Clock(), app_of(DOWN)
    ehr = await _opened(app, clock)
    clock.now += 15
    app.outcomes[:] = [Reply()]
    for _ in range(3):
        assert await ehr.care_units() == []
    assert len(app.asked) == 3


async def test_a_failed_probe_opens_it_for_another_pause() -> None:
    clock, app = Clock(), app_of(DOWN)
    ehr = await _opened(app, clock)
    clock.now += 15
    await _fail(ehr)
    assert len(app.asked) == 1
    assert (await _fail(ehr)).retry_after_s == 15.0
    assert len(app.asked) == 1


async def test_while_the_probe_is_out_all_others_wait_and_its_cancellation_frees_the_place() -> (
    None
):
    clock = Clock()
    async with raw_upstream(hang) as upstream:
        transport = transport_of(origin=upstream.origin, deadline_s=30, monotonic=clock)
        ehr = record_over(transport)
        for _ in range(20):
            transport._breaker.record(ok=False)
        clock.now += 15
        probe = asyncio.create_task(ehr.care_units())
        await upstream.arrived.wait()
        assert (await _fail(ehr)).retry_after_s == 1.0
        assert len(upstream.requests) == 1
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        upstream.outcomes = (b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n",)
        assert (await _fail(ehr)).code == "not_found"
        assert len(upstream.requests) == 2
        await ehr.close()


async def test_a_probe_whose_own_body_breaks_frees_the_place() -> None:
    clock, app = Clock(), app_of(DOWN)
    ehr = await _opened(app, clock)
    clock.now += 15
    changed = NewDocument(
        title="t", format="text/plain", created_by_id="r", size=9, chunks=pieces(b"four")
    )
    with pytest.raises(InputError):
        await ehr.attach_document("L0_1", TOLVAN, changed)
    app.outcomes[:] = [Reply()]
    assert await ehr.care_units() == []


async def test_a_deadline_that_passes_counts_as_a_failure() -> None:
    clock = Clock()
    async with raw_upstream(hang) as upstream:
        transport = transport_of(origin=upstream.origin, deadline_s=0.05, monotonic=clock)
        for _ in range(19):
            transport._breaker.record(ok=False)
        ehr = record_over(transport)
        assert (await _fail(ehr)).code == "upstream_busy"
        assert (await _fail(ehr)).retry_after_s == 15.0
        await ehr.close()
