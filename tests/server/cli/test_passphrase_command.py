"""`leyr-mcp passphrase`: what it asks, what it refuses, and that it never shows what is typed."""

from __future__ import annotations

import getpass
import io
import os
import pty
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.cli import passphrase as command
from leyr_mcp.server.filing import passphrase
from leyr_mcp.server.filing.passphrase import Approver, Passphrase
from tests.e2e.wire import environment

OLD = "canary old passphrase"
NEW = "canary new passphrase"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "_N", 2**4)


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Passphrase:
    """The passphrase of the state folder that the settings name; none is set."""
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    return Passphrase(tmp_path / "state", clock=lambda: datetime.now(UTC))


class Terminal(io.StringIO):
    """A stdin that is a terminal."""

    def isatty(self) -> bool:
        return True


def typed(monkeypatch: pytest.MonkeyPatch, *hidden: str, shown: str = "Anna Ek\n") -> list[str]:
    """Have a person type these, the hidden ones in turn; return the prompts as they come."""
    prompts: list[str] = []
    left: Iterator[str] = iter(hidden)

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(left)

    monkeypatch.setattr(getpass, "getpass", ask)
    monkeypatch.setattr(sys, "stdin", Terminal(shown))
    return prompts


def who(keeper: Passphrase, text: str) -> str | None:
    found = keeper.verify(text)
    return found.name if isinstance(found, Approver) else None


def test_first_is_asked_twice_and_named(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = typed(monkeypatch, NEW, NEW)
    assert command.main([]) == 0
    assert len(prompts) == 2
    assert "at least 8 characters" in prompts[0]
    assert who(keeper, NEW) == "Anna Ek"
    said = capsys.readouterr()
    assert said.err == ""
    assert "Your name" in said.out
    assert "The passphrase is set. Approvals will name Anna Ek." in said.out
    assert "canary" not in said.out


def test_name_may_be_an_option(keeper: Passphrase, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, NEW, NEW, shown="")
    assert command.main(["--name", "Bo Alm"]) == 0
    assert who(keeper, NEW) == "Bo Alm"


def test_change_asks_for_the_old_one_first_and_keeps_the_name(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.set(OLD, name="Anna Ek")
    prompts = typed(monkeypatch, OLD, NEW, NEW, shown="\n")
    assert command.main([]) == 0
    assert prompts[0] == "Passphrase of Anna Ek as it is now: "
    assert who(keeper, NEW) == "Anna Ek"
    assert who(keeper, OLD) is None


def test_wrong_old_one_ends_it_before_the_new_one_is_asked(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper.set(OLD, name="Anna Ek")
    prompts = typed(monkeypatch, "canary of a guess")
    assert command.main([]) == 1
    assert len(prompts) == 1
    said = capsys.readouterr().err
    assert said == ("leyr-mcp: That is not the passphrase. 4 guesses left. Nothing was changed.\n")
    assert who(keeper, OLD) == "Anna Ek"


def test_locked_is_said(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper.set(OLD, name="Anna Ek")
    for _ in range(5):
        keeper.verify("canary of a guess")
    typed(monkeypatch, OLD)
    assert command.main([]) == 1
    assert "Try again in 15 minutes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("hidden", "shown", "says"),
    [
        ((NEW, NEW + "x"), "Anna Ek\n", "The two differ."),
        (("canary", "canary"), "Anna Ek\n", "at least 8 characters"),
        ((NEW, NEW), "\n", "A name has 1 to 100 characters"),
        ((NEW, NEW), "", "The input ended too early."),
    ],
    ids=["differ", "short", "no name", "no input"],
)
def test_what_breaks_a_rule_changes_nothing(
    keeper: Passphrase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    hidden: tuple[str, ...],
    shown: str,
    says: str,
) -> None:
    typed(monkeypatch, *hidden, shown=shown)
    assert command.main([]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert "Nothing was changed." in said
    assert "canary" not in said
    assert keeper.approver() is None


@pytest.mark.parametrize("stdin", [io.StringIO(f"{NEW}\n{NEW}\n"), None], ids=["pipe", "closed"])
def test_no_terminal_is_refused(
    keeper: Passphrase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stdin: io.StringIO | None,
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert command.main(["--name", "Anna Ek"]) == 2
    assert "scripts use --stdin" in capsys.readouterr().err
    assert keeper.approver() is None


def test_terminal_that_cannot_hide_is_refused(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shows(prompt: str) -> str:
        warnings.warn("Can not control echo", getpass.GetPassWarning, stacklevel=2)
        return NEW

    typed(monkeypatch)
    monkeypatch.setattr(getpass, "getpass", shows)
    assert command.main([]) == 2
    assert "would show what is typed" in capsys.readouterr().err
    assert keeper.approver() is None


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_script_sets_and_changes_it(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(OLD + end))
    assert command.main(["--stdin", "--name", "Anna Ek"]) == 0
    assert who(keeper, OLD) == "Anna Ek"
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{OLD}\n{NEW}{end}"))
    assert command.main(["--stdin"]) == 0
    assert who(keeper, NEW) == "Anna Ek"


@pytest.mark.parametrize(
    ("lines", "options", "says"),
    [
        ("", ["--name", "Anna Ek"], "ended too early"),
        (NEW, [], "--name"),
        ("x" * 5_000, ["--name", "Anna Ek"], "at most 1024 bytes"),
        (None, ["--name", "Anna Ek"], "ended too early"),
    ],
    ids=["empty", "no name", "too long", "closed"],
)
def test_script_that_breaks_a_rule_is_told(
    keeper: Passphrase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: str | None,
    options: list[str],
    says: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", None if lines is None else io.StringIO(lines))
    assert command.main(["--stdin", *options]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert "canary" not in said
    assert keeper.approver() is None


def test_bytes_that_are_no_text_are_refused_without_repeating_them(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = io.TextIOWrapper(io.BytesIO(b"canary \xff passphrase\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", raw)
    assert command.main(["--stdin", "--name", "Anna Ek"]) == 1
    said = capsys.readouterr().err
    assert "no text" in said
    assert "canary" not in said
    assert "0xff" not in said


def test_wrong_setting_and_unknown_option_are_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", "relative")
    assert command.main(["--stdin"]) == 2
    assert "absolute path" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        command.main(["--passphrase", NEW])
    assert caught.value.code == 2


def test_help_tells_what_to_do_when_it_is_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    assert "delete approver.json" in " ".join(capsys.readouterr().out.split())


TAKE_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from leyr_mcp.server.cli import passphrase
sys.exit(passphrase.main([]))
"""


def test_terminal_never_shows_what_is_typed(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    answers = {b"characters: ": NEW, b"again: ": NEW, b"will show it: ": "Anna Ek"}
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL],
        env=environment(tmp_path, TERM="dumb", COLUMNS="80"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = _dialogue(ours, answers)
        assert process.wait(15) == 0
    os.close(ours)
    assert "Approvals will name Anna Ek." in shown
    assert "canary" not in shown
    keeper = Passphrase(tmp_path / "state", clock=lambda: datetime.now(UTC))
    assert keeper.approver() is not None


def _dialogue(terminal: int, answers: dict[Any, str]) -> str:
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            part = b""
        if not part:
            return shown.decode()
        shown += part
        for prompt in [prompt for prompt in answers if shown.endswith(prompt)]:
            os.write(terminal, answers.pop(prompt).encode() + b"\n")
