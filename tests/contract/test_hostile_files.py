"""Hostile files and paths, out of a tool: none is sent, none is kept, and each is told why.

The files are made by the tests themselves; what each of them is stands with its builder.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.files.kinds import KINDS, by_name
from leyr_mcp.server.files.verdict import UNFIT
from tests.contract.test_hostile_record import POISON, check_clean
from tests.server.files.test_roots import HOSTILE as HOSTILE_PATHS
from tests.support.mcp_answers import Refused
from tests.support.mcp_asking import PATIENT, asking, user, yes
from tests.support.mcp_session import TOLVAN, both_eras
from tests.support.other_files import BENIGN_FILES, HOSTILE_FILES
from tests.support.pdf_files import BENIGN_PDFS, HOSTILE_PDFS

HOSTILE = {
    **{f"{key}-{name}": (raw, reason) for key, (name, raw, reason) in HOSTILE_FILES.items()},
    **{f"{key}.pdf": (raw, reason) for key, (raw, reason) in HOSTILE_PDFS.items()},
}
BENIGN = {
    **{f"{key}-{name}": raw for key, (name, raw) in BENIGN_FILES.items()},
    **{f"{key}.pdf": raw for key, raw in BENIGN_PDFS.items()},
}


def folder(tmp_path: Path, files: dict[str, bytes]) -> Path:
    """Return a root with these files in it, and a secret beside it."""
    root = tmp_path / "root"
    root.mkdir()
    for name, raw in files.items():
        (root / name).write_bytes(raw)
    (tmp_path / "secret.txt").write_text("hemlig", encoding="utf-8")
    return root


def call(path: str) -> dict[str, Any]:
    """Return a call that attaches a file."""
    return {"patient_id": PATIENT, "title": path[:100] or "x", "path": path}


def test_there_are_enough_of_them_and_of_every_reason() -> None:
    assert len(HOSTILE) >= 45
    told = {reason for _, reason in HOSTILE.values()}
    assert told >= set(UNFIT) - {"no_ending", "too_many_bytes"}  # tested with each way in
    for kind in KINDS:
        of_kind = [name for name in HOSTILE if by_name(name) == kind]
        assert len(of_kind) >= 10, kind.name


async def test_no_hostile_file_is_sent_or_kept(tmp_path: Path) -> None:
    root = folder(tmp_path, {name: raw for name, (raw, _) in HOSTILE.items()})
    async with asking("legacy", user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        turn = asyncio.Semaphore(20)

        async def tried(name: str) -> Refused:
            async with turn:
                return await it.refused("attach_document", **call(name))

        found = await asyncio.gather(*map(tried, HOSTILE))
        assert it.writes() == []
        assert list(it.desk.files._folder.iterdir()) == []
        _, drafts = await it.ask("list_drafts")
        assert drafts["drafts"] == []
    wrong = [
        f"{name}: {error.code}, {error.message}"
        for (name, (_, reason)), error in zip(HOSTILE.items(), found, strict=True)
        if error.code != UNFIT[reason].code
    ]
    assert wrong == []


async def test_every_benign_file_becomes_a_draft_of_its_kind(tmp_path: Path) -> None:
    root = folder(tmp_path, BENIGN)
    async with asking("legacy", LEYR_MCP_ROOTS=str(root)) as it:
        found = await asyncio.gather(
            *(it.ask("attach_document", **call(name), draft=True) for name in BENIGN)
        )
    for name, (_, data) in zip(BENIGN, found, strict=True):
        kind = by_name(name)
        assert kind is not None
        assert data["file"]["format"] == kind.format, name


@both_eras
async def test_no_hostile_path_is_read(mode: str, tmp_path: Path) -> None:
    root = folder(tmp_path, {"file.txt": b"inside"})
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    paths = [*HOSTILE_PATHS, f"{tmp_path}/secret.txt", f"{root}/../secret.txt", "../secret.txt"]
    refusable = [path for path in paths if path and not path.startswith(("\ud800", "\udcff"))]
    async with asking(mode, user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        for path in refusable:
            if path in ("file.txt", "sub/file.txt"):
                continue
            error = await it.refused("attach_document", **call(path) | {"title": "x"})
            assert error.code in ("file_not_allowed", "not_found", "file_type"), path
            assert "hemlig" not in error.text
        assert it.writes() == []
        documents = it.control.documents(TOLVAN)
    assert not any(b"hemlig" in document.content for document in documents)


@both_eras
@pytest.mark.parametrize("place", ["text", "name", "title", "type"])
async def test_hostile_text_in_or_around_a_file_reaches_the_model_clean(
    mode: str, tmp_path: Path, place: str
) -> None:
    name = POISON.replace("/", "-").replace("\x00", "") + ".txt" if place == "name" else "a.txt"
    safe = "".join(c for c in name if c.isprintable() or ord(c) > 0x9F)
    content = POISON.replace("\x00", "") if place == "text" else "Frisk."
    root = folder(tmp_path, {safe: content.encode()})
    line = " ".join(POISON.split()).replace("\x00", "").replace("\x08", "").replace("\x1b", "")
    given = {"path": safe, "title": "Intyg", "patient_id": PATIENT, "draft": True}
    if place in ("title", "type"):
        given[place] = "".join(c for c in line if c.isprintable())[:90]
    async with asking(mode, user(yes), LEYR_MCP_ROOTS=str(root)) as it:
        made = await it.call("attach_document", **given)
        check_clean(made)
        assert made.structured_content is not None
        draft_id = made.structured_content["draft_id"]
        check_clean(await it.call("get_draft", draft_id=draft_id))
        check_clean(await it.call("list_drafts"))
        await it.ask("file_drafts", draft_ids=[draft_id])
        _, listed = await it.ask("list_documents", patient_id=PATIENT)
        newest = listed["documents"][0]["document_id"]
        check_clean(await it.call("list_documents", patient_id=PATIENT))
        check_clean(await it.call("get_document", patient_id=PATIENT, document_id=newest))
