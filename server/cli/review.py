"""`leyr-mcp review`: the review page on its own, with the worker that files what is approved."""

from __future__ import annotations

import asyncio
import signal
import sys
import webbrowser
from contextlib import suppress
from typing import Any

from leyr_mcp.server import logs
from leyr_mcp.server.app import App, build
from leyr_mcp.server.cli.parsing import Parser, fail, port, write
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.errors import ConfigError, LeyrMcpError
from leyr_mcp.server.settings import load

_DRAIN_S = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(argv: list[str]) -> int:
    """Serve the page until Ctrl-C.

    Exit code 0 when it was ended, 1 when it could not be served or there is no such draft, 2 for a
    wrong setting.
    """
    parser = Parser("review", "Review and approve drafts on a page in the browser.")
    parser.add_argument("draft_id", nargs="?", metavar="DRAFT_ID", help="the draft to show first")
    parser.add_argument(
        "--port", type=port, default=0, metavar="N", help="the port on this machine; else any"
    )
    parser.add_argument("--no-open", action="store_true", help="only print the address")
    parser.add_json("the address")
    options = parser.parse_args(argv)
    try:
        settings = load()
        logs.configure(settings.log_level)
        app = build(settings)
    except ConfigError as exc:
        return fail(exc.message, 2)
    if settings.read_only:
        return fail("LEYR_MCP_READ_ONLY is set, so nothing is filed.", 2)
    opens = not options.no_open and sys.stdout is not None and sys.stdout.isatty()
    try:
        asyncio.run(_serve(app, options, opens=opens))
    except LeyrMcpError as exc:
        return fail(exc.message, 1)
    except OSError:
        return fail("The page cannot be served: the port is taken or not allowed.", 1)
    return 0


async def _serve(app: App, options: Any, *, opens: bool) -> None:
    """Serve the page and file what is approved, until the person ends it."""
    draft_id = options.draft_id
    try:
        if draft_id is not None:
            await app.desk().entry(draft_id)
        await app.desk().start()
        await app.page().start(options.port)
        url = await app.page().url(draft_id)
        if options.json:
            write({"url": url})
        else:
            _tell(app, url or "")
        if opens:
            await asyncio.to_thread(webbrowser.open, url or "")
        await ended()
    finally:
        await app.close(drain_s=_DRAIN_S)


def _tell(app: App, url: str) -> None:
    screen = Screen(sys.stdout)
    screen.line(f"Review page: {url}")
    screen.paragraph("Whoever has this address can read the drafts: do not pass it on.")
    if app.sandbox is not None:
        screen.paragraph("This is the sandbox: approving needs no passphrase here.")
    screen.paragraph("Ctrl-C ends it.")


async def ended() -> None:
    """Wait for Ctrl-C or the signal to stop; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    taken = []
    for number in _SIGNALS:
        with suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
            loop.add_signal_handler(number, asked.set)
            taken.append(number)
    try:
        await asked.wait()
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
