"""The documentation site: it builds, nothing on it leads nowhere, and it is the same each time."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def website() -> Any:
    spec = importlib.util.spec_from_file_location("website", ROOT / "dev/website.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["website"] = module
    spec.loader.exec_module(module)
    return module


def test_no_link_anchor_or_picture_is_wrong(website: Any, tmp_path: Path) -> None:
    builder = website.Builder()
    builder.write(tmp_path / "site")
    assert builder.wrong == []
    assert website.broken(tmp_path / "site") == []
    written = {path.name for path in (tmp_path / "site").iterdir()}
    assert {f"{name}.html" for name in website.ORDER} <= written


def test_the_same_pages_twice_are_the_same_bytes(website: Any, tmp_path: Path) -> None:
    for name in ("one", "other"):
        website.Builder().write(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) > 60
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_what_is_wrong_is_found(
    website: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](nowhere.md) [b](#none) ![](x.png)\n\n## One\n\n## One\n", encoding="utf-8")
    monkeypatch.setattr(website, "pages", lambda: {page: website.Page("page", page)})
    assert website.Builder().wrong == [
        "page: nowhere.md leads nowhere",
        "page: a picture says nothing",
        "page: x.png is no picture",
        "page: two headings are #one",
        "page: it has no title",
        "page: page has no #none",
        "page: no way leads there",
    ]
    (tmp_path / "page.html").write_text('<a href="nowhere.html">x</a>', encoding="utf-8")
    assert website.broken(tmp_path) == ["page.html: nowhere.html leads nowhere"]
