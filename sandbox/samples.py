"""Files to attach, so that a newcomer has some at once: one of each kind, all invented."""

import secrets
from importlib import resources
from pathlib import Path

NAMES = (
    "lab-report.pdf",
    "referral.pdf",
    "wound-photo.jpg",
    "chart.png",
    "referral.docx",
    "old-letter.doc",
    "xray.dcm",
    "visit-notes.txt",
)


def unpack(folder: Path) -> None:
    """Copy those that are not there into a folder: a package's own files may be shared by links."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    source = resources.files("leyr_mcp.sandbox").joinpath("samples")
    for name in NAMES:
        place = folder / name
        if not place.exists():
            aside = folder / f".{secrets.token_hex(8)}"
            aside.write_bytes(source.joinpath(name).read_bytes())
            aside.replace(place)
