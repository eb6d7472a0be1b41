"""The promised form of an error result, stated once for every client that is checked."""

from __future__ import annotations

import re
from typing import Any

TEXT = re.compile(r"(?P<code>[a-z_]+): (?P<message>.+) Next: (?P<next>.+) \(ref (?P<ref>\S+)\)")
RETRY = {"no", "after", "same_call"}


def check_error(result: dict[str, Any], *, code: str) -> None:
    """Assert that a tool's answer is this error and that nothing of it got lost."""
    assert result["isError"] is True
    assert "structuredContent" not in result
    assert [block["type"] for block in result["content"]] == ["text"]
    text = TEXT.fullmatch(result["content"][0]["text"])
    assert text, result["content"][0]["text"]
    error = result["_meta"]["leyr-mcp/error"]
    assert text.groupdict() == {key: error[key] for key in ("code", "message", "next", "ref")}
    assert error["code"] == code
    assert error["retry"] in RETRY
