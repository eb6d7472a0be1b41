"""The approver's passphrase: its rules, its files, and how many guesses there are."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.errors import InputError, StorageError
from leyr_mcp.server.filing import passphrase
from leyr_mcp.server.filing.passphrase import Approver, Passphrase, Refused

RIGHT = "canary höstlöv i oktober"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FAST = 2**4  # the cost of a hash is tested once; everywhere else it would only cost time


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "_N", FAST)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(tmp_path: Path, clock: Clock) -> Passphrase:
    """A folder in which Anna set the passphrase."""
    keeper = Passphrase(tmp_path / "state", clock=clock)
    assert keeper.set(RIGHT, name="Anna Ek") == Approver("Anna Ek", NOON)
    return keeper


def guess(keeper: Passphrase, times: int) -> list[Approver | Refused]:
    return [keeper.verify("not the passphrase") for _ in range(times)]


def reasons(found: list[Approver | Refused]) -> list[str]:
    return [answer.reason for answer in found if isinstance(answer, Refused)]


def test_right_one_names_who_set_it_and_when(keeper: Passphrase, clock: Clock) -> None:
    clock.move(days=400)
    assert keeper.verify(RIGHT) == Approver("Anna Ek", NOON)
    assert keeper.approver() == Approver("Anna Ek", NOON)


def test_unset_refuses_everyone(tmp_path: Path, clock: Clock) -> None:
    keeper = Passphrase(tmp_path / "new", clock=clock)
    assert keeper.approver() is None
    found = keeper.verify(RIGHT)
    assert found == Refused("unset")
    assert isinstance(found, Refused)
    assert "leyr-mcp passphrase" in found.message


@pytest.mark.parametrize(
    "other",
    ["", RIGHT + " ", " " + RIGHT, RIGHT.upper(), RIGHT[:-1], "x" * 1_000_000, "\x00", "\ud800"],
    ids=["empty", "space after", "space before", "upper", "cut", "huge", "NUL", "surrogate"],
)
def test_any_other_text_is_wrong(keeper: Passphrase, other: str) -> None:
    assert keeper.verify(other) == Refused("wrong", 4)


def test_composed_and_decomposed_letters_are_the_same(keeper: Passphrase) -> None:
    decomposed = unicodedata.normalize("NFD", RIGHT)
    assert decomposed != RIGHT
    assert isinstance(keeper.verify(decomposed), Approver)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "at least 8 characters"),
        ("1234567", "at least 8 characters"),
        ("       7       ", "at least 8 characters"),
        (unicodedata.normalize("NFD", "åäöåäöå"), "at least 8 characters"),
        ("12345678\n", "control characters"),
        ("1234\x00abcd", "control characters"),
        ("1234\x1b[31mabcd", "control characters"),
        ("1234\u200babcd", "control characters"),
        ("1234\ud800abcd", "control characters"),
        ("x" * 1025, "at most 1024 bytes"),
        ("å" * 513, "at most 1024 bytes"),
    ],
)
def test_new_one_must_meet_the_rules(tmp_path: Path, clock: Clock, text: str, rule: str) -> None:
    keeper = Passphrase(tmp_path / "state", clock=clock)
    with pytest.raises(InputError, match=rule) as caught:
        keeper.set(text, name="Anna Ek")
    assert caught.value.field == "passphrase"
    assert not text.strip() or text not in str(caught.value)
    assert keeper.approver() is None


@pytest.mark.parametrize(
    "text", ["12345678", "x" * 1024, "å" * 512, "två ord till", "八個の文字列です"]
)
def test_all_else_may_be_a_passphrase(tmp_path: Path, clock: Clock, text: str) -> None:
    keeper = Passphrase(tmp_path / "state", clock=clock)
    keeper.set(text, name="Anna Ek")
    assert isinstance(keeper.verify(text), Approver)
    assert keeper.verify(text + "x") == Refused("wrong", 4)


@pytest.mark.parametrize("name", ["", "   ", "A\x00B", "A\u202eB", "x" * 101])
def test_name_must_be_one(tmp_path: Path, clock: Clock, name: str) -> None:
    with pytest.raises(InputError, match="1 to 100 characters") as caught:
        Passphrase(tmp_path / "state", clock=clock).set(RIGHT, name=name)
    assert caught.value.field == "name"


def test_name_is_kept_as_given_on_one_line(tmp_path: Path, clock: Clock) -> None:
    keeper = Passphrase(tmp_path / "state", clock=clock)
    found = keeper.set(RIGHT, name="  Åsa \n Öberg ")
    assert found == Approver("Åsa Öberg", NOON) == keeper.approver()


def test_change_needs_the_old_one(keeper: Passphrase, clock: Clock) -> None:
    clock.move(days=1)
    assert keeper.set("another passphrase", name="Bo Alm") == Refused("wrong", 4)
    refused = keeper.set("another passphrase", name="Bo Alm", old="a guess")
    assert refused == Refused("wrong", 3)
    assert keeper.verify(RIGHT) == Approver("Anna Ek", NOON)
    assert keeper.set("another passphrase", name="Bo Alm", old=RIGHT) == Approver(
        "Bo Alm", clock.now
    )
    assert isinstance(keeper.verify(RIGHT), Refused)
    assert keeper.verify("another passphrase") == Approver("Bo Alm", clock.now)


def test_rules_are_told_before_a_guess_is_spent(keeper: Passphrase) -> None:
    with pytest.raises(InputError):
        keeper.set("short", name="Anna Ek", old="a guess")
    assert guess(keeper, 1) == [Refused("wrong", 4)]


def test_five_failures_lock_for_fifteen_minutes(keeper: Passphrase, clock: Clock) -> None:
    found = guess(keeper, 6)
    assert found[:4] == [Refused("wrong", left) for left in (4, 3, 2, 1)]
    locked = Refused("locked", 0, NOON + timedelta(minutes=15), 15)
    assert found[4:] == [locked, locked]
    assert keeper.verify(RIGHT) == locked
    assert keeper.set("another passphrase", name="Anna Ek", old=RIGHT) == locked
    clock.move(minutes=14, seconds=59)
    assert keeper.verify(RIGHT) == Refused("locked", 0, NOON + timedelta(minutes=15), 1)
    clock.move(seconds=1)
    assert isinstance(keeper.verify(RIGHT), Approver)


def test_after_the_lock_there_are_five_again(keeper: Passphrase, clock: Clock) -> None:
    guess(keeper, 5)
    clock.move(minutes=15)
    assert reasons(guess(keeper, 6)) == ["wrong"] * 4 + ["locked"] * 2


def test_trying_while_locked_does_not_prolong_it(keeper: Passphrase, clock: Clock) -> None:
    guess(keeper, 5)
    clock.move(minutes=10)
    guess(keeper, 20)
    clock.move(minutes=5)
    assert isinstance(keeper.verify(RIGHT), Approver)


def test_success_gives_all_guesses_back(keeper: Passphrase) -> None:
    for _ in range(3):
        guess(keeper, 4)
        assert isinstance(keeper.verify(RIGHT), Approver)


def test_right_one_as_fifth_unlocks(keeper: Passphrase) -> None:
    guess(keeper, 4)
    assert isinstance(keeper.verify(RIGHT), Approver)
    assert guess(keeper, 1) == [Refused("wrong", 4)]


def test_failures_do_not_fade_with_time(keeper: Passphrase, clock: Clock) -> None:
    guess(keeper, 4)
    clock.move(days=30)
    assert reasons(guess(keeper, 1)) == ["locked"]


@pytest.mark.parametrize("back", [timedelta(minutes=1), timedelta(hours=5), timedelta(days=4000)])
def test_clock_set_back_does_not_unlock(keeper: Passphrase, clock: Clock, back: timedelta) -> None:
    guess(keeper, 5)
    clock.now -= back
    assert reasons([keeper.verify(RIGHT)]) == ["locked"]
    clock.now += timedelta(minutes=15)
    assert reasons([keeper.verify(RIGHT)]) == ["locked"]


def test_local_clock_and_summer_time_change_nothing(keeper: Passphrase, clock: Clock) -> None:
    guess(keeper, 5)
    clock.now = (NOON + timedelta(minutes=15)).astimezone()
    assert isinstance(keeper.verify(RIGHT), Approver)


def test_another_object_counts_on(keeper: Passphrase, tmp_path: Path, clock: Clock) -> None:
    guess(keeper, 3)
    again = Passphrase(tmp_path / "state", clock=clock)
    assert guess(again, 2)[0] == Refused("wrong", 1)
    assert reasons(guess(keeper, 1)) == ["locked"]


GUESSER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from leyr_mcp.server.filing import passphrase
tried = []
plain = passphrase._matches
passphrase._N = 16
passphrase._matches = lambda text, kept: (tried.append(text), plain(text, kept))[1]
noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
keeper = passphrase.Passphrase(Path(sys.argv[1]), clock=lambda: noon)
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    keeper.verify(f"guess {number}")
print(len(tried), flush=True)
"""


def guesser(folder: Path, code: str = GUESSER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_have_five_guesses_together(
    keeper: Passphrase, tmp_path: Path
) -> None:
    running = [guesser(tmp_path / "state") for _ in range(2)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    tried = []
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        said, _ = process.communicate(timeout=20)
        tried.append(int(said))
    assert sum(tried) == 5
    assert reasons([keeper.verify(RIGHT)]) == ["locked"]


def test_threads_at_once_have_five_guesses_together(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    plain = passphrase._matches

    def counted(text: str, kept: Any) -> bool:
        tried.append(text)
        return plain(text, kept)

    monkeypatch.setattr(passphrase, "_matches", counted)
    threads = [threading.Thread(target=guess, args=(keeper, 4)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tried) == 5


def test_kill_in_the_middle_of_a_guess_does_not_give_it_back(
    keeper: Passphrase, tmp_path: Path
) -> None:
    killed = GUESSER.replace(
        "(tried.append(text), plain(text, kept))[1]", "__import__('os')._exit(9)"
    )
    process = guesser(tmp_path / "state", killed)
    process.communicate("go\n", timeout=20)
    assert process.returncode == 9
    assert guess(keeper, 1) == [Refused("wrong", 3)]


def test_change_by_another_during_a_guess_wins(
    keeper: Passphrase, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Passphrase(tmp_path / "state", clock=clock)
    plain = passphrase._matches

    def meanwhile(text: str, kept: Any) -> bool:
        monkeypatch.setattr(passphrase, "_matches", plain)
        other.set("another passphrase", name="Bo Alm", old=RIGHT)
        return plain(text, kept)

    monkeypatch.setattr(passphrase, "_matches", meanwhile)
    assert reasons([keeper.verify(RIGHT)]) == ["wrong"]


def test_first_to_set_it_wins(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Passphrase(tmp_path / "state", clock=clock) for _ in range(2))
    plain = passphrase._hash

    def meanwhile(encoded: bytes, salt: bytes) -> bytes:
        monkeypatch.setattr(passphrase, "_hash", plain)
        other.set("another passphrase", name="Bo Alm")
        return plain(encoded, salt)

    monkeypatch.setattr(passphrase, "_hash", meanwhile)
    with pytest.raises(StorageError, match="changed meanwhile"):
        one.set(RIGHT, name="Anna Ek")
    assert one.verify("another passphrase") == Approver("Bo Alm", NOON)


def test_files_are_the_owners_alone_and_hold_no_passphrase(
    keeper: Passphrase, tmp_path: Path
) -> None:
    keeper.verify("canary of a wrong guess")
    state = tmp_path / "state"
    assert state.stat().st_mode & 0o777 == 0o700
    names = {"approver.json", "approver.tries.json", "approver.lock"}
    assert {path.name for path in state.iterdir()} == names
    for path in state.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"canary" not in path.read_bytes()
    assert "canary" not in repr((keeper, keeper.__dict__, keeper.approver(), keeper._read()))
    found = keeper._read()
    assert found is not None
    assert found.digest.hex() not in repr(found)


def test_same_passphrase_is_never_hashed_alike(tmp_path: Path, clock: Clock) -> None:
    kept = []
    for folder in ("a", "b"):
        keeper = Passphrase(tmp_path / folder, clock=clock)
        keeper.set(RIGHT, name="Anna Ek")
        kept.append(json.loads((tmp_path / folder / "approver.json").read_bytes()))
    assert kept[0]["salt"] != kept[1]["salt"]
    assert kept[0]["hash"] != kept[1]["hash"]
    assert len(bytes.fromhex(kept[0]["salt"])) == 16


def test_hash_is_scrypt_of_the_stated_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "_N", 2**15)
    asked: dict[str, Any] = {}
    plain = hashlib.scrypt

    def noted(encoded: bytes, **cost: Any) -> bytes:
        asked.update(cost)
        return plain(encoded, **cost)

    monkeypatch.setattr(hashlib, "scrypt", noted)
    assert len(passphrase._hash(b"passphrase", bytes(16))) == 64
    assert (asked["n"], asked["r"], asked["p"]) == (32768, 8, 1)


def test_comparison_is_the_constant_time_one(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: True)
    assert isinstance(keeper.verify("anything"), Approver)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660])
def test_file_that_others_can_read_is_refused(
    keeper: Passphrase, tmp_path: Path, mode: int
) -> None:
    (tmp_path / "state" / "approver.json").chmod(mode)
    with pytest.raises(StorageError, match="read by others"):
        keeper.verify(RIGHT)


DAMAGED = [
    b"",
    b"canary{",
    b"[]",
    b"[1]",
    b'"canary"',
    b"\xff\xfe",
    b"[" * 3_000,
    b'{"version": 1}',
    b'{"version": 1, "name": "x", "set_at": "canary", "salt": "00", "hash": "00"}',
    b'{"version": 1, "name": "x", "set_at": "2026-01-01T00:00:00", "salt": "00", "hash": "00"}',
    b'{"version": 1, "name": "x", "set_at": 5, "salt": "00", "hash": "00"}',
    b'{"version": 1, "name": "x", "set_at": "2026-01-01T00:00:00+00:00", "salt": "canary"}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_file_opens_to_nobody(keeper: Passphrase, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state" / "approver.json").write_bytes(content)
    for call in (keeper.approver, lambda: keeper.verify(RIGHT)):
        with pytest.raises(StorageError, match="damaged") as caught:
            call()
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_count_that_was_never_written_is_none(keeper: Passphrase, tmp_path: Path) -> None:
    (tmp_path / "state" / "approver.tries.json").unlink()
    assert guess(keeper, 1) == [Refused("wrong", 4)]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"count": "x", "until": null}'])
def test_damaged_count_gives_no_guess(keeper: Passphrase, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state" / "approver.tries.json").write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        keeper.verify(RIGHT)


def test_file_of_a_newer_program_is_left_alone(keeper: Passphrase, tmp_path: Path) -> None:
    (tmp_path / "state" / "approver.json").write_text('{"version": 2}')
    with pytest.raises(StorageError, match="another version"):
        keeper.set("another passphrase", name="Bo Alm")


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_guess_that_cannot_be_counted_is_not_tried(
    keeper: Passphrase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    plain = os.open

    def full(*args: Any, **named: Any) -> int:
        if args and str(args[0]).endswith("approver.lock"):
            return plain(*args, **named)
        raise OSError(28, "canary: no space left")

    monkeypatch.setattr(passphrase, "_matches", lambda *_: pytest.fail("it was tried"))
    monkeypatch.setattr(Path if step == "replace" else os, step, full)
    with pytest.raises(StorageError, match="cannot be written") as caught:
        keeper.verify(RIGHT)
    assert "canary" not in str(caught.value)
    monkeypatch.undo()
    assert not list((tmp_path / "state").glob(".*"))


def test_state_folder_that_cannot_be_made_is_said(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be read"):
        Passphrase(tmp_path / "file" / "state", clock=clock).verify(RIGHT)


def test_lock_that_cannot_be_had_is_said(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise OSError(11, "busy")

    monkeypatch.setattr("fcntl.flock", busy)
    with pytest.raises(StorageError, match="Another process"):
        keeper.verify(RIGHT)


def test_other_systems_lock_and_write_in_their_own_way(
    keeper: Passphrase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    module: Any = ModuleType("msvcrt")
    module.LK_LOCK = 1
    module.locking = lambda _, mode, size: asked.append((mode, size))
    monkeypatch.setitem(sys.modules, "msvcrt", module)
    monkeypatch.setattr(passphrase, "sys", SimpleNamespace(platform="win32"))
    shown = {name: getattr(os, name) for name in ("open", "fdopen", "fsync", "close", "fstat")}
    for name in ("O_RDWR", "O_CREAT", "O_WRONLY", "O_EXCL"):
        shown[name] = getattr(os, name)
    monkeypatch.setattr(passphrase, "os", SimpleNamespace(name="nt", **shown))
    assert isinstance(keeper.verify(RIGHT), Approver)
    assert asked == [(1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (Refused("wrong", 3), "That is not the passphrase. 3 guesses left."),
        (Refused("wrong", 1), "That is not the passphrase. 1 guess left."),
        (Refused("locked", 0, NOON, 1), "Too many wrong passphrases. Try again in 1 minute."),
        (Refused("locked", 0, NOON, 15), "Too many wrong passphrases. Try again in 15 minutes."),
    ],
)
def test_refusal_says_what_to_do(refused: Refused, says: str) -> None:
    assert refused.message == says


@given(st.text(max_size=1_100))
def test_whatever_is_taken_is_what_verifies(text: str) -> None:
    try:
        encoded = passphrase._new(text)
    except InputError:
        pass
    else:
        assert passphrase._encoded(unicodedata.normalize("NFD", text)) in (encoded, None)
        assert len(encoded) <= 1024
