"""What the wheel holds is what stands in the folders, and every module says what it is for."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("sandbox", "server", "tools")
MODULES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_folder_is_listed() -> None:
    folders = {file.parent for file in MODULES}
    packages = {
        f"leyr_mcp.{folder.relative_to(ROOT).as_posix()}".replace("/", ".") for folder in folders
    }
    assert packages == set(PROJECT["tool"]["setuptools"]["packages"])
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_folders_are_mapped_and_typed() -> None:
    mapped = {f"leyr_mcp.{folder}": folder for folder in FOLDERS}
    assert PROJECT["tool"]["setuptools"]["package-dir"] == mapped
    assert [folder for folder in FOLDERS if not (ROOT / folder / "py.typed").is_file()] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_says_what_it_is_for(module: Path) -> None:
    doc = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert doc
    assert doc[0].isupper() or doc[0] == "`" or doc.startswith(f"{module.stem}: ")
    assert doc.rstrip().endswith((".", "|", "`"))
