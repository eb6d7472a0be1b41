"""The process that looks into files: its jobs, its bounds, and what it says when it fails."""

from __future__ import annotations

import io
import json
import resource
import runpy
import subprocess
import sys

import pytest

from leyr_mcp.server.files import child
from leyr_mcp.server.files.kinds import JPEG, MAX_BYTES, TEXT
from tests.support.image_files import app1, exif, jpeg

JOB = (sys.executable, "-P", "-m", "leyr_mcp.server.files.child")
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    """Write down the bounds that this process would be given."""
    found: dict[int, tuple[int, int]] = {}

    def kept(which: int, bound: tuple[int, int]) -> None:
        if which == resource.RLIMIT_CORE:
            raise ValueError
        found[which] = bound

    monkeypatch.setattr(resource, "setrlimit", kept)
    return found


def done(*args: str, given: bytes = b"") -> tuple[int, bytes]:
    answer = io.BytesIO()
    code = child.main(args, io.BytesIO(given), answer)
    return code, answer.getvalue()


def said(*args: str, given: bytes = b"") -> object:
    code, answer = done(*args, given=given)
    assert code == 0
    return json.loads(answer)


def test_findings_are_said() -> None:
    assert said("inspect", TEXT, given=b"Hosta") == {"pages": None, "text": "Hosta", "edits": []}
    image = jpeg(app1(exif()))
    assert said("inspect", JPEG, given=image) == {
        "pages": None, "text": "", "edits": [[190, 228, 0], [250, 274, 0]],
    }  # fmt: skip


def test_reason_is_said() -> None:
    assert said("inspect", TEXT, given=b"") == {"unfit": "empty"}
    assert said("inspect", TEXT, given=b"a" * (MAX_BYTES + 9)) == {"unfit": "too_many_bytes"}


def test_bounds_are_set_before_anything_is_read(bounds: dict[int, tuple[int, int]]) -> None:
    class Given(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert bounds[resource.RLIMIT_AS] == (256 * MIB, 256 * MIB)
            assert bounds[resource.RLIMIT_CPU] == (20, 20)
            assert bounds[resource.RLIMIT_FSIZE] == (0, 0)
            assert bounds[resource.RLIMIT_NOFILE] == (64, 64)
            return super().read(size)

    assert child.main(["inspect", TEXT], Given(b"a"), io.BytesIO()) == 0


def test_platform_without_bounds_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert said("inspect", TEXT, given=b"a") == {"pages": None, "text": "a", "edits": []}


@pytest.mark.parametrize("problem", [MemoryError, RecursionError])
def test_too_much_work_is_a_reason(
    problem: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_: bytes) -> bytes:
        raise problem

    monkeypatch.setitem(child._JOBS, "inspect", lambda _: work)
    assert said("inspect", TEXT) == {"unfit": "too_complex"}


def test_text_of_a_pdf_is_said_up_to_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    from leyr_mcp.server.files.formats import pdf_text  # noqa: PLC0415 - replaced here alone

    monkeypatch.setattr(pdf_text, "text_of", lambda data, cap: data.decode()[:cap])
    assert said("text", "3", given=b"Hosta") == {"text": "Hos"}
    monkeypatch.setattr(pdf_text, "text_of", lambda _data, _cap: None)
    assert said("text", "3", given=b"Hosta") == {"text": None}


def test_letter_is_said_as_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from leyr_mcp.server.files.letters import letter  # noqa: PLC0415 - replaced here alone

    monkeypatch.setattr(letter, "render_letter", lambda raw: b"%PDF-" + raw)
    assert done("render", given=b"{}") == (0, b"%PDF-{}")


def test_missing_extra_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from leyr_mcp.server.files.letters import letter  # noqa: PLC0415 - replaced here alone

    def missing(_: bytes) -> bytes:
        raise ImportError

    monkeypatch.setattr(letter, "render_letter", missing)
    assert done("render", given=b"{}") == (child.NO_EXTRA, b"")


def run(*args: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*JOB, *args], input=given, capture_output=True, check=False)


def test_process_answers_and_ends() -> None:
    ended = run("inspect", TEXT, given=b"Hosta")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert json.loads(ended.stdout) == {"pages": None, "text": "Hosta", "edits": []}


def test_module_runs_as_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = io.BytesIO()
    monkeypatch.setattr(sys, "argv", ["child", "inspect", TEXT])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\x00")))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(answer))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(child.__file__, run_name="__main__")
    assert (ended.value.code, answer.getvalue()) == (0, b'{"unfit":"text_nul"}')


def test_process_that_is_asked_for_nothing_fails() -> None:
    assert run().returncode == 1
    assert run("other").returncode == 1


CONFINED = """
import os, resource, sys
from leyr_mcp.server.files import child
child.confine()
try:
    bytes(300 * 1024 * 1024)
except MemoryError:
    print("memory")
try:
    with open(sys.argv[1], "wb", buffering=0) as file:
        file.write(b"a")
except OSError:
    print("file")
try:
    held = [os.dup(0) for _ in range(80)]
except OSError:
    print("handles")
print(resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have other bounds")
def test_bounds_hold(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("child") / "a"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", CONFINED, str(place)], capture_output=True, check=True
    )
    assert ended.stdout.decode().split() == ["memory", "file", "handles", "20", "0"]
    assert place.read_bytes() == b""


def test_start_loads_neither_the_protocol_nor_models() -> None:
    code = (
        "import sys; from leyr_mcp.server.files import child, inspect;"
        "print(*sorted({'mcp', 'pydantic', 'asyncio', 'httpx2', 'sqlite3', 'cryptography', 'ssl'}"
        " & sys.modules.keys()))"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, check=True, text=True
    )
    assert ended.stdout.strip() == ""
