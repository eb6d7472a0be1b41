"""The bundle as a client installs it: validated, packed, unpacked elsewhere, and started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.outside.programs import MODULES, ROOT, Outside

PACKER = MODULES / "@anthropic-ai/mcpb/dist/cli/cli.js"
UV = ROOT / ".work/uv/bin/uv"


@pytest.fixture(scope="module")
def unpacked(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of this tree, in a folder where nothing else is."""
    made = outside.run(sys.executable, str(ROOT / "dev/bundle.py"))
    assert made.code == 0, made.stdout
    (bundle,) = (ROOT / "dist").glob("*.mcpb")
    folder = tmp_path_factory.mktemp("client") / "leyr"
    done = outside.run(outside.node, str(PACKER), "unpack", str(bundle), str(folder))
    assert done.code == 0, done.stdout
    return folder


@pytest.fixture(scope="module")
def uv() -> Path:
    """The program that starts such bundles, in an environment of its own."""
    if not UV.exists():
        folder = UV.parent.parent
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "uv"], check=True, timeout=300)
    return UV


def started(folder: Path, uv: Path, home: Path, **given: str) -> StdioServerParameters:
    """Return how a client starts it: everything in the manifest's words, places filled in."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    config = manifest["server"]["mcp_config"]
    values = {
        name: given.get(name, one["default"]) for name, one in manifest["user_config"].items()
    }

    def filled(text: str) -> str:
        text = text.replace("${__dirname}", str(folder))
        for name, value in values.items():
            text = text.replace(f"${{user_config.{name}}}", value)
        return text

    env = {name: filled(text) for name, text in config["env"].items()}
    env |= {"PATH": os.environ["PATH"], "HOME": str(home), "UV_PYTHON": sys.executable}
    # Certificates are the machine's business, as its index is.
    env |= {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
    env |= {name: text for name, text in os.environ.items() if name.startswith(("UV_", "SSL_"))}
    return StdioServerParameters(
        command=str(uv), args=[filled(text) for text in config["args"]], env=env, cwd=str(home)
    )


def test_it_holds_what_runs_and_nothing_else(unpacked: Path) -> None:
    (bundle,) = (ROOT / "dist").glob("*.mcpb")
    names = zipfile.ZipFile(bundle).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {
        *("server", "tools", "sandbox", "start.py"),
        *("manifest.json", "pyproject.toml", "README.md", "LICENSE"),
    }
    assert not [name for name in names if "__pycache__" in name or "test" in name.split("/")[-1]]


async def test_unpacked_anywhere_it_serves_without_any_setting(
    unpacked: Path, uv: Path, tmp_path: Path
) -> None:
    async with Client(stdio_client(started(unpacked, uv, tmp_path))) as client:
        assert len((await client.list_tools()).tools) == 17
        found = await client.call_tool("find_patient", {"last_name": "Tolvansson"})
        assert (found.structured_content or {})["patients"][0]["last_name"] == "Tolvansson"
        assert (found.meta or {})["leyr-mcp/mode"] == "sandbox"


def test_what_a_person_set_is_passed_on(unpacked: Path, uv: Path, tmp_path: Path) -> None:
    server = started(unpacked, uv, tmp_path, leyr_client_id="id", leyr_client_secret="secret")
    done = subprocess.run(
        [server.command, *server.args],
        env=server.env,
        cwd=server.cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "LEYR_EMR" in done.stderr
