"""`leyr-mcp passphrase`: a person sets or changes what approving asks for.

It is typed without being shown, or read from stdin; never an argument or a setting.
"""

from __future__ import annotations

import sys

from leyr_mcp.server.cli import typed
from leyr_mcp.server.cli.parsing import Parser, fail, write
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.cli.typed import NoTerminalError
from leyr_mcp.server.errors import ConfigError, InputError, LeyrMcpError
from leyr_mcp.server.filing.passphrase import LEAST, Approver, Passphrase, Refused
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.settings import load

_FORGOTTEN = (
    "A forgotten passphrase: delete approver.json in the folder that leyr-mcp doctor names, and "
    "set a new one. Whoever can do that could go around the passphrase anyway."
)


def main(argv: list[str]) -> int:
    """Set or change the passphrase.

    Exit code 0 when it is set, 1 when it was refused, 2 for a wrong setting or no terminal.
    """
    parser = Parser("passphrase", "Set or change what approving asks for.", epilog=_FORGOTTEN)
    parser.add_argument(
        "--stdin",
        action="store_true",
        help="read it from stdin, one line; to change it, the old one first on a line of its own",
    )
    parser.add_argument("--name", help="your name, as approvals and the audit trail show it")
    parser.add_json("whose it is")
    options = parser.parse_args(argv)
    try:
        keeper = Passphrase(load().state_dir, clock=utc_now)
        found = (_from_stdin if options.stdin else _from_terminal)(keeper, options.name)
    except (ConfigError, NoTerminalError) as exc:
        return fail(str(exc), 2)
    except EOFError:
        return fail("The input ended too early. Nothing was changed.", 1)
    except UnicodeError:  # its own text repeats a part of what was typed
        return fail("What was typed is no text in this terminal's encoding.", 1)
    except LeyrMcpError as exc:
        return fail(f"{exc.message} Nothing was changed.", 1)
    return _told(found, as_json=options.json)


def _told(found: Approver | Refused, *, as_json: bool) -> int:
    if isinstance(found, Refused):
        return fail(f"{found.message} Nothing was changed.", 1)
    if as_json:
        write({"approver": found.name})
    else:
        screen = Screen(sys.stdout)
        screen.paragraph(f"The passphrase is set. Approvals will name {found.name}.")
    return 0


def _from_stdin(keeper: Passphrase, name: str | None) -> Approver | Refused:
    before = keeper.approver()
    shown = name or (before.name if before else None)
    if shown is None:
        raise InputError("Say whose it is with --name.", field="name")
    old = typed.line() if before else None
    return keeper.set(typed.line(), name=shown, old=old)


def _from_terminal(keeper: Passphrase, name: str | None) -> Approver | Refused:
    if not typed.at_terminal():
        raise NoTerminalError("A passphrase is typed at a terminal; scripts use --stdin.")
    before = keeper.approver()
    old = None
    if before:
        old = typed.hidden(f"Passphrase of {before.name} as it is now: ")
        found = keeper.verify(old)  # before the new one is asked for
        if isinstance(found, Refused):
            return found
    shown = name or _asked(before)
    new = typed.hidden(f"New passphrase, at least {LEAST} characters: ")
    if typed.hidden("The same again: ") != new:
        raise InputError("The two differ.", field="passphrase")
    return keeper.set(new, name=shown, old=old)


def _asked(before: Approver | None) -> str:
    default = f" [{before.name}]" if before else ""
    sys.stdout.write(f"Your name, as approvals and the audit trail will show it{default}: ")
    sys.stdout.flush()
    given = typed.line().strip()
    return given or (before.name if before else "")
