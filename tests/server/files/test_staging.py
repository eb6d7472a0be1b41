"""Staged files: sealed, whole or not at all, their owner's alone, and gone in time."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterable, Iterable
from pathlib import Path

import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.files import staging
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.files.staging import KEPT_S, PIECE, Staged, Staging, copied
from leyr_mcp.server.files.verdict import UnfitError
from leyr_mcp.server.storage.keys import Keys

CANARY = b"Tolvan Tolvansson 191212121212 "
TAG = 16


@pytest.fixture
def place(tmp_path: Path) -> Staging:
    """A folder that is not there yet."""
    return Staging(tmp_path / "state" / "files", lambda: Keys(bytes(32)))


def put(place: Staging, *parts: bytes) -> Staged:
    """Stage these bytes."""
    return copied(parts, place.writer(), lambda: None)


async def whole(pieces: AsyncIterable[bytes]) -> bytes:
    """Return all that comes."""
    return b"".join([piece async for piece in pieces])


def only(tmp_path: Path) -> Path:
    """Return the one file that lies there."""
    (found,) = (tmp_path / "state" / "files").iterdir()
    return found


@pytest.mark.parametrize(
    "size", [1, 2, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7, 1_000_003]
)
async def test_what_is_staged_comes_back_whole_as_often_as_it_is_read(
    place: Staging, size: int
) -> None:
    raw = os.urandom(size)
    parts = [raw[at : at + 50_000] for at in range(0, size, 50_000)]

    kept = put(place, *parts)

    assert kept == Staged(kept.name, size, hashlib.sha256(raw).hexdigest())
    pieces = place.read(kept.name)
    assert [await whole(pieces), await whole(pieces)] == [raw, raw]
    assert all([len(piece) == PIECE async for piece in pieces][:-1])


async def test_nothing_of_it_can_be_read_without_the_key(tmp_path: Path, place: Staging) -> None:
    kept = put(place, CANARY * 20_000)

    assert CANARY.strip() not in only(tmp_path).read_bytes()
    other = Staging(tmp_path / "state" / "files", lambda: Keys(bytes(31) + b"1"))
    with pytest.raises(StorageError, match="changed"):
        await whole(other.read(kept.name))


def test_folder_and_file_are_their_owners_alone(tmp_path: Path, place: Staging) -> None:
    put(place, b"x")

    assert stat.S_IMODE(only(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(only(tmp_path).parent.stat().st_mode) == 0o700


PIECES = 3
WHOLE = PIECE + TAG


def manipulated(raw: bytes) -> Iterable[tuple[str, bytes]]:
    """Return what could be made of a sealed file of three pieces."""
    first, second, third = raw[:WHOLE], raw[WHOLE : 2 * WHOLE], raw[2 * WHOLE :]
    yield "cut after a piece", first + second
    yield "cut after the first", first
    yield "cut within a piece", raw[:-1]
    yield "cut within the tag", raw[: 2 * WHOLE + TAG - 1]
    yield "emptied", b""
    yield "pieces swapped", second + first + third
    yield "a piece twice", first + first + second + third
    yield "a piece left out", first + third
    yield "made longer", raw + b"x"
    yield "another piece after", raw + third
    for at in (0, WHOLE, len(raw) - 1):
        yield f"a bit at {at}", raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


async def test_no_manipulation_gives_other_bytes(tmp_path: Path, place: Staging) -> None:
    kept = put(place, os.urandom(2 * PIECE + 100))
    file = only(tmp_path)
    for name, changed in manipulated(file.read_bytes()):
        file.write_bytes(changed)
        with pytest.raises(StorageError, match="changed"):
            pytest.fail(f"{name}: {await whole(place.read(kept.name))!r}")


async def test_a_file_under_another_ones_name_does_not_open(tmp_path: Path, place: Staging) -> None:
    one, other = put(place, b"one"), put(place, b"other")
    folder = tmp_path / "state" / "files"
    (folder / one.name).replace(folder / other.name)

    with pytest.raises(StorageError):
        await whole(place.read(other.name))


@pytest.mark.parametrize("name", ["", "f_x", "../f_" + "0" * 32, "f_" + "0" * 32, "f_" + "G" * 32])
async def test_what_is_no_name_or_not_here_is_gone(place: Staging, name: str) -> None:
    with pytest.raises(StorageError, match="gone"):
        await whole(place.read(name))
    await place.drop(name)


async def test_a_name_tells_whether_it_is_here_until_it_is_dropped(place: Staging) -> None:
    kept = put(place, b"x")
    assert await place.has(kept.name)

    await place.drop(kept.name)
    await place.drop(kept.name)

    assert not await place.has(kept.name)


def test_more_bytes_than_a_file_may_have_leave_nothing(tmp_path: Path, place: Staging) -> None:
    with pytest.raises(UnfitError) as failed:
        put(place, bytes(MAX_BYTES), b"x")

    assert failed.value.reason == "too_many_bytes"
    assert list((tmp_path / "state" / "files").iterdir()) == []


def test_no_byte_at_all_is_refused_and_leaves_nothing(tmp_path: Path, place: Staging) -> None:
    with pytest.raises(UnfitError) as failed:
        put(place)

    assert failed.value.reason == "empty"
    assert list((tmp_path / "state" / "files").iterdir()) == []


def test_whatever_breaks_on_the_way_leaves_nothing(tmp_path: Path, place: Staging) -> None:
    def broken() -> Iterable[bytes]:
        yield bytes(2 * PIECE)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        copied(broken(), place.writer(), lambda: None)

    assert list((tmp_path / "state" / "files").iterdir()) == []


def test_each_part_is_told_of(place: Staging) -> None:
    told: list[int] = []

    copied([b"a", b"b", b"c"], place.writer(), lambda: told.append(1))

    assert len(told) == 3


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "storage_full"), (errno.EIO, "audit_unavailable")]
)
@pytest.mark.parametrize("breaks", ["fsync", "open"])
def test_a_disk_that_fails_is_told_and_leaves_nothing(
    tmp_path: Path, place: Staging, monkeypatch: pytest.MonkeyPatch, number: int, code: str,
    breaks: str,
) -> None:  # fmt: skip
    def fail(*_args: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, breaks, fail)

    with pytest.raises(StorageError) as failed:
        put(place, b"x")

    assert failed.value.code == code
    assert list((tmp_path / "state" / "files").iterdir()) == []


def test_a_disk_that_is_full_midway_is_told_and_leaves_nothing(
    tmp_path: Path, place: Staging
) -> None:
    writer = place.writer()
    writer._file.close()
    writer._file = Path("/dev/full").open("wb")  # noqa: SIM115 - closed by the writer

    with pytest.raises(StorageError) as failed:
        copied([bytes(2 * PIECE)], writer, lambda: None)

    assert failed.value.code == "storage_full"
    assert list((tmp_path / "state" / "files").iterdir()) == []


async def test_what_lies_there_for_a_day_is_swept_and_sooner_what_nothing_waits_for(
    tmp_path: Path, place: Staging
) -> None:
    assert await place.sweep((), now_s=0.0) == 0
    old, young, alone, new = (put(place, bytes([number])) for number in range(4))
    folder = tmp_path / "state" / "files"
    half = folder / "left-by-a-dead-process"
    half.write_bytes(b"half")
    now = 1_700_000_000.0
    ages = {old.name: KEPT_S, young.name: KEPT_S - 1, alone.name: 3_600.0, new.name: 3_599.0}
    for name, age in {**ages, half.name: 7_200.0}.items():
        os.utime(folder / name, (now - age, now - age))

    assert await place.sweep({old.name, young.name}, now_s=now) == 3

    assert {path.name for path in folder.iterdir()} == {young.name, new.name}


async def test_a_folder_that_cannot_be_swept_is_told(tmp_path: Path) -> None:
    (tmp_path / "files").write_bytes(b"no folder")
    place = Staging(tmp_path / "files", lambda: Keys(bytes(32)))

    with pytest.raises(StorageError, match="deleted"):
        await place.sweep((), now_s=0.0)
    with pytest.raises(StorageError, match="cannot be kept"):
        place.writer()


def test_there_is_an_end_to_how_many_wait(place: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOST", 2)
    put(place, b"1")
    put(place, b"2")

    with pytest.raises(StorageError) as failed:
        put(place, b"3")

    assert failed.value.code == "storage_full"
    assert "decide" in failed.value.next_step
