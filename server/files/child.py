"""The process that looks into a file: it has little memory, little time, and writes no file.

Nothing else opens what a file holds. It reads its input to the end, answers once and ends; what
goes wrong inside it is seen outside as no answer, and the file is not taken.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

from leyr_mcp.server.files.kinds import MAX_BYTES

MEMORY_BYTES = 256 * 1024 * 1024
CPU_S = 20
NO_EXTRA = 3  # exit code: what the job needs is not installed

Work = Callable[[bytes], bytes]


def main(args: Sequence[str], given: BinaryIO, answer: BinaryIO) -> int:
    """Do one job with what stands on the input; return the exit code."""
    try:
        work = _JOBS[args[0]](*args[1:])
        confine()
        done = work(given.read(MAX_BYTES + 1))
    except ImportError:
        return NO_EXTRA
    except (MemoryError, RecursionError):
        done = _said(unfit="too_complex")
    answer.write(done)
    answer.flush()
    return 0


def confine() -> None:
    """Give this process its bounds, as far as the platform has them."""
    try:
        import resource  # noqa: PLC0415 - not there on Windows
    except ImportError:
        return
    bounds = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for which, bound in bounds.items():
        try:
            resource.setrlimit(which, (bound, bound))
        except (ValueError, OSError):  # macOS knows no bound of the address space
            continue


def _inspect(promised: str) -> Work:
    from leyr_mcp.server.files.inspect import inspect  # noqa: PLC0415 - each job loads its own
    from leyr_mcp.server.files.verdict import UnfitError  # noqa: PLC0415

    def work(data: bytes) -> bytes:
        try:
            found = inspect(data, promised)
        except UnfitError as error:
            return _said(unfit=error.reason)
        return _said(pages=found.pages, text=found.text, edits=found.edits)

    return work


def _text(cap: str) -> Work:
    from leyr_mcp.server.files.formats.pdf_text import text_of  # noqa: PLC0415 - each job loads its own

    return lambda data: _said(text=text_of(data, int(cap)))


def _render() -> Work:
    from leyr_mcp.server.files.letters.letter import render_letter  # noqa: PLC0415 - an extra

    return render_letter


_JOBS: dict[str, Callable[..., Work]] = {"inspect": _inspect, "text": _text, "render": _render}


def _said(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer))
