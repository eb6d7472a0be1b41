"""The commands over a store that several machines share in a database."""

from __future__ import annotations

import asyncio
import json
import platform
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from leyr_mcp.server import app
from leyr_mcp.server.cli import audit, doctor, drafts
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.filing.audit import About, AuditTrail, Who
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.settings import load
from leyr_mcp.server.storage import place
from leyr_mcp.server.storage.postgres import PostgresStore
from leyr_mcp.server.storage.store import NewDraft
from tests.support import postgres

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TOLVAN = "se_personal_number:199006022397"
Out = pytest.CaptureFixture[str]


@pytest.fixture
def url(server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of this test's own, set as the store."""
    address = server.new_database()
    monkeypatch.setenv("LEYR_MCP_DATABASE_URL", address)
    monkeypatch.setenv("LEYR_MCP_DATA_KEY", KEY)
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "state").mkdir(mode=0o700)
    return address


async def recorded(monkeypatch: pytest.MonkeyPatch, *nodes: str) -> None:
    """Have each node read a note, and the first one draft another."""
    for number, node in enumerate(nodes):
        monkeypatch.setattr(platform, "node", lambda node=node: node)
        store = app.make_store(load())
        assert isinstance(store, PostgresStore)
        await store.open()
        trail = AuditTrail(store, clock=utc_now, device="leyr-mcp", origin="sandbox:webdoc")
        who = Who(subject="anna")
        await trail.read("get_note", who, About(patient=TOLVAN))
        if not number:
            new = NewDraft(
                kind="note",
                state="draft",
                principal="local:anna",
                care_unit_id="L0_1",
                patient_key="key",
                dedupe="d",
                digest="digest",
                payload=b"sealed",
            )
            await store.stage(new, now=utc_now(), audit=trail.local("draft", who))
        await store.close()


async def run(main: Any, out: Out, *argv: str) -> tuple[int, Any]:
    """Return the exit code of a command and what it wrote as JSON."""
    code = await asyncio.to_thread(main, [*argv, "--json"])
    return code, json.loads(out.readouterr().out)


async def told(url: str, statement: str) -> None:
    """Change what is stored, past the store."""
    schema = place.schema_name(load())
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    await connection.execute(statement)
    await connection.close()


async def test_every_nodes_chain_is_proved_and_this_nodes_against_its_head(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    await recorded(monkeypatch, "alm", "berg")
    code, found = await run(audit.main, capsys, "verify")
    assert (code, found["intact"], found["events"]) == (0, True, 3)
    _, found = await run(audit.main, capsys, "patient", TOLVAN)
    assert [event["node"] for event in found["events"]] == ["alm", "berg", "berg"]
    await told(url, "UPDATE audit SET body = body || '\\x20' WHERE node = 'alm' AND seq = 1")
    code, found = await run(audit.main, capsys, "verify")
    assert code == 1
    assert found["findings"] == [{"node": "alm", "fault": "edited", "seq": 1, "count": 1}]
    assert await asyncio.to_thread(audit.main, ["verify"]) == 1
    assert "alm: Event 1 was changed" in capsys.readouterr().out


async def test_chain_of_this_node_that_is_gone_is_missed_by_its_head(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    await recorded(monkeypatch, "alm", "berg")
    await told(url, "DELETE FROM audit WHERE node = 'berg'")
    code, found = await run(audit.main, capsys, "verify")
    assert code == 1
    assert found["findings"] == [{"node": "berg", "fault": "cut", "seq": 1, "count": 1}]
    place.node_head_path(load()).unlink()
    code, found = await run(audit.main, capsys, "verify")
    assert code == 1
    assert "is missing" in found["problem"]


async def test_doctor_names_the_store_but_not_its_address(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    await recorded(monkeypatch, "alm")
    code, found = await run(doctor.main, capsys)
    checks = {check["name"]: check for check in found["checks"]}
    assert code == 0
    assert checks["store"]["level"] == "ok"
    assert checks["store"]["message"].startswith("PostgreSQL, schema leyr_mcp_sandbox_webdoc_")
    assert checks["store"]["message"].endswith("in which this node is alm")
    assert checks["drafts"]["message"].startswith("0 waiting for approval")
    assert "postgresql:" not in json.dumps(found)
    code, found = await run(drafts.main, capsys)
    assert (code, found["drafts"]) == (0, [])
    away = url.replace("host=", "host=/nowhere")
    monkeypatch.setenv("LEYR_MCP_DATABASE_URL", away)
    code, found = await run(doctor.main, capsys)
    checks = {check["name"]: check for check in found["checks"]}
    assert (code, checks["drafts"]["level"]) == (1, "fail")
    assert checks["drafts"]["message"].startswith("The database cannot be reached")


async def test_without_a_key_nothing_was_stored_from_here(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Out, tmp_path: Path
) -> None:
    monkeypatch.delenv("LEYR_MCP_DATA_KEY")
    assert await run(audit.main, capsys, "verify") == (0, {"intact": True, "events": 0})
    _, found = await run(doctor.main, capsys)
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["store"]["level"] == "note"
    assert "set LEYR_MCP_DATA_KEY" in checks["store"]["message"]
    assert checks["drafts"]["message"] == "none yet"
    assert not (tmp_path / "config").exists()


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEYR_MCP_DATABASE_URL", "postgresql://localhost/x")
    monkeypatch.setattr(app, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"install leyr-mcp\[postgres\]"):
        app.build(load())
