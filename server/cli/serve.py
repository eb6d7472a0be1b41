"""`leyr-mcp serve`: the MCP server over stdio."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from leyr_mcp.server import VERSION, logs, stdio, telemetry
from leyr_mcp.server.app import App, build, choice_of
from leyr_mcp.server.cli.options import with_choice
from leyr_mcp.server.errors import ConfigError, LeyrMcpError
from leyr_mcp.server.logs import location
from leyr_mcp.server.settings import load

_START_FILING_S = 1.0
_AGAIN_S = 30.0

_log = logging.getLogger("leyr_mcp.serve")


def main(argv: list[str]) -> int:
    """Serve until the client hangs up.

    A wrong setting ends it with one sentence and exit code 2.
    """
    if any(option.partition("=")[0] == "--http" for option in argv):
        return _over_http(argv)
    if sys.stdin is None or sys.stdout is None:
        sys.stderr.write("leyr-mcp: stdin and stdout must be open; a client speaks over them.\n")
        return 2
    try:
        settings = load()
        logs.configure(settings.log_level, settings.log_format)
        choice = with_choice(argv, settings, "serve")
        app = build(settings, choice)
        stop_telling = telemetry.start(VERSION, app.server.names)
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
    asyncio.run(serve(app, files=not choice.read_only))
    stop_telling()
    return 0


def _over_http(argv: list[str]) -> int:
    # Over stdio no web server is loaded.
    from leyr_mcp.server.cli import http  # noqa: PLC0415
    from leyr_mcp.server.cli.options import add_choice, add_http, chosen  # noqa: PLC0415
    from leyr_mcp.server.cli.parsing import Parser, fail  # noqa: PLC0415

    parser = Parser("serve", "Serve over HTTP.")
    add_choice(parser)
    add_http(parser)
    options = parser.parse_args(argv)
    try:
        settings = load()
        logs.configure(settings.log_level, settings.log_format)
        choice = chosen(options, choice_of(settings))
        return http.serve(options.http, choice, settings, options.workers)
    except ConfigError as exc:
        return fail(exc.message, 2)


async def _go_on_filing(app: App) -> None:
    """File what another process left, once the client has its list of tools.

    As long as there is no store, or it cannot be opened, this is tried again now and then.
    """
    told: str | None = None
    pause_s = _START_FILING_S
    while True:
        await asyncio.sleep(pause_s)
        pause_s = _AGAIN_S
        try:
            if await app.start_filing():
                return
        except LeyrMcpError as exc:
            if exc.message != told:
                _log.error("filing does not run: %s", exc.message)
            told = exc.message
        except Exception as exc:  # noqa: BLE001 - reading goes on without it
            _log.error("filing does not run: %s", location(exc))
            return


async def serve(app: App, *, drain_s: float = stdio.DRAIN_S, files: bool = True) -> None:
    """Serve a client, and end the process if it did not wait for what was under way.

    From the end of the input on, the calls under way and what is being filed share `drain_s`.
    """
    answered = False
    filing = asyncio.create_task(_go_on_filing(app)) if files else None

    async def finish(left_s: float) -> None:
        if filing is not None:
            filing.cancel()
            await asyncio.wait({filing}, timeout=left_s)
        await app.desk.close(left_s)

    try:
        answered = await stdio.serve(app.server, drain_s=drain_s, finish=finish)
    finally:
        await app.close()
    if not answered:
        # A thread may sit in a name lookup, and the interpreter would wait for it without limit.
        logging.shutdown()
        os._exit(1)
