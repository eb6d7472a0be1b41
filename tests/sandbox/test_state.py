import asyncio
import sqlite3
import stat
import sys
from pathlib import Path

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.store import Store
from tests.sandbox.kit import NOW, TOLVAN, book, client_of, first_slot, refused


async def test_a_state_file_keeps_its_data_for_a_later_process(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite3"
    first = Sandbox(state=file, clock=lambda: NOW)
    async with client_of(first) as client:
        appointment = (await book(client)).json()[0]
    kept = first.control.state()
    first.close()
    second = Sandbox(state=file, clock=lambda: NOW)
    assert second.control.state() == kept
    async with client_of(second) as client:
        assert (await client.get(f"/appointments/{appointment['id']}")).json() == appointment
        assert (await book(client)).json()[0]["id"] != appointment["id"]
    second.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_state_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite3"
    Sandbox(state=file).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_state_file_of_another_record_system_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite3"
    Sandbox(state=file).close()
    with pytest.raises(ValueError, match="belongs to EMR 'webdoc', not 'takecare'"):
        Sandbox("takecare", state=file)


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite3"
    file.write_bytes(b"something else entirely" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Sandbox(state=file)


async def test_two_sandboxes_on_one_file_never_double_book(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite3"
    boxes = [Sandbox(state=file, clock=lambda: NOW) for _ in range(2)]
    async with client_of(boxes[0]) as one, client_of(boxes[1]) as two:
        slot = await first_slot(one, healthcare_service_id="301")
        body = {**slot, "patient_id": TOLVAN}
        calls = [
            client.post("/appointments", json=body) for client in (one, two) for _ in range(10)
        ]
        statuses = [answer.status_code for answer in await asyncio.gather(*calls)]
        assert sorted(statuses) == [201] + [400] * 19
        assert slot not in (await two.get("/timeslots")).json()
    assert boxes[0].control.state() == boxes[1].control.state()
    for box in boxes:
        box.close()


async def test_a_refused_request_leaves_nothing_behind(client: httpx2.AsyncClient) -> None:
    slot = await first_slot(client)
    assert refused(
        await client.post("/appointments", json={**slot, "patient_id": "nobody"}),
        "INVALID_PATIENT_ID",
    )
    assert slot in (await client.get("/timeslots")).json()


def test_a_failed_transaction_is_undone() -> None:
    store = Store(None)

    def fail() -> None:
        with store.transaction():
            store.set_meta("a", "b")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.meta("a") is None
    store.close()


async def test_a_state_locked_by_another_process_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leyr_mcp.sandbox.store.BUSY_MS", 10)
    file = tmp_path / "state.sqlite3"
    box = Sandbox(state=file, clock=lambda: NOW)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with client_of(box) as client:
        assert (await client.get("/resources")).status_code == 200
        answer = await client.post("/patients", json={"first_name": "A", "last_name": "B"})
        assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    other.close()
    box.close()
