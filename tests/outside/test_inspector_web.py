"""The MCP Inspector's page, in a real browser: lists the tools, runs one, shows answer and error.

Pictures of what the page showed are left in `.work/outside/screens`.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from tests.outside.error_form import TEXT
from tests.outside.programs import HERE, INSPECTOR, SERVER_NAME, WORK, Outside

SCREENS = WORK / "screens"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+\S*TOKEN=\S+")
START_WITHIN_S = 30


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_page_lists_and_runs_tools(outside: Outside, tmp_path: Path, era: str) -> None:
    SCREENS.mkdir(exist_ok=True)
    script, config = HERE / "inspector_web.mjs", _config(outside, tmp_path, era)
    with _page(outside, config) as address:
        command = (outside.node, str(script), address, outside.browser, str(SCREENS / era))
        person = outside.run(*command, timeout_s=60)
    assert person.code == 0, person.stderr
    seen = person.json()
    listing = outside.inspect("--format", "json", "--method", "tools/list").json()
    assert seen["tools"] == [tool["name"] for tool in listing["result"]["tools"]]
    assert "Tolvansson" in seen["answer"]
    assert TEXT.search(seen["error"]), seen["error"]
    assert seen["pageErrors"] == []


def _config(outside: Outside, folder: Path, era: str) -> Path:
    """Return the configuration, told which era the page is to speak."""
    config = json.loads(outside.config.read_text())
    config["mcpServers"][SERVER_NAME]["protocolEra"] = era
    path = folder / "mcp.json"
    path.write_text(json.dumps(config))
    return path


@contextmanager
def _page(outside: Outside, config: Path) -> Iterator[str]:
    """Serve the Inspector's page on a free port and yield its address, token included."""
    environment = {
        "HOST": "127.0.0.1",
        "CLIENT_PORT": str(_free_port()),
        "MCP_SANDBOX_PORT": "0",
        "MCP_APP_ORIGIN_PORT": "0",
        "MCP_AUTO_OPEN_ENABLED": "false",
        "MCP_STORAGE_DIR": str(config.parent / "storage"),
    }
    command = (outside.node, str(INSPECTOR), "--web", "--config", str(config))
    with outside.start(*command, **environment) as inspector:
        assert inspector.stdout
        assert inspector.stderr
        too_late = Timer(START_WITHIN_S, inspector.kill)
        too_late.start()
        found = next(filter(None, map(ADDRESS.search, inspector.stdout)), None)
        too_late.cancel()
        if found is None:
            pytest.fail(f"the Inspector served no page: {inspector.stderr.read()}")
        yield found.group()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
