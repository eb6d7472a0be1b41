"""Logging to stderr: one handler, library chatter kept quiet.

No value from a request or a record is in it.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import sys
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO

# These log URLs with queries, headers or whole messages below WARNING, so no setting opens them.
_QUIET = ("httpx2", "httpcore2", "mcp", "asyncio", "uvicorn", "uvicorn.access", "sse_starlette")
_LIMIT = 400
_log = logging.getLogger("leyr_mcp.logs")
_REDACT = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+"  # e-mail
    r"|(?:se_personal_number|no_personal_number|nhs_number|emr_id|mrn):[\w.%:-]+"
    r"|\+?[0-9](?:[ +-]?[0-9]){8,14}"  # national numbers and telephone numbers, grouped or not
    r"|(?i:bearer\s+\S+)|eyJ[\w-]+\.[\w-]+\.[\w-]+"
    r"|(?i:(?:secret|token|password)[\"']?\s*[:=]\s*\S+)"
)


class SafeFormatter(logging.Formatter):
    """The second net: hides identifiers and never prints an exception's own text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record on one line: what it says redacted and cut, the rest as it is."""
        parts = [record.getMessage()]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        own = copy.copy(record)
        own.msg, own.args = _safe("; ".join(filter(None, parts))), None
        # Another handler may have left the whole traceback in the record.
        own.exc_info = own.exc_text = own.stack_info = None
        return super().format(own)

    def formatException(  # noqa: N802 - the name is the base class's
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """Return class and location; the text of an exception may hold record content."""
        return location(ei[1]) if ei[1] is not None else ""


class JsonFormatter(SafeFormatter):
    """The same as an object on one line, for what collects logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": super().format(record),
        }
        return json.dumps(found, ensure_ascii=False)


def _safe(text: str) -> str:
    line = _REDACT.sub("[hidden]", "".join(c if c.isprintable() else " " for c in text))
    return line if len(line) <= _LIMIT else f"{line[:_LIMIT]}..."


def location(exc: BaseException) -> str:
    """Return `Class at file:line`, which tells where to look and repeats nothing."""
    frames = traceback.extract_tb(exc.__traceback__)
    where = _place(frames[-1].filename, frames[-1].lineno) if frames else "?"
    return f"{type(exc).__name__} at {where}"


def _place(filename: str, line: int | None) -> str:
    return f"{'/'.join(Path(filename).parts[-2:])}:{line}"


def configure(level: str, form: str = "text") -> None:
    """Send this program's log lines to stderr from `level` up.

    And the libraries' from WARNING up.
    """
    handler = logging.StreamHandler(sys.stderr)
    line = SafeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter("%(message)s") if form == "json" else line)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("leyr_mcp").setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Each of these would print values past the formatter: a line whose arguments do not fit its
    # pattern, the text of a warning, an exception that nobody caught.
    logging.raiseExceptions = False
    warnings.showwarning = _show_warning
    sys.excepthook = _show_uncaught


def _show_warning(
    message: Warning | str,  # noqa: ARG001 - its text may hold a value
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - as above
    line: str | None = None,  # noqa: ARG001 - as above
) -> None:
    _log.warning("%s at %s", category.__name__, _place(filename, lineno))


def _show_uncaught(
    kind: type[BaseException],
    exc: BaseException,
    trace: TracebackType | None,  # noqa: ARG001 - the exception has it
) -> None:
    _log.critical("stopped by %s", location(exc) if exc.__traceback__ else kind.__name__)
