"""The page and the panel, each as one document, and the policy under which a browser runs it.

Both are the same parts; they differ in where answers come from and what is shown around the drafts.
Style and script stand in the document itself, each allowed by its hash; nothing else is, so text
from a record that looks like code stays text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib import resources

_PACKAGE = "leyr_mcp.server.web"
LANGUAGES = ("sv", "nb")
# The policy of what is no document.
CLOSED = "default-src 'none'; frame-ancestors 'none'"
# One script in several files; each may use what stands in any other of its document.
_SHARED = ("patient.js", "editing.js", "deciding.js", "following.js")
PAGE_SCRIPTS = (
    *("language.js", "base.js", "fetching.js", "queue.js"),
    *(*_SHARED, "giving.js", "resolving.js", "opening.js"),
)
PANEL_SCRIPTS = ("language.js", "base.js", "bridge.js", *_SHARED, "panel.js")


@dataclass(frozen=True, slots=True)
class Page:
    """The document, and what its Content-Security-Policy says."""

    body: bytes
    policy: str


@cache
def page() -> Page:
    """Return the page, put together once; it speaks to the server that served it."""
    style, script = _part("page.css"), _script(PAGE_SCRIPTS)
    policy = _policy(style, script, "connect-src 'self'", "frame-ancestors 'none'")
    return Page(_document(style, script), policy)


@cache
def panel() -> Page:
    """Return the panel, put together once; it speaks to nobody but its host.

    It brings its policy with it, since whoever shows it need not send one.
    """
    style, script = _part("page.css"), _script(PANEL_SCRIPTS)
    policy = _policy(style, script)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
    return Page(_document(style, script, meta), policy)


def _document(style: str, script: str, meta: str = "") -> bytes:
    whole = _part("page.html").replace("<!--policy-->", meta)
    return whole.replace("/*style*/", style).replace("/*script*/", script).encode()


def _script(names: Sequence[str]) -> str:
    parts = "\n".join(_part(name) for name in names)
    words = {name: json.loads(_part(f"words.{name}.json")) for name in LANGUAGES}
    # Nothing in it may end the script.
    text = json.dumps(words, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'"use strict";\n(() => {{\n{parts.replace("/*words*/ {}", text)}}})();\n'


def _policy(style: str, script: str, *more: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            *more,
            "form-action 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


@cache
def _part(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
