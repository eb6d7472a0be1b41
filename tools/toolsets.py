"""Which tools are offered.

Toolsets, roles, single tools in or out, read only (which always wins).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.spec import ToolSpec

_CORE = (
    "list_care_units",
    "find_patient",
    "list_timeslots",
    "book_appointment",
    "write_note",
    "attach_document",
    "get_draft",
    "file_drafts",
)
CORE = tuple(tool.name for tool in TOOLS if tool.name in _CORE)
# Without these nobody could ask what became of a draft, or file what was only drafted: they come
# with every toolset that writes.
WITH_WRITES = ("get_draft", "file_drafts")
PRESETS: dict[str, tuple[str, ...]] = {
    "all": tuple(tool.name for tool in TOOLS),
    "core": CORE,
    **{
        toolset: tuple(tool.name for tool in TOOLS if tool.toolset == toolset)
        for toolset in dict.fromkeys(tool.toolset for tool in TOOLS)
    },
}
# A role takes away; nothing gives back what it took.
ROLE_LACKS: dict[str, frozenset[str]] = {
    "front-desk": frozenset(PRESETS["notes"] + PRESETS["documents"]),
    "scribe": frozenset({"create_patient"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the operator wants offered; empty means everything."""

    toolsets: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    role: str | None = None
    read_only: bool = False


def choose(choice: Choice, capabilities: Capabilities) -> tuple[ToolSpec, ...]:
    """Return the tools to offer, in the catalogue's order.

    Raises:
        ConfigError: A name is unknown, or nothing is left.
    """
    names = _wanted(choice)
    _known(choice.exclude, PRESETS["all"], "--exclude-tools", "tool")
    lacks = ROLE_LACKS.get(choice.role or "", frozenset()) | set(choice.exclude)
    possible = tuple(
        tool
        for tool in TOOLS
        if tool.name not in lacks
        and (tool.reads or not choice.read_only)
        and (tool.needs is None or getattr(capabilities, tool.needs) is not False)
    )
    if choice.toolsets and any(tool.name in names and not tool.reads for tool in possible):
        names.update(WITH_WRITES)
    chosen = tuple(tool for tool in possible if tool.name in names)
    if not chosen:
        raise ConfigError("The settings leave no tool to offer.")
    return chosen


def _wanted(choice: Choice) -> set[str]:
    _known(choice.toolsets, PRESETS, "LEYR_MCP_TOOLSETS or --toolsets", "toolset")
    _known(choice.tools, PRESETS["all"], "--tools", "tool")
    names = {name for toolset in choice.toolsets for name in PRESETS[toolset]} | set(choice.tools)
    if choice.toolsets:
        names |= set(PRESETS["base"])  # where the others' ids come from
    return names or set(PRESETS["all"])


def _known(given: Iterable[str], known: Iterable[str], where: str, what: str) -> None:
    allowed = tuple(known)
    for name in given:
        if name not in allowed:
            raise ConfigError(f"{where}: there is no such {what}; known are {', '.join(allowed)}.")
