"""The four servers that are measured, each in the same environment, against the same upstream."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work"
FASTMCP = "4.1.2"
# What the generated server shares with the others, in the same versions.
SHARED = ("mcp", "httpx2", "pydantic", "anyio", "starlette", "uvicorn")

OURS, BARE, CONTROL, GENERATED = "leyr-mcp", "bare SDK", "control", "generated"
EMR, UNIT, LAST_NAME = "webdoc", "L0_1", "Tolvansson"
_AT = f"/emrs/{EMR}/care-units/{UNIT}"


class BenchError(Exception):
    """A program that the bench started did not do what is measured."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server: how it is started and what its `find_patient` takes."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    arguments: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """What the sandbox publishes: its OpenAPI document and what it has, in its own answers."""

    openapi: Path
    patients: list[dict[str, Any]]
    resources: list[dict[str, Any]]
    services: list[dict[str, Any]]


def base_env() -> dict[str, str]:
    """Return an environment in which nothing of the caller's Python settings is left."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    }
    # A fixed seed: otherwise each process lays out its sets and dicts differently, which is noise.
    return {**kept, "PYTHONHASHSEED": "0"}


def contestants(port: int, openapi: Path, state: Path) -> list[Contestant]:
    """Return the servers, in the order of the tables; the control is the bare one once more."""
    env = base_env() | {
        "LEYR_BASE_URL": f"http://127.0.0.1:{port}/api",
        "LEYR_CLIENT_ID": "bench",
        "LEYR_CLIENT_SECRET": "bench",
        "LEYR_EMR": EMR,
        "LEYR_CARE_UNIT_ID": UNIT,
    }
    servers = ROOT / "bench" / "servers"
    by_name = {"last_name": LAST_NAME}
    bare = (sys.executable, str(servers / "bare_sdk.py"))
    generated = (str(python_of(WORK / "bench-venv")), str(servers / "generated.py"), str(openapi))
    return [
        Contestant(
            OURS,
            (str(Path(sys.executable).with_name("leyr-mcp")),),
            env | {"LEYR_MCP_STATE_DIR": str(state)},
            by_name,
        ),
        Contestant(BARE, bare, env, by_name),
        Contestant(CONTROL, bare, env, by_name),
        Contestant(
            GENERATED,
            generated,
            env | {"FASTMCP_CHECK_FOR_UPDATES": "off", "FASTMCP_LOG_LEVEL": "WARNING"},
            {**by_name, "emr": EMR, "care_unit_id": UNIT},
        ),
    ]


def python_of(venv: Path) -> Path:
    """Return an environment's interpreter."""
    return venv / "bin" / "python"


def make_venv() -> Path:
    """Return the generated server's environment, made anew when what it should hold has changed."""
    venv = WORK / "bench-venv"
    wanted = [f"fastmcp=={FASTMCP}", *(f"{name}=={version(name)}" for name in SHARED)]
    mark, text = venv / "holds.txt", "\n".join([sys.version, *wanted])
    if not mark.exists() or mark.read_text(encoding="utf-8") != text:
        print("Setting up the generated server's environment ...", flush=True)
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True, env=env)
        pip = [
            str(python_of(venv)),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "install",
        ]
        subprocess.run([*pip, *wanted], check=True, env=env, stderr=subprocess.PIPE, text=True)
        mark.write_text(text, encoding="utf-8")
    return venv


@contextlib.contextmanager
def sandbox() -> Iterator[dict[str, str]]:
    """Run the sandbox on a port of its own; yield the settings that reach it."""
    command = [str(Path(sys.executable).with_name("leyr-mcp")), "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=base_env()) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            line = process.stdout.readline()
            if "LEYR_BASE_URL" not in line:
                raise BenchError("the sandbox did not start")
            yield dict(pair.split("=", 1) for pair in line.split())
        finally:
            process.terminate()


def sample(folder: Path) -> Sample:
    """Start the sandbox, take its OpenAPI document and its answers, and stop it."""
    with sandbox() as settings:
        base = settings["LEYR_BASE_URL"]
        headers = {
            "x-leyr-client-id": settings["LEYR_CLIENT_ID"],
            "x-leyr-client-secret": settings["LEYR_CLIENT_SECRET"],
        }
        openapi = folder / "openapi.json"
        openapi.write_bytes(_get(base.removesuffix("/api") + "/openapi.json", headers))
        lists = [
            json.loads(_get(f"{base}{_AT}/{name}", headers))
            for name in (f"patients?last_name={LAST_NAME}", "resources", "healthcare-services")
        ]
    return Sample(openapi, *lists)


def _get(url: str, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the sandbox's own address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        body: bytes = answer.read()
    return body


@contextlib.contextmanager
def upstream(patients: list[dict[str, Any]]) -> Iterator[int]:
    """Run the upstream that answers the search with these patients; yield its port."""
    command = [sys.executable, str(ROOT / "bench" / "upstream.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=base_env()
    ) as process:
        try:
            assert process.stdin is not None  # noqa: S101 - for the type checker
            assert process.stdout is not None  # noqa: S101 - for the type checker
            process.stdin.write(json.dumps(patients, separators=(",", ":")).encode() + b"\n")
            process.stdin.flush()
            yield int(process.stdout.readline())
        finally:
            process.terminate()
