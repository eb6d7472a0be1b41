"""Writes what installers read: `manifest.json` of the bundle, `server.json` of the registry.

`--check` changes nothing and says whether they are up to date.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from leyr_mcp.server.settings import SETTINGS
from leyr_mcp.tools.catalog import TOOLS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REGISTRY_NAME = "io.leyr/leyr-mcp"
SAYS = "An assistant drafts and files in a clinic's health record, each write approved by a person."
TELLS = (
    "Finds patients and free times, drafts bookings, notes and documents, and files them once, "
    "after a person approved them in the chat, on a page or in the terminal. Without credentials "
    "it runs on a sandbox with invented patients."
)
SECRETS = (
    "LEYR_CLIENT_SECRET",
    "COBALT_CLIENT_SECRET",
    "COBALT_ACCESS_TOKEN",
    "COBALT_WEBHOOK_SECRET",
    "LEYR_MCP_DATA_KEY",
    "LEYR_MCP_DATABASE_URL",
    "LEYR_MCP_STATE_KEYS",
    "LEYR_MCP_PAGE_CLIENT_SECRET",
)
# What a person sets in the client's own form; the rest is for files and environments.
ASKED = {
    "LEYR_CLIENT_ID": "Leyr client id",
    "LEYR_CLIENT_SECRET": "Leyr client secret",
    "LEYR_EMR": "Record system",
    "LEYR_CARE_UNIT_ID": "Care unit",
    "LEYR_RESOURCE_ID": "Author",
    "COBALT_CLIENT_ID": "Cobalt client id",
    "COBALT_CLIENT_SECRET": "Cobalt client secret",
    "COBALT_ACCESS_TOKEN": "Cobalt access token of the clinic",
    "COBALT_LOCATION_ID": "Cobalt location",
    "LEYR_MCP_TIMEZONE": "Time zone of the clinic",
    "LEYR_MCP_ENVIRONMENT": "Environment",
    "LEYR_MCP_ROOTS": "Folders for documents",
}


def manifest() -> dict[str, Any]:
    """Return what a client is told of the bundle."""
    docs = {setting.name: setting.doc.replace("`", "") for setting in SETTINGS}
    return {
        "manifest_version": "0.4",
        "name": PROJECT["name"],
        "display_name": "Leyr health records",
        "version": PROJECT["version"],
        "description": SAYS,
        "long_description": TELLS,
        "author": {"name": PROJECT["authors"][0]["name"]},
        "license": PROJECT["license"],
        "keywords": PROJECT["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "start.py",
            "mcp_config": {
                "command": "uv",
                "args": [
                    "run",
                    "--no-dev",
                    "--extra",
                    "pdf",
                    "--directory",
                    "${__dirname}",
                    "start.py",
                ],
                "env": {name: f"${{user_config.{name.lower()}}}" for name in ASKED},
            },
        },
        "tools": [
            {"name": tool.name, "description": tool.description.split(". ")[0].rstrip(".") + "."}
            for tool in TOOLS
        ],
        "compatibility": {
            "platforms": ["darwin", "linux", "win32"],
            "runtimes": {"python": PROJECT["requires-python"]},
        },
        "user_config": {
            name.lower(): {
                "type": "string",
                "title": title,
                "description": docs[name],
                "required": False,
                "default": "",
                "sensitive": name in SECRETS,
            }
            for name, title in ASKED.items()
        },
    }


def server() -> dict[str, Any]:
    """Return what the registry is told of the package."""
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": REGISTRY_NAME,
        "title": "Leyr health records",
        "description": SAYS,
        "version": PROJECT["version"],
        "packages": [
            {
                "registryType": "pypi",
                "identifier": PROJECT["name"],
                "version": PROJECT["version"],
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "environmentVariables": [
                    {
                        "name": setting.name,
                        "description": setting.doc.replace("`", ""),
                        "isRequired": False,
                        "isSecret": setting.name in SECRETS,
                        **({"default": setting.default} if setting.default else {}),
                    }
                    for setting in SETTINGS
                ],
            }
        ],
    }


FILES = {"manifest.json": manifest, "server.json": server}


def main(argv: list[str]) -> int:
    """Write the files, or say which are not up to date."""
    stale = []
    for name, made in FILES.items():
        path = ROOT / name
        text = json.dumps(made(), indent=2, ensure_ascii=False) + "\n"
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in argv:
            path.write_text(text, encoding="utf-8")
    if "--check" in argv and stale:
        print(f"not up to date: {', '.join(stale)}; run make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
