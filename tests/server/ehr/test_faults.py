"""Every fault that the sandbox knows: an answer in time or an error with its code, no log of it."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from leyr_mcp.sandbox.faults import KINDS, Fault
from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.port import NewDocument, NewNote, NewPatient
from leyr_mcp.server.errors import UpstreamError
from leyr_mcp.server.logs import configure
from tests.support.leyr_client import SECRET, TOLVAN, WAYS, pieces, sandboxed

DEADLINE_S = 0.3

# Code, whether it is certain that nothing arrived, and how many attempts are seen upstream.
UNREACHABLE = ("upstream_unreachable", False, 3)
BUSY_AT_ONCE = ("upstream_busy", False, 1)
BAD = ("upstream_bad_response", False, 1)
EXPECTED: dict[str, tuple[str | None, bool, int]] = {
    "refuse": ("upstream_unreachable", True, 0),
    "reset_before": UNREACHABLE,
    "reset_after": UNREACHABLE,
    "hang": BUSY_AT_ONCE,
    "late_commit": UNREACHABLE,
    "429": ("upstream_busy", False, 3),
    "500_after": UNREACHABLE,
    "503": ("upstream_busy", False, 3),
    "cut": UNREACHABLE,
    "html": BAD,
    "drip": BUSY_AT_ONCE,
    "redirect": UNREACHABLE,
    "gzip_bomb": BAD,
    "emr_401": ("upstream_refused", False, 1),
    "unauthorized": ("upstream_auth", False, 1),
    "latency": (None, False, 1),
}
# In process there is no connection to cut or to refuse: the body is half a JSON text, and the
# request reaches the application, which then says that it was refused.
IN_PROCESS = {"cut": BAD, "refuse": ("upstream_unreachable", True, 3)}


def fault(kind: str, **fields: Any) -> Fault:
    """Return a fault that hits every request."""
    waits = {"latency": 0.01, "late_commit": 60.0, "drip": 0.1, "hang": 60.0, "refuse": 60.0}
    return Fault.model_validate({"kind": kind, "times": None, "seconds": waits.get(kind), **fields})


def test_every_fault_of_the_sandbox_has_its_expectation() -> None:
    assert set(EXPECTED) == set(KINDS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_read_under_a_fault_ends_in_time_with_its_code(way: str, kind: str) -> None:
    code, not_received, attempts = EXPECTED[kind]
    if way == "in process":
        code, not_received, attempts = IN_PROCESS.get(kind, EXPECTED[kind])
    deadline_s = DEADLINE_S if kind in ("hang", "drip") else 5.0
    async with sandboxed(way, deadline_s=deadline_s) as (box, ehr):
        box.control.faults.add(fault(kind))
        started = asyncio.get_running_loop().time()
        told: UpstreamError | None = None
        try:
            assert len(await ehr.care_units()) == 2
        except UpstreamError as exc:
            told = exc
        took = asyncio.get_running_loop().time() - started
        seen = len(box.control.requests.entries)
        box.control.late_commits.drop()
    assert (told.code if told else None) == code
    assert (told.not_received if told else False) is not_received
    assert seen == attempts
    assert took < DEADLINE_S + 1.0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if EXPECTED[kind][2] == 3])
async def test_a_read_gets_over_a_passing_fault(way: str, kind: str) -> None:
    if way == "in process" and kind in IN_PROCESS:
        kind = "reset_before"
    async with sandboxed(way, deadline_s=5.0) as (box, ehr):
        box.control.faults.add(fault(kind, times=2))
        assert len(await ehr.care_units()) == 2
        box.control.late_commits.drop()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("asked_for", [1, "Mon, 02 Mar 2099 06:00:00 GMT"])
async def test_the_wait_that_the_upstream_asks_for_is_passed_on(
    way: str, asked_for: int | str
) -> None:
    async with sandboxed(way, deadline_s=0.5) as (box, ehr):
        box.control.faults.add(fault("429", retry_after=asked_for))
        with pytest.raises(UpstreamError) as caught:
            await ehr.care_units()
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s >= 1


# Nothing personal in any log line, whatever goes wrong and however much is logged.

FIRST, LAST, TEXT, PHONE = "Canaryname", "Canaryfamily", "Canarytext of a note", "+46701234567"
CANARIES = (FIRST, LAST, TEXT, PHONE, "191212121212", SECRET, "canaryfile", "Tolvansson")


class Kept(logging.Handler):
    """Keeps each record as it was made, with its arguments and its exception, unredacted."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        plain = logging.Formatter("%(name)s %(message)s").format(record)
        self.lines.append(f"{plain} {record.args!r} {record.exc_info!r}")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """Configure logging as the server does at DEBUG, and keep all that passes; then undo it."""
    root = logging.getLogger()
    known = [root, *(logging.getLogger(name) for name in [*root.manager.loggerDict])]
    before = [(logger, logger.level, logger.handlers[:]) for logger in known]
    monkeypatch.setattr("sys.stderr", io.StringIO())
    configure("DEBUG")
    handler = Kept()
    root.addHandler(handler)
    yield handler
    for name in [*root.manager.loggerDict]:
        logging.getLogger(name).setLevel(logging.NOTSET)
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


async def _personal_calls(ehr: LeyrEhr) -> None:
    note = NewNote(
        title=FIRST,
        template_id="leyr_unstructured",
        content={"unstructured": TEXT},
        created_by_id="1021",
    )
    file = NewDocument(
        title=LAST, format="text/plain", created_by_id="1021", size=10, chunks=pieces(b"canaryfile")
    )
    person = NewPatient(first_name=FIRST, last_name=LAST, phones=(PHONE,))
    for call in (
        ehr.find_patients("L0_1", first_name=FIRST, last_name=LAST),
        ehr.patient("L0_1", TOLVAN),
        ehr.notes("L0_1", TOLVAN),
        ehr.create_patient("L0_1", person),
        ehr.write_note("L0_1", TOLVAN, note),
        ehr.attach_document("L0_1", TOLVAN, file),
    ):
        try:
            await call
        except UpstreamError as exc:
            logging.getLogger("leyr_mcp.test").debug("failed: %s", exc)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["none", *KINDS])
async def test_nothing_personal_is_logged_whatever_goes_wrong(
    way: str, kind: str, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leyr_mcp.server.ehr.leyr.api.WRITE_DEADLINE_S", 0.05)
    monkeypatch.setattr("leyr_mcp.server.ehr.leyr.documents.UPLOAD_DEADLINE_S", 0.05)
    deadline_s = 0.05 if kind in ("hang", "drip") else 5.0
    async with sandboxed(way, deadline_s=deadline_s) as (box, ehr):
        if kind != "none":
            box.control.faults.add(fault(kind))
        await _personal_calls(ehr)
        box.control.late_commits.drop()
    told = "\n".join(kept.lines)
    assert [canary for canary in CANARIES if canary in told] == []
    if kind not in ("none", "latency"):
        assert "leyr_mcp.test" in told


async def test_the_check_of_the_logs_would_see_a_slip_of_ours_and_the_librarys_lines(
    kept: Kept,
) -> None:
    for name in ("httpcore2", "httpcore2.http11", "httpcore2.connection"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    async with sandboxed("over a socket") as (_, ehr):
        await ehr.care_units()
    logging.getLogger("leyr_mcp.test").debug("%s", LAST)
    told = "\n".join(kept.lines)
    assert "httpcore2.http11 send_request_headers" in told
    assert LAST in told
