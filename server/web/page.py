"""The page as one document, and the policy under which a browser runs it.

Style and script stand in the document itself, each allowed by its hash; nothing else is, so text
from a record that looks like code stays text.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources

_PACKAGE = "leyr_mcp.server.web"
# One script in several files; each may use what stands in any other.
_SCRIPTS = (
    *("base.js", "queue.js", "patient.js", "editing.js", "giving.js", "deciding.js"),
    "following.js",
)


@dataclass(frozen=True, slots=True)
class Page:
    """The document, and what its Content-Security-Policy says."""

    body: bytes
    policy: str


@cache
def page() -> Page:
    """Return the page, put together once."""
    parts = "\n".join(_part(name) for name in _SCRIPTS)
    style, script = _part("page.css"), f'"use strict";\n(() => {{\n{parts}}})();\n'
    body = _part("page.html").replace("/*style*/", style).replace("/*script*/", script)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "connect-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    return Page(body.encode(), policy)


def _part(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
