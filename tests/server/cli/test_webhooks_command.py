"""`leyr-mcp webhooks` as a process: it registers, receives, finishes jobs, and ends politely."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.cli import doctor, webhooks
from leyr_mcp.server.settings import load

SECRETS = ("canary-secret", "canary-token")


@asynccontextmanager
async def cobalt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **more: str
) -> AsyncIterator[CobaltSandbox]:
    box = CobaltSandbox(client_secret=SECRETS[0], access_token=SECRETS[1])
    try:
        async with serving(box) as origin:
            settings = {
                **box.settings(origin),
                "LEYR_MCP_STATE_DIR": str(tmp_path / "state"),
                "XDG_CONFIG_HOME": str(tmp_path / "config"),
                **more,
            }
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            yield box
    finally:
        box.close()


async def run(*options: str) -> int:
    return await asyncio.to_thread(webhooks.main, list(options))


async def test_an_address_is_registered_and_its_secret_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with cobalt(monkeypatch, tmp_path) as box:
        assert await run("--register", "https://hooks.example.org/webhooks/cobalt") == 0
        secret = box.control.store.meta("secret")
        assert f"COBALT_WEBHOOK_SECRET={secret}" in capsys.readouterr().out
        assert await run("--register", "https://other.example.org/", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"COBALT_WEBHOOK_SECRET": secret}
        assert len(box.control.store.all("webhook")) == 2
        assert await run("--register", "http://elsewhere.example.org/") == 1
        err = capsys.readouterr().err
        assert "refused" in err
        assert not any(one in err for one in SECRETS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "COBALT_WEBHOOK_SECRET is missing"),
        ({"LEYR_MCP_BACKEND": "sandbox"}, "Only Cobalt sends webhooks"),
        ({"COBALT_WEBHOOK_SECRET": "a,b,c"}, "COBALT_WEBHOOK_SECRET must be"),
    ],
)
async def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    said: str,
) -> None:
    async with cobalt(monkeypatch, tmp_path, **settings):
        assert await run("--port", "0") == 2
        assert said in capsys.readouterr().err


async def test_a_port_that_is_taken_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with cobalt(monkeypatch, tmp_path, COBALT_WEBHOOK_SECRET="whsec_x"):
        assert await run("--port", str(port)) == 1
        assert "cannot be received" in capsys.readouterr().err
    server.close()
    await server.wait_closed()


async def test_it_receives_until_it_is_told_to_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with cobalt(monkeypatch, tmp_path, COBALT_WEBHOOK_SECRET="whsec_x,whsec_y"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "leyr_mcp.server", "webhooks", "--port", "0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().removeprefix("Webhooks: ").strip()
            async with httpx2.AsyncClient(trust_env=False) as web:
                assert (await web.post(url, content=b"{}")).status_code == 401
                assert (await web.get(url)).status_code == 405
            process.terminate()
            _, errors = await process.communicate()
        assert process.returncode == 0
        assert "Traceback" not in errors.decode()
        assert "whsec" not in errors.decode()


async def test_doctor_knows_cobalt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def examine() -> tuple[int, dict[str, Any]]:
        code = await asyncio.to_thread(doctor.main, ["--json"])
        out = capsys.readouterr().out
        assert not any(one in out for one in SECRETS)
        return code, {c["name"]: (c["level"], c["message"]) for c in json.loads(out)["checks"]}

    async with cobalt(monkeypatch, tmp_path) as box:
        code, checks = await examine()
        assert code == 0
        assert checks["settings"] == ("ok", "Cobalt; times in America/Chicago")
        assert "COBALT_LOCATION_ID is unset" in checks["care unit"][1]
        assert "asking alone" in checks["webhooks"][1]
        assert "cannot: read notes, read documents" in checks["capabilities"][1]
        monkeypatch.setenv("COBALT_LOCATION_ID", "none-of-them")
        monkeypatch.setenv("COBALT_WEBHOOK_SECRET", "whsec_x")
        code, checks = await examine()
        assert (code, checks["care unit"][0]) == (1, "fail")
        assert "sooner" in checks["webhooks"][1]
        box.control.login_required = True
        code, checks = await examine()
        assert (code, checks["sign-in"][0]) == (1, "fail")
        assert "Link page" in checks["sign-in"][1]
        box.control.login_required = False
        monkeypatch.setenv("COBALT_CLIENT_ID", "wrong")
        code, checks = await examine()
        assert "COBALT_ACCESS_TOKEN" in checks["credentials"][1]
        monkeypatch.setenv("COBALT_BASE_URL", "http://127.0.0.1:9/v1")
        code, checks = await examine()
        assert "COBALT_BASE_URL" in checks["connection"][1]


COBALT = {"COBALT_CLIENT_ID": "a", "COBALT_CLIENT_SECRET": "b", "COBALT_ACCESS_TOKEN": "c"}
LEYR = {"LEYR_CLIENT_ID": "a", "LEYR_CLIENT_SECRET": "b", "LEYR_EMR": "webdoc"}
CHICAGO = {"LEYR_MCP_TIMEZONE": "America/Chicago"}


@pytest.mark.parametrize(
    ("environ", "backend", "grace_s", "zone"),
    [
        ({}, "sandbox", 120, "Europe/Stockholm"),
        ({"LEYR_EMR": "cobalt"}, "sandbox", 600, "America/Chicago"),
        ({**COBALT, **CHICAGO}, "cobalt", 600, "America/Chicago"),
        ({**COBALT, **CHICAGO, "LEYR_MCP_GRACE_S": "300"}, "cobalt", 300, "America/Chicago"),
        ({**COBALT, **LEYR, "LEYR_MCP_BACKEND": "leyr"}, "leyr", 120, "Europe/Stockholm"),
        (
            {**COBALT, **LEYR, **CHICAGO, "LEYR_MCP_BACKEND": "cobalt"},
            "cobalt",
            600,
            "America/Chicago",
        ),
        ({**LEYR, "LEYR_EMR": "cobalt"}, "leyr", 120, "Europe/Stockholm"),
    ],
)
def test_the_settings_choose_the_record(
    environ: dict[str, str], backend: str, grace_s: float, zone: str
) -> None:
    settings = load(environ)
    assert (settings.backend, settings.grace_s, settings.timezone.key) == (backend, grace_s, zone)
    assert settings.through_cobalt is (backend == "cobalt" or environ == {"LEYR_EMR": "cobalt"})


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (COBALT, "LEYR_MCP_TIMEZONE is missing"),
        ({**COBALT, **LEYR}, "choose one by LEYR_MCP_BACKEND"),
        ({"COBALT_CLIENT_ID": "a"}, "COBALT_CLIENT_SECRET is missing"),
        ({"COBALT_ACCESS_TOKEN": "a"}, "COBALT_CLIENT_ID is missing"),
        ({"LEYR_MCP_BACKEND": "cobalt"}, "COBALT_CLIENT_ID is missing"),
        ({"COBALT_CLIENT_IDS": "a"}, "Did you mean COBALT_CLIENT_ID?"),
    ],
)
def test_settings_that_do_not_fit_are_named(environ: dict[str, str], said: str) -> None:
    from leyr_mcp.server.errors import ConfigError  # noqa: PLC0415 - for this alone

    with pytest.raises(ConfigError) as caught:
        load(environ)
    assert said in caught.value.message
