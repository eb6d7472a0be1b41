"""One store for each health record, so that no approval is carried out in another."""

from __future__ import annotations

import re
from pathlib import Path

from leyr_mcp.server.settings import load
from leyr_mcp.server.storage.place import database_path, schema_name

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


def schema(**settings: str) -> str:
    return schema_name(load({**CLINIC, **settings}))


def test_another_record_has_another_schema() -> None:
    cobalt = {
        "LEYR_CLIENT_ID": "",
        "LEYR_CLIENT_SECRET": "",
        "COBALT_CLIENT_ID": "a",
        "COBALT_CLIENT_SECRET": "x",
        "COBALT_ACCESS_TOKEN": "x",
        "LEYR_MCP_TIMEZONE": "America/Chicago",
    }
    names = [
        schema(),
        schema(LEYR_BASE_URL="https://test.example.org/api"),
        schema(LEYR_CLIENT_ID="other"),
        schema(LEYR_EMR="takecare"),
        schema(LEYR_EMR="take.care"),
        schema(LEYR_EMR="Take-Care"),
        schema(LEYR_EMR="t" * 130),
        schema(LEYR_MCP_BACKEND="sandbox"),
        schema(LEYR_MCP_BACKEND="sandbox", LEYR_EMR="takecare"),
        schema(**cobalt),
        schema(**{**cobalt, "COBALT_CLIENT_ID": "b"}),
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("leyr_mcp_[a-z0-9_]{1,54}", name) for name in names)
    assert schema() == schema(LEYR_CLIENT_SECRET="rotated", LEYR_CARE_UNIT_ID="L0_2")
    assert not any("clinic" in name for name in names)
