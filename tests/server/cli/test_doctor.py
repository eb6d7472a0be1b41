"""`leyr-mcp doctor` against the sandbox on a socket, and against what can be wrong with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.app import make_store
from leyr_mcp.server.cli import doctor
from leyr_mcp.server.filing.audit import AuditTrail, Who
from leyr_mcp.server.filing.passphrase import Passphrase
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.settings import load
from leyr_mcp.server.storage.store import NewDraft, State
from tests.e2e.wire import Upstream

SECRET = "sandbox-canary"
Checks = dict[str, tuple[str, str]]


class Clinic:
    """A sandbox on a socket, and a doctor sent to it."""

    def __init__(
        self, box: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.box = box
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self._monkeypatch.setenv(name, value)

    async def examine(self) -> tuple[int, Checks]:
        """Return the exit code, and level and message of each check by its name."""
        code, text = await self.print("--json")
        found = json.loads(text)
        assert found["ok"] is (code == 0)
        return code, {c["name"]: (c["level"], c["message"]) for c in found["checks"]}

    async def print(self, *options: str) -> tuple[int, str]:
        """Return the exit code and what was printed; nothing goes to stderr, no secret anywhere."""
        code = await asyncio.to_thread(doctor.main, list(options))
        out, err = self._capsys.readouterr()
        assert err == ""
        assert SECRET not in out
        return code, out


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder, and a place of its own for the key."""
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "state"


def keeper(state: Path) -> Passphrase:
    return Passphrase(state, clock=utc_now)


async def keep(state: Path, states: tuple[State, ...]) -> None:
    """Put drafts into the store of a clinic's own record system."""
    store = make_store(load())
    await store.open()
    trail = AuditTrail(store, clock=utc_now, device="d", origin="leyr:webdoc")
    event = trail.local("draft", Who(subject="anna"))
    for number, wanted in enumerate(states):
        first: State = "draft" if wanted == "needs_human" else wanted
        new = NewDraft(
            kind="note",
            state=first,
            principal="local:anna",
            care_unit_id="L0_1",
            patient_key="key",
            dedupe=f"{wanted}{number}",
            digest="digest",
            payload=b"sealed",
        )
        draft, _ = await store.stage(new, now=utc_now(), audit=event)
        if wanted != first:
            await store.move(draft.id, first, wanted, version=1, now=utc_now())
    await store.close()


@pytest.fixture
async def clinic(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Clinic]:
    async with opened("webdoc", monkeypatch, capsys) as clinic:
        yield clinic


@asynccontextmanager
async def opened(
    emr: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Clinic]:
    box = Sandbox(emr=emr, client_secret=SECRET)
    try:
        async with serving(box) as origin:
            clinic = Clinic(box, monkeypatch, capsys)
            clinic.set(LEYR_BASE_URL=f"{origin}/api", LEYR_EMR=emr)
            clinic.set(LEYR_CLIENT_ID=box.client_id, LEYR_CLIENT_SECRET=SECRET)
            yield clinic
    finally:
        box.close()


async def test_complete_set_up_is_well(clinic: Clinic, state: Path) -> None:
    keeper(state).set("canary passphrase", name="Anna Ek")
    clinic.set(LEYR_CARE_UNIT_ID="L0_1", LEYR_RESOURCE_ID="1021", LEYR_MCP_ENVIRONMENT="test")
    code, checks = await clinic.examine()
    assert code == 0
    assert {level for level, _ in checks.values()} == {"ok"}
    assert checks["settings"] == ("ok", "Leyr (webdoc); times in Europe/Stockholm")
    assert checks["care units"] == ("ok", "2: L0_1, L0_2")
    assert checks["capabilities"][1].startswith("WebDoc; patient identifiers: emr_id")
    path = state / "approver.json"
    said = f"Anna Ek. Forgotten passphrase: delete {path} and set a new one"
    assert checks["approver"] == ("ok", said)
    assert checks["drafts"] == ("ok", "none yet")
    assert "a person approves every write" in checks["approval"][1]
    assert "claude-code" in checks["approval"][1]


async def test_what_is_unset_is_noted_and_does_not_fail(clinic: Clinic) -> None:
    code, checks = await clinic.examine()
    assert code == 0
    assert checks["care unit"] == (
        "note",
        "LEYR_CARE_UNIT_ID is unset: every call must name one.",
    )
    assert "LEYR_MCP_ENVIRONMENT" in checks["environment"][1]
    assert "LEYR_RESOURCE_ID" in checks["author"][1]


async def test_it_tells_from_where_files_are_taken(
    clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, checks = await clinic.examine()
    assert checks["files"][0] == "ok"
    assert "chosen on the review page" in checks["files"][1]
    assert checks["pdf"][0] == "ok"

    (tmp_path / "scans").mkdir()
    clinic.set(LEYR_MCP_ROOTS=str(tmp_path / "scans"))
    _, checks = await clinic.examine()
    assert checks["files"] == ("ok", f"may be attached from {tmp_path / 'scans'}")

    monkeypatch.setattr(doctor, "CAN_WALK", False)
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    _, checks = await clinic.examine()
    assert checks["files"][0] == "note"
    assert checks["pdf"][0] == "note"
    assert "leyr-mcp[pdf]" in checks["pdf"][1]

    clinic.set(LEYR_MCP_ROOTS=str(tmp_path / "nowhere"))
    code, checks = await clinic.examine()
    assert (code, checks["files"][0]) == (1, "fail")


async def test_no_passphrase_is_noted(clinic: Clinic) -> None:
    code, checks = await clinic.examine()
    assert code == 0
    assert checks["approver"][0] == "note"
    assert "Set one with: leyr-mcp passphrase" in checks["approver"][1]


async def test_damaged_passphrase_fails(clinic: Clinic, state: Path) -> None:
    keeper(state).set("canary passphrase", name="Anna Ek")
    (state / "approver.json").write_text("{}")
    code, checks = await clinic.examine()
    assert code == 1
    assert checks["approver"][0] == "fail"


async def test_filing_without_a_person_is_noted(clinic: Clinic) -> None:
    clinic.set(LEYR_MCP_APPROVAL="trusted", LEYR_MCP_APPROVAL_HOSTS="none")
    _, checks = await clinic.examine()
    level, message = checks["approval"]
    assert level == "note"
    assert "is filed without asking anybody" in message


async def test_nothing_is_made_by_looking(clinic: Clinic, state: Path, tmp_path: Path) -> None:
    _, text = await clinic.print("--json")
    assert json.loads(text)["drafts"] == {"waiting": 0, "unknown": 0, "needs_human": 0}
    assert list(state.glob("*")) == []  # noqa: ASYNC240 - a look, after all is done
    assert not (tmp_path / "config").exists()


async def test_drafts_are_counted_and_those_in_doubt_noted(clinic: Clinic, state: Path) -> None:
    await keep(state, ("awaiting_approval", "awaiting_file", "draft"))
    _, checks = await clinic.examine()
    said = "2 waiting for approval, 0 in doubt, 0 in need of a person"
    assert checks["drafts"] == ("ok", said)
    await keep(state, ("needs_human",))
    _, text = await clinic.print("--json")
    assert json.loads(text)["drafts"] == {"waiting": 2, "unknown": 0, "needs_human": 1}
    code, checks = await clinic.examine()
    assert code == 0
    assert checks["drafts"][0] == "note"
    assert "leyr-mcp resolve" in checks["drafts"][1]


async def test_lost_key_fails_and_is_not_replaced(
    clinic: Clinic, state: Path, tmp_path: Path
) -> None:
    await keep(state, ("awaiting_approval",))
    key = tmp_path / "config" / "leyr-mcp" / "data.key"
    key.unlink()
    code, checks = await clinic.examine()
    assert code == 1
    assert checks["drafts"][0] == "fail"
    assert not key.exists()
    _, text = await clinic.print("--json")
    assert json.loads(text)["drafts"] is None


async def test_unknown_care_unit_fails(clinic: Clinic) -> None:
    clinic.set(LEYR_CARE_UNIT_ID="L9")
    code, checks = await clinic.examine()
    assert code == 1
    assert checks["care unit"] == ("fail", "LEYR_CARE_UNIT_ID names none of them.")


async def test_wrong_credentials_fail_and_name_the_settings(clinic: Clinic) -> None:
    clinic.set(LEYR_CLIENT_SECRET=f"{SECRET}-mistyped")
    code, checks = await clinic.examine()
    assert code == 1
    assert checks["connection"][0] == "ok"
    level, message = checks["credentials"]
    assert level == "fail"
    assert "LEYR_CLIENT_ID and LEYR_CLIENT_SECRET" in message
    assert "clock" not in checks


async def test_unreachable_record_system_fails(clinic: Clinic) -> None:
    clinic.box.control.faults.add(Fault(kind="refuse", seconds=60))
    code, checks = await clinic.examine()
    assert code == 1
    assert checks["connection"][0] == "fail"
    assert "LEYR_BASE_URL" in checks["connection"][1]
    assert "credentials" not in checks


async def test_address_of_something_else_fails(clinic: Clinic) -> None:
    clinic.box.control.faults.add(Fault(kind="html", times=None))
    code, checks = await clinic.examine()
    assert code == 1
    assert checks["connection"][0] == "fail"
    assert "LEYR_BASE_URL" in checks["connection"][1]


async def test_record_system_that_is_not_open_to_this_application_fails(clinic: Clinic) -> None:
    clinic.set(LEYR_EMR="physica")
    code, checks = await clinic.examine()
    assert code == 1
    assert checks["connection"][0] == "ok"
    assert checks["record system"][0] == "fail"
    assert "LEYR_EMR" in checks["record system"][1]


async def test_number_as_patient_id_is_noted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened("takecare", monkeypatch, capsys) as clinic:
        code, checks = await clinic.examine()
    assert code == 0
    assert checks["capabilities"][0] == "note"
    assert checks["capabilities"][1].endswith(
        "its own patient id is the national number, so patient_id shows it unmasked"
    )


@pytest.mark.parametrize(
    ("ahead_s", "level", "text"),
    [
        (0, "ok", "within "),
        (3600, "fail", "s behind the record system; set its clock"),
        (-3600, "fail", "s ahead of the record system; set its clock"),
    ],
)
async def test_clock_is_compared(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ahead_s: int,
    level: str,
    text: str,
) -> None:
    async with Upstream.running() as upstream:
        upstream.released.set()
        theirs = datetime.now(UTC) + timedelta(seconds=ahead_s)
        upstream.headers = [f"Date: {format_datetime(theirs, usegmt=True)}"]
        upstream.answers = {"care-units": '[{"id": "L0_1", "name": "Söder"}]'}
        box = Sandbox()
        clinic = Clinic(box, monkeypatch, capsys)
        clinic.set(**upstream.settings)
        code, checks = await clinic.examine()
        box.close()
    assert code == (level == "fail")
    assert checks["clock"][0] == level
    assert text in checks["clock"][1]


async def test_embedded_sandbox_is_well_without_any_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic = Clinic(Sandbox(), monkeypatch, capsys)
    clinic.box.close()
    code, checks = await clinic.examine()
    assert code == 0
    assert {level for level, _ in checks.values()} == {"ok"}
    assert "no real record is reached" in checks["settings"][1]


def test_wrong_setting_is_the_only_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_EMRR", SECRET)
    assert doctor.main(["--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in found["checks"]] == ["settings"]
    assert "Did you mean LEYR_EMR?" in found["checks"][0]["message"]
    assert doctor.main([]) == 2
    assert capsys.readouterr().out.startswith("FAIL  settings")


async def test_damaged_state_is_a_finding_and_not_a_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "sandbox-webdoc.sqlite3").write_text("this is no database " * 100)
    clinic = Clinic(Sandbox(), monkeypatch, capsys)
    clinic.box.close()
    clinic.set(LEYR_MCP_STATE_DIR=str(tmp_path))
    code, checks = await clinic.examine()
    assert code == 1
    assert checks["record system"][0] == "fail"
    assert "DatabaseError at " in checks["record system"][1]


@pytest.mark.parametrize("columns", [60, 80])
async def test_page_fits_the_terminal_and_says_what_is_next(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code, text = await clinic.print()
    assert code == 0
    assert max(len(line) for line in text.splitlines()) <= columns
    assert "\x1b" not in text
    assert "Ready to serve." in text
    clinic.set(LEYR_CARE_UNIT_ID="L9")
    code, text = await clinic.print()
    assert (code, text.splitlines()[-1]) == (1, "1 of 14 checks failed.")
