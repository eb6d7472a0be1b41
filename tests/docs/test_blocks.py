"""The pages' code: commands are run and their output compared, calls are played, JSON is read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from leyr_mcp.server.settings import load
from tests.docs.blocks import PAGES, ROOT, Block, blocks, shown
from tests.practice.play import Question, playing
from tests.support.mcp_session import both_eras

COMMAND = [sys.executable, "-m", "leyr_mcp.server"]
CALL = re.compile(r"^\$ leyr-mcp (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
KNOWN = {"console", "sh", "json", "text"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_block_says_what_it_is_and_what_cannot_be_run_says_why(path: Path) -> None:
    for block in blocks(path):
        assert block.kind in KNOWN, block.text
        assert (block.kind == "sh") == bool(block.not_run), block.text


def test_most_that_can_be_run_is_run() -> None:
    kinds = [block.kind for path in PAGES for block in blocks(path)]
    assert kinds.count("console") >= 6
    assert kinds.count("json") >= 8
    assert kinds.count("sh") <= 8


@pytest.mark.parametrize("path", [p for p in PAGES if "console" in p.read_text()], ids=named)
def test_commands_print_what_the_page_shows(path: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for block in blocks(path):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        if block.kind == "console":
            _run(block, tmp_path)


def _run(block: Block, folder: Path) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "LEYR_MCP_STATE_DIR": str(folder / "state"),
        "COLUMNS": "100",
    }
    for command, expected in CALL.findall(block.text):
        done = subprocess.run(
            [*COMMAND, *command.split()],
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout)
        assert shown(expected).fullmatch(done.stdout), (command, done.stdout)


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_json_can_be_read_and_what_configures_is_known(path: Path) -> None:
    for block in blocks(path):
        if block.kind != "json":
            continue
        found = json.loads(block.text)
        for entry in found.get("mcpServers", {}).values():
            assert entry["command"].endswith("leyr-mcp")
            assert load(entry.get("env", {}))


@both_eras
async def test_the_tutorial_goes_as_it_says(mode: str, tmp_path: Path) -> None:
    page = blocks(ROOT / "docs/visit.md")
    calls = [(one, page[at + 1]) for at, one in enumerate(page) if '"tool"' in one.text]
    assert len(calls) >= 6
    question = Question(name="visit", says="", expects="", script=None)  # type: ignore[arg-type]  # the page is the script
    async with playing(question, mode, tmp_path) as run:
        for call, answer in calls:
            asked = json.loads(run.real(call.text))
            await run.call(asked["tool"], **asked["arguments"])
            assert run.last == answer.text.rstrip("\n"), asked["tool"]
