"""The entry: picks the sub-command and loads only what it needs."""

from __future__ import annotations

import os
import sys
from importlib import import_module

COMMANDS = {
    "serve": "Serve over stdio (also without any command).",
    "demo": "Show a visit, as a real client against the sandbox.",
    "doctor": "Check settings, connection, credentials and care units.",
    "install": "Connect Claude Desktop, Claude Code, Cursor or VS Code.",
    "tools": "List the tools that are offered.",
    "drafts": "List what waits for approval, is under way, or needs a person.",
    "approve": "Read drafts and have them filed, or decline them.",
    "resolve": "Decide on a draft that needs a person.",
    "review": "Review and approve drafts on a page in the browser.",
    "file": "File from a script or a scribe system, without a chat.",
    "passphrase": "Set the approver's passphrase.",
    "audit": "Prove, export or search the audit trail.",
    "webhooks": "Receive Cobalt's webhooks, so that queued writes are known sooner.",
    "sandbox": "Run the stand-in for Leyr's API, or Cobalt's, on its own.",
}


def main() -> int:
    """Run a command and return its exit code."""
    argv = sys.argv[1:]
    if argv and argv[0] in ("-h", "--help", "help"):
        return _help()
    if argv and argv[0] in ("-V", "--version", "version"):
        from leyr_mcp.server import VERSION  # noqa: PLC0415 - each path loads only its own

        sys.stdout.write(f"leyr-mcp {VERSION}\n")
        return 0
    command = "serve"
    if argv and not argv[0].startswith("-"):
        command, argv = argv[0], argv[1:]
    if command not in COMMANDS:
        return _unknown(command)
    return _run(command, argv)


def _run(command: str, argv: list[str]) -> int:
    try:
        if command == "serve":
            _start_fast()
        result: int = import_module(f"leyr_mcp.server.cli.{command}").main(argv)
        if sys.stdout:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return result


def _unknown(command: str) -> int:
    from difflib import get_close_matches  # noqa: PLC0415 - for this alone

    near = get_close_matches(command, COMMANDS, 1)
    meant = f" Did you mean {near[0]}?" if near else ""
    sys.stderr.write(
        f"leyr-mcp: there is no command {command!r}.{meant} leyr-mcp --help lists them.\n"
    )
    return 2


def _help() -> int:
    from leyr_mcp.server.cli.terminal import Screen  # noqa: PLC0415 - each path loads only its own

    screen = Screen(sys.stdout)
    screen.paragraph("leyr-mcp: an assistant's way into a clinic's health record.")
    screen.heading("Commands")
    width = max(map(len, COMMANDS))
    for name, text in COMMANDS.items():
        screen.columns(f"  {screen.accent(name.ljust(width))}  ", text, indent=width + 4)
    screen.line()
    screen.paragraph("leyr-mcp COMMAND --help tells more.")
    screen.paragraph("Settings are environment variables; README.md lists them.")
    return 0


def _start_fast() -> None:
    """Load the server without collecting garbage.

    And without the web server that stdio has no use for.
    """
    import gc  # noqa: PLC0415 - this is the point

    gc.disable()
    # sse_starlette takes its absence in stride; it only reads a signal handler from it.
    sys.modules["uvicorn.main"] = None  # type: ignore[assignment]  # None forbids its import
    try:
        import_module("leyr_mcp.server.cli.serve")
    finally:
        del sys.modules["uvicorn.main"]
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
