"""Builds the documentation as plain pages: `site/`, to be opened as files or served by anything.

`--check` builds nothing that stays, and says which link, anchor, picture or page is wrong.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from os.path import relpath
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SITE = ROOT / "site"
CSS = (ROOT / "dev/website.css").read_text(encoding="utf-8")
STYLE = base64.b64encode(sha256(CSS.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE}'; img-src 'self' file:; base-uri 'none'"
# What stands at the side, in the order in which one reads it.
NAVIGATION = {
    "Begin": ("index", "quick-start", "clients", "visit", "approving", "documents", "examples"),
    "Look up": ("tools", "settings", "commands", "errors", "record-systems", "practice"),
    "Run": ("operating", "http", "cobalt", "security"),
    "Inside": ("architecture", "filing", "testing", "decisions", "contributing", "changelog"),
}
ELSEWHERE = {
    "examples": ROOT / "examples/README.md",
    "security": ROOT / "SECURITY.md",
    "contributing": ROOT / "CONTRIBUTING.md",
    "changelog": ROOT / "CHANGELOG.md",
}
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
ORDER = [name for names in NAVIGATION.values() for name in names]


@dataclass(slots=True)
class Page:
    """One page: where it comes from, where it goes, what it is called."""

    name: str
    source: Path
    title: str = ""
    body: str = ""
    anchors: set[str] = field(default_factory=set)


def pages() -> dict[Path, Page]:
    """Return every page by its source."""
    found = [Page(path.stem, path) for path in sorted(DOCS.glob("*.md"))]
    found += [Page(name, path) for name, path in ELSEWHERE.items()]
    found += [Page(f"decisions/{p.stem}", p) for p in sorted((DOCS / "decisions").glob("*.md"))]
    asked = sorted((ROOT / "tests/practice/questions").glob("*.md"))
    found += [Page(f"practice/{path.stem}", path) for path in asked]
    return {page.source: page for page in found}


class Builder:
    """Turns pages into documents, and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.pages = pages()
        self.wrong = list[str]()
        self._links = list[tuple[Page, Page, str]]()
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        for page in self.pages.values():
            self._render(page)
        for page, target, anchor in self._links:
            if anchor and anchor not in target.anchors:
                self.wrong.append(f"{page.name}: {target.name} has no #{anchor}")
        self.wrong += [
            f"{page.name}: no way leads there"
            for page in self.pages.values()
            if "/" not in page.name and page.name not in ORDER
        ]

    def write(self, folder: Path) -> None:
        """Write all documents, the pictures beside them."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for page in self.pages.values():
            place = folder / f"{page.name}.html"
            place.parent.mkdir(exist_ok=True)
            place.write_text(self._document(page), encoding="utf-8")
        listed = "".join(
            f'<li><a href="{page.name}.html">{escape(page.title)}</a></li>'
            for page in self.pages.values()
            if page.name.startswith("decisions/")
        )
        index = Page("decisions", DOCS / "decisions", "Decisions")
        index.body = f"<h1>Decisions</h1><ul>{listed}</ul>"
        (folder / "decisions.html").write_text(self._document(index), encoding="utf-8")
        shutil.copytree(DOCS / "pictures", folder / "pictures")

    def _render(self, page: Page) -> None:
        text = re.sub(
            r"<!--.*?-->\n?", "", page.source.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        tokens = self._markdown.parse(text)
        for at, token in enumerate(tokens):
            if token.type == "heading_open":
                self._heading(page, token, tokens[at + 1])
            for child in token.children or ():
                self._inline(page, child)
        body = self._markdown.renderer.render(tokens, self._markdown.options, {})
        body = body.replace("<table>", '<div class="table" tabindex="0"><table>')
        page.body = body.replace("</table>", "</table></div>")
        if not page.title:
            self.wrong.append(f"{page.name}: it has no title")

    def _heading(self, page: Page, token: Token, inline: Token) -> None:
        told = re.sub(r"[`*]", "", inline.content)
        anchor = re.sub(r"[^\w\- ]", "", told.lower()).strip().replace(" ", "-")
        if anchor in page.anchors:
            self.wrong.append(f"{page.name}: two headings are #{anchor}")
        page.anchors.add(anchor)
        token.attrSet("id", anchor)
        if token.tag == "h1" and not page.title:
            page.title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", told)

    def _inline(self, page: Page, token: Token) -> None:
        if token.type == "image":
            if not token.content:
                self.wrong.append(f"{page.name}: a picture says nothing")
            path = page.source.parent / str(token.attrGet("src"))
            if path.parent != DOCS / "pictures" or not path.exists():
                self.wrong.append(f"{page.name}: {token.attrGet('src')} is no picture")
            depth = "../" * page.name.count("/")
            token.attrSet("src", f"{depth}pictures/{path.name}")
        elif token.type == "link_open":
            token.attrSet("href", self._target(page, str(token.attrGet("href"))))

    def _target(self, page: Page, href: str) -> str:
        """Return where a link leads on the site."""
        if re.match(r"https?://", href):
            return href
        name, _, anchor = href.partition("#")
        path = (page.source.parent / name).resolve() if name else page.source
        target = self.pages.get(path)
        if target is not None:
            self._links.append((page, target, anchor))
            place = f"{target.name}.html{'#' if anchor else ''}{anchor}"
        elif path == DOCS / "decisions":
            place = "decisions.html"
        elif path == ROOT / "README.md":
            place = "index.html"
        elif path.exists() and path.is_relative_to(ROOT):
            return "#"  # a file of the project, which is no page
        else:
            self.wrong.append(f"{page.name}: {href} leads nowhere")
            return "#"
        return relpath(place, Path(page.name).parent)

    def _document(self, page: Page) -> str:
        up = "../" * page.name.count("/")
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(page.title)} - leyr-mcp</title>\n<style>{CSS}</style>\n</head>\n"
            '<body>\n<a class="skip" href="#content">To the text</a>\n<div class="page">\n'
            f"<nav>{''.join(self._side(page, up))}</nav>\n"
            f'<main id="content">\n{page.body}{self._around(page, up)}</main>\n</div>\n'
            "</body>\n</html>\n"
        )

    def _side(self, page: Page, up: str) -> Iterator[str]:
        yield f'<a class="home" href="{up}index.html">leyr-mcp</a>'
        for heading, names in NAVIGATION.items():
            yield f"<h2>{heading}</h2><ul>"
            for name in names:
                here = ' aria-current="page"' if name == page.name else ""
                yield f'<li><a href="{up}{name}.html"{here}>{escape(self._called(name))}</a></li>'
            yield "</ul>"

    def _called(self, name: str) -> str:
        titles = {page.name: page.title for page in self.pages.values()}
        return titles.get(name, "Decisions")

    def _around(self, page: Page, up: str) -> str:
        if page.name not in ORDER:
            return ""
        at = ORDER.index(page.name)
        before = ORDER[at - 1] if at else None
        after = ORDER[at + 1] if at + 1 < len(ORDER) else None
        links = [
            f'<a href="{up}{name}.html">{word}{escape(self._called(name))}</a>'
            if name
            else "<span></span>"
            for name, word in ((before, "Before: "), (after, "Next: "))
        ]
        return f'<div class="next">{"".join(links)}</div>\n'


class _Links(HTMLParser):
    """Gathers what a document points to."""

    def __init__(self) -> None:
        super().__init__()
        self.found = list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - as the library calls it
        """Take the targets of links and pictures."""
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def broken(folder: Path) -> list[str]:
    """Return the links of the written documents that lead to no file."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        parser = _Links()
        parser.feed(path.read_text(encoding="utf-8"))
        for href in parser.found:
            name = href.partition("#")[0]
            if name and not re.match(r"https?://", name) and not (path.parent / name).exists():
                found.append(f"{path.relative_to(folder)}: {href} leads nowhere")
    return found


def main(argv: list[str]) -> int:
    """Build, or check; exit code 1 when something is wrong."""
    builder = Builder()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "site") if "--check" in argv else SITE
        builder.write(folder)
        wrong = [*builder.wrong, *broken(folder)]
    for line in wrong:
        print(line)
    if not wrong and "--check" not in argv:
        print(f"site/index.html: {len(builder.pages) + 1} pages")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
