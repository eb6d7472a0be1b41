"""How a file comes in, whichever way: what is kept is what was looked at, or nothing."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.files import children
from leyr_mcp.server.files.intake import Intake, edited
from leyr_mcp.server.files.kinds import MAX_BYTES, TEXT
from leyr_mcp.server.files.roots import Roots
from leyr_mcp.server.files.staging import PIECE, Staging
from leyr_mcp.server.files.verdict import Edit, Findings, UnfitError
from leyr_mcp.server.storage.keys import Keys

NOTES = "Blodtryck 134/82, åäö.\n".encode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder from which files may be attached."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "notes.txt").write_bytes(NOTES)
    return folder


def over(tmp_path: Path, step: Callable[[str], None] = lambda _name: None) -> Intake:
    """Return an intake over these folders."""
    staging = Staging(tmp_path / "files", lambda: Keys(bytes(32)))
    return Intake(staging, Roots((tmp_path / "root",)), step=step)


def left(tmp_path: Path) -> list[str]:
    """Return what lies staged."""
    return os.listdir(tmp_path / "files") if (tmp_path / "files").exists() else []  # noqa: PTH208 - names


async def kept(it: Intake, name: str) -> bytes:
    """Return what a staged file holds."""
    return b"".join([piece async for piece in it.staging.read(name)])


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Give bytes as they arrive."""
    for part in parts:
        yield part


async def test_a_file_by_its_path_is_looked_at_and_kept(tmp_path: Path, root: Path) -> None:
    steps: list[str] = []
    it = over(tmp_path, steps.append)

    taken = await it.from_path("notes.txt")

    assert (taken.format, taken.name, taken.pages, taken.altered) == (
        TEXT,
        "notes.txt",
        None,
        False,
    )
    assert (taken.staged.size, taken.staged.sha256) == (
        len(NOTES),
        hashlib.sha256(NOTES).hexdigest(),
    )
    assert taken.text == NOTES.decode()
    assert await kept(it, taken.staged.name) == NOTES
    assert steps == ["copied", "inspected"]
    assert (root / "notes.txt").read_bytes() == NOTES


async def test_a_file_that_arrives_in_pieces_is_kept(tmp_path: Path, root: Path) -> None:
    it = over(tmp_path)

    taken = await it.from_pieces("Anna\u202e's notes.TXT", pieces(NOTES[:5], NOTES[5:]))

    assert taken.name == "Anna's notes.TXT"
    assert await kept(it, taken.staged.name) == NOTES


async def test_a_text_becomes_a_file_without_a_name(tmp_path: Path, root: Path) -> None:
    it = over(tmp_path)

    taken = await it.from_text("line one\r\nline two\rå")

    assert (taken.format, taken.name, taken.text) == (TEXT, None, "line one\nline two\nå")
    assert await kept(it, taken.staged.name) == "line one\r\nline two\rå".encode()


async def test_a_text_that_is_a_page_or_a_program_is_refused(tmp_path: Path, root: Path) -> None:
    for text in ("<html>", "#!/bin/sh", "{\\rtf1}"):
        with pytest.raises(LeyrMcpError) as failed:
            await over(tmp_path).from_text(text)
        assert (failed.value.code, failed.value.field) == ("file_type", "text")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("notes", NOTES, "file_type"),
        ("notes.exe", NOTES, "file_type"),
        ("notes.pdf", NOTES, "file_type"),
        ("notes.txt", b"", "file_type"),
        ("notes.txt", b"a\0b", "file_type"),
        ("notes.txt", b"\xff\xfe", "file_type"),
        ("notes.txt", bytes(MAX_BYTES + 1), "file_too_large"),
    ],
    ids=["no ending", "exe", "pdf", "empty", "nul", "no utf-8", "a byte too many"],
)
async def test_what_is_not_taken_leaves_nothing_whichever_way_it_comes(
    tmp_path: Path, root: Path, name: str, raw: bytes, code: str
) -> None:
    it = over(tmp_path)
    (root / name).write_bytes(raw)

    with pytest.raises(LeyrMcpError) as by_path:
        await it.from_path(name)
    with pytest.raises(LeyrMcpError) as arrived:
        await it.from_pieces(name, pieces(raw))

    assert (by_path.value.code, by_path.value.field) == (code, "path")
    assert (arrived.value.code, arrived.value.field) == (code, "file")
    assert left(tmp_path) == []


@pytest.mark.parametrize("more", [b"x", b""], ids=["longer", "touched"])
async def test_a_file_that_changes_while_it_is_copied_is_refused(
    tmp_path: Path, root: Path, more: bytes
) -> None:
    file = root / "long.txt"
    file.write_bytes(b"x" * (PIECE + 10))

    def step(_name: str) -> None:
        with file.open("ab") as opened:
            opened.write(more)
        os.utime(file, (1, 1))

    with pytest.raises(LeyrMcpError) as failed:
        await over(tmp_path, step).from_path("long.txt")

    assert (failed.value.code, failed.value.retry) == ("file_changed", "same_call")
    assert left(tmp_path) == []


async def test_a_file_that_grows_without_end_is_copied_no_further_than_it_was(
    tmp_path: Path, root: Path
) -> None:
    file = root / "grows.txt"
    file.write_bytes(b"x" * PIECE)
    copied: list[str] = []

    def step(name: str) -> None:
        copied.append(name)
        with file.open("ab") as opened:
            opened.write(b"x" * PIECE * 5)

    with pytest.raises(LeyrMcpError, match="changed"):
        await over(tmp_path, step).from_path("grows.txt")

    assert copied == ["copied", "copied"]


async def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_handle: int, _size: int) -> bytes:
        raise OSError(5, "Tolvan")

    monkeypatch.setattr(os, "read", fail)

    with pytest.raises(LeyrMcpError, match="cannot be read") as failed:
        await over(tmp_path).from_path("notes.txt")

    assert failed.value.code == "file_not_allowed"
    assert left(tmp_path) == []


async def test_where_an_image_was_taken_is_not_kept(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(_chunks: object, promised: str) -> Findings:
        return Findings(format=promised, edits=(Edit(0, 9), Edit(10, 13, 0)))

    monkeypatch.setattr(children, "inspected", found)
    it = over(tmp_path)

    taken = await it.from_path("notes.txt")

    expected = b" \0\0\0" + NOTES[13:]
    assert await kept(it, taken.staged.name) == expected
    assert taken.staged.sha256 == hashlib.sha256(expected).hexdigest()
    assert taken.altered
    assert left(tmp_path) == [taken.staged.name]


async def test_a_letter_that_is_too_long_is_refused_and_one_without_the_extra_too(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_long(_letter: object) -> bytes | None:
        raise UnfitError("too_complex")

    async def not_installed(_letter: object) -> bytes | None:
        return None

    monkeypatch.setattr(children, "rendered", too_long)
    with pytest.raises(LeyrMcpError) as failed:
        await over(tmp_path).from_letter({})
    assert (failed.value.code, failed.value.field) == ("file_too_large", "from_draft")

    monkeypatch.setattr(children, "rendered", not_installed)
    with pytest.raises(LeyrMcpError) as missing:
        await over(tmp_path).from_letter({})
    assert missing.value.code == "not_supported"
    assert "leyr-mcp[pdf]" in missing.value.next_step


SIZE = 60


@given(
    raw=st.binary(min_size=SIZE, max_size=SIZE),
    cuts=st.lists(st.integers(1, SIZE), max_size=8, unique=True),
    ends=st.lists(st.integers(0, SIZE), max_size=8, unique=True),
    fills=st.lists(st.sampled_from([None, 0]), min_size=4, max_size=4),
)
async def test_edits_are_the_same_however_a_file_is_cut_into_pieces(
    raw: bytes, cuts: list[int], ends: list[int], fills: list[int | None]
) -> None:
    marks = sorted(ends)
    edits = [
        Edit(start, end, fill)
        for start, end, fill in zip(marks[::2], marks[1::2], fills, strict=False)
    ]
    expected, at = b"", 0
    for edit in edits:
        filled = b"" if edit.fill is None else bytes([edit.fill]) * (edit.end - edit.start)
        expected += raw[at : edit.start] + filled
        at = edit.end
    expected += raw[at:]
    places = [0, *sorted(cuts), SIZE]
    parts = [raw[a:b] for a, b in itertools.pairwise(places)]

    found = b"".join([piece async for piece in edited(pieces(*parts), edits)])

    assert found == expected
