"""The blocks of code of the pages: what each is, and whether it is marked as not run here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_ALONE = ("README.md", "examples/README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in _ALONE), *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(
    r"(?P<before>.*?)^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->\n\Z")
_FILE = re.compile(r"in a file `([\w.]+)`:\s*\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """One block; `file` is where the page says that it stands."""

    kind: str
    text: str
    not_run: str | None
    file: str | None


def blocks(path: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    found = []
    for match in _BLOCK.finditer(path.read_text(encoding="utf-8")):
        marked, file = _NOT_RUN.search(match["before"]), _FILE.search(match["before"])
        found.append(Block(match["kind"], match["text"], marked and marked[1], file and file[1]))
    return found


def shown(expected: str) -> re.Pattern[str]:
    """Return what matches an output as a page shows it; three dots stand for anything."""
    parts = [re.escape(part) for part in re.split(r"\.\.\.", expected)]
    return re.compile(r"[\s\S]*?".join(parts))
