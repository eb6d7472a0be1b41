"""`leyr-mcp sandbox`: the stand-in for Leyr's API on its own port."""

from __future__ import annotations

from leyr_mcp.sandbox import cli


def main(argv: list[str]) -> int:
    """Run it until it is told to stop."""
    return cli.main(argv)
