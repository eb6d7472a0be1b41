"""`leyr-mcp audit`: proof, export and one patient's accesses, from the files of a state folder."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.cli import audit as command
from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.filing.audit import About, AuditTrail, Who, local_user
from leyr_mcp.server.storage import place
from leyr_mcp.server.storage.keys import Keys, load_or_make
from leyr_mcp.server.storage.sqlite import SqliteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOLVAN = "se_personal_number:199006022397"
BASE64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ANNA = Who(subject="anna", name="Anna Ek", client="Claude Desktop")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder in which a server recorded five events, and a key in its place."""
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LOGNAME", "operator")
    local_user.cache_clear()
    keys = load_or_make(tmp_path / "config" / "leyr-mcp" / "data.key")
    record(tmp_path / "state" / "leyr-mcp-sandbox-webdoc.sqlite3", keys)
    yield tmp_path / "state"
    local_user.cache_clear()


def record(path: Path, keys: Keys) -> None:
    async def run() -> None:
        store = SqliteStore(path, keys)
        await store.open()
        trail = AuditTrail(store, clock=lambda: NOON, device="d", origin="sandbox:webdoc")
        about = About(patient=TOLVAN, care_unit="L0_1", object_type="note")
        await trail.read("get_note", ANNA, about)
        await trail.read("list_care_units", ANNA)
        await trail.refused("get_note", Who(subject="x"), about, error="not_found")
        await trail.append(trail.intent("note", ANNA, about))
        await trail.append(trail.outcome("note", ANNA, about, error="upstream_busy"))
        await store.close()

    asyncio.run(run())


def sql(state: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(state / "leyr-mcp-sandbox-webdoc.sqlite3")) as database, database:
        database.execute(statement, values)


def exported(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_intact_chain_is_code_0_and_the_proof_is_an_event(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["verify"]) == 0
    said = capsys.readouterr()
    assert said.out == "Intact: 5 events, none changed, missing or put in.\n"
    assert said.err == ""
    assert command.main(["export"]) == 0
    events = exported(capsys.readouterr().out)
    assert [e["event"] for e in events[-2:]] == ["verify", "read"]
    assert events[-2]["user"] == {"issuer": "local", "subject": "operator"}
    assert events[-2]["outcome"] == 0
    assert command.main(["verify"]) == 0


CUT = "DELETE FROM audit WHERE seq > 3"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE audit SET body = body || x'20' WHERE seq = 2", "Event 2 was changed"),
        ("DELETE FROM audit WHERE seq = 2", "Event 2 is missing."),
        ("DELETE FROM audit WHERE seq = 1", "Event 2 is not the first"),
        (CUT, "Event 4 (and 1 more) is missing at the end."),
    ],
)
def test_broken_chain_is_code_1_and_says_where(
    state: Path, capsys: pytest.CaptureFixture[str], statement: str, says: str
) -> None:
    sql(state, statement)
    assert command.main(["verify"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("BROKEN: ")
    assert says in said
    assert "199006022397" not in said
    assert command.main(["verify"]) == 1  # the event of the first proof heals nothing


def test_cut_end_stays_provable_after_the_chain_has_grown_again(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql(state, CUT)
    for _ in range(4):
        assert command.main(["verify"]) == 1
    assert "another history" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Path.unlink, "kept beside the database, is missing."),
        (lambda head: head.write_text("{}"), "cannot be read."),
        (
            lambda head: head.write_text(head.read_text().replace('"seq":5', '"seq":3')),
            "was changed.",
        ),
    ],
    ids=["removed", "emptied", "forged"],
)
def test_second_place_must_hold(
    state: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], object],
    says: str,
) -> None:
    change(state / "leyr-mcp-sandbox-webdoc.sqlite3.head")
    assert command.main(["verify"]) == 1
    assert says in capsys.readouterr().out


def test_chain_of_no_event_needs_no_head(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql(state, "DELETE FROM audit")
    (state / "leyr-mcp-sandbox-webdoc.sqlite3.head").unlink()
    assert command.main(["verify"]) == 0
    assert "0 events" in capsys.readouterr().out


def test_nothing_recorded_yet_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "new"))
    for action in (["verify"], ["export"], ["patient", TOLVAN]):
        assert command.main(action) == 0
        assert capsys.readouterr().out == "Nothing has been recorded here yet.\n"
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / ".config").exists()


def test_database_that_is_gone_is_broken(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "leyr-mcp-sandbox-webdoc.sqlite3").unlink()
    assert command.main(["verify"]) == 1
    assert "The audit trail is gone" in capsys.readouterr().err


def test_missing_key_is_not_replaced(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config" / "leyr-mcp" / "data.key").unlink()
    assert command.main(["verify"]) == 2
    assert "key" in capsys.readouterr().err
    assert not (tmp_path / "config" / "leyr-mcp" / "data.key").exists()


def test_wrong_key_is_code_1(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_MCP_DATA_KEY", BASE64)
    assert command.main(["verify"]) == 1
    assert capsys.readouterr().err.startswith("leyr-mcp: ")


def test_key_may_be_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("LEYR_MCP_DATA_KEY", BASE64)
    record(tmp_path / "own" / "leyr-mcp-sandbox-webdoc.sqlite3", Keys(bytes(range(32))))
    assert command.main(["verify"]) == 0


def test_export_names_patients_only_where_asked(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["export", "--format", "jsonl"]) == 0
    said = capsys.readouterr()
    events = exported(said.out)
    assert [e["seq"] for e in events] == [1, 2, 3, 4, 5, 6]
    assert "199006022397" not in said.out
    assert said.err == ""
    assert command.main(["export", "--with-patients"]) == 0
    opened = exported(capsys.readouterr().out)
    assert [e.get("patient") for e in opened[:3]] == [TOLVAN, None, TOLVAN]


def test_export_as_fhir_is_one_resource_a_line(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["export", "--format", "fhir"]) == 0
    found = exported(capsys.readouterr().out)
    assert {e["resourceType"] for e in found} == {"AuditEvent"}
    assert [e["outcome"] for e in found] == ["0", "0", "4", "0", "8", "0"]


def test_export_to_a_file_is_the_owners_and_replaces_nothing(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "audit.jsonl"
    assert command.main(["export", "--out", str(out), "--with-patients"]) == 0
    assert capsys.readouterr().out == ""
    assert out.stat().st_mode & 0o777 == 0o600
    before = out.read_bytes()
    assert len(before.splitlines()) == 6
    assert command.main(["export", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert command.main(["export", "--out", str(tmp_path / "no" / "audit.jsonl")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_accesses_of_one_patient_are_listed_the_latest_last(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["patient", TOLVAN]) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line[:2] == "20"]
    assert len(lines) == 5
    assert "2026-03-02 13:00:00  read; notes; ok; by Anna Ek; with Claude Desktop" in lines[0]
    assert "refused; by x" in lines[1]
    assert "file intent; notes; ok" in lines[2]
    assert "failed" in lines[3]
    assert "audit; ok; by operator" in lines[4]
    assert "5 events, this look included; times in Europe/Stockholm." in said
    assert "199006022397" not in said
    assert command.main(["patient", "emr_id:nobody", "emr_id:else"]) == 0
    assert "1 event, this look included" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["patient", "se_personal_number:199006022398"], "check digit"),
        (["patient", "nonsense:1"], "not known"),
    ],
)
def test_wrong_identifier_is_code_2_and_not_repeated(
    state: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    assert command.main(argv) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "199006022398" not in said


@pytest.mark.parametrize("argv", [[], ["prove"], ["export", "--format", "xml"], ["patient"]])
def test_wrong_usage_is_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(argv)
    assert caught.value.code == 2


def test_wrong_setting_is_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", "relative")
    assert command.main(["verify"]) == 2
    assert "absolute path" in capsys.readouterr().err


def test_store_may_be_anothers(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def gone(_: object) -> command.Opened:
        raise StorageError("The local store is damaged.")

    assert command.main(["verify"], open_store=gone) == 1
    assert "damaged" in capsys.readouterr().err


def test_nothing_goes_out_where_it_cannot_be_recorded(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def full(*_: object, **__: object) -> int:
        raise StorageError("The disk is full; nothing was stored.", code="storage_full")

    monkeypatch.setattr(SqliteStore, "append", full)
    for argv in (["export"], ["patient", TOLVAN]):
        assert command.main(argv) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "disk is full" in said.err
    assert command.main(["verify"]) == 1
    assert "Intact" in capsys.readouterr().out  # what was proved is told all the same


@pytest.mark.parametrize(
    ("platform", "environ", "under"),
    [
        ("linux", {}, ".config"),
        ("linux", {"XDG_CONFIG_HOME": "relative"}, ".config"),
        ("linux", {"XDG_CONFIG_HOME": "/x"}, "/x"),
        ("darwin", {"XDG_CONFIG_HOME": "/x"}, "Library/Preferences"),
        ("win32", {}, "AppData/Roaming"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming"),
    ],
)
def test_key_lies_in_the_folder_of_configuration(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    environ: dict[str, str],
    under: str,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    found = place.key_path(environ, state_dir=tmp_path / "state")
    assert found == tmp_path / under / "leyr-mcp" / "data.key"


def test_key_in_the_state_folder_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(state))
    assert command.main(["verify"]) == 2
    assert "choose another" in capsys.readouterr().err


def test_no_home_is_said(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    def nowhere() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert command.main(["verify"]) == 2
