from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from leyr_mcp.sandbox.people import ELSEWHERE, SWEDISH
from leyr_mcp.server.files.inspect import inspect
from leyr_mcp.server.files.kinds import DICOM, DOCX, KINDS, PDF, TEXT, by_name

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "sandbox" / "samples").iterdir())
PAGES = {"lab-report.pdf": 1, "referral.pdf": 2}


def test_script_makes_the_files_byte_for_byte() -> None:
    script = [sys.executable, str(ROOT / "dev" / "samples.py"), "--check"]
    ended = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_each_kind_is_there() -> None:
    assert {by_name(path.name) for path in SAMPLES} == set(KINDS)


def test_samples_are_small() -> None:
    sizes = [path.stat().st_size for path in SAMPLES]
    assert max(sizes) < 40_000
    assert sum(sizes) < 150_000


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_sample_is_taken(path: Path) -> None:
    kind = by_name(path.name)
    assert kind is not None
    found = inspect(path.read_bytes(), kind.format)
    assert found.format == kind.format
    assert found.edits == ()
    assert PAGES.get(path.name) in (None, found.pages)
    if kind.format in (PDF, DOCX, DICOM, TEXT):
        assert "tolvansson" in found.text.lower()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_sample_names_no_other_patient(path: Path) -> None:
    kind = by_name(path.name)
    assert kind is not None
    text = inspect(path.read_bytes(), kind.format).text
    others = [person for person in SWEDISH + ELSEWHERE if person.first_name != "Tolvan"]
    assert not any(person.number and person.number in text for person in others)
    assert not any(f"{person.first_name} {person.last_name}" in text for person in others)
