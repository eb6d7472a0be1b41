"""`leyr-mcp install claude-desktop`: the entry, and how it gets into a file that others use too."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from leyr_mcp.server.cli import install
from leyr_mcp.server.cli.clients import PROGRAMS
from leyr_mcp.server.cli.jsonc import parsed
from leyr_mcp.server.errors import ConfigError

NEW = {"command": "/opt/leyr mcp/leyr-mcp", "args": []}
DESKTOP = PROGRAMS["claude-desktop"]
SECRET = "canary-secret"
OTHERS: dict[str, Any] = {
    "globalShortcut": "Ctrl+Å",
    "mcpServers": {"files": {"command": "npx", "args": ["-y", "files"], "odd": [1, None]}},
    "unknown": {"nested": [True, 1.5, None, "ö"]},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where Claude Desktop would keep its configuration, with a space and an umlaut on the way."""
    return tmp_path / "Application Süpport" / "claude_desktop_config.json"


def written(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def install_to(config: Path) -> int:
    return install.main(["claude-desktop", "--config", str(config)])


def existing(config: Path, text: str | bytes) -> bytes:
    config.parent.mkdir(parents=True)
    config.write_bytes(text.encode() if isinstance(text, str) else text)
    return config.read_bytes()


def test_new_file_holds_the_entry_for_its_owner_alone(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install_to(config) == 0
    (entry,) = written(config)["mcpServers"].values()
    assert Path(entry["command"]).is_absolute()
    assert config.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in config.parent.iterdir()] == [config.name]
    said = capsys.readouterr()
    assert said.err == ""
    assert str(config) in said.out
    assert "Quit Claude Desktop" in said.out


def test_everything_else_in_the_file_is_kept_and_backed_up(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = existing(config, json.dumps(OTHERS, ensure_ascii=False))
    assert install_to(config) == 0
    after = written(config)
    assert after["mcpServers"].pop("leyr")
    assert after == OTHERS
    assert list(after) == list(OTHERS)
    assert "Ctrl+Å" in config.read_text(encoding="utf-8")
    (backup,) = config.parent.glob("*.bak")
    assert backup.read_bytes() == before
    assert str(backup) in capsys.readouterr().out
    assert config.stat().st_mode & 0o777 == 0o600


def test_second_run_changes_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    existing(config, "{}")
    assert install_to(config) == 0
    once = config.read_bytes()
    capsys.readouterr()
    assert install_to(config) == 0
    assert config.read_bytes() == once
    assert len(list(config.parent.glob("*.bak"))) == 1
    assert "nothing was changed" in capsys.readouterr().out


def test_changed_entry_is_replaced_with_a_backup_of_its_own(config: Path) -> None:
    existing(config, json.dumps(OTHERS))
    backups = [
        install.write(config, {**NEW, "args": [str(n)]}, program=DESKTOP).backup for n in range(3)
    ]
    assert len(set(backups)) == 3
    assert written(config)["mcpServers"]["leyr"]["args"] == ["2"]
    assert written(config)["mcpServers"]["files"] == OTHERS["mcpServers"]["files"]


@pytest.mark.parametrize("text", ["", "  \n", "{}", "\ufeff{}"])
def test_empty_file_is_filled(config: Path, text: str) -> None:
    existing(config, text)
    assert install.write(config, NEW, program=DESKTOP).changed
    assert json.loads(config.read_text("utf-8-sig")) == {"mcpServers": {"leyr": NEW}}


@pytest.mark.parametrize(
    "text",
    [
        '{"mcpServers": {},,}',
        "{ # a comment\n}",
        "[]",
        '"text"',
        '{"mcpServers": []}',
        '{"mcpServers": null}',
        b"\xff\xfe{\x00}\x00",
        "[" * 100_000,
    ],
    ids=range(8),
)
def test_file_that_is_no_configuration_is_left_alone(
    config: Path, capsys: pytest.CaptureFixture[str], text: str | bytes
) -> None:
    before = existing(config, text)
    assert install_to(config) == 2
    assert config.read_bytes() == before
    assert [path.name for path in config.parent.iterdir()] == [config.name]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"leyr-mcp: {config} is not")
    assert said.err.endswith("Nothing was changed.\n")


def test_path_that_cannot_be_read_or_written_is_named(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.mkdir(parents=True)
    assert install_to(config) == 2
    assert install_to(config.parent / "f" / "c.json") == 0
    assert install_to(config.parent / "f" / "c.json" / "c.json") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.endswith("cannot be read or written. Nothing was changed.") for line in said)


def test_failed_write_leaves_file_and_folder_as_they_were(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = existing(config, json.dumps(OTHERS))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="Nothing was changed"):
        install.write(config, NEW, program=DESKTOP)
    assert config.read_bytes() == before
    assert [path.name for path in config.parent.iterdir()] == [config.name]


def test_link_stays_a_link(config: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.json"
    target.write_text(json.dumps(OTHERS))
    config.parent.mkdir(parents=True)
    config.symlink_to(target)
    assert install.write(config, NEW, program=DESKTOP).changed
    assert config.is_symlink()
    assert written(target)["mcpServers"]["leyr"] == NEW
    assert written(target)["unknown"] == OTHERS["unknown"]


def test_settings_of_now_are_passed_on_and_nothing_else(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {
        "LEYR_CLIENT_ID": "client",
        "LEYR_CLIENT_SECRET": SECRET,
        "LEYR_EMR": "webdoc",
        "LEYR_MCP_STATE_DIR": "/srv/läkare/state",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTHER_SECRET", "not-ours")
    monkeypatch.setenv("LEYR_MCP_ROLE", "")
    assert install_to(config) == 0
    assert written(config)["mcpServers"]["leyr"]["env"] == env
    said = capsys.readouterr()
    assert "LEYR_CLIENT_SECRET" in said.out
    assert SECRET not in said.out + said.err


def test_print_changes_nothing_and_keeps_the_secret_off_the_screen(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_CLIENT_ID", "client")
    monkeypatch.setenv("LEYR_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("LEYR_EMR", "webdoc")
    assert install.main(["claude-desktop", "--print", "--config", str(config)]) == 0
    said = capsys.readouterr()
    env = json.loads(said.out)["mcpServers"]["leyr"]["env"]
    assert env["LEYR_CLIENT_ID"] == "client"
    assert SECRET not in said.out + said.err
    assert env["LEYR_CLIENT_SECRET"] in said.err
    assert not config.parent.exists()


def test_wrong_setting_is_refused_before_anything_is_written(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEYR_MCP_ROLE", "doctor")
    assert install_to(config) == 2
    assert capsys.readouterr().err.startswith("leyr-mcp: LEYR_MCP_ROLE must be ")
    assert not config.parent.exists()


def test_entry_names_the_command_that_runs_or_else_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "my environment" / "leyr-mcp"
    command.parent.mkdir()
    command.touch()
    monkeypatch.chdir(command.parent)
    monkeypatch.setattr(sys, "argv", ["leyr-mcp"])
    assert install.entry({}) == {"command": str(command), "args": []}
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "__main__.py")])
    assert install.entry({}) == {"command": sys.executable, "args": ["-m", "leyr_mcp.server"]}


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("darwin", {}, "~/Library/Application Support/Claude"),
        ("win32", {"APPDATA": "/c/roaming"}, "/c/roaming/Claude"),
        ("win32", {}, "~/AppData/Roaming/Claude"),
        ("linux", {}, "~/.config/Claude"),
        ("linux", {"XDG_CONFIG_HOME": "/x/config"}, "/x/config/Claude"),
    ],
)
def test_configuration_is_looked_for_where_the_system_keeps_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], folder: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    expected = Path(folder).expanduser() / "claude_desktop_config.json"
    assert DESKTOP.path(environ, project=False) == expected


def test_unknown_client_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        install.main(["no-such-client"])
    assert left.value.code == 2
    assert "claude-desktop" in capsys.readouterr().err


# Every program


FULL = """{
    // kept by hand
    "inputs": [],
    "SECTION": {
        "files": { "command": "npx", "args": ["-y", "files"] }, // the files
    },
    "unknown": { "nested": [true, 1.5, null, "ö // no comment ,]"] },
}
"""


@pytest.mark.parametrize("line", ["\n", "\r\n"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_full_file_gets_the_entry_and_is_then_as_before(
    config: Path, name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    section = PROGRAMS[name].section
    before = existing(config, FULL.replace("SECTION", section).replace("\n", line))
    assert install.main([name, "--config", str(config)]) == 0
    held = parsed(config.read_bytes().decode())
    entry = held[section].pop("leyr")
    assert held == parsed(before.decode())
    assert entry.pop("type", None) == ("stdio" if PROGRAMS[name].typed else None)
    assert Path(entry["command"]).is_absolute()
    for kept in before.decode().split(line):
        assert kept in config.read_bytes().decode()
    assert install.main([name, "--config", str(config), "--remove"]) == 0
    assert parsed(config.read_bytes().decode()) == parsed(before.decode())
    assert "// the files" in config.read_bytes().decode()
    assert PROGRAMS[name].after in capsys.readouterr().out


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_empty_place_gets_a_file_and_removing_leaves_no_entry(config: Path, name: str) -> None:
    assert install.main([name, "--config", str(config)]) == 0
    assert list(written(config)[PROGRAMS[name].section]) == ["leyr"]
    assert install.main([name, "--config", str(config), "--remove"]) == 0
    assert written(config) == {PROGRAMS[name].section: {}}


def test_removing_what_is_not_there_changes_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = existing(config, json.dumps(OTHERS))
    assert install.main(["cursor", "--config", str(config), "--remove"]) == 0
    assert config.read_bytes() == before
    assert "has no entry of this server; nothing was changed" in capsys.readouterr().out
    assert len(list(config.parent.iterdir())) == 1


def test_a_dry_run_says_what_would_change_without_secrets(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"command": "/old", "args": [], "env": {"LEYR_CLIENT_SECRET": SECRET}}
    before = existing(config, json.dumps({"mcpServers": {"leyr": old}}))
    for name, value in (
        ("LEYR_CLIENT_ID", "c"),
        ("LEYR_CLIENT_SECRET", SECRET),
        ("LEYR_EMR", "webdoc"),
    ):
        monkeypatch.setenv(name, value)
    assert install.main(["claude-desktop", "--config", str(config), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Would have replaced 'leyr' in {config}.")
    assert '-   "command": "/old",' in said
    assert SECRET not in said
    assert config.read_bytes() == before
    assert len(list(config.parent.iterdir())) == 1


def test_json_tells_what_was_done_without_secrets(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("LEYR_CLIENT_ID", "c"),
        ("LEYR_CLIENT_SECRET", SECRET),
        ("LEYR_EMR", "webdoc"),
    ):
        monkeypatch.setenv(name, value)
    existing(config, "{}")
    assert install.main(["vscode", "--config", str(config), "--json"]) == 0
    said = capsys.readouterr().out
    told = json.loads(said)
    assert (told["path"], told["changed"], told["before"]) == (str(config), True, None)
    assert Path(told["backup"]).read_text() == "{}"
    assert told["entry"]["env"]["LEYR_CLIENT_SECRET"] == "<secret>"
    assert SECRET not in said
    existing(config.parent / "bad" / "f.json", "[]")
    assert install.main(["vscode", "--config", str(config.parent / "bad/f.json"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["message"].endswith("Nothing was changed.")


def test_a_file_that_another_program_writes_meanwhile_is_not_overwritten(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing(config, "{}")
    real = os.fsync

    def meanwhile(handle: int) -> None:
        real(handle)
        config.write_text('{"theirs": 1}')

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(ConfigError, match="changed by another program"):
        install.write(config, NEW, program=DESKTOP)
    assert config.read_text() == '{"theirs": 1}'
    assert [path.name for path in config.parent.iterdir()] == [config.name]


@pytest.mark.parametrize(
    ("name", "environ", "path"),
    [
        ("claude-code", {}, "~/.claude.json"),
        ("claude-code", {"CLAUDE_CONFIG_DIR": "/x/claude"}, "/x/claude/.claude.json"),
        ("cursor", {}, "~/.cursor/mcp.json"),
        ("vscode", {}, "~/.config/Code/User/mcp.json"),
    ],
)
def test_each_program_has_its_place(name: str, environ: dict[str, str], path: str) -> None:
    assert PROGRAMS[name].path(environ, project=False) == Path(path).expanduser()


def test_a_project_has_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, place in (
        ("claude-code", ".mcp.json"),
        ("cursor", ".cursor/mcp.json"),
        ("vscode", ".vscode/mcp.json"),
    ):
        assert install.main([name, "--project"]) == 0
        assert (tmp_path / place).exists()
    assert install.main(["claude-desktop", "--project"]) == 2
    assert "no configuration of a project" in capsys.readouterr().err


@pytest.mark.parametrize("name", PROGRAMS)
async def test_the_command_that_was_written_starts_from_any_folder(
    tmp_path: Path, name: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Path(sys.executable).with_name("leyr-mcp")
    if command.exists():  # else the module is named
        monkeypatch.setattr(sys, "argv", [str(command)])
    monkeypatch.setenv("LEYR_MCP_STATE_DIR", str(tmp_path / "state"))
    assert install.main([name, "--config", str(config)]) == 0
    entry = written(config)[PROGRAMS[name].section]["leyr"]
    server = StdioServerParameters(
        command=entry["command"], args=entry["args"], env=entry["env"], cwd="/"
    )
    async with Client(stdio_client(server)) as client:
        assert len((await client.list_tools()).tools) == 17
