"""The audit trail: what an event holds, that it holds no text, and how it is read again."""

from __future__ import annotations

import base64
import getpass
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from leyr_mcp.server.errors import CODES, StorageError
from leyr_mcp.server.filing import audit
from leyr_mcp.server.filing.audit import About, AuditTrail, Reader, Who
from leyr_mcp.server.filing.fhir import audit_event
from leyr_mcp.server.filing.verify import verify, verify_store
from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.seal import Sealer
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import AuditEntry, AuditRow, Kind, Store
from leyr_mcp.tools.catalog import TOOLS

KEYS = Keys(bytes(range(32)))
NOON = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
TOLVAN = "se_personal_number:199006022397"
OTHER = "se_personal_number:199006022396"
ANNA = Who(
    subject="anna",
    issuer="https://id.example",
    name="Anna Ek",
    role="physician",
    client="Claude Desktop",
    client_version="1.2",
    network="127.0.0.1",
)
SEEN = About(
    patient=TOLVAN,
    care_unit="L0_1",
    object_type="note",
    object_id="N-1",
    object_version=2,
    object_hash="ab" * 32,
    draft_id="d1",
    approval_id="a1",
    request_id="r-1",
)


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    store = SqliteStore(None, KEYS)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def trail(store: SqliteStore) -> AuditTrail:
    return AuditTrail(store, clock=lambda: NOON, device="node-1", origin="leyr:webdoc")


async def events(store: Store, *, with_patients: bool = False) -> list[dict[str, Any]]:
    return [event async for event in Reader(store, KEYS).events(with_patients=with_patients)]


async def test_read_is_one_event_with_every_field(store: SqliteStore, trail: AuditTrail) -> None:
    assert await trail.read("get_note", ANNA, SEEN) == 1
    (event,) = await events(store, with_patients=True)
    assert len(event.pop("mac")) == len(event.pop("patient_key")) == 64
    assert event == {
        "seq": 1,
        "time": "2026-03-02T12:00:00.123Z",
        "event": "read",
        "action": "R",
        "outcome": 0,
        "user": {
            "issuer": "https://id.example",
            "subject": "anna",
            "name": "Anna Ek",
            "role": "physician",
        },
        "care_unit": "L0_1",
        "client": {"name": "Claude Desktop", "version": "1.2"},
        "device": "node-1",
        "patient": TOLVAN,
        "data_categories": ["notes"],
        "object": {"type": "note", "id": "N-1", "version": 2, "hash": "ab" * 32},
        "origin": "leyr:webdoc",
        "purpose": "TREAT",
        "approval_id": "a1",
        "draft_id": "d1",
        "request_id": "r-1",
        "network": "127.0.0.1",
        "prev": "00" * 32,
    }


async def test_what_is_not_known_is_left_out(store: SqliteStore, trail: AuditTrail) -> None:
    await trail.read("list_care_units", Who(subject="x"))
    (event,) = await events(store, with_patients=True)
    assert set(event) == {
        "seq", "time", "event", "action", "outcome", "user", "device", "data_categories", "origin",
        "purpose", "prev", "mac",
    }  # fmt: skip
    assert event["data_categories"] == []


@pytest.mark.parametrize("tool", audit.TOOL_ACTS)
async def test_every_tool_is_classed(store: SqliteStore, trail: AuditTrail, tool: str) -> None:
    await trail.read(tool, ANNA)
    (event,) = await events(store)
    act = audit.TOOL_ACTS[tool]
    assert (event["event"], event["action"]) == (act.event, act.action)
    assert event["data_categories"] == list(act.categories)
    assert act.event in get_args(audit.Event)


def test_table_knows_every_tool_there_is_and_reads_where_they_read() -> None:
    for tool in TOOLS:
        act = audit.TOOL_ACTS[tool.name]
        assert (act.action in "RE") is tool.reads or tool.name == "file_drafts"


def test_tables_know_every_kind_of_write() -> None:
    assert set(audit.FILING_ACTS) == set(get_args(Kind))
    assert {name for name, act in audit.LOCAL_ACTS.items() if name != act.event} == set()


@pytest.mark.parametrize("code", CODES)
async def test_refusal_holds_its_code(store: SqliteStore, trail: AuditTrail, code: str) -> None:
    await trail.refused("find_patient", ANNA, SEEN, error=code)
    (event,) = await events(store)
    failed = code.startswith("upstream_") and code != "upstream_refused"
    failed |= code in ("busy", "audit_unavailable", "storage_full", "internal")
    assert (event["error"], event["outcome"]) == (code, 8 if failed else 4)


async def test_code_that_is_none_is_not_stored(store: SqliteStore, trail: AuditTrail) -> None:
    await trail.refused("find_patient", ANNA, error="canary: Anna Ek söker för hosta")
    await trail.refused("no_such_tool", ANNA, error="invalid_argument")
    one, other = await events(store)
    assert (one["error"], one["outcome"]) == ("internal", 8)
    assert (other["event"], other["data_categories"]) == ("read", [])
    assert "canary" not in str(one)


def test_intent_and_outcome_are_entries_for_the_ledger(trail: AuditTrail) -> None:
    for kind, act in audit.FILING_ACTS.items():
        intent, outcome = trail.intent(kind, ANNA, SEEN), trail.outcome(kind, ANNA, SEEN)
        assert (intent.event, intent.action, intent.outcome) == (act.event, act.action, 0)
        assert intent.fields["phase"] == "intent"
        assert outcome.fields == {**intent.fields, "phase": "outcome"}
        assert intent.patient == outcome.patient == TOLVAN
    failed = trail.outcome("note", ANNA, SEEN, error="upstream_unreachable")
    assert (failed.outcome, failed.fields["error"]) == (8, "upstream_unreachable")
    refused = trail.outcome("note", ANNA, SEEN, result=audit.REFUSED)
    assert (refused.outcome, "error" in refused.fields) == (4, False)


def test_reading_for_what_a_write_left_touches_what_it_touched(trail: AuditTrail) -> None:
    for kind, act in audit.FILING_ACTS.items():
        look = trail.checked(kind, ANNA, SEEN, phase="look")
        assert (look.event, look.action, look.outcome) == ("verify", "R", 0)
        assert look.fields["phase"] == "look"
        assert look.fields["data_categories"] == list(act.categories)


@pytest.mark.parametrize("event", audit.LOCAL_ACTS)
async def test_what_is_done_here_is_an_event_too(
    store: SqliteStore, trail: AuditTrail, event: audit.Event
) -> None:
    assert await trail.append(trail.local(event, ANNA, SEEN)) == 1
    (found,) = await events(store)
    assert found["event"] == event
    assert "phase" not in found


def test_entry_keeps_the_patient_out_of_its_fields(trail: AuditTrail) -> None:
    entry = trail.intent("note", ANNA, SEEN)
    assert "199006022397" not in json.dumps(entry.fields)
    assert "199006022397" not in repr(SEEN)


def test_clients_words_about_themselves_are_cut_and_cleaned(trail: AuditTrail) -> None:
    loud = Who(subject="x", name="A\u202eB\x00", role="\u200b", client="c" * 5_000)
    fields = trail.intent("note", loud, About(request_id="\x1b[31mr", object_id="o\n1")).fields
    assert fields["user"] == {"issuer": "local", "subject": "x", "name": "AB"}
    assert fields["client"] == {"name": "c" * 100}
    assert fields["request_id"] == "r"
    assert fields["object"] == {"id": "o 1"}


async def test_patient_is_opened_only_where_asked(store: SqliteStore, trail: AuditTrail) -> None:
    await trail.read("get_note", ANNA, SEEN)
    (row,) = await store.audit_rows()
    assert b"199006022397" not in row.body
    (closed,) = await events(store)
    assert "patient" not in closed
    assert closed["patient_key"] == store.patient_key(TOLVAN)
    (opened,) = await events(store, with_patients=True)
    assert opened["patient"] == TOLVAN


async def test_accesses_of_one_patient_come_in_order(store: SqliteStore, trail: AuditTrail) -> None:
    for number in range(6):
        patient = (TOLVAN, OTHER, "emr_id:1")[number % 3]
        await trail.read("get_note", ANNA, About(patient=patient))
    await trail.read("find_patient", ANNA)
    # Another's words cannot put an event among a patient's.
    await trail.read("get_note", ANNA, About(object_id=store.patient_key(TOLVAN)))
    reader = Reader(store, KEYS)

    async def seen(*patients: str) -> list[int]:
        return [event["seq"] async for event in reader.of_patient(patients)]

    assert await seen(TOLVAN) == [1, 4]
    assert await seen(TOLVAN, "emr_id:1") == [1, 3, 4, 6]
    assert await seen("emr_id:9") == []
    assert await seen() == []


async def test_events_of_several_nodes_name_their_node_and_a_patients_come_by_time() -> None:
    store = Nodes("berg", "alm")
    await store.open()
    for hour, node in enumerate(("berg", "alm", "alm", "berg")):
        at = NOON.replace(hour=hour)
        await store.on(node).append(
            AuditEntry(event="read", action="R", outcome=0, patient=TOLVAN), now=at, durable=False
        )
    found = [(event["node"], event["seq"]) for event in await events(store)]
    assert found == [("alm", 1), ("alm", 2), ("berg", 1), ("berg", 2)]
    mine = [event async for event in Reader(store, KEYS).of_patient([TOLVAN])]
    assert [(event["node"], event["seq"]) for event in mine] == [
        ("berg", 1),
        ("alm", 1),
        ("alm", 2),
        ("berg", 2),
    ]
    ids = {audit_event(event)["id"] for event in mine}
    assert ids == {"leyr-mcp-alm-1", "leyr-mcp-alm-2", "leyr-mcp-berg-1", "leyr-mcp-berg-2"}
    await store.close()


async def test_each_nodes_chain_is_proved_by_itself_and_none_passes_for_another() -> None:
    store = Nodes("berg", "alm")
    await store.open()
    for node in ("berg", "alm", "berg"):
        entry = AuditEntry(event="read", action="R", outcome=0)
        await store.on(node).append(entry, now=NOON, durable=False)
    counts = {}
    for node in await store.audit_nodes():
        verdict = await verify_store(store, KEYS, node=node)
        assert verdict.intact
        counts[node] = verdict.count
    assert counts == {"alm": 1, "berg": 2}
    rows = await store.audit_rows(node="berg")
    assert not verify(rows, KEYS).intact
    await store.close()


async def test_trail_longer_than_a_page_is_read_whole(
    store: SqliteStore, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_PAGE", 3)
    for _ in range(8):
        await trail.read("find_patient", ANNA)
    assert [event["seq"] for event in await events(store)] == list(range(1, 9))
    assert [len(page) async for page in audit.pages(store)] == [3, 3, 2]


class Nodes(SqliteStore):
    """A store in which several nodes have a chain."""

    def __init__(self, *nodes: str) -> None:
        super().__init__(None, KEYS)
        self._chains = {node: chain.Chain(KEYS, Sealer(KEYS), node) for node in nodes}

    def on(self, node: str) -> SqliteStore:
        """Return the store as this node writes to it."""
        self._chain = self._chains[node]
        return self


class Rows(SqliteStore):
    """A store whose links are what a test says."""

    def __init__(self, *links: AuditRow) -> None:
        super().__init__(None, KEYS)
        self._links = list(links)

    async def audit_rows(
        self, *, after: int = 0, limit: int = 1_000, node: str | None = None
    ) -> list[AuditRow]:
        return [row for row in self._links if row.seq > after][:limit]

    async def audit_nodes(self) -> list[str]:
        return [chain.ALONE]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"1", b"[" * 100_000])
async def test_event_that_cannot_be_read_says_so(body: bytes) -> None:
    row = AuditRow(seq=7, body=body, prev=bytes(32), mac=b"\x01")
    (event,) = await events(Rows(row), with_patients=True)
    assert event == {"seq": 7, "prev": "00" * 32, "mac": "01", "damaged": True}


async def test_column_of_another_type_is_damage_and_no_failure() -> None:
    what: Any = "text"
    store = Rows(AuditRow(seq=1, body=what, prev=what, mac=what))
    assert await events(store) == [{"seq": 1, "prev": "", "mac": "", "damaged": True}]
    assert [event async for event in Reader(store, KEYS).of_patient([TOLVAN])] == []


async def test_patient_moved_from_another_event_is_not_shown(
    store: SqliteStore, trail: AuditTrail
) -> None:
    await trail.read("get_note", ANNA, SEEN)
    (row,) = await store.audit_rows()
    event = json.loads(row.body)
    for change in (
        {"seq": 2},
        {"patient": "!"},
        {"patient": 5},
        {"patient": base64.b64encode(b"x").decode()},
    ):
        body = json.dumps({**event, **change}).encode()
        moved = AuditRow(seq=1, body=body, prev=row.prev, mac=row.mac)
        (found,) = await events(Rows(moved), with_patients=True)
        assert found["damaged"] is True
        assert "patient" not in found


@pytest.mark.parametrize("exc", [OSError, KeyError, ImportError])
def test_user_without_a_name_is_told_by_number(
    exc: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise exc

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert audit.local_user.__wrapped__() == f"uid {os.getuid()}"
    monkeypatch.delattr(os, "getuid")
    assert audit.local_user.__wrapped__() == "unknown"


async def test_answer_waits_for_its_event(tmp_path: Path) -> None:
    closed = AuditTrail(
        SqliteStore(tmp_path / "x", KEYS), clock=lambda: NOON, device="d", origin="o"
    )
    for call in (
        closed.read("find_patient", ANNA),
        closed.refused("find_patient", ANNA),
        closed.append(AuditEntry(event="config", action="U", outcome=0)),
    ):
        with pytest.raises(StorageError):
            await call


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_text_that_is_given_nowhere_ends_up_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A patient, in any file of the store and any log line, is not to be read."""
    store = SqliteStore(tmp_path / "db", KEYS)
    await store.open()
    trail = AuditTrail(store, clock=lambda: NOON, device="d", origin="o")
    for number in range(120):
        await trail.read("get_note", ANNA, About(patient=f"emr_id:canary-{number}"))
    found = contents(tmp_path)
    await store.close()
    found += contents(tmp_path)
    assert b"Anna Ek" in found  # the files were read
    assert b"canary" not in found
    assert "canary" not in caplog.text
