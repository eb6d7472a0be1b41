"""Takes the pictures of the documentation from those that the checks from outside left behind.

Run `make outside` before; then this copies the ones that the pages show.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCREENS = ROOT / ".work/outside/screens"
PLACE = ROOT / "docs/pictures"
LARGEST = 200_000
PICTURES = {
    "panel.png": "panel-approve-before.png",
    "panel-several.png": "panel-some-chosen.png",
    "panel-kept.png": "panel-some-kept.png",
    "queue.png": "review-approve-queue.png",
    "review.png": "review-approve-before.png",
    "edited.png": "review-edit-edited.png",
}


def main() -> int:
    """Copy them, and say which is missing or too large."""
    PLACE.mkdir(exist_ok=True)
    for name, source in PICTURES.items():
        path = SCREENS / source
        if not path.exists() or path.stat().st_size > LARGEST:
            print(f"{source} is missing or too large; run make outside.")
            return 1
        shutil.copy(path, PLACE / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
