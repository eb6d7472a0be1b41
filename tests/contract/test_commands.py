"""Every command: what it says of itself, JSON alone where that is asked for, one table of codes."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from leyr_mcp.server.__main__ import COMMANDS
from leyr_mcp.server.cli import terminal

# What serves until it is ended is started and read elsewhere.
SERVES = {"serve", "review", "sandbox", "demo"}
CALLS = [
    ("doctor",),
    ("webhooks",),
    ("install", "cursor", "--dry-run"),
    ("install", "claude-desktop", "--project"),
    ("tools",),
    ("tools", "--toolsets", "no such"),
    ("drafts",),
    ("drafts", "--patient", "191212121212"),
    ("approve", "--all", "--yes"),
    ("approve", "d_unknown", "--yes"),
    ("approve",),
    ("resolve", "d_unknown"),
    ("file", "no-such-file.json"),
    ("passphrase", "--stdin"),
    ("audit", "verify"),
    ("audit", "patient", "se_personal_number:191212121212"),
    ("audit", "patient", "191212121212"),
    ("drafts", "--no-such-option"),
]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def ran(*argv: str) -> int:
    command, *arguments = argv
    try:
        code: int = import_module(f"leyr_mcp.server.cli.{command}").main(arguments)
    except SystemExit as left:
        code = int(left.code or 0)
    return code


def test_every_command_is_called_here_or_serves() -> None:
    assert {call[0] for call in CALLS} | SERVES == set(COMMANDS)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_json_is_one_value_with_the_same_exit_code(
    call: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ran(*call)
    capsys.readouterr()
    assert ran(*call, "--json") == plain
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "\x1b" not in said.out + said.err
    assert plain in (0, 1, 2)
    failed = isinstance(found, dict) and "error" in found
    assert failed == (plain == 2 or (plain == 1 and "d_unknown" in call) or call[0] == "passphrase")
    if failed:
        assert re.fullmatch(r"[a-z_]+", found["error"]["code"])
        assert found["error"]["message"].endswith((".", "--all", "!"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_is_for(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(command, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: leyr-mcp {command}")
    assert len(said.split("\n\n")) > 2
    assert "--json" in said or command in ("serve", "audit")


class _Terminal:
    def __init__(self) -> None:
        self.said = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.said += text
        return len(text)

    def flush(self) -> None: ...


def test_long_work_shows_how_far_it_is_on_a_terminal_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal.progress("events read") as step:
        step(1_000)
    assert capsys.readouterr().err == ""
    screen = _Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with terminal.progress("events read") as step:
        step(1_000)
    assert screen.said == ""  # it took no time
    monkeypatch.setattr(terminal, "_QUICK_S", 0.0)
    monkeypatch.setattr(terminal, "_OFTEN_S", 0.0)
    with terminal.progress("events read") as step:
        step(1_000)
        step(234)
    assert "1,234 events read" in screen.said
    assert screen.said.endswith("\r\x1b[K")


@pytest.mark.parametrize("call", [("doctor",), ("tools",), ("drafts",), ("audit", "verify")])
def test_nothing_is_wider_than_a_narrow_terminal(
    call: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert ran(*call) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40
