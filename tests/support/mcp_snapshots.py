"""Snapshots: what a model sees, kept in files and compared; `SNAPSHOT=write` writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "snapshots"


def check_snapshot(name: str, value: Any) -> None:
    """Assert that a value is what its file says; a missing file fails."""
    file = FOLDER / f"{name}.json"
    if os.environ.get("SNAPSHOT") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert file.is_file(), f"{name} has no snapshot yet: run make snap"
    assert value == json.loads(file.read_text(encoding="utf-8"))
