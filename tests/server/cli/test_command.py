"""The command as a person types it: a process, its exit code, and what it says where."""

from __future__ import annotations

import errno
import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from leyr_mcp.server import VERSION, __main__
from leyr_mcp.server.cli import tools
from tests.e2e.wire import COMMAND, environment

WITHIN_S = 15
# Makes the terminal on stdin its own, so that Ctrl-C reaches what runs there, and becomes that.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def run(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command with nothing on its stdin."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(home, COLUMNS="60", **settings),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def in_terminal(home: Path, *arguments: str, ctrl_c_after: bytes = b"", **settings: str) -> str:
    """Return what a terminal shows of the command; Ctrl-C is pressed once it shows some text."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *COMMAND, *arguments],
        env=environment(home, TERM="xterm", COLUMNS="80", **settings),
        cwd=home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := _read(ours):
                shown += part
                if ctrl_c_after and ctrl_c_after in shown:
                    os.write(ours, b"\x03")
                    ctrl_c_after = b""
            process.wait(WITHIN_S)
        finally:
            process.kill()
            os.close(ours)
    return shown.decode()


def _read(terminal: int) -> bytes:
    ready, _, _ = select.select([terminal], [], [], WITHIN_S)
    assert ready, "The terminal stayed silent."
    try:
        return os.read(terminal, 65536)
    except OSError as exc:
        if exc.errno == errno.EIO:  # the last process has closed it
            return b""
        raise


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process."""
    monkeypatch.setattr(sys, "argv", ["leyr-mcp", *arguments])
    return __main__.main()


@pytest.mark.parametrize("option", ["--help", "-h", "help"])
def test_help_lists_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(monkeypatch, option) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert all(f"  {name} " in said.out for name in __main__.COMMANDS)
    assert max(len(line) for line in said.out.splitlines()) <= 60


@pytest.mark.parametrize("option", ["--version", "-V", "version"])
def test_version_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(monkeypatch, option) == 0
    assert capsys.readouterr() == (f"leyr-mcp {VERSION}\n", "")


def test_unknown_command_ends_with_exit_code_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(monkeypatch, "docter") == 2
    said = "leyr-mcp: there is no command 'docter'. Did you mean doctor?"
    assert capsys.readouterr() == ("", f"{said} leyr-mcp --help lists them.\n")


def test_ctrl_c_ends_a_command_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(tools, "main", pressed)
    assert main(monkeypatch, "tools") == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--toolsets", "nope"],
            "leyr-mcp: LEYR_MCP_TOOLSETS or --toolsets: there is no such toolset; known are all, ",
        ),
        (["--no-such-option"], "usage: leyr-mcp serve "),
    ],
)
def test_wrong_words_end_with_exit_code_two(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("LEYR_CLIENT_SECRET", "canary secret"),
        ("LEYR_MCP_STATE_DIR", "/dev/null/canary"),
        ("LEYR_MCP_ROLES", "canary"),
    ],
)
def test_wrong_setting_ends_the_start_with_one_sentence(
    tmp_path: Path, setting: str, value: str
) -> None:
    done = run(tmp_path, **{setting: value})
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("leyr-mcp: LEYR_")
    assert "canary" not in line
    assert line.endswith((".", "Did you mean LEYR_MCP_ROLE?"))


def test_start_without_pipes_says_what_is_missing(tmp_path: Path) -> None:
    done = run_shell(tmp_path, f"{COMMAND[0]} <&-")
    assert done.returncode == 2
    assert done.stderr == "leyr-mcp: stdin and stdout must be open; a client speaks over them.\n"
    assert run_shell(tmp_path, f"{COMMAND[0]} </dev/null >&-").returncode == 2


def test_reader_that_has_seen_enough_is_no_error_to_show(tmp_path: Path) -> None:
    done = run_shell(tmp_path, f"{COMMAND[0]} tools | head -1 >/dev/null")
    assert done.stderr == ""


def run_shell(home: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", script],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def test_module_is_the_same_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "leyr_mcp.server", "--version"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=True,
    )
    assert done.stdout == f"leyr-mcp {VERSION}\n"


def test_terminal_gets_colour_unless_it_wants_none(tmp_path: Path) -> None:
    assert "\x1b[32mok" in in_terminal(tmp_path, "doctor")
    assert "\x1b" not in in_terminal(tmp_path, "tools", NO_COLOR="1")


def test_person_who_starts_the_server_is_told_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    shown = in_terminal(tmp_path, ctrl_c_after=b"leyr-mcp --help")
    assert "waiting for an MCP client" in shown
    assert "Traceback" not in shown


def test_ctrl_c_at_a_question_files_nothing(tmp_path: Path) -> None:
    note = {"patient_id": "se_personal_number:191212121212", "title": "B", "content": "Text."}
    (tmp_path / "note.json").write_text(json.dumps(note), encoding="utf-8")
    assert run(tmp_path, "file", "note.json").returncode == 0
    shown = in_terminal(tmp_path, "approve", "--all", ctrl_c_after=b"no or quit: ")
    assert "Traceback" not in shown
    listed = json.loads(run(tmp_path, "drafts", "--json").stdout)
    assert [draft["status"] for draft in listed["drafts"]] == ["awaiting_approval"]
