"""`leyr-mcp serve`: the MCP server over stdio."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from leyr_mcp.server import VERSION, logs, stdio
from leyr_mcp.server.app import App, build
from leyr_mcp.server.cli.options import with_choice
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.settings import load

_log = logging.getLogger("leyr_mcp.serve")


def main(argv: list[str]) -> int:
    """Serve until the client hangs up.

    A wrong setting ends it with one sentence and exit code 2.
    """
    if sys.stdin is None or sys.stdout is None:
        sys.stderr.write("leyr-mcp: stdin and stdout must be open; a client speaks over them.\n")
        return 2
    try:
        settings = load()
        logs.configure(settings.log_level)
        app = build(settings, with_choice(argv, settings, "serve"))
    except ConfigError as exc:
        sys.stderr.write(f"leyr-mcp: {exc.message}\n")
        return 2
    mode = "sandbox" if app.sandbox else "leyr"
    _log.info("leyr-mcp %s serves over stdio (%s, %s)", VERSION, mode, settings.emr)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is under way before it serves
    if sys.stdin.isatty():
        sys.stderr.write(
            "leyr-mcp: waiting for an MCP client on stdin; Ctrl-C ends it. "
            "leyr-mcp --help lists what else there is.\n"
        )
    asyncio.run(serve(app))
    return 0


async def serve(app: App, *, drain_s: float = stdio.DRAIN_S) -> None:
    """Serve a client, and end the process if it did not wait for what was under way."""
    answered = False
    try:
        answered = await stdio.serve(app.server, drain_s=drain_s)
    finally:
        await app.close()
    if not answered:
        # A thread may sit in a name lookup, and the interpreter would wait for it without limit.
        logging.shutdown()
        os._exit(1)
