"""A large file on its way into the record: the server's memory does not grow with it.

Measured on a real process over a real socket, as the peak of its resident memory above what it
held before, after one small document was filed so that all code is loaded. Twenty files of 20 MiB
at once are in the long runs; here they are smaller.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.files.kinds import MAX_BYTES
from tests.e2e.clinic import PATIENT, Clinic, clinic, say_yes
from tests.e2e.wire import LEGACY, MODERN, Wire
from tests.support.pdf_files import noise, pages, pdf, stream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MIB = 1024 * 1024
SLOW = {"LEYR_MCP_WRITE_DEADLINE_S": "30", "LEYR_MCP_GRACE_S": "60"}
LONG = os.environ.get("SOAK") == "1"


def text(size: int, number: int = 0) -> bytes:
    """Return plain text of a size, different for each number."""
    line = f"{number:07} Blodtryck 134/82, puls 68, saturation 98.\n".encode()
    return (line * (size // len(line) + 1))[:size]


def scanned(size: int) -> bytes:
    """Return a PDF of a size, nearly all of it one image; what is left over is white space."""
    raw = picture(size - len(picture(0)) - 100)
    return raw + b" " * (size - len(raw))


def picture(size: int) -> bytes:
    """Return a PDF of one page and one image."""
    entries = b"/Type /XObject /Subtype /Image /Filter /DCTDecode /Width 9 /Height 9"
    return pdf({**pages(1), 60: stream(noise(size), entries)})


def memory(wire: Wire, field: str) -> int:
    """Return a figure of the process's memory in bytes."""
    status = Path(f"/proc/{wire.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def forget_peak(wire: Wire) -> int:
    """Have the process's peak begin anew, and return what it holds now."""
    Path(f"/proc/{wire.process.pid}/clear_refs").write_text("5", encoding="ascii")
    return memory(wire, "VmRSS")


def put(at: Clinic, name: str, raw: bytes) -> dict[str, Any]:
    """Write a file where it may be taken from, and return the call that attaches it."""
    folder = at.home / "files"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(raw)
    arguments = {"patient_id": PATIENT, "title": name, "path": name}
    return {"name": "attach_document", "arguments": arguments}


async def filed(wire: Wire, *calls: dict[str, Any]) -> int:
    """Attach at once and approve; return by how much the peak rose above what was held before."""
    before = forget_peak(wire)
    answers = await say_yes(wire, calls)
    told = [answer["result"]["structuredContent"] for answer in answers]
    assert [one["status"] for one in told] == ["filed"] * len(calls)
    assert {one["verified"] for one in told} == {"equal"}
    return memory(wire, "VmHWM") - before


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_memory_is_flat_in_the_size_of_a_file(tmp_path: Path, era: str) -> None:
    async with clinic(tmp_path / "home") as at, at.server(era=era, **SLOW) as wire:
        await filed(wire, put(at, "small.txt", text(1_000)), put(at, "small.pdf", scanned(9_000)))
        small = await filed(wire, put(at, "middle.txt", text(4 * MIB)))
        large = await filed(wire, put(at, "large.txt", text(MAX_BYTES)))
        paged = await filed(wire, put(at, "large.pdf", scanned(MAX_BYTES)))
        stored = {d.title: len(d.content) for d in at.control.documents("191212121212")}
    assert (stored["large.txt"], stored["large.pdf"]) == (MAX_BYTES, MAX_BYTES)
    assert large <= 8 * MIB
    assert paged <= 8 * MIB
    assert abs(large - small) <= 2 * MIB


async def test_twenty_files_at_once_hold_no_more_than_their_pieces(tmp_path: Path) -> None:
    size = MAX_BYTES if LONG else 3 * MIB
    async with clinic(tmp_path / "home") as at, at.server(**SLOW) as wire:
        await filed(wire, put(at, "small.txt", text(1_000)))
        calls = [put(at, f"file-{n}.txt", text(size, n)) for n in range(20)]
        before = forget_peak(wire)
        await say_yes(wire, calls)
        drafts = await at.settled(21)
        risen = memory(wire, "VmHWM") - before
        assert {draft.state for draft in drafts} == {"filed"}
        assert at.staged() == []
    assert risen <= 64 * MIB
