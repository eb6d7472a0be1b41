"""A PostgreSQL server of the tests' own: in a temporary folder, on a socket, gone with the run.

One serves a whole run, whatever the number of processes that run tests: the first to need it
starts it and the last to leave it stops it. Each test has a schema of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# With it a missing server is a failure, and not a word at the end.
REQUIRED = os.environ.get("CHECK_POSTGRES") == "1"
MISSING = "needs PostgreSQL's initdb and postgres; CHECK_POSTGRES=1 makes that a failure"
_DEBIAN = Path("/usr/lib/postgresql")
_START_S = 30.0
# The disk is none of its business: what is tested is not whether the kernel writes.
_SPEED = ("fsync=off", "full_page_writes=off", "autovacuum=off")


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest there is, or None."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).resolve().parent
    versions = _DEBIAN.iterdir() if _DEBIAN.is_dir() else iter(())
    with_server = [path / "bin" for path in versions if (path / "bin" / "initdb").exists()]
    return max(with_server, key=lambda path: float(path.parent.name), default=None)


def user() -> str | None:
    """Return as whom the server runs; root may not, and whoever else runs tests may."""
    if os.getuid():
        return None
    import pwd  # noqa: PLC0415 - not on Windows, where this file is loaded too

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _group(name: str) -> int:
    import pwd  # noqa: PLC0415 - as above

    return pwd.getpwnam(name).pw_gid


class Server:
    """A server in a folder; its address has no secret, the socket is its owner's and root's."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self.bin = bin_folder
        self.data = folder / "data"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"postgresql://tests@/postgres?host={self.folder}"

    def make(self) -> None:
        """Make the folder's database cluster."""
        if name := user():
            shutil.chown(self.folder, name)
        self._run("initdb", "-D", str(self.data), "-U", "tests", "-A", "trust", "--no-sync")

    def start(self, *more: str) -> None:
        """Start it, with more settings if it shall have them, and wait until it answers."""
        settings = [part for setting in (*_SPEED, *more) for part in ("-c", setting)]
        options = " ".join([f"-k {self.folder}", "-h ''", *settings, "-c max_connections=200"])
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", log, "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it; what was committed is there when it starts again."""
        self._run("pg_ctl", "-D", str(self.data), "-m", how, "-w", "stop")

    def new_database(self) -> str:
        """Return the address of a database that nobody used yet."""
        name = f"d{secrets.token_hex(6)}"
        self._run("createdb", "-h", str(self.folder), "-U", "tests", name)
        return f"postgresql://tests@/{name}?host={self.folder}"

    def dump(self, schema: str) -> bytes:
        """Return all that stands in a schema, as SQL."""
        command = [str(self.bin / "pg_dump"), "-n", schema, "--inserts", self.url]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def _run(self, program: str, *arguments: str) -> None:
        name = user()
        subprocess.run(
            [str(self.bin / program), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=name,
            group=_group(name) if name else None,
            extra_groups=[] if name else None,
            timeout=_START_S,
        )


@contextmanager
def running(shared: Path) -> Iterator[Server]:
    """Yield the server of this run, which all its processes share through a folder of the run."""
    bin_folder = programs()
    assert bin_folder is not None
    note = shared / "postgres.json"
    with _held(note) as count:
        folder = count(1, lambda: _started(bin_folder))
    server = Server(folder, bin_folder)
    try:
        yield server
    finally:
        with _held(note) as count:
            count(-1, lambda: folder)


@contextmanager
def own() -> Iterator[Server]:
    """Yield a server that one test alone uses, and may stop and start."""
    bin_folder = programs()
    assert bin_folder is not None
    server = Server(_started(bin_folder), bin_folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder)


def _started(bin_folder: Path) -> Path:
    server = Server(Path(tempfile.mkdtemp(prefix="leyr-pg-", dir="/tmp")), bin_folder)
    server.make()
    server.start()
    return server.folder


@contextmanager
def _held(note: Path) -> Iterator[Callable[[int, Callable[[], Path]], Path]]:
    """Yield, while no other process does, what counts those who use the server."""

    def count(change: int, start: Callable[[], Path]) -> Path:
        known: dict[str, Any] = {"users": 0}
        if note.exists():
            known = json.loads(note.read_text())
        users = known["users"] + change
        folder = Path(known["folder"]) if known["users"] else start()
        if not users:
            bin_folder = programs()
            assert bin_folder is not None
            Server(folder, bin_folder).stop()
            shutil.rmtree(folder)
        note.write_text(json.dumps({"users": users, "folder": str(folder)}))
        return folder

    import fcntl  # noqa: PLC0415 - as above

    with note.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield count


def of_this_run(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this run of the tests share, and no other run."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def new_schema() -> str:
    """Return the name of a schema that nobody used yet."""
    return f"leyr_mcp_test_{secrets.token_hex(6)}"


def see_installed() -> None:
    """Skip with a word where PostgreSQL is missing, or fail where it may not be."""
    if programs() is None:
        if REQUIRED:
            pytest.fail("PostgreSQL is missing; tests/outside/setup.sh installs it")
        pytest.skip(MISSING)
