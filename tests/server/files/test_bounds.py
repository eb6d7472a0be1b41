"""The largest and worst files, looked at in a child: it stays inside its memory and its time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest

from leyr_mcp.server.files.kinds import DICOM, DOC, DOCX, JPEG, MAX_BYTES, PNG, TEXT
from tests.support.image_files import SIGNATURE, XMP, app1, chunk, header, jpeg, png, segment
from tests.support.other_files import OPEN, dataset, dicom, element
from tests.support.word_files import doc, docx

MIB = 1024 * 1024
FILLED = MAX_BYTES - 4_096
# The child of a small process: one that forks from a large one counts the large one as its own.
MEASURED = """
import resource, subprocess, sys
job = [sys.executable, "-P", "-m", "leyr_mcp.server.files.child", "inspect", sys.argv[1]]
said = subprocess.run(job, stdin=sys.stdin, capture_output=True, check=True).stdout
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime, said.decode())
"""


def padded(body: bytes) -> bytes:
    """Return a document with a part of XML, large enough for what that unpacks to."""
    return docx({"word/a.xml": body, "word/media/a.png": os.urandom(2 * MIB)})


LARGE: dict[str, tuple[str, str | None, Callable[[], bytes]]] = {
    "text": (TEXT, None, lambda: b"a" * MAX_BYTES),
    "text of wide signs": (TEXT, None, lambda: "\U0001f600".encode() * (MAX_BYTES // 4)),
    "text of spaces": (TEXT, None, lambda: " \ufeff".encode() * (MAX_BYTES // 4)),
    "JPEG filled up": (JPEG, None, lambda: jpeg(b"\xff" * FILLED)),
    "JPEG of one scan": (
        JPEG,
        None,
        lambda: jpeg()[:-2] + b"\xff\x00\xff\xd0" * (FILLED // 4) + b"\xff\xd9",
    ),
    "JPEG of empty scans": (
        JPEG,
        "too_complex",
        lambda: jpeg()[:-2] + segment(0xDA, b"") * (FILLED // 4),
    ),
    "JPEG of zeros": (JPEG, None, lambda: jpeg(after=bytes(FILLED))),
    "JPEG of words": (JPEG, None, lambda: jpeg(segment(0xE1, XMP + b"G\x00P" * 21_000) * 320)),
    "JPEG of Exif": (
        JPEG,
        None,
        lambda: jpeg(
            app1(b"II*\x00\x08\x00\x00\x00" + b"\x25\x88\x04\x00\x01\x00\x00\x00" * 8_000) * 320
        ),
    ),
    "PNG of one chunk": (PNG, None, lambda: png(chunk(b"IDAT", bytes(FILLED)))),
    "PNG of empty chunks": (PNG, "too_complex", lambda: png(chunk(b"tIME") * (FILLED // 12))),
    "PNG of packed texts": (
        PNG,
        "too_complex",
        lambda: png(chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(MIB))) * 9_000),
    ),
    "PNG of a profile": (
        PNG,
        None,
        lambda: (
            SIGNATURE
            + header()
            + chunk(b"tEXt", b"Raw profile type exif\x00a 1 " + b"0 " * (FILLED // 2))
            + png()[33:]
        ),
    ),
    "document in zeros": (
        DOCX,
        "docx_unpacked",
        lambda: docx({"word/media/a.png": bytes(205 * MIB)}),
    ),
    "XML of many elements": (
        DOCX,
        "too_complex",
        lambda: padded(b"<a>" + b"<b c=''/>" * 1_500_000 + b"</a>"),
    ),
    "XML that is deep": (DOCX, "too_complex", lambda: padded(b"<a>" * 1_500_001)),
    "XML of one tag": (DOCX, "too_complex", lambda: padded(b"<a b='" + b"c" * 60 * MIB + b"'/>")),
    "XML of long tags": (
        DOCX,
        None,
        lambda: padded(b"<a>" + (b"<b c='" + b"d" * 3 * MIB + b"'/>") * 20 + b"</a>"),
    ),
    "XML of one text": (DOCX, None, lambda: padded(b"<a>" + b"c" * 60 * MIB + b"</a>")),
    "older document": (DOC, None, lambda: doc({"Data": bytes(FILLED - MIB)}, version=4)),
    "older document of names": (DOC, "doc_broken", lambda: doc()[:1024] + bytes(FILLED)),
    "DICOM of empty elements": (
        DICOM,
        "too_complex",
        lambda: dicom(element(0x00080005, "CS", b"") * (FILLED // 8)),
    ),
    "DICOM that is deep": (
        DICOM,
        "too_complex",
        lambda: dicom(element(0x00081111, "SQ", b"", OPEN) * (FILLED // 12)),
    ),
    "DICOM with pixels": (
        DICOM,
        None,
        lambda: dicom(dataset() + element(0x7FE00010, "OW", bytes(FILLED))),
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
@pytest.mark.parametrize(("kind", "reason", "made"), LARGE.values(), ids=LARGE.keys())
def test_largest_files_stay_inside_the_bounds(
    kind: str, reason: str | None, made: Callable[[], bytes]
) -> None:
    data = made()
    assert len(data) <= MAX_BYTES
    ended = subprocess.run(
        [sys.executable, "-P", "-c", MEASURED, kind], input=data, capture_output=True, check=True
    )
    memory, seconds, said = ended.stdout.decode().split(" ", 2)
    assert json.loads(said).get("unfit") == reason
    assert int(memory) < 256 * 1024
    assert float(seconds) < 15
