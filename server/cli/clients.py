"""The programs that `leyr-mcp install` connects: where each keeps its servers, and in what form."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from leyr_mcp.server.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program.

    Attributes:
        section: The member that holds the servers.
        typed: Whether an entry says over what it is reached.
        place: The file of the user.
        project: The file of a project, below its folder, where there is one.
        after: What the person does next.
    """

    title: str
    section: str
    typed: bool
    place: Callable[[Mapping[str, str]], Path]
    project: str | None
    after: str

    def path(self, environ: Mapping[str, str], *, project: bool) -> Path:
        """Return the file that is written.

        Raises:
            ConfigError: The program has no file for a project.
        """
        if not project:
            return self.place(environ)
        if self.project is None:
            raise ConfigError(f"{self.title} has no configuration of a project.")
        return Path.cwd() / self.project


def _settings(environ: Mapping[str, str]) -> Path:
    """Return the folder in which programs of this user keep their settings."""
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support"
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or Path.home() / "AppData/Roaming")
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _claude_code(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("CLAUDE_CONFIG_DIR") or Path.home()) / ".claude.json"


# Places and forms as the vendors tell them:
# modelcontextprotocol.io/docs/develop/connect-local-servers, code.claude.com/docs/en/mcp,
# cursor.com/docs/mcp, code.visualstudio.com/docs/copilot/reference/mcp-configuration
PROGRAMS: Mapping[str, Program] = {
    "claude-desktop": Program(
        title="Claude Desktop",
        section="mcpServers",
        typed=False,
        place=lambda environ: _settings(environ) / "Claude" / "claude_desktop_config.json",
        project=None,
        after="Quit Claude Desktop completely and start it again.",
    ),
    "claude-code": Program(
        title="Claude Code",
        section="mcpServers",
        typed=True,
        place=_claude_code,
        project=".mcp.json",
        after="Start Claude Code anew; /mcp shows whether it is connected.",
    ),
    "cursor": Program(
        title="Cursor",
        section="mcpServers",
        typed=True,
        place=lambda _: Path.home() / ".cursor" / "mcp.json",
        project=".cursor/mcp.json",
        after="Cursor takes it at once; see Settings, Tools & MCP.",
    ),
    "vscode": Program(
        title="VS Code",
        section="servers",
        typed=True,
        place=lambda environ: _settings(environ) / "Code" / "User" / "mcp.json",
        project=".vscode/mcp.json",
        after="In VS Code run MCP: List Servers, choose it and start it.",
    ),
}
