"""Every sentence of ours that the page may be given, taken from the source that words it.

A sentence is told by its shape: what is filled in at run time stands as `{}`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from leyr_mcp.server.filing.preview import KIND_NAMES, MARKS, STATE_NAMES
from leyr_mcp.server.filing.reasons import REASONS, SEARCHED
from leyr_mcp.server.storage.store import State

ROOT = Path(__file__).parent.parent.parent
# What these word reaches the page; failures of the store are the operator's, and stay English.
_WORDING = (
    *("filing/preview", "filing/reasons", "filing/checks", "filing/findings", "filing/moves"),
    *("filing/tickets", "filing/shelf", "filing/desk", "filing/attaching", "filing/passphrase"),
    *("files/verdict", "files/intake", "web/words", "web/deciding", "web/seats", "web/changes"),
)
_PLACE = re.compile(r"\{\w*\}")
_SENTENCE = re.compile(r"(?:[A-Z]|\{\}).*[.:]|.*\{\} equal lines")
_CALL = re.compile(r"\btn?\(")
_ONE = re.compile(r'\bt\(\s*"([^"\\]*)"')
_MANY = re.compile(r'\btn\(\s*[\w.]+,\s*"([^"\\]*)",\s*"([^"\\]*)"')
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def shape(key: str) -> str:
    """Return a sentence with nothing filled in."""
    return _PLACE.sub("{}", key)


def of_server() -> set[str]:
    """Return the shapes of what the server says."""
    found = {shape(text) for path in _WORDING for text in _strings(path) if _is_said(text)}
    found |= {*KIND_NAMES.values(), *STATE_NAMES.values(), *MARKS.values(), *SEARCHED.values()}
    found |= {part for reason in REASONS.values() for part in reason}
    found |= set(get_args(State)) | set(_labels())
    return found


def of_scripts(folder: Path) -> set[str]:
    """Return the keys that the scripts ask for, each written where it is asked for."""
    found = set(DAYS)
    for path in sorted(folder.glob("*.js")):
        if path.name == "language.js":
            continue
        script = re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        calls = [*_ONE.finditer(script), *_MANY.finditer(script)]
        assert len(calls) == len(_CALL.findall(script)), path.name
        found |= {key for call in calls for key in call.groups()}
    return found


def left_in_english(text: str, language: str) -> list[str]:
    """Return the sentences of a shown page that should have been in this language."""
    path = ROOT / "server" / "web" / f"words.{language}.json"
    words: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    said = {key for key, other in words.items() if key != other and " " in key}
    parts = {re.escape(part.strip()) for key in said for part in _PLACE.split(key)}
    long = [part for part in parts if part.count(r"\ ")]
    return sorted({part for part in long if re.search(rf"(?<!\w){part}(?!\w)", text)})


def _is_said(text: str) -> bool:
    return bool(_SENTENCE.fullmatch(text)) and " " in text


def _strings(path: str) -> Iterator[str]:
    """Return the texts of a module that are not there for its readers, adjacent ones joined."""
    tree = ast.parse((ROOT / "server" / f"{path}.py").read_text(encoding="utf-8"))
    inner = {
        id(value)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for value in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inner.add(id(node.value))  # a docstring
        if _is_storage(node):
            inner |= {id(part) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _is_storage(node: ast.AST) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Name) and called.id in {"StorageError", "ConfigError"}


def _labels() -> Iterator[str]:
    """Return what the parts of a draft are called, and the words that stand in sentences."""
    tree = ast.parse((ROOT / "server/filing/preview.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id == "Fact" and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)
