"""What is in `deploy`, as far as that can be tried without a container engine.

The steps of the Containerfile run in a folder, in their order; what they make serves as a node.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from leyr_mcp.server.cli.http import Address, check
from leyr_mcp.server.settings import SETTINGS, load
from tests.support.http_node import KEY, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
PLACE = "/opt/leyr-mcp"


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, and what it says."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The list that it gives, or its words."""
        at = self.text.find("[")
        return list(json.loads(self.text[at:])) if at >= 0 else shlex.split(self.text)


def stages() -> list[list[Step]]:
    """Return the steps of the Containerfile, stage by stage."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    steps = [Step(*line.split(" ", 1)) for line in lines]
    starts = [at for at, step in enumerate(steps) if step.name == "FROM"]
    return [steps[a:b] for a, b in zip(starts, [*starts[1:], len(steps)], strict=True)]


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    build, _ = stages()
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    for step in build:
        if step.name == "COPY":
            *sources, _ = step.words
            for source in sources:
                assert (ROOT / source).exists()
                assert f"!{source}" in ignored


def test_it_runs_as_nobody_in_particular_and_holds_no_secret() -> None:
    _, final = stages()
    names = [step.name for step in final]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert next(step.text for step in final if step.name == "USER") not in ("0", "root")
    secret = {s.name for s in SETTINGS if "KEY" in s.name or "SECRET" in s.name}
    assert not secret & set(re.findall(r"\w+", (DEPLOY / "Containerfile").read_text()))


async def test_what_the_steps_make_serves_and_says_how_it_is(tmp_path: Path) -> None:
    build, final = stages()
    place, source = tmp_path / "opt", tmp_path / "src"
    source.mkdir()
    for step in build:
        if step.name == "COPY":
            *given, target = step.words
            for name in given:
                into = source / (Path(name).name if target == "./" else target)
                (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, into)
        elif step.name == "RUN":
            command = step.text.replace(PLACE, str(place))
            command = re.sub(r"^python ", f"{sys.executable} ", command)
            done = await asyncio.to_thread(_shell, command, source)
            assert done.returncode == 0, (command, done.stderr[-2_000:])
    port = free_port()
    said = {step.name: step.words for step in final}
    serve = [*said["ENTRYPOINT"], *said["CMD"]]
    assert serve[-1] == "0.0.0.0:8080"  # within a container
    serve[-1] = f"127.0.0.1:{port}"
    health = [word.replace("8080", str(port)) for word in said["HEALTHCHECK"]]
    env = {"PATH": f"{place}/bin", "HOME": str(tmp_path), "LEYR_MCP_STATE_DIR": f"{tmp_path}/state"}
    process = await asyncio.create_subprocess_exec(*serve, env=env, cwd=tmp_path)
    try:
        async with asyncio.timeout(30), httpx2.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    if (await http.get(f"http://127.0.0.1:{port}/readyz")).is_success:
                        break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        assert await _code(health, env) == 0
    finally:
        process.terminate()
        await process.wait()
    assert await _code(health, env) != 0
    assert not (place / "bin" / "pip").exists()


def _shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a step as a builder of images does."""
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )


async def _code(command: list[str], env: dict[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


GIVEN = {
    "LEYR_CLIENT_ID": "a",
    "LEYR_CLIENT_SECRET": "b",
    "LEYR_EMR": "webdoc",
    "LEYR_MCP_DATA_KEY": KEY,
    "LEYR_MCP_STATE_KEYS": "k" * 40,
    "LEYR_MCP_PUBLIC_URL": "https://mcp.example.org",
    "LEYR_MCP_AUTH_ISSUER": "https://id.example.org",
    "LEYR_MCP_PAGE_CLIENT_ID": "page",
    "LEYR_MCP_PAGE_CLIENT_SECRET": "c",
    "DATABASE_PASSWORD": "d",
}


def composed() -> dict[str, Any]:
    """Return what the file says, with its places filled as an operator would."""
    yaml: Any = importlib.import_module("yaml")
    text = (DEPLOY / "compose.yaml").read_text()
    filled = re.sub(r"\$\{(\w+)(:[?-])?\}", lambda at: GIVEN.get(at[1], f"/given/{at[1]}"), text)
    found: dict[str, Any] = yaml.safe_load(filled)
    return found


def test_each_node_is_set_as_a_node_must_be() -> None:
    services = composed()["services"]
    nodes = {name: one for name, one in services.items() if name.startswith("node-")}
    names = {one["environment"]["LEYR_MCP_NODE_NAME"] for one in nodes.values()}
    assert names == nodes.keys() == {"node-1", "node-2", "node-3"}
    for one in nodes.values():
        settings = load({**one["environment"], "LEYR_MCP_STATE_DIR": "/var/lib/leyr-mcp/state"})
        check(settings, Address("0.0.0.0", 8080))  # noqa: S104 - within a container
        assert settings.database_url.reveal().endswith("sslmode=require")
        assert "ports" not in one
        assert one["depends_on"]["database"]["condition"] == "service_healthy"
    text = (DEPLOY / "nginx.conf").read_text()
    assert set(re.findall(r"server (\S+):8080", text)) == names


def test_no_secret_stands_in_the_file_and_every_folder_that_is_kept_is_named() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for line in text.splitlines():
        if re.search(r"(SECRET|KEY|PASSWORD|TOKEN)\w*:", line) and "ssl_" not in line:
            assert "${" in line, line
    found = composed()
    kept = {
        volume.split(":")[0]
        for one in found["services"].values()
        for volume in one.get("volumes", ())
        if not volume.startswith((".", "/"))
    }
    assert kept == found["volumes"].keys()
    assert all(":" in one.get("image", "built:1") for one in found["services"].values())
