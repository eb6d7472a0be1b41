"""Files by path: what lies outside the folders is never opened, however it is named or moved."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.files import roots
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.files.roots import Roots
from leyr_mcp.server.files.verdict import UnfitError

SECRET = b"outside"
OPENS = 10_000
# Swaps a folder and a file inside the root for links to the same names outside, without a pause.
FLIPPER = """
import os, sys
os.chdir(sys.argv[1])
print("ready", flush=True)
while True:
    for name in ("sub", "file.txt"):
        os.rename(name, name + ".real"); os.rename(name + ".link", name)
        os.rename(name, name + ".link"); os.rename(name + ".real", name)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A root with files in it, and secrets beside it that are called the same."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root, outside):
        (folder / "sub").mkdir(parents=True)
        for name in ("file.txt", "sub/file.txt", ".hidden.txt"):
            (folder / name).write_bytes(SECRET if folder == outside else b"inside")
    (root / "a b åäö’.txt").write_bytes(b"inside")
    (root / "empty.txt").write_bytes(b"")
    (root / "link.txt").symlink_to(outside / "file.txt")
    (root / "own-link.txt").symlink_to("file.txt")
    (root / "links").symlink_to(outside)
    (root / "own-links").symlink_to("sub")
    (root / "loop").symlink_to("loop")
    os.link(outside / "file.txt", root / "hard.txt")
    os.mkfifo(root / "pipe.txt")
    (root / "folder.txt").mkdir()
    with chdir(root), socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.txt")
    return root


def read(where: Roots, path: str) -> bytes:
    """Return what a path gives."""
    with where.open(path) as file:
        return os.read(file.handle, 100)


HOSTILE = (
    *(
        "../outside/file.txt",
        "sub/../../outside/file.txt",
        "..",
        ".",
        "./file.txt",
        "sub/./file.txt",
    ),
    *("sub/..", "sub//file.txt", "sub/file.txt/", "/", "//file.txt", "", "file.txt/../file.txt"),
    *("link.txt", "own-link.txt", "links/file.txt", "own-links/file.txt", "loop", "loop/file.txt"),
    *("hard.txt", "pipe.txt", "folder.txt", "socket.txt", "sub", "sub/file.txt/x"),
    *(".hidden.txt", ".ssh/id.txt", "sub/.hidden.txt", "~/file.txt", "~root/file.txt"),
    *("C:\\file.txt", "C:/file.txt", "c:file.txt", "sub\\file.txt", "\\\\host\\share\\file.txt"),
    *("file:file.txt", "file:///etc/passwd", "FILE:///etc/passwd", "http://127.0.0.1/file.txt"),
    *("file.txt\0", "\0", "sub/\0/file.txt", "file.txt\n", "\x1bfile.txt", "file\x85.txt"),
    *("\ud800.txt", "\udcff/file.txt", "/etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/mem"),
    *("/proc/self/fd/0", "x" * 2_000, "/".join("x" * 40), "x" * 300 + ".txt"),
)


@pytest.mark.parametrize("path", HOSTILE, ids=[ascii(path)[:40] for path in HOSTILE])
def test_a_hostile_path_is_refused_and_its_value_is_not_repeated(place: Path, path: str) -> None:
    with pytest.raises(LeyrMcpError) as failed:
        read(Roots((place,)), path)

    assert failed.value.code in ("file_not_allowed", "not_found")
    assert failed.value.field == "path"
    assert not path.strip("/.\0\n") or path not in failed.value.message


def test_there_are_at_least_thirty_hostile_paths() -> None:
    assert len(set(HOSTILE)) >= 30


def test_an_absolute_path_must_lie_below_a_root_by_its_components(place: Path) -> None:
    where = Roots((place,))

    assert read(where, f"{place}/sub/file.txt") == b"inside"
    for path in (
        f"{place.parent}/outside/file.txt",
        f"{place}2/file.txt",
        str(place),
        f"{place}/../outside/file.txt",
        str(place.parent),
    ):
        with pytest.raises(LeyrMcpError, match="below a folder"):
            read(where, path)


@pytest.mark.parametrize("path", ["file.txt", "sub/file.txt", "a b åäö’.txt"])
def test_a_plain_file_below_a_root_is_opened(place: Path, path: str) -> None:
    with Roots((place,)).open(path) as file:
        assert os.read(file.handle, 100) == b"inside"
        assert (file.name, file.size) == (path.rpartition("/")[2], 6)
        assert file.unchanged()


def test_the_first_root_that_has_the_file_gives_it(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "late.txt").write_bytes(b"other")
    (other / "file.txt").write_bytes(b"other")
    where = Roots((tmp_path / "is-not-there", place, other))

    assert read(where, "file.txt") == b"inside"
    assert read(where, "late.txt") == b"other"
    assert read(where, f"{other}/file.txt") == b"other"
    assert read(Roots((place, place / "sub")), f"{place}/sub/file.txt") == b"inside"


def test_a_root_below_another_is_no_file_of_it(place: Path) -> None:
    with pytest.raises(LeyrMcpError, match="plain file"):
        read(Roots((place, place / "sub")), f"{place}/sub")


def test_a_root_that_is_a_link_was_named_by_the_operator(place: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(place)

    assert read(Roots((tmp_path / "named",)), "file.txt") == b"inside"


def test_without_a_root_nothing_is_opened_and_the_setting_is_named() -> None:
    with pytest.raises(LeyrMcpError) as failed:
        read(Roots(()), "/etc/hostname")

    assert failed.value.code == "file_not_allowed"
    assert "LEYR_MCP_ROOTS" in failed.value.next_step


def test_a_system_that_cannot_walk_takes_nothing_by_path(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "CAN_WALK", False)

    with pytest.raises(LeyrMcpError, match="cannot open files safely") as failed:
        read(Roots((place,)), "file.txt")

    assert "without path" in failed.value.next_step


def test_what_is_missing_is_told_with_a_hint_of_what_is_there(place: Path) -> None:
    prepared: list[bool] = []
    where = Roots((place,), prepare=lambda: prepared.append(True), hint="There is file.txt.")

    with pytest.raises(LeyrMcpError) as failed:
        read(where, "nothing.txt")

    assert (failed.value.code, failed.value.next_step) == ("not_found", "There is file.txt.")
    assert prepared == [True]


@pytest.mark.parametrize(
    ("size", "reason"), [(0, "empty"), (MAX_BYTES + 1, "too_many_bytes"), (MAX_BYTES, None)]
)
def test_the_size_is_known_before_a_byte_is_read(
    place: Path, size: int, reason: str | None
) -> None:
    with (place / "big.txt").open("wb") as file:
        file.truncate(size)
    where = Roots((place,))

    if reason is None:
        with where.open("big.txt") as opened:
            assert opened.size == size
        return
    with pytest.raises(UnfitError) as failed, where.open("big.txt"):
        pass
    assert failed.value.reason == reason


def test_a_file_that_was_written_to_is_seen_to_have_changed(place: Path) -> None:
    with Roots((place,)).open("file.txt") as file:
        with (place / "file.txt").open("ab") as more:
            more.write(b"more")
        assert not file.unchanged()


def test_no_handle_stays_open(place: Path) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    where = Roots((place,))

    read(where, "sub/file.txt")
    for path in ("link.txt", "links/file.txt", "hard.txt", "nothing.txt", "empty.txt", "pipe.txt"):
        with pytest.raises((LeyrMcpError, UnfitError)):
            read(where, path)

    assert sorted(Path("/proc/self/fd").iterdir()) == before


def naive(root: Path, path: str) -> bytes:
    """Return what a check of the path gives, and the opening of its name after that."""
    whole = (root / path).resolve(strict=True)
    if not whole.is_relative_to(root):
        raise PermissionError
    return (root / path).read_bytes()


@pytest.fixture
def flipping(place: Path) -> Iterator[Path]:
    """A root in which a folder and a file are swapped for links as fast as one process can."""
    (place / "sub.link").symlink_to(place.parent / "outside" / "sub")
    (place / "file.txt.link").symlink_to(place.parent / "outside" / "file.txt")
    with subprocess.Popen(
        [sys.executable, "-c", FLIPPER, str(place)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield place.resolve()
        process.kill()


def test_ten_thousand_opens_in_a_race_never_leave_the_root_and_the_naive_way_does(
    flipping: Path,
) -> None:
    where = Roots((flipping,))
    seen = {b"inside": 0, SECRET: 0, b"refused": 0}
    for number in range(OPENS):
        try:
            seen[read(where, ("sub/file.txt", "file.txt")[number % 2])] += 1
        except LeyrMcpError:
            seen[b"refused"] += 1

    assert seen[SECRET] == 0
    assert seen[b"inside"] > 0
    assert seen[b"refused"] > 0
    until = time.monotonic() + 60
    leaked = False
    while not leaked and time.monotonic() < until:
        try:
            leaked = naive(flipping, "file.txt") == SECRET
        except (OSError, PermissionError, RuntimeError):
            continue
    assert leaked  # else this race would prove nothing
