"""The examples: each is run in an environment of its own, and files its three drafts once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.outside.programs import MODULES, ROOT, Outside

EXAMPLES = ROOT / "examples"
BIN = Path(os.environ.get("CHECK_OUTSIDE_COMMAND") or ROOT / ".venv/bin/leyr-mcp").parent
LONG = pytest.mark.skipif(os.environ.get("SOAK") != "1", reason="a long run")
PYTHON = [
    "python_sdk",
    "langchain",
    *(
        pytest.param(name, marks=LONG)
        for name in ("pydantic_ai", "openai_agents", "fastmcp_client")
    ),
]


def environment_of(name: str) -> Path:
    """Return the interpreter of an example's own environment, made when it is not there yet."""
    wanted = EXAMPLES / name / "requirements.txt"
    folder = ROOT / ".work/examples" / f"{name}-{sha256(wanted.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin/python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "--only-binary", ":all:", "-r", str(wanted)], check=True, timeout=300)
        (folder / "installed").touch()
    return python


def plays(outside: Outside, folder: Path, *command: str) -> None:
    """See that a program ends well, and that what it says it did is in the store, once."""
    place = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LEYR_MCP_STATE_DIR": str(folder / "state"),
    }
    with outside.start(*command, **place) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    with outside.start("leyr-mcp", "drafts", "--all", "--json", **place) as process:
        listed, _ = process.communicate(timeout=60)
    drafts = [(one["kind"], one["status"]) for one in json.loads(listed)["drafts"]]
    kinds = ("appointment", "document", "note")
    assert sorted(drafts) == [(kind, "filed") for kind in kinds], drafts


@pytest.mark.parametrize("name", PYTHON)
def test_a_python_example_plays_the_visit(outside: Outside, tmp_path: Path, name: str) -> None:
    python = environment_of(name)
    plays(outside, tmp_path, str(python), str(EXAMPLES / name / "visit.py"))


def test_the_typescript_example_plays_the_visit(outside: Outside, tmp_path: Path) -> None:
    # Packages are looked for beside the program, so it runs where they are.
    program = tmp_path / "visit.mjs"
    program.write_bytes((EXAMPLES / "typescript_sdk/visit.mjs").read_bytes())
    (tmp_path / "node_modules").symlink_to(MODULES)
    plays(outside, tmp_path, outside.node, str(program))


def test_the_examples_versions_are_those_that_are_told() -> None:
    told = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for requirements in EXAMPLES.glob("*/requirements.txt"):
        name, _, version = requirements.read_text(encoding="utf-8").strip().partition("==")
        assert f"{name.partition('[')[0]} {version}" in told
    package = json.loads((EXAMPLES / "typescript_sdk/package.json").read_text(encoding="utf-8"))
    installed = json.loads((MODULES / "@modelcontextprotocol/client/package.json").read_text())
    assert package["dependencies"]["@modelcontextprotocol/client"] == installed["version"]
    assert f"client {installed['version']}" in told
