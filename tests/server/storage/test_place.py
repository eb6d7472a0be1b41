"""One store for each health record, so that no approval is carried out in another."""

from __future__ import annotations

from pathlib import Path

from leyr_mcp.server.settings import load
from leyr_mcp.server.storage.place import database_path

CLINIC = {
    "LEYR_BASE_URL": "https://leyr.example.org/api",
    "LEYR_CLIENT_ID": "clinic",
    "LEYR_CLIENT_SECRET": "x",
    "LEYR_EMR": "webdoc",
}


def path(**settings: str) -> Path:
    return database_path(load({**CLINIC, **settings}))


def test_another_record_has_another_store() -> None:
    paths = [
        path(),
        path(LEYR_BASE_URL="https://test.example.org/api"),
        path(LEYR_CLIENT_ID="other"),
        path(LEYR_EMR="takecare"),
        path(LEYR_MCP_BACKEND="sandbox"),
        path(LEYR_MCP_BACKEND="sandbox", LEYR_EMR="takecare"),
    ]
    assert len(set(paths)) == len(paths)


def test_same_record_keeps_its_store_and_its_name_tells_no_client() -> None:
    assert path() == path(LEYR_CLIENT_SECRET="rotated", LEYR_CARE_UNIT_ID="L0_2")
    assert "clinic" not in path().name
