"""`leyr-mcp tools`: what is offered with these settings."""

from __future__ import annotations

import sys

from leyr_mcp.server.app import build, choice_of
from leyr_mcp.server.cli.options import add_choice, chosen
from leyr_mcp.server.cli.parsing import Parser, fail, write
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.settings import load
from leyr_mcp.tools.spec import entry_of
from leyr_mcp.tools.toolsets import choose

_NAME = 20


def main(argv: list[str]) -> int:
    """Print the tools, for people or as the JSON that a client would read."""
    parser = Parser("tools", "List the tools that are offered.")
    add_choice(parser)
    parser.add_json("names and schemas")
    options = parser.parse_args(argv)
    try:
        settings = load()
        choice = chosen(options, choice_of(settings))
        app = build(settings, choice, in_memory=True)
        specs = choose(choice, app.ehr.capabilities)
    except ConfigError as exc:
        return fail(exc.message, 2, name=exc.code)
    if options.json:
        listed = [
            entry_of(s).model_dump(mode="json", by_alias=True, exclude_none=True) for s in specs
        ]
        write(listed)
        return 0
    screen = Screen(sys.stdout)
    toolset = ""
    for spec in specs:
        if spec.toolset != toolset:
            toolset = spec.toolset
            screen.heading(toolset)
        kind = "reads" if spec.reads else "writes"
        lead = f"  {screen.bold(spec.name.ljust(_NAME))} "
        screen.columns(lead, f"{kind}  {spec.title}", indent=_NAME + 3)
        screen.paragraph(spec.description, indent=4)
    screen.line()
    screen.line(screen.dim(f"{len(specs)} tools. Record system: {app.ehr.capabilities.name}."))
    return 0
