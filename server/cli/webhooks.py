"""`leyr-mcp webhooks`: receives what Cobalt pushes, so that a queued write is known sooner.

Without it everything works as well, by asking: it only shortens the wait.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

from leyr_mcp.server import logs
from leyr_mcp.server.addresses import LOOPBACK
from leyr_mcp.server.app import App, build
from leyr_mcp.server.cli.parsing import Parser, fail, port, write
from leyr_mcp.server.cli.review import ended
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.errors import ConfigError, LeyrMcpError
from leyr_mcp.server.settings import Settings, load

_DRAIN_S = 10.0


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C, or register an address.

    Exit code 0 when that was done, 1 when it could not be, 2 for a wrong setting.
    """
    parser = Parser("webhooks", "Receive Cobalt's webhooks, behind a proxy of yours.")
    parser.add_argument("--port", type=port, default=8461, metavar="N", help="the port (8461)")
    parser.add_argument(
        "--host", choices=LOOPBACK, default="127.0.0.1", help="the address of this machine"
    )
    parser.add_argument(
        "--register", metavar="URL", help="have Cobalt send to this address, and print the secret"
    )
    parser.add_json("the address")
    options = parser.parse_args(argv)
    try:
        settings = load()
        logs.configure(settings.log_level, settings.log_format)
        _check(settings, options)
        app = build(settings)
    except ConfigError as exc:
        return fail(exc.message, 2)
    try:
        asyncio.run(_register(app, options) if options.register else _serve(app, settings, options))
    except LeyrMcpError as exc:
        return fail(exc.message, 1)
    except OSError:
        return fail("Webhooks cannot be received: the port is taken or not allowed.", 1)
    return 0


def _check(settings: Settings, options: Any) -> None:
    if not settings.through_cobalt:
        raise ConfigError("Only Cobalt sends webhooks: set LEYR_MCP_BACKEND to cobalt.")
    if not settings.cobalt_webhook_secret and not options.register:
        raise ConfigError(
            "COBALT_WEBHOOK_SECRET is missing: leyr-mcp webhooks --register URL tells it."
        )


async def _register(app: App, options: Any) -> None:
    from leyr_mcp.server.ehr.cobalt.backend import CobaltEhr  # noqa: PLC0415 - for this alone

    try:
        secret = await cast("CobaltEhr", app.ehr).register_webhook(options.register)
    finally:
        await app.close()
    if options.json:
        write({"COBALT_WEBHOOK_SECRET": secret})
        return
    screen = Screen(sys.stdout)
    screen.paragraph("Cobalt sends its events there. Set this where leyr-mcp webhooks runs:")
    screen.line(f"COBALT_WEBHOOK_SECRET={secret}")


async def _serve(app: App, settings: Settings, options: Any) -> None:
    """Receive webhooks and finish what they tell of, until the person ends it."""
    # Not at the top: --help needs no web server.
    from leyr_mcp.server.web.serving import Listener  # noqa: PLC0415
    from leyr_mcp.server.web.webhooks import PATH, WebhookApp  # noqa: PLC0415

    try:
        await app.desk().start()
        receiver = WebhookApp(settings.cobalt_webhook_secret, app.desk().noticed)
        listener = await Listener.open(options.host, options.port, receiver)
        try:
            url = f"{listener.origin}{PATH}"
            if options.json:
                write({"url": url})
            else:
                screen = Screen(sys.stdout)
                screen.line(f"Webhooks: {url}")
                screen.paragraph("Have your proxy pass https to it. Ctrl-C ends it.")
            sys.stdout.flush()
            await ended()
        finally:
            await listener.stop()
    finally:
        await app.close(drain_s=_DRAIN_S)
