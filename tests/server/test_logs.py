"""What reaches stderr: the time, where and what kind, and never whom it is about."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator

import pytest

from leyr_mcp.server import logs

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")
LOUD = ("httpx2", "httpcore2", "mcp.server.lowlevel", "asyncio", "uvicorn.access", "some.library")

HIDDEN = [
    "191212121212",
    "19121212-1212",
    "191212 1212",
    "121212+1212",
    "26258605879",
    "943 476 5919",
    "+46 70 123 45 67",
    "0701-23 45 67",
    "tolvan.tolvansson+a@example.invalid",
    "se_personal_number:191212121212",
    "no_personal_number:26258605879",
    "nhs_number:9434765919",
    "emr_id:ruy_97208",
    "Bearer abc.def-ghi",
    "bearer   abcdef",
    "eyJhbGciOi.eyJzdWIi.c2lnbmF0",
    "client_secret=hunter2",
    '"x-leyr-client-secret": "hunter2"',
    "access_token: hunter2",
    "PASSWORD=hunter2",
]
KEPT = [
    "ref=1a2b3c4d",
    "status 503",
    "calls to finish: 12",
    "ValueError at ehr/transport.py:190",
    "protocol 2026-07",
    "127.0.0.1:49152",
]


class Stderr:
    """What was written to stderr so far."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._captured.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stderr]:
    """What is written to stderr; afterwards logging is as it was."""
    names = ("leyr_mcp", *logs._QUIET)
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in names}
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    try:
        yield Stderr(capsys)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, was in levels.items():
            logging.getLogger(name).setLevel(was)


def failed(text: str) -> LookupError:
    """Return an exception as it is caught, with a traceback."""
    try:
        raise LookupError(text)  # noqa: TRY301 - it is made here to be caught
    except LookupError as exc:
        return exc


def own() -> logging.Logger:
    return logging.getLogger("leyr_mcp.test")


@pytest.mark.parametrize("value", HIDDEN)
def test_identifying_value_is_hidden(stderr: Stderr, value: str) -> None:
    logs.configure("INFO")
    own().info("before %s after", value)
    line = stderr.getvalue()
    assert "before" in line
    assert "[hidden]" in line
    assert value not in line
    for part in re.findall(r"\d{4,}|hunter2|tolvan", value):
        assert part not in line.partition(": ")[2]


@pytest.mark.parametrize("value", KEPT)
def test_what_an_operator_needs_is_kept(stderr: Stderr, value: str) -> None:
    logs.configure("INFO")
    own().info("%s", value)
    assert stderr.getvalue().endswith(f"leyr_mcp.test: {value}\n")


def test_line_begins_with_a_readable_time(stderr: Stderr) -> None:
    logs.configure("INFO")
    own().info("191212121212")
    line = stderr.getvalue()
    assert STAMP.match(line)
    assert line.endswith(" INFO leyr_mcp.test: [hidden]\n")


def test_exception_shows_class_and_place_and_not_its_text(stderr: Stderr) -> None:
    logs.configure("INFO")
    own().error("it failed", exc_info=failed("Tolvan Tolvansson"))
    line = stderr.getvalue()
    assert re.search(r"it failed; LookupError at server/test_logs\.py:\d+\n$", line)
    assert "Tolvan" not in line
    assert line.count("\n") == 1


def test_traceback_left_by_another_handler_is_not_shown(stderr: Stderr) -> None:
    logs.configure("INFO")
    earlier = logging.StreamHandler(io.StringIO())
    logging.getLogger().handlers.insert(0, earlier)
    own().error("it failed", exc_info=failed("Tolvan Tolvansson"), stack_info=True)
    assert "Tolvan" in earlier.stream.getvalue()
    assert "Tolvan" not in stderr.getvalue()
    assert "Stack" not in stderr.getvalue()


def test_place_of_an_exception_that_was_never_raised_is_unknown() -> None:
    assert logs.location(ValueError("Tolvan")) == "ValueError at ?"


def test_line_cannot_be_forged_and_is_cut(stderr: Stderr) -> None:
    logs.configure("INFO")
    own().info("one\n2026-01-01 CRITICAL two\r\x1b[31m\u2028%s", "x" * 5_000)
    line = stderr.getvalue()
    assert line.count("\n") == 1
    assert line.splitlines() == [line.rstrip("\n")]
    assert "\x1b" not in line
    assert len(line) < 500


def test_line_whose_arguments_do_not_fit_shows_none_of_them(stderr: Stderr) -> None:
    logs.configure("INFO")
    own().info("%d patients", "Tolvansson")
    assert "Tolvansson" not in stderr.getvalue()


def test_warning_shows_its_place_and_not_its_text(stderr: Stderr) -> None:
    logs.configure("INFO")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = logs._show_warning
        warnings.warn("Tolvansson", UserWarning, stacklevel=1)
    assert re.search(r"UserWarning at server/test_logs\.py:\d+", stderr.getvalue())
    assert "Tolvansson" not in stderr.getvalue()


def test_uncaught_exception_shows_its_place_and_not_its_text(stderr: Stderr) -> None:
    logs.configure("ERROR")
    exc = failed("Tolvansson")
    sys.excepthook(type(exc), exc, exc.__traceback__)
    assert "stopped by LookupError at server/test_logs.py" in stderr.getvalue()
    assert "Tolvansson" not in stderr.getvalue()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_own_lines_begin_at_the_level_set(stderr: Stderr, level: str) -> None:
    logs.configure(level)
    for name in ("DEBUG", "INFO", "WARNING", "ERROR"):
        own().log(getattr(logging, name), "line-%s", name)
    shown = re.findall(r"line-(\w+)", stderr.getvalue())
    assert shown == [n for n in ("DEBUG", "INFO", "WARNING", "ERROR") if rank(n) >= rank(level)]


def rank(level: str) -> int:
    return int(getattr(logging, level))


@pytest.mark.parametrize("name", LOUD)
def test_library_is_quiet_even_at_debug(stderr: Stderr, name: str) -> None:
    logs.configure("DEBUG")
    logging.getLogger(name).debug("GET /patients?last_name=Tolvansson")
    logging.getLogger(name).info("GET /patients?last_name=Tolvansson")
    assert stderr.getvalue() == ""
    logging.getLogger(name).warning("it matters")
    assert "it matters" in stderr.getvalue()


def test_configuring_twice_writes_each_line_once(stderr: Stderr) -> None:
    logs.configure("INFO")
    logs.configure("INFO")
    own().info("once")
    assert stderr.getvalue().count("once") == 1


@pytest.mark.parametrize("hidden", HIDDEN)
def test_as_json_each_line_is_an_object_and_as_safe(
    hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("INFO", "json")
    failed = ValueError(hidden)
    logging.getLogger("leyr_mcp.x").error("failed for %s\nand more", hidden, exc_info=failed)
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.keys() == {"time", "level", "logger", "message"}
    assert (found["level"], found["logger"]) == ("ERROR", "leyr_mcp.x")
    assert "[hidden] and more; ValueError at " in found["message"]
    assert hidden not in found["message"]
    assert "hunter2" not in line
