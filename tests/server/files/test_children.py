"""The processes that look into files, from outside: fed, bounded, believed only in their form."""

from __future__ import annotations

import asyncio
import os
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable

import pytest

from leyr_mcp.server.files import children
from leyr_mcp.server.files.children import inspected, rendered, text_of_pdf
from leyr_mcp.server.files.kinds import JPEG, MAX_BYTES, PDF, TEXT, by_name
from leyr_mcp.server.files.verdict import Edit, Findings, UnfitError
from tests.support.image_files import app1, exif, jpeg
from tests.support.letters import a_letter
from tests.support.other_files import BENIGN_FILES, HOSTILE_FILES

MIB = 1024 * 1024
Pretend = Callable[[str], None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Let a program stand for the child."""

    def chosen(code: str) -> None:
        code = f"import json, os, sys, time\nread = sys.stdin.buffer.read\n{code}"
        monkeypatch.setattr(children, "_CHILD", (sys.executable, "-P", "-c", code))

    return chosen


async def pieces(data: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def reason(data: bytes = b"Hosta", promised: str = TEXT) -> str:
    with pytest.raises(UnfitError) as caught:
        await inspected(pieces(data), promised)
    return caught.value.reason


def no_child_is_left() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return True


@pytest.mark.parametrize("name", ["note", "JPEG with Exif", "newer document", "older document"])
async def test_file_of_every_day_is_looked_at_in_a_child(name: str) -> None:
    called, data = BENIGN_FILES[name]
    kind = by_name(called)
    assert kind is not None
    found = await inspected(pieces(data, 7), kind.format)
    assert found.format == kind.format
    assert no_child_is_left()


async def test_findings_come_back_whole() -> None:
    assert await inspected(pieces(jpeg(app1(exif()))), JPEG) == Findings(
        format=JPEG, edits=(Edit(190, 228, 0), Edit(250, 274, 0))
    )
    assert await inspected(pieces("Blåmärke \U0001f600".encode()), TEXT) == Findings(
        format=TEXT, text="Blåmärke \U0001f600"
    )


async def test_reason_comes_back() -> None:
    assert await reason(b"") == "empty"
    assert await reason(b"a\x00") == "text_nul"
    assert await reason(b"a" * (MAX_BYTES + 1)) == "too_many_bytes"
    assert await reason(b"Hosta", PDF) == "other_ending"


async def test_file_without_end_is_refused_by_the_child() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MIB)

    with pytest.raises(UnfitError, match="too_many_bytes"):
        await inspected(endless(), TEXT)
    assert no_child_is_left()


async def test_fault_of_the_source_ends_the_child() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ValueError("changed")

    with pytest.raises(ValueError, match="changed"):
        await inspected(broken(), TEXT)
    assert no_child_is_left()


WRONG = {
    "nothing": "",
    "no JSON": "print('a')",
    "no object": "print('[1]')",
    "too deep": "print('[' * 100_000)",
    "other fields": "print('{\"pages\": 1}')",
    "unknown reason": 'print(\'{"unfit": "because"}\')',
    "reason that is a list": "print('{\"unfit\": []}')",
    "a failure": 'print(\'{"unfit": "empty"}\'); sys.exit(1)',
    "a signal": "os.kill(os.getpid(), 9)",
    "too much": "read(); sys.stdout.write('a' * 3_000_000)",
    "input left unread": "os.close(0); time.sleep(0.01); print('{}')",
}


@pytest.mark.parametrize("code", WRONG.values(), ids=WRONG.keys())
async def test_child_that_answers_otherwise_leaves_the_file_refused(
    code: str, pretend: Pretend
) -> None:
    pretend(code)
    assert await reason(b"a" * MIB) == "too_complex"
    assert no_child_is_left()


FORMS = [
    {"pages": 0}, {"pages": -1}, {"pages": "1"}, {"pages": True}, {"pages": 1.0},
    {"text": 1}, {"text": None}, {"text": "a" * 4_001}, {"edits": None}, {"edits": [1]},
    {"edits": [[0, 1]]}, {"edits": [[0, 1, 2]]}, {"edits": [[0, 1, None, 1]]},
    {"edits": [["0", 1, 0]]}, {"edits": [[0, True, 0]]}, {"edits": [[0, 0, 0]]},
    {"edits": [[3, 1, 0]]}, {"edits": [[-1, 1, 0]]},
    {"edits": [[0, 6, 0]]}, {"edits": [[0, 2, 0], [1, 3, 0]]}, {"edits": [[2, 3, 0], [0, 1, 0]]},
    {"format": PDF},
]  # fmt: skip


@pytest.mark.parametrize("change", FORMS, ids=str)
def test_findings_in_another_form_are_not_believed(change: dict[str, object]) -> None:
    said = {"pages": None, "text": "", "edits": [], **change}
    assert children._findings(said, TEXT, 5) is None


async def test_findings_in_their_form_are_believed(pretend: Pretend) -> None:
    pretend('read(); print(\'{"pages": "3"}\')')
    assert await reason(b"Hosta") == "too_complex"
    pretend('read(); print(\'{"pages": 3, "text": "a", "edits": [[0, 2, null], [2, 5, 0]]}\')')
    assert await inspected(pieces(b"Hosta"), PDF) == Findings(
        format=PDF, pages=3, text="a", edits=(Edit(0, 2), Edit(2, 5, 0))
    )


async def test_child_that_answers_early_is_heard(pretend: Pretend) -> None:
    pretend('print(\'{"unfit": "image_broken"}\')')
    assert await reason(b"a" * 5 * MIB) == "image_broken"


@pytest.mark.parametrize(
    "code", ["time.sleep(60)", "read(); time.sleep(60)", "read()\nwhile 1: pass"]
)
async def test_child_that_overruns_its_time_is_ended(
    code: str, pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(code)
    monkeypatch.setattr(children, "DEADLINE_S", 0.3)
    assert await reason(b"a" * MIB) == "too_complex"
    assert no_child_is_left()


async def test_child_is_ended_with_the_task_that_waits_for_it(pretend: Pretend) -> None:
    pretend("read(1); print('x' * 900_000); time.sleep(60)")
    fed = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        fed.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(inspected(slow(), TEXT))
    await fed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert no_child_is_left()


async def test_two_run_at_once_and_the_third_waits(
    pretend: Pretend, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("running")
    code = f"""
mine = os.path.join({str(place)!r}, str(os.getpid()))
open(mine, "w").close()
read()
print(json.dumps({{"pages": len(os.listdir({str(place)!r})), "text": "", "edits": []}}))
os.remove(mine)
"""
    pretend(code)
    found = await asyncio.gather(*(inspected(pieces(b"a"), TEXT) for _ in range(6)))
    assert max(each.pages or 0 for each in found) <= 2


def test_each_event_loop_has_its_own_places() -> None:
    async def twice() -> None:
        await asyncio.gather(*(inspected(pieces(b"a"), TEXT) for _ in range(3)))

    asyncio.run(twice())
    asyncio.run(twice())


async def test_settings_do_not_reach_a_child(
    pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEYR_CLIENT_SECRET", "canary")
    monkeypatch.setenv("HTTPS_PROXY", "canary")
    monkeypatch.setenv("LANG", "sv_SE.UTF-8")
    pretend(
        'read(); text = " ".join(os.environ);'
        'print(json.dumps({"pages": None, "text": text, "edits": []}))'
    )
    names = (await inspected(pieces(b"a"), TEXT)).text.split()
    assert set(names) <= set(children._KEPT)
    assert {"PATH", "LANG"} <= set(names)


async def test_text_of_a_pdf_is_asked_of_a_child(pretend: Pretend) -> None:
    pretend('print(json.dumps({"text": f"{sys.argv[1:]} {len(read())}"}))')
    assert await text_of_pdf(b"a" * MIB, 40) == f"['text', '40'] {MIB}"
    assert await text_of_pdf(b"a", 3) is None
    pretend("read(); print('{\"text\": null}')")
    assert await text_of_pdf(b"a", 3) is None
    pretend("read(); sys.exit(2)")
    assert await text_of_pdf(b"a", 3) is None
    pretend("print('[]')")
    assert await text_of_pdf(b"a", 3) is None


async def test_letter_is_made_by_a_child(pretend: Pretend) -> None:
    pretend("sys.stdout.buffer.write(b'%PDF-' + read() + sys.argv[1].encode())")
    assert await rendered({"title": "Remiss å"}) == '%PDF-{"title": "Remiss å"}render'.encode()
    pretend("read(); sys.exit(3)")
    assert await rendered({}) is None
    for code in ("read(); sys.exit(1)", "read(); print('a')"):
        pretend(code)
        with pytest.raises(UnfitError, match="too_complex"):
            await rendered({})


async def test_letter_and_its_text_go_through_real_children() -> None:
    made = await rendered(a_letter(("Bedömning", "Hosta sedan en vecka.")))
    assert made is not None
    told = await text_of_pdf(made, 4_000)
    assert told is not None
    assert "Hosta sedan en vecka." in told
    found = await inspected(pieces(made), PDF)
    assert found.pages == 1
    assert "Tolvan Tolvansson" in found.text
    with pytest.raises(UnfitError, match="too_complex"):
        await rendered({"title": "no letter"})


async def test_child_without_pipes_is_ended_all_the_same() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await children._feed(child, pieces(b"a"))
    assert await children._read(child, 9) is None
    await child.wait()
    await children._end(child)
    assert child.returncode == 0


@pytest.mark.parametrize("name", ["bomb", "PNG whose text unpacks to 17 MB", "encrypted"])
async def test_hostile_file_is_refused_by_a_child(name: str) -> None:
    called, data, expected = HOSTILE_FILES[name]
    kind = by_name(called)
    assert kind is not None
    assert await reason(data, kind.format) == expected


async def test_large_file_is_not_held_here() -> None:
    async def large() -> AsyncIterator[bytes]:
        for _ in range(20 * 16):
            yield b"a" * (MIB // 16)

    tracemalloc.start()
    try:
        found = await inspected(large(), TEXT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.text == "a" * 4_000
    assert peak < 2 * MIB
