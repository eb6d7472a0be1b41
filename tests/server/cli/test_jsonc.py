"""One member set or taken out: all else is as it was, whatever the file looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.cli.jsonc import NotJsonError, parsed, placed, without

NEW = {"command": "/opt/leyr mcp/ö", "args": [], "env": {"A": "// , ]"}}
SECTION, NAME = "mcpServers", "leyr"

_texts = st.text(st.sampled_from('ab ,:{}[]"\\\\/*\\nö'), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_holes = st.sampled_from(["", " ", "\n", "\n\t", ' // a, ] } "\n', '/* b, } " */', "\r\n  "])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw a file as people and editors leave them."""
    servers = draw(st.dictionaries(_texts, _values, max_size=3))
    if draw(st.booleans()):
        servers = {**servers, NAME: draw(_values)}
    whole = draw(st.dictionaries(_texts.filter(lambda name: name != SECTION), _values, max_size=3))
    if draw(st.booleans()):
        whole = {**whole, SECTION: servers}
    return draw(_holes) + _written(draw, whole) + draw(_holes)


def _written(draw: Any, value: Any) -> str:
    if isinstance(value, dict):
        parts = [
            f"{draw(_holes)}{json.dumps(name)}{draw(_holes)}:{draw(_holes)}{_written(draw, one)}"
            for name, one in value.items()
        ]
    elif isinstance(value, list):
        parts = [f"{draw(_holes)}{_written(draw, one)}" for one in value]
    else:
        return json.dumps(value)
    last = "," if parts and draw(st.booleans()) else ""
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    inside = f"{draw(_holes)},".join(parts)
    return f"{opening}{inside}{draw(_holes)}{last}{draw(_holes)}{closing}"


@given(texts())
def test_the_member_is_set_and_nothing_else_changes(text: str) -> None:
    expected = parsed(text)
    expected.setdefault(SECTION, {})[NAME] = NEW
    assert parsed(placed(text, SECTION, NAME, NEW)) == expected


@given(texts())
def test_the_member_is_taken_out_and_nothing_else_changes(text: str) -> None:
    expected = parsed(text)
    expected.get(SECTION, {}).pop(NAME, None)
    assert parsed(without(text, SECTION, NAME)) == expected


@given(texts())
def test_what_is_set_can_be_taken_out_again_and_all_that_was_there_is_there(text: str) -> None:
    known = without(text, SECTION, NAME)
    after = without(placed(known, SECTION, NAME, NEW), SECTION, NAME)
    expected = parsed(known)
    expected.setdefault(SECTION, {})
    assert parsed(after) == expected
    assert after.count("a, ] }") == known.count("a, ] }")
    assert after.count("/* b") == known.count("/* b")


@given(texts())
def test_setting_it_twice_is_setting_it_once(text: str) -> None:
    once = placed(text, SECTION, NAME, NEW)
    assert placed(once, SECTION, NAME, NEW) == once


def test_the_style_of_the_file_is_kept() -> None:
    text = '{\r\n\t"mcpServers": {\r\n\t\t"a": 1\r\n\t}\r\n}'
    after = placed(text, SECTION, NAME, {"command": "c"})
    assert after == (
        '{\r\n\t"mcpServers": {\r\n\t\t"a": 1,\r\n\t\t"leyr": {\r\n\t\t\t"command": "c"\r\n\t\t}'
        "\r\n\t}\r\n}"
    )
    assert without(after, SECTION, NAME) == text


@pytest.mark.parametrize("text", ["[]", "1", "{", '{"a" 1}', "{,}", "// only", '{"a": 1} x'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(NotJsonError):
        placed(text, SECTION, NAME, NEW)


def test_a_section_that_is_none_is_refused() -> None:
    with pytest.raises(NotJsonError):
        placed('{"mcpServers": []}', SECTION, NAME, NEW)


def test_a_large_file_takes_no_time() -> None:
    text = json.dumps({"a": [{"b": "x, ]" * 4, "c": [1, 2]}] * 40_000, SECTION: {}}, indent=1)
    assert parsed(placed(text, SECTION, NAME, NEW))[SECTION][NAME] == NEW
