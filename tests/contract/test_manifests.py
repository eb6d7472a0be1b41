"""What installers read is true of this package."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from leyr_mcp.server.settings import SETTINGS, load
from leyr_mcp.tools.catalog import TOOLS

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / name).read_text(encoding="utf-8"))
    return found


def test_versions_are_one() -> None:
    (package,) = read("server.json")["packages"]
    versions = {read(name)["version"] for name in ("manifest.json", "server.json")}
    assert versions | {package["version"]} == {PROJECT["version"]}


def test_the_bundle_lists_the_tools() -> None:
    assert [one["name"] for one in read("manifest.json")["tools"]] == [spec.name for spec in TOOLS]


def test_what_the_bundle_asks_may_be_left_empty_and_secrets_are_hidden() -> None:
    manifest = read("manifest.json")
    asked = manifest["user_config"]
    env = manifest["server"]["mcp_config"]["env"]
    assert {text.removeprefix("${user_config.")[:-1] for text in env.values()} == set(asked)
    assert all(one["default"] == "" and not one["required"] for one in asked.values())
    assert [name for name, one in asked.items() if one["sensitive"]] == [
        *("leyr_client_secret", "cobalt_client_secret", "cobalt_access_token"),
    ]
    assert load(dict.fromkeys(env, "")).backend == "sandbox"


def test_the_registry_is_told_every_setting_and_which_are_secret() -> None:
    (package,) = read("server.json")["packages"]
    told = {one["name"]: one["isSecret"] for one in package["environmentVariables"]}
    assert list(told) == [setting.name for setting in SETTINGS]
    secret = {name for name, hidden in told.items() if hidden}
    cobalt = {f"COBALT_{name}" for name in ("CLIENT_SECRET", "ACCESS_TOKEN", "WEBHOOK_SECRET")}
    own = ("DATA_KEY", "DATABASE_URL", "PAGE_CLIENT_SECRET", "STATE_KEYS")
    local = {f"LEYR_MCP_{name}" for name in own}
    assert secret == {"LEYR_CLIENT_SECRET", *local, *cobalt}


def test_the_registry_takes_the_entry() -> None:
    entry = read("server.json")
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", entry["name"])
    assert 3 <= len(entry["name"]) <= 200
    assert len(entry["description"]) <= 100
    assert len(entry["title"]) <= 100
    assert f"mcp-name: {entry['name']}" in (ROOT / "README.md").read_text(encoding="utf-8")
