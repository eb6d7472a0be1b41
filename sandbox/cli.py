"""The command line of the sandbox: serve one record system on a loopback port until a signal."""

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from shlex import quote

from pydantic import ValidationError

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.box import Box
from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.cobalt.seed import SLUG
from leyr_mcp.sandbox.faults import KINDS, Fault
from leyr_mcp.sandbox.models import parse_time
from leyr_mcp.sandbox.serve import LOOPBACK, serving
from leyr_mcp.sandbox.systems import SYSTEMS

DEFAULT_PORT = 8260
MAX_PORT = 65535
USAGE_ERROR = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(argv: list[str]) -> int:
    """Serve until SIGINT or SIGTERM and return the exit status."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    try:
        sandbox = _made(options)
    except (ValueError, OSError, sqlite3.Error) as error:
        return _fail(f"The state cannot be used: {error}")
    try:
        if options.now is not None:
            sandbox.plane.clock.set(options.now)
        return asyncio.run(_serve(sandbox, options))
    finally:
        sandbox.close()


def _made(options: argparse.Namespace) -> Sandbox | CobaltSandbox:
    given = {"client_id": options.client_id, "client_secret": options.client_secret}
    if options.emr == SLUG:
        return CobaltSandbox(state=options.state, **given)
    return Sandbox(emr=options.emr, state=options.state, **given)


async def _serve(sandbox: Box, options: argparse.Namespace) -> int:
    with _until_signal() as stop:
        try:
            async with serving(sandbox, options.port, options.host) as origin:
                for fault in options.fault:
                    sandbox.plane.faults.add(fault)
                _announce(sandbox, origin, as_json=options.json)
                await stop.wait()
        except OSError as error:
            return _fail(f"Port {options.port} cannot be used: {os.strerror(error.errno or 0)}.")
    return 0


def _announce(sandbox: Box, origin: str, *, as_json: bool) -> None:
    settings = sandbox.settings(origin)
    if as_json:
        sys.stdout.write(json.dumps(settings, indent=2) + "\n")
    else:
        pairs = (f"{name}={quote(value)}" for name, value in settings.items())
        sys.stdout.write(" ".join(pairs) + "\n")
    sys.stdout.flush()


@contextmanager
def _until_signal() -> Iterator[asyncio.Event]:
    """Yield an event that the signals to stop set; restore their handlers afterwards."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(*_: object) -> None:
        loop.call_soon_threadsafe(stop.set)

    # signal.signal rather than the loop's own handlers, which Windows lacks.
    previous = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="leyr-mcp sandbox",
        description="A local stand-in for Leyr's API, or Cobalt's.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="port; 0 takes a free one (%(default)s)"
    )
    parser.add_argument(
        "--host", choices=LOOPBACK, default=LOOPBACK[0], help="loopback address (%(default)s)"
    )
    parser.add_argument(
        "--emr",
        choices=[*sorted(SYSTEMS), SLUG],
        default="webdoc",
        metavar="SLUG",
        help="record system, or cobalt (%(default)s)",
    )
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keep the data here; else it lives in memory"
    )
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND[:key=value,...]",
        help=f"a fault to start with, repeatable; kinds: {', '.join(KINDS)}",
    )
    parser.add_argument("--now", type=_moment, metavar="ISO", help="stop the clock at this time")
    parser.add_argument("--client-id", default="sandbox", help="accepted id (%(default)s)")
    parser.add_argument("--client-secret", default="sandbox", help="accepted secret (%(default)s)")
    parser.add_argument("--json", action="store_true", help="the settings to use it as JSON")
    return parser


def _port(text: str) -> int:
    with suppress(ValueError):
        if 0 <= int(text) <= MAX_PORT:
            return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is no port: 0 to {MAX_PORT}")


def _moment(text: str) -> datetime:
    with suppress(ValueError):
        moment = parse_time(text)
        if moment.tzinfo is not None:
            return moment
    raise argparse.ArgumentTypeError(
        f"'{text}' is no time with an offset, such as 2026-03-01T08:00:00+01:00"
    )


def _fault(text: str) -> Fault:
    kind, _, details = text.partition(":")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"unknown fault '{kind}'; known: {', '.join(KINDS)}")
    fields: dict[str, object] = {"kind": kind}
    for pair in filter(None, details.split(",")):
        name, _, value = pair.partition("=")
        fields[name] = None if value == "null" else value
    try:
        return Fault.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise argparse.ArgumentTypeError(f"fault {kind}: {place}: {first['msg']}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
