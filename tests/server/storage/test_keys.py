"""The data key: its forms, its file, and that no two processes make two."""

from __future__ import annotations

import base64
import os
import stat
import threading
from pathlib import Path

import pytest

from leyr_mcp.server.errors import ConfigError, StorageError
from leyr_mcp.server.storage.keys import Keys, load_or_make, parse

TEXT = base64.b64encode(bytes(range(32))).decode()


def test_each_use_has_its_own_key() -> None:
    keys = parse(f" {TEXT}\n")
    labels = ("payload", "patient", "ledger", "audit", "audit-head", "patient-key", "check")
    assert len({keys.derive(label) for label in labels}) == len(labels)
    assert keys.derive("audit") == Keys(bytes(range(32))).derive("audit")
    assert keys.derive("audit") != Keys(bytes(32)).derive("audit")
    assert len(keys.derive("audit")) == 32


@pytest.mark.parametrize("text", ["", "canary", TEXT[:-4], TEXT + "AAAA", "ä" * 44, "*" * 44])
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == "LEYR_MCP_DATA_KEY must be 32 bytes, as base64."


def test_a_key_is_made_once_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "config" / "data.key"
    made = load_or_make(path)
    assert load_or_make(path).derive("x") == made.derive("x")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [found.name for found in path.parent.iterdir()] == ["data.key"]


def test_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "data.key"
    start, found = threading.Barrier(8), set()

    def begin() -> None:
        start.wait()
        found.add(load_or_make(path).derive("x"))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert [left.name for left in tmp_path.iterdir()] == ["data.key"]


def test_a_key_made_meanwhile_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.key"
    made = load_or_make(path)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert load_or_make(path).derive("x") == made.derive("x")


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.key"
    load_or_make(path)
    path.chmod(0o640)
    with pytest.raises(StorageError, match="read by others"):
        load_or_make(path)


@pytest.mark.parametrize("content", [b"", b"canary", b"\xff" * 44])
def test_a_damaged_key_is_refused_and_left(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StorageError, match="cannot be read or made"):
        load_or_make(path)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be read or made"):
        load_or_make(tmp_path / "file" / "data.key")
