"""The processes that look into files, as the server sees them: fed in pieces, bounded, ended.

At most two run at once. What one answers is believed only in the expected form; one that dies or
overruns its time leaves its file refused. None is given anything of the settings.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

from leyr_mcp.server.files.child import NO_EXTRA
from leyr_mcp.server.files.kinds import MAX_BYTES
from leyr_mcp.server.files.verdict import UNFIT, Edit, Findings, UnfitError

AT_ONCE = 2
DEADLINE_S = 30.0
TEXT_CAP = 4_000
_ANSWER_CAP = 1 << 20
_PIECE = 64 * 1024
_KEPT = ("PATH", "SYSTEMROOT", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "LC_CTYPE")
_CHILD = (sys.executable, "-P", "-m", "leyr_mcp.server.files.child")
_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def inspected(chunks: AsyncIterable[bytes], promised: str) -> Findings:
    """Return what a file holds whose name promises a kind; only one piece is held at a time.

    Raises:
        UnfitError: It is not taken.
    """
    counted = _Counted(chunks)
    code, answer = await _run(("inspect", promised), counted, _ANSWER_CAP)
    found = _findings(_parsed(answer), promised, counted.size) if code == 0 else None
    if found is None:
        raise UnfitError("too_complex")
    return found


async def text_of_pdf(data: bytes, cap: int) -> str | None:
    """Return the beginning of a PDF's text; None where it cannot be told."""
    code, answer = await _run(("text", str(cap)), _pieces(data), 12 * cap + 64)
    text = _parsed(answer).get("text") if code == 0 else None
    return text if isinstance(text, str) and len(text) <= cap else None


async def rendered(letter: Mapping[str, object]) -> bytes | None:
    """Return a letter as a PDF; None where what makes PDFs is not installed.

    Raises:
        UnfitError: It cannot be made.
    """
    given = json.dumps(letter, ensure_ascii=False).encode()
    code, made = await _run(("render",), _pieces(given), MAX_BYTES)
    if code == NO_EXTRA:
        return None
    if code != 0 or not made.startswith(b"%PDF-"):
        raise UnfitError("too_complex")
    return made


class _Counted:
    """Chunks that pass by, counted."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), _PIECE):
        yield data[at : at + _PIECE]


async def _run(
    job: tuple[str, ...], given: AsyncIterable[bytes], cap: int
) -> tuple[int | None, bytes]:
    """Return exit code and answer of a child; no code where it had to be ended."""
    async with _place(), _started(job) as child:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await _feed(child, given)
                answer = await _read(child, cap)
                return (await child.wait(), answer) if answer is not None else (None, b"")
        except TimeoutError:
            return None, b""


def _place() -> asyncio.Semaphore:
    """Return what is held while a child runs: one of each event loop, as they are bound to it."""
    return _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))


@asynccontextmanager
async def _started(job: tuple[str, ...]) -> AsyncIterator[Process]:
    """Start a child, and see that it has ended whatever happens meanwhile."""
    env = {name: os.environ[name] for name in _KEPT if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        *_CHILD, *job, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=env
    )
    try:
        yield child
    finally:
        await _end(child)


async def _end(child: Process) -> None:
    if child.returncode is None:
        child.kill()
    stdin, stdout = child.stdin, child.stdout
    if stdin is None or stdout is None:
        return
    stdin.close()
    while await stdout.read(_PIECE):  # else waiting for it can hang: its pipe would stay open
        pass
    await child.wait()


async def _feed(child: Process, given: AsyncIterable[bytes]) -> None:
    if (stdin := child.stdin) is None:
        return
    try:
        async for chunk in given:
            stdin.write(chunk)
            await stdin.drain()
        stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # it has seen enough and says so


async def _read(child: Process, cap: int) -> bytes | None:
    """Return all that a child says; None where that is more than it may."""
    if (stdout := child.stdout) is None:
        return None
    said = bytearray()
    while piece := await stdout.read(_PIECE):
        said += piece
        if len(said) > cap:
            return None
    return bytes(said)


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _findings(said: dict[str, Any], promised: str, size: int) -> Findings | None:
    """Return what a child found; None where its answer is not of the form that it has."""
    if (reason := next((known for known in UNFIT if known == said.get("unfit")), None)) is not None:
        raise UnfitError(reason)
    if said.keys() != {"pages", "text", "edits"}:
        return None
    pages, text, edits = said["pages"], said["text"], _edits(said["edits"], size)
    if not (pages is None or (type(pages) is int and pages > 0)):
        return None
    if not isinstance(text, str) or len(text) > TEXT_CAP or edits is None:
        return None
    return Findings(format=promised, pages=pages, text=text, edits=edits)


def _edits(given: object, size: int) -> tuple[Edit, ...] | None:
    """Return the parts that are not sent, if they are in order and all inside the file."""
    if not isinstance(given, list) or not all(_is_edit(each) for each in given):
        return None
    edits = tuple(Edit(*each) for each in given)
    apart = all(one.end <= other.start for one, other in pairwise(edits))
    inside = all(0 <= edit.start < edit.end <= size for edit in edits)
    return edits if apart and inside else None


def _is_edit(given: object) -> bool:
    if not isinstance(given, list) or len(given) != len(Edit._fields):
        return False
    fill = given[2]
    return type(given[0]) is int and type(given[1]) is int and (fill is None or fill == 0)
