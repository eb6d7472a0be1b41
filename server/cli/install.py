"""`leyr-mcp install`: adds this server to a client's configuration, or takes it out again.

Whatever else is in the file stays as it is, to the byte; the file as it was is kept beside it.
"""

from __future__ import annotations

import difflib
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

from leyr_mcp.server.cli.clients import PROGRAMS, Program
from leyr_mcp.server.cli.jsonc import parsed, placed, without
from leyr_mcp.server.cli.parsing import Parser, fail
from leyr_mcp.server.cli.parsing import write as write_json
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.settings import SETTINGS, load

NAME = "leyr"

_SECRETS = ("LEYR_CLIENT_SECRET", "LEYR_MCP_DATA_KEY")
_PLACE = "<secret>"
_BOM = "\ufeff"
_LARGEST = 32 * 1024 * 1024

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What becomes of the file: the entry before and after, none where there is none."""

    path: Path
    before: Entry | None
    after: Entry | None
    backup: Path | None = None

    @property
    def changed(self) -> bool:
        """Whether the file is another one by that."""
        return self.before != self.after

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs, without secrets."""
        return {
            "path": str(self.path),
            "changed": self.changed,
            "backup": str(self.backup) if self.backup else None,
            "before": masked(self.before),
            "entry": masked(self.after),
        }


def main(argv: list[str]) -> int:
    """Write the entry, take it out, or only show it."""
    options = _parser().parse_args(argv)
    program = PROGRAMS[options.client]
    try:
        load()
        new = None if options.remove else entry(os.environ, typed=program.typed)
        if options.print:
            _print(program, new)
            return 0
        path = options.config or program.path(os.environ, project=options.project)
        done = write(path, new, program=program, dry=options.dry_run)
    except ConfigError as exc:
        return fail(exc.message, 2, name=exc.code)
    if options.json:
        write_json({**done.as_dict(), "dry_run": options.dry_run})
    else:
        _tell(program, done, dry=options.dry_run)
    return 0


def _parser() -> Parser:
    parser = Parser("install", "Add this server to a client's configuration, or take it out again.")
    parser.add_argument("client", choices=list(PROGRAMS), help="what to connect")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", help="print the entry, change nothing")
    what.add_argument("--remove", action="store_true", help="take the entry out again")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and do not")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--project", action="store_true", help="the configuration of the project in this folder"
    )
    where.add_argument("--config", type=Path, metavar="FILE", help="a file in another place")
    parser.add_json("what was done")
    return parser


def _print(program: Program, new: Entry | None) -> None:
    """Print the entry; a secret stays off the screen."""
    shown = {program.section: {NAME: masked(new)}}
    sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    if new != masked(new):
        sys.stderr.write(f"leyr-mcp: put the secret where it says {_PLACE}.\n")


def _tell(program: Program, done: Written, *, dry: bool) -> None:
    say = sys.stdout.write
    if not done.changed:
        state = "has no entry of this server" if done.after is None else "has this server already"
        say(f"{done.path} {state}; nothing was changed.\n")
        return
    would = "Would have " if dry else ""
    did = "removed" if done.after is None else "added" if done.before is None else "replaced"
    place = "from" if done.after is None else "in" if done.before else "to"
    say(f"{would}{did if dry else did.capitalize()} {NAME!r} {place} {done.path}.\n")
    if dry:
        say("".join(f"  {line}\n" for line in _difference(done)))
        return
    if done.after and "env" in done.after:
        say(f"Settings passed on: {', '.join(done.after['env'])}.\n")
    if done.backup:
        say(f"The file as it was: {done.backup}.\n")
    say(f"{program.after}\n")


def _difference(done: Written) -> list[str]:
    """Return the lines of the entry that come and go."""
    before, after = (
        [] if one is None else json.dumps(masked(one), indent=2, ensure_ascii=False).splitlines()
        for one in (done.before, done.after)
    )
    return [line for line in difflib.ndiff(before, after) if not line.startswith("?")]


def masked(given: Entry | None) -> Entry | None:
    """Return an entry without its secrets."""
    env = given.get("env") if isinstance(given, dict) else None
    if not given or not isinstance(env, dict):
        return given
    return {**given, "env": {k: _PLACE if k in _SECRETS else v for k, v in env.items()}}


def entry(environ: Mapping[str, str], *, typed: bool = False) -> Entry:
    """Return the entry: absolute paths, and every setting that is set now.

    Hosts pass no others on.
    """
    command = Path(sys.argv[0]).absolute()
    if command.name.removesuffix(".exe") == "leyr-mcp" and command.exists():
        found: Entry = {"command": str(command), "args": []}
    else:
        found = {"command": sys.executable, "args": ["-m", "leyr_mcp.server"]}
    env = {s.name: environ[s.name] for s in SETTINGS if environ.get(s.name)}
    found = {"type": "stdio", **found} if typed else found
    return {**found, "env": env} if env else found


def write(path: Path, new: Entry | None, *, program: Program, dry: bool = False) -> Written:
    """Put the entry into the file, or take it out if there is none to put.

    Raises:
        ConfigError: The file cannot be read as configuration, was changed by somebody else
            meanwhile, or cannot be written; nothing was changed.
    """
    try:
        path = path.resolve()  # a link stays a link: what it points to is written
        raw = path.read_bytes() if path.exists() else None
        before, text = _edited(path, raw, new, program)
        if before == new or dry:
            return Written(path=path, before=before, after=new)
        backup = _replace(path, text, was=raw)
    except (OSError, RuntimeError, UnicodeEncodeError) as exc:
        raise ConfigError(f"{path} cannot be read or written. Nothing was changed.") from exc
    return Written(path=path, before=before, after=new, backup=backup)


def _edited(
    path: Path, raw: bytes | None, new: Entry | None, program: Program
) -> tuple[Entry | None, bytes]:
    """Return the entry that the file has, and the file as it is to be."""
    if raw is not None and len(raw) > _LARGEST:
        raise ConfigError(f"{path} is too large to be one. Nothing was changed.")
    try:
        text = (raw or b"").decode()
        mark = _BOM if text.startswith(_BOM) else ""
        text = text.removeprefix(_BOM)
        held = parsed(text).get(program.section, {})
    except ValueError as exc:
        told = f"{path} is not valid JSON; correct it first. Nothing was changed."
        raise ConfigError(told) from exc
    if not isinstance(held, dict):
        told = f"{path} is not a configuration of {program.title}. Nothing was changed."
        raise ConfigError(told)
    if new is None:
        text = without(text, program.section, NAME)
    else:
        text = placed(text, program.section, NAME, new)
    return held.get(NAME), (mark + text).encode()


def _backup_name(path: Path) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    candidate = path.with_name(f"{path.name}.{stamp}.bak")
    number = 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{stamp}-{number}.bak")
    return candidate


def _replace(path: Path, text: bytes, *, was: bytes | None) -> Path | None:
    """Write the file whole or not at all, for its owner alone: it may hold credentials.

    Returns where the file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    backup = None if was is None else _backup_name(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if backup is not None:
            shutil.copy2(path, backup)
        _see_unchanged(path, was)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        if backup is not None:
            backup.unlink(missing_ok=True)
        raise
    return backup


def _see_unchanged(path: Path, was: bytes | None) -> None:
    """See that no other program wrote the file since it was read."""
    if (path.read_bytes() if path.exists() else None) != was:
        raise ConfigError(f"{path} was changed by another program just now. Try again.")
