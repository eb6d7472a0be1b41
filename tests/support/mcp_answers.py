"""The promised form of every answer, stated once: success, error, and text that alone suffices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcp.types import CallToolResult, TextContent

from leyr_mcp.server.errors import CODES
from leyr_mcp.server.text import plain

ERROR = "leyr-mcp/error"
MODE = "leyr-mcp/mode"

_ERROR_TEXT = re.compile(
    r"(?P<code>[a-z_]+): (?P<message>.+) Next: (?P<next>.+) \(ref (?P<ref>[0-9a-f]{8})\)"
)
_DAY = re.compile(r"[A-Z][a-z]{2} (\d{4}-\d\d-\d\d) \((\S+), UTC([+-]\d\d:\d\d)\)")
_TIMES = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)")
_MARK = re.compile(r"(\[/?record-text )[0-9a-f]{8}\]")
# What the caller itself said or left out, and what counts or flags: each has its own test.
_ECHOED = {
    "already_filed", "care_unit_id", "channel", "existed", "removed", "timezone", "total",
    "truncated",
}  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """A failed call, its form already checked."""

    code: str
    message: str
    next: str
    text: str
    error: dict[str, Any]

    @property
    def field(self) -> str | None:
        """The argument that the caller should correct."""
        return self.error.get("field")


def text_of(result: CallToolResult) -> str:
    """Return the text of an answer, which comes first."""
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


def steady(text: str) -> str:
    """Return a text with the random ids of its fences blanked."""
    return _MARK.sub(r"\1########]", text)


def check_answer(result: CallToolResult) -> tuple[str, dict[str, Any]]:
    """Assert success and return text and structured content."""
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    assert [block.type for block in result.content].count("text") == 1
    text = text_of(result)
    assert text.strip() == text
    return text, result.structured_content


def check_error(result: CallToolResult) -> Refused:
    """Assert the whole form of an error result."""
    assert result.is_error is True
    assert result.structured_content is None
    assert [block.type for block in result.content] == ["text"]
    text = text_of(result)
    assert "\n" not in text
    parts = _ERROR_TEXT.fullmatch(text)
    assert parts, text
    assert result.meta is not None
    error = result.meta[ERROR]
    assert parts.groupdict() == {name: error[name] for name in ("code", "message", "next", "ref")}
    assert set(error) <= {"code", "message", "field", "retry", "retry_after_s", "next", "ref"}
    assert error["code"] in CODES
    assert error["retry"] == CODES[error["code"]].retry
    assert error["message"].endswith(".")
    assert error["next"].endswith(".") or error["next"].endswith(").")
    return Refused(error["code"], error["message"], error["next"], text, error)


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a structured answer with the name of its field."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part, name)
    else:
        yield name, value


def spans(text: str) -> list[tuple[str, str]]:
    """Return each start and end that a reader of the text alone can put together."""
    found, day, offset = [], "", ""
    for line in text.splitlines():
        if heading := _DAY.fullmatch(line):
            day, _, offset = heading.groups()
        elif line.startswith("  ") and day:
            found += [
                (f"{day}T{start}:00{offset}", f"{day}T{end}:00{offset}")
                for start, end in _TIMES.findall(line)
            ]
    return found


def check_text_suffices(text: str, data: dict[str, Any]) -> None:
    """Assert that every id and value of the structured answer can be read in the text."""
    readable = {moment for span in spans(text) for moment in span}
    for name, value in leaves(data):
        if name in _ECHOED or (name == "uri" and data.get("truncated") is False):
            continue  # an address that leads to no more than what stands here already
        if name in ("start", "end"):
            assert value in readable, (name, value, text)
        else:
            assert plain(str(value)).strip() in text, (name, value, text)
    if data.get("truncated") is True and "total" in data:
        assert str(data["total"]) in text
    if data.get("removed"):
        assert f"{data['removed']} invisible" in text
    if zone := data.get("timezone"):
        assert zone in text or not spans(text)
