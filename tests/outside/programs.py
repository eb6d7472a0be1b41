"""How a check from outside starts node, the Inspector and, through them, the server.

Programs run in the project's root, as `mcp.json` expects, with a home of their own and none of the
caller's settings. Each one leads a process group that is ended with everything it started.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / ".work" / "outside"
MODULES = WORK / "node_modules"
INSPECTOR = MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
SERVER_NAME = "leyr"
SET_UP = "Run tests/outside/setup.sh."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a program left behind."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        """Return the object it printed; fails with its errors when it printed none."""
        try:
            printed: dict[str, Any] = json.loads(self.stdout)
        except ValueError:
            pytest.fail(f"exit {self.code}, no JSON: {self.stdout!r}\n{self.stderr}")
        return printed


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The tools found on this machine, and the host configuration they read."""

    node: str
    browser: str
    config: Path
    home: Path

    @contextmanager
    def start(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Run a program until the block is left; then it and all it started have ended."""
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                _end(process)

    def run(self, *command: str, timeout_s: float = 30) -> Finished:
        """Run a program to its end."""
        with self.start(*command) as process:
            stdout, stderr = process.communicate(timeout=timeout_s)
        return Finished(code=process.returncode, stdout=stdout, stderr=stderr)

    def inspect(self, *arguments: str) -> Finished:
        """Run the Inspector's command line against the server of the configuration."""
        target = ("--config", str(self.config), "--server", SERVER_NAME)
        return self.run(self.node, str(INSPECTOR), "--cli", "-q", *target, *arguments)

    def configured(self, folder: Path, **more: Any) -> Outside:
        """Return the same with a server that keeps its state in the folder.

        `more` goes into the entry of the host configuration.
        """
        config = json.loads(self.config.read_text())
        entry = config["mcpServers"][SERVER_NAME]
        env = {**entry.get("env", {}), "LEYR_MCP_STATE_DIR": str(folder / "state")}
        entry.update(more, env=env | more.get("env", {}))
        path = folder / "mcp.json"
        path.write_text(json.dumps(config))
        return replace(self, config=path)

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "MCP_INSPECTOR_SECRET_STORE": "memory",
        }


def set_up(home: Path) -> Outside:
    """Return the tools, or fail with what is missing and how to get it."""
    pinned = json.loads((HERE / "package.json").read_text())["dependencies"]
    for name, version in pinned.items():
        found = _installed_version(name)
        if found != version:
            pytest.fail(f"{name} {version} is needed, {found or 'none'} is installed. {SET_UP}")
    return Outside(
        node=str(MODULES / ".bin" / "node"),
        browser=_found("chromium", "chromium-browser", "google-chrome"),
        config=_config(home),
        home=home,
    )


def _installed_version(package: str) -> str | None:
    manifest = MODULES / package / "package.json"
    return json.loads(manifest.read_text())["version"] if manifest.exists() else None


def _found(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.fail(f"{names[0]} is missing. {SET_UP}")


def _config(home: Path) -> Path:
    """Return the project's own `mcp.json`, or one for the command under test."""
    override = os.environ.get("CHECK_OUTSIDE_COMMAND")
    if override is None:
        return ROOT / "mcp.json"
    command, *arguments = shlex.split(override)
    entry = {"command": command, "args": arguments}
    config = home / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {SERVER_NAME: entry}}))
    return config


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the program to end, then end what is left of its group."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
    with suppress(ProcessLookupError):  # nothing was left
        os.killpg(process.pid, signal.SIGKILL)
