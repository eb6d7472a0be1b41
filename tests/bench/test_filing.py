"""The record that the filing row asks, what a call asked of it, and what is concluded."""

from __future__ import annotations

import json

import pytest

from bench.contestants import OURS
from bench.filers import ERAS, MODERN, OLDER, repeatable, shapes
from bench.filing import BARE, CONTROL, FilingPlan, Filings, as_json, exit_code, of, table
from bench.record import END, Http, Record

PLAN = FilingPlan()
UNIT = "/api/emrs/webdoc/care-units/L0_1"
PATIENT = f"{UNIT}/patients/se_personal_number:191212121212"
NOTES = f"{PATIENT}/medical-notes"
BODY = {"title": "Visit", "content": {"unstructured": "Well."}}
SEED = {
    "patients": [{"emr_id": "1", "last_name": "Tolvansson"}],
    "resources": [{"id": "2"}],
    "services": [],
}


class Wire:
    """Where a connection's answers go."""

    def __init__(self) -> None:
        self.written = list[bytes]()

    def write(self, data: bytes) -> None:
        """Keep an answer."""
        self.written.append(data)


def connection(record: Record) -> tuple[Http, Wire]:
    http, wire = Http(record), Wire()
    http._out = wire  # type: ignore[assignment]  # only its write is used
    return http, wire


def asked(record: Record, method: str, target: str, body: object = None) -> tuple[bytes, object]:
    sent = b"" if body is None else json.dumps(body).encode()
    head, _, content = record.answer(method, target, sent).partition(END)
    return head.partition(b"\r\n")[0], json.loads(content)


def test_record_gives_back_the_note_that_it_took_and_tells_what_it_was_asked() -> None:
    record = Record(SEED)
    _, made = asked(record, "POST", NOTES, BODY)
    assert isinstance(made, dict)
    assert asked(record, "GET", f"{NOTES}/{made['id']}") == (b"HTTP/1.1 200 OK", made)
    assert asked(record, "GET", f"{NOTES}/other")[0] == b"HTTP/1.1 404 Not Found"
    assert asked(record, "GET", PATIENT)[1] == SEED["patients"][0]
    assert asked(record, "GET", f"{UNIT}/patients?last_name=A")[1] == SEED["patients"]
    assert asked(record, "GET", f"{UNIT}/resources")[1] == SEED["resources"]
    methods = [one["method"] for one in record.turn(0.5)]
    assert (methods, record.delay_s) == (["POST", *["GET"] * 5], 0.5)
    assert record.turn(0.0) == []


def test_request_is_answered_once_and_only_when_all_of_it_is_there() -> None:
    record = Record(SEED)
    http, wire = connection(record)
    body = json.dumps(BODY).encode()
    whole = f"POST {NOTES} HTTP/1.1\r\nContent-Length: {len(body)}".encode() + END + body
    for cut in (20, len(whole) - len(body), len(whole) - 1):
        http.data_received(whole[:cut])
        assert wire.written == []
        http.data_received(whole[cut:])
        assert len(wire.written) == 1
        wire.written.clear()
    assert len(record.turn(0.0)) == 3


def test_same_requests_are_made_for_another_note() -> None:
    record = Record(SEED)
    asked(record, "GET", PATIENT)
    asked(record, "POST", NOTES, BODY)
    asked(record, "GET", f"{NOTES}/note-1")
    seen = record.turn(0.0)
    assert shapes(seen) == [f"GET {PATIENT}", f"POST {NOTES}", f"GET {NOTES}/{{note}}"]
    assert [one["body"] for one in repeatable(seen)] == ["", json.dumps(BODY), ""]


def filings(ours: float, control: float, disk_s: float = 0.0005) -> Filings:
    found = Filings(disk=[disk_s])
    for era in ERAS:
        found.asked[era] = [f"GET {PATIENT}", f"POST {NOTES}", f"GET {NOTES}/{{note}}"]
        for drift in (1.0, 4.0, 0.5):  # the machine's mood, which no ratio may show
            for name, factor in ((OURS, ours), (BARE, 1.0), (CONTROL, control)):
                for delay_s in (PLAN.delay_s, 0.0):
                    found.samples.add(of(era, delay_s), name, [factor * drift * 0.08] * 2)
    return found


@pytest.mark.parametrize(
    ("ours", "control", "disk_s", "code", "word"),
    [
        (1.2, 1.0, 0.0005, 0, "PASS"),
        (1.2, 1.0, 0.005, 0, "PASS"),
        (1.4, 1.02, 0.0005, 1, "FAIL"),
        (1.4, 1.0, 0.005, 3, "INCONCLUSIVE"),
        (1.2, 1.1, 0.0005, 3, "INCONCLUSIVE"),
        (1.4, 0.9, 0.0005, 3, "INCONCLUSIVE"),
    ],
)
def test_gate_needs_its_control_and_a_disk_that_is_not_too_slow(
    ours: float, control: float, disk_s: float, code: int, word: str
) -> None:
    found = filings(ours, control, disk_s)
    assert exit_code(found, PLAN) == code
    lines = table(found, PLAN, 1.0).splitlines()
    assert [line.split()[0] for line in lines[-2:]] == [word, word]
    gates = as_json(found, PLAN, 1.0)["gates"]
    assert [gates[era]["verdict"] for era in (OLDER, MODERN)] == [word, word]


def test_one_era_that_fails_is_enough() -> None:
    found = filings(1.2, 1.0)
    found.samples.values[of(MODERN, PLAN.delay_s)][OURS] = [[1.0], [1.0], [1.0]]
    found.samples.values[of(MODERN, PLAN.delay_s)][BARE] = [[0.5], [0.5], [0.5]]
    found.samples.values[of(MODERN, PLAN.delay_s)][CONTROL] = [[0.5], [0.5], [0.5]]
    assert exit_code(found, PLAN) == 1


def test_table_tells_the_requests_without_identifiers() -> None:
    text = table(filings(1.2, 1.0), PLAN, 1.0)
    assert "3 requests: GET patient, POST note, GET note" in text
    assert "191212121212" not in text
