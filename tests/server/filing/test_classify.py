"""What an answer or a failure says: every class of failure, every status, every code."""

from __future__ import annotations

import asyncio

import pytest

from leyr_mcp.server import errors
from leyr_mcp.server.ehr.leyr.errors import DETAILED, GENERAL, name_refusal
from leyr_mcp.server.ehr.models import Appointment, Document, Note, Patient
from leyr_mcp.server.ehr.port import Job
from leyr_mcp.server.ehr.transport import Refusal
from leyr_mcp.server.errors import LeyrMcpError, UpstreamError
from leyr_mcp.server.filing.classify import (
    REFUSING,
    ROWS,
    SLOT_TAKEN,
    Accepted,
    Done,
    InDoubt,
    NotReceived,
    Outcome,
    Refused,
    answered,
    failed,
)
from tests.server.filing.world import EPOCH


def _classes(base: type[BaseException]) -> set[type[BaseException]]:
    return {base}.union(*(_classes(sub) for sub in base.__subclasses__()))


def _leyr(status: int, code: str = "", detail: str = "") -> UpstreamError:
    body = f'{{"code": "{code}", "errors": [{{"error_code": "{detail}"}}]}}'.encode()
    return name_refusal(Refusal(status, body, is_json=True, retry_after_s=None))


def test_every_class_of_failure_has_a_row() -> None:
    ours = {cls for cls in _classes(LeyrMcpError) if cls.__module__ == errors.__name__}

    assert len(ours) > 10
    assert ours <= set(ROWS)


@pytest.mark.parametrize("kind", sorted(_classes(UpstreamError), key=str))
def test_what_certainly_never_arrived_may_be_sent_again(kind: type[UpstreamError]) -> None:
    exc = kind("It cannot be reached.", not_received=True, retry_after_s=3.0)

    assert failed(exc) == NotReceived(exc.code, 3.0)


@pytest.mark.parametrize(
    "exc",
    [
        InterruptedError(),
        ValueError("x"),
        asyncio.CancelledError(),
        TimeoutError(),
        KeyboardInterrupt(),
        errors.InputError("x"),
        errors.ConfigError("x"),
        errors.StorageError("x"),
        errors.StoreAwayError("x"),
        errors.LeyrMcpError("x"),
        errors.UpstreamUnavailableError("x"),
        errors.UpstreamUnavailableError("x", code="upstream_busy"),
        errors.UpstreamRateLimitError("x", status=429),
        errors.UpstreamContractError("x"),
        errors.UpstreamForbiddenError("x", status=403),
        errors.UpstreamConflictError("x", status=409),
        errors.UpstreamError("x"),
        ROWS[errors.UpstreamError](ValueError()),  # a row asked about what it is not for
    ],
    ids=repr,
)
def test_everything_else_is_doubt(exc: object) -> None:
    outcome = exc if isinstance(exc, InDoubt) else failed(exc)  # type: ignore[arg-type]

    assert isinstance(outcome, InDoubt)


def test_an_unknown_class_of_failure_is_doubt() -> None:
    class StrangeError(UpstreamError):
        pass

    assert failed(StrangeError("x", not_received=True)) == InDoubt("unexpected")


@pytest.mark.parametrize("status", range(300, 600))
def test_a_status_alone_refuses_only_where_the_rules_name_it(status: int) -> None:
    outcome = failed(_leyr(status))

    assert isinstance(outcome, Refused) is (status in {400, 404, 412, 413, 415, 422})


@pytest.mark.parametrize("code", sorted({*DETAILED, *GENERAL}))
def test_each_code_of_the_vendor_has_a_meaning(code: str) -> None:
    outcome = failed(_leyr(400, code))

    if code == "NO_TIMESLOTS_AVAILABLE":
        assert outcome == InDoubt(SLOT_TAKEN)
    elif code == "EMR_ERROR":
        assert outcome == Refused("upstream_refused")
    else:
        assert isinstance(outcome, Refused) is (code in REFUSING)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("code", ["BAD_INPUT", "NO_TIMESLOTS_AVAILABLE", "EMR_ERROR", "NEW_CODE"])
def test_no_code_is_believed_beside_a_status_that_leaves_it_open(status: int, code: str) -> None:
    outcome = failed(_leyr(status, detail=code))

    assert isinstance(outcome, InDoubt)
    assert outcome.reason != SLOT_TAKEN


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "UNAUTHORIZED", Refused("unauthorized")),
        (401, "EMR_ERROR", Refused("upstream_refused")),
        (401, "UNKNOWN_ERROR", InDoubt("unclear_answer")),
        (401, "", InDoubt("unclear_answer")),
        (403, "FORBIDDEN", InDoubt("unclear_answer")),
        (400, "NEW_CODE", InDoubt("unclear_answer")),
        (400, "NOT_SUPPORTED", Refused("not_supported")),
        (501, "NOT_SUPPORTED", InDoubt("unclear_answer")),
        (200, "NOT_SUPPORTED", Refused("not_supported")),
    ],
)
def test_by_code_first_and_status_second(status: int, code: str, expected: Outcome) -> None:
    assert failed(_leyr(status, code)) == expected


def test_what_we_refuse_ourselves_was_never_sent() -> None:
    exc = errors.UpstreamNotSupportedError("This record system takes no such id.")

    assert failed(exc) == Refused("not_supported")


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (Note(id="n1"), Done("n1")),
        (Document(id="d1"), Done("d1")),
        (Appointment(id="b1", start=EPOCH, end=EPOCH), Done("b1")),
        (Patient(id="p1", emr_id="e1"), Done("e1")),
        (Patient(id="p1"), Done("p1")),
        (Patient(), InDoubt("bad_answer")),
        (Job("j1"), Accepted("j1")),
        (None, InDoubt("bad_answer")),
    ],
)
def test_an_answer_is_done_only_with_an_id(result: object, outcome: Outcome) -> None:
    assert answered(result) == outcome
