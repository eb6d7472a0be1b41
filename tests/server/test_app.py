"""What is wrong in the settings is said when a server is built, and not at its first call."""

from __future__ import annotations

from pathlib import Path

import pytest

from leyr_mcp.server import app
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.settings import load


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"LEYR_MCP_DATA_KEY": "c2hvcnQ="}, "LEYR_MCP_DATA_KEY"),
        ({"LEYR_MCP_GRACE_S": "20"}, "LEYR_MCP_GRACE_S"),
    ],
)
def test_a_wrong_setting_is_named_at_start(
    environ: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        app.build(load({"LEYR_MCP_STATE_DIR": str(tmp_path), **environ}))


def test_a_missing_driver_is_named_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "find_spec", lambda _: None)
    environ = {"LEYR_MCP_DATABASE_URL": "postgresql:///x", "LEYR_MCP_STATE_DIR": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"install leyr-mcp\[postgres\]"):
        app.build(load(environ))
