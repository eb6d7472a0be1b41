"""`leyr-mcp install claude-desktop`.

Adds this server to Claude Desktop's configuration, with a backup.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.settings import SETTINGS, load

NAME = "leyr"

_SECRETS = ("LEYR_CLIENT_SECRET",)
_PLACE = "<secret>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of the file."""

    changed: bool
    backup: Path | None = None


def main(argv: list[str]) -> int:
    """Write the entry, or print it with `--print`."""
    parser = argparse.ArgumentParser(prog="leyr-mcp install", allow_abbrev=False)
    parser.add_argument("client", choices=["claude-desktop"], help="what to connect")
    parser.add_argument("--print", action="store_true", help="print the entry, change nothing")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="a configuration file in another place"
    )
    options = parser.parse_args(argv)
    try:
        load()
        new = entry(os.environ)
        if options.print:
            _print(new)
            return 0
        path = options.config or config_path(os.environ)
        written = write(path, new)
    except ConfigError as exc:
        sys.stderr.write(f"leyr-mcp: {exc.message}\n")
        return 2
    if not written.changed:
        sys.stdout.write(f"{path} has this server already; nothing was changed.\n")
        return 0
    sys.stdout.write(f"Added {NAME!r} to {path}.\n")
    if "env" in new:
        sys.stdout.write(f"Settings passed on: {', '.join(new['env'])}.\n")
    if written.backup:
        sys.stdout.write(f"The file as it was: {written.backup}.\n")
    sys.stdout.write("Quit Claude Desktop completely and start it again.\n")
    return 0


def _print(new: dict[str, Any]) -> None:
    """Print the entry; a secret stays off the screen."""
    env = {name: _PLACE if name in _SECRETS else text for name, text in new.get("env", {}).items()}
    shown = {**new, "env": env} if env else new
    entries = json.dumps({"mcpServers": {NAME: shown}}, indent=2, ensure_ascii=False)
    sys.stdout.write(entries + "\n")
    if _PLACE in env.values():
        sys.stderr.write(f"leyr-mcp: put the secret where it says {_PLACE}.\n")


def entry(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry: absolute paths, and every setting that is set now.

    Hosts pass no others on.
    """
    command = Path(sys.argv[0]).absolute()
    if command.name.removesuffix(".exe") == "leyr-mcp" and command.exists():
        found: dict[str, Any] = {"command": str(command), "args": []}
    else:
        found = {"command": sys.executable, "args": ["-m", "leyr_mcp.server"]}
    env = {s.name: environ[s.name] for s in SETTINGS if environ.get(s.name)}
    return {**found, "env": env} if env else found


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where Claude Desktop keeps its configuration on this system."""
    if sys.platform == "darwin":
        folder = Path.home() / "Library/Application Support"
    elif sys.platform == "win32":
        folder = Path(environ.get("APPDATA") or Path.home() / "AppData/Roaming")
    else:
        folder = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return folder / "Claude" / "claude_desktop_config.json"


def write(path: Path, new: dict[str, Any]) -> Written:
    """Merge the entry into the file; whatever else is in it stays as it is.

    Raises:
        ConfigError: The file cannot be read as configuration, or not be written; nothing was
            changed.
    """
    backup = None
    try:
        path = path.resolve()  # a link stays a link: what it points to is written
        config = _parsed(path) if path.exists() else {}
        servers = config.setdefault("mcpServers", {})
        if servers.get(NAME) == new:
            return Written(changed=False)
        if path.exists():
            backup = _backup_name(path)
            shutil.copy2(path, backup)
        servers[NAME] = new
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    except (OSError, RuntimeError, UnicodeEncodeError) as exc:
        if backup is not None:
            backup.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be read or written. Nothing was changed.") from exc
    return Written(changed=True, backup=backup)


def _parsed(path: Path) -> dict[str, Any]:
    found = path.read_bytes()
    try:
        text = found.decode("utf-8-sig")
        config = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise ConfigError(
            f"{path} is not valid JSON; correct it first. Nothing was changed."
        ) from exc
    if not isinstance(config, dict) or not isinstance(config.get("mcpServers", {}), dict):
        raise ConfigError(f"{path} is not a configuration of Claude Desktop. Nothing was changed.")
    return config


def _backup_name(path: Path) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    candidate = path.with_name(f"{path.name}.{stamp}.bak")
    number = 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{stamp}-{number}.bak")
    return candidate


def _replace(path: Path, text: str) -> None:
    """Write the file whole or not at all, for its owner alone: it may hold credentials."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
