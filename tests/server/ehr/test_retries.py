"""What is tried again, how often, after how long, and what never is."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import format_datetime, formatdate

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.port import Cancel, NewAppointment, NewNote, NewPatient
from leyr_mcp.server.ehr.resilience import Budget, backoff_s, retry_after_s
from leyr_mcp.server.errors import UpstreamError
from tests.support.leyr_client import NOW, TOLVAN, Naps, days, quick, record_over, transport_of
from tests.support.upstream_app import Reply, app_of, json_reply, problem

OUTAGES: dict[str, Reply | BaseException] = {
    "refused": ConnectionRefusedError(),
    "reset": ConnectionResetError(),
    "read timeout": httpx2.ReadTimeout(""),
    "408": Reply(b"", 408),
    "429": problem("UNKNOWN_ERROR", 429),
    "500": Reply(b"", 500),
    "502": Reply(b"", 502),
    "503": problem("SERVICE_UNAVAILABLE", 503),
    "504": Reply(b"", 504),
    "the vendor's 500": problem("EMR_ERROR", 500),
}
LASTING: dict[str, Reply] = {
    "400": problem("BAD_REQUEST", 400),
    "the vendor's 401": problem("EMR_ERROR", 401),
    "credentials": problem("UNAUTHORIZED", 401),
    "404": Reply(b"", 404),
    "409": Reply(b"", 409),
    "no JSON": Reply(b"<html>", content_type="text/html"),
    "broken JSON": Reply(b"["),
}
TIMES = {"start": "2024-03-25T14:00:00+01:00", "end": "2024-03-25T14:30:00+01:00"}

WRITES: dict[str, Callable[[LeyrEhr], Awaitable[object]]] = {
    "book": lambda ehr: ehr.book("L0_1", NewAppointment(patient=TOLVAN, window=days(0, 1))),
    "cancel": lambda ehr: ehr.change_appointment("L0_1", "a1", Cancel()),
    "note": lambda ehr: ehr.write_note(
        "L0_1",
        TOLVAN,
        NewNote(title="t", template_id="leyr_unstructured", content={}, created_by_id="r"),
    ),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
async def test_a_read_is_tried_three_times_with_growing_pauses(
    outage: Reply | BaseException,
) -> None:
    app, naps = app_of(outage), Naps()
    async with quick(app=app, naps=naps) as ehr:
        with pytest.raises(UpstreamError):
            await ehr.care_units()
    assert len(app.asked) == 3
    assert naps.taken == [0.5, 1.0]


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
async def test_a_read_that_succeeds_at_last_is_an_answer(outage: Reply | BaseException) -> None:
    app = app_of(outage, outage, json_reply([{"id": "L0_1"}]))
    async with quick(app=app) as ehr:
        (unit,) = await ehr.care_units()
    assert unit.id == "L0_1"
    assert len(app.asked) == 3


@pytest.mark.parametrize("lasting", LASTING.values(), ids=LASTING)
async def test_a_lasting_refusal_is_not_tried_again(lasting: Reply) -> None:
    app, naps = app_of(lasting), Naps()
    async with quick(app=app, naps=naps) as ehr:
        with pytest.raises(UpstreamError):
            await ehr.care_units()
    assert (len(app.asked), naps.taken) == (1, [])


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_is_sent_once_whatever_happens(
    write: Callable[[LeyrEhr], Awaitable[object]], outage: Reply | BaseException
) -> None:
    app, naps = app_of(outage, json_reply({"id": "x", **TIMES})), Naps()
    async with quick(app=app, naps=naps) as ehr:
        with pytest.raises(UpstreamError) as caught:
            await write(ehr)
    assert (len(app.asked), naps.taken) == (1, [])
    assert caught.value.not_received is isinstance(outage, ConnectionRefusedError)


async def test_a_patient_is_created_again_since_the_vendor_finds_them() -> None:
    app = app_of(ConnectionResetError(), Reply(b"", 503), json_reply({"id": "p"}))
    async with quick(app=app) as ehr:
        found = await ehr.create_patient("L0_1", NewPatient(first_name="T", last_name="T"))
    assert found.id == "p"
    assert [asked.method for asked in app.asked] == ["POST"] * 3
    assert len({asked.body for asked in app.asked}) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds_is_obeyed_within_the_deadline(status: int) -> None:
    app, naps = app_of(Reply(b"", status, (("retry-after", "3"),)), Reply()), Naps()
    async with quick(app=app, naps=naps) as ehr:
        await ehr.care_units()
    assert naps.taken == [3.0]


async def test_retry_after_as_a_date_is_obeyed_within_the_deadline() -> None:
    app, naps = app_of(Reply(b"", 429, (("retry-after", "x"),)), Reply()), Naps()
    soon = formatdate(datetime.now(tz=NOW.tzinfo).timestamp() + 4, usegmt=True)
    app.outcomes[0] = Reply(b"", 429, (("retry-after", soon),))
    async with quick(app=app, naps=naps) as ehr:
        await ehr.care_units()
    assert len(naps.taken) == 1
    assert 2 <= naps.taken[0] <= 4


@pytest.mark.parametrize("asked_for", ["3600", formatdate(4_000_000_000, usegmt=True)])
async def test_a_wait_beyond_the_deadline_is_returned_and_not_slept(asked_for: str) -> None:
    app, naps = app_of(Reply(b"", 429, (("retry-after", asked_for),))), Naps()
    async with quick(app=app, naps=naps) as ehr:
        with pytest.raises(UpstreamError) as caught:
            await ehr.care_units()
    error = caught.value
    assert (error.code, error.retry, len(app.asked), naps.taken) == (
        "upstream_busy",
        "after",
        1,
        [],
    )
    assert error.retry_after_s is not None
    assert error.retry_after_s >= 3600


async def test_a_back_off_beyond_the_deadline_is_not_slept() -> None:
    app, naps = app_of(Reply(b"", 500)), Naps()
    async with quick(app=app, naps=naps, deadline_s=0.4) as ehr:
        with pytest.raises(UpstreamError):
            await ehr.care_units()
    assert (len(app.asked), naps.taken) == (1, [])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("999999999", 999999999.0),
        ("9999999999", None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("١٢", None),
        ("²", None),
        ("", None),
        ("soon", None),
        ("Mon, 99 Foo 9999 99:99:99 GMT", None),
        (format_datetime(NOW), 0.0),
    ],
)
def test_retry_after_is_read_strictly(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=NOW.timestamp() + 5) == seconds


def test_retry_after_as_a_date_counts_from_now() -> None:
    assert retry_after_s(format_datetime(NOW), now=NOW.timestamp() - 90) == 90.0


@given(st.text(max_size=40))
def test_any_retry_after_is_a_wait_or_nothing(value: str) -> None:
    wait = retry_after_s(value, now=0.0)
    assert wait is None or wait >= 0


@given(st.integers(1, 60), st.integers())
def test_a_back_off_lies_between_nothing_and_its_cap(attempt: int, seed: int) -> None:
    wait = backoff_s(attempt, rng=random.Random(seed))  # noqa: S311 - a test's dice
    assert 0 <= wait <= min(8.0, 0.25 * 2**attempt)


async def test_an_empty_budget_ends_all_retries() -> None:
    app, naps = app_of(Reply(b"", 404), Reply(b"", 500)), Naps()
    transport = transport_of(app=app, naps=naps)
    ehr = record_over(transport)
    for _ in range(20):  # lasting refusals keep the breaker closed
        with pytest.raises(UpstreamError):
            await ehr.care_units()
        app.outcomes.insert(0, Reply(b"", 404))
    naps.taken.clear()
    app.asked.clear()
    app.outcomes[:] = [Reply(b"", 500)]
    transport._budget.tokens = 12
    for _ in range(3):
        with pytest.raises(UpstreamError):
            await ehr.care_units()
    assert len(naps.taken) == 2
    assert len(app.asked) == 3 + 1 + 1
    app.outcomes[:] = [Reply()]
    for _ in range(3):
        await ehr.care_units()
    assert transport._budget.tokens == 5  # 12 - 2 * 5 + 3 * 1
    await ehr.close()


def test_a_budget_charges_more_after_a_timeout_and_never_overflows() -> None:
    budget = Budget()
    budget.success()
    assert budget.tokens == 100
    assert all(budget.take(after_timeout=True) for _ in range(10))
    assert budget.tokens == 0
    assert not budget.take(after_timeout=False)
    for _ in range(5):
        budget.success()
    assert not budget.take(after_timeout=True)
    assert budget.take(after_timeout=False)


async def test_a_timeout_costs_more_of_the_budget() -> None:
    app = app_of(httpx2.ReadTimeout(""), Reply(b"", 503), Reply())
    transport = transport_of(app=app)
    await record_over(transport).care_units()
    assert transport._budget.tokens == 100 - 10 - 5 + 1
