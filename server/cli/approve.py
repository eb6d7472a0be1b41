"""`leyr-mcp approve`: a person reads drafts in full, and has them filed or declines them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from leyr_mcp.server.cli import shown, typed
from leyr_mcp.server.cli.desk import (
    Filed,
    NotRecognisedError,
    Office,
    UsageError,
    ended,
    opened,
    screen,
)
from leyr_mcp.server.cli.parsing import Parser, fail, write
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.cli.typed import NoTerminalError
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.entries import DECIDABLE, DECLINABLE, Entry, Person
from leyr_mcp.server.filing.passphrase import Refused
from leyr_mcp.server.filing.preview import STATE_NAMES
from leyr_mcp.server.storage.store import OPEN

_MOST = 1_000


def main(argv: list[str]) -> int:
    """Approve or decline.

    Exit code 0 when all are filed (or declined), 1 when not, 2 for a wrong setting or option.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if bool(options.draft_ids) == options.all:
        parser.error("name the drafts, or give --all")
    return ended(lambda: _run(options))


def _parser() -> Parser:
    parser = Parser(
        "approve",
        "Read drafts in full, and have them filed.",
        epilog="What was read is what is filed: a draft that changes meanwhile stays. Answering no "
        "leaves a draft as it is.",
    )
    parser.add_argument("draft_ids", nargs="*", metavar="DRAFT_ID")
    parser.add_argument(
        "--all",
        action="store_true",
        help="all that wait for approval; unread, none with a grave finding",
    )
    parser.add_argument("--decline", action="store_true", help="decline instead: nothing is filed")
    parser.add_argument(
        "--passphrase-stdin",
        action="store_true",
        help="for scripts: the first line of stdin is the passphrase, and nothing is asked",
    )
    parser.add_argument(
        "--yes", action="store_true", help="ask nothing; in the sandbox, or to decline"
    )
    parser.add_json("what became of them")
    return parser


def _run(options: argparse.Namespace) -> int:
    with opened("leyr-mcp approve") as office:
        asks = _asks(office, options)
        entries = office.run(_wanted(office, options))
        out = screen(as_json=options.json)
        if not entries:
            out.paragraph("Nothing waits for approval.")
            return _told(out, [], options)
        chosen = _read(office, out, entries, options) if asks else _unseen(entries, options)
        if not chosen:
            return fail("Nothing was filed." if not options.decline else "Nothing was declined.", 1)
        person = _person(office, chosen, options)
        if options.decline:
            return _declined(office, out, chosen, person, options)
        if asks:
            out.line(out.dim("Filing ..."))
        filed = office.run(office.file(chosen, person))
        code = _told(out, filed, options)
        left = len(entries) - len(chosen)
        if left:
            stays = "draft is left as it is" if left == 1 else "drafts are left as they are"
            out.paragraph(f"{left} {stays}.")
        return 1 if left else code


def _asks(office: Office, options: argparse.Namespace) -> bool:
    """Return whether somebody is to be asked.

    Raises:
        UsageError: Nobody may decide like that, or nothing is written here.
        NoTerminalError: Nobody can be asked.
    """
    if not options.decline:
        office.check_writes()
    free = office.sandbox or options.decline
    if options.passphrase_stdin or (options.yes and free):
        return False
    if options.yes:
        raise UsageError(
            "--yes approves in the sandbox alone; elsewhere scripts use --passphrase-stdin."
        )
    if not typed.at_terminal():
        way = "--yes" if free else "--passphrase-stdin"
        raise NoTerminalError(f"Nobody can be asked without a terminal; scripts use {way}.")
    if not free and office.keeper.approver() is None:
        raise NotRecognisedError(Refused("unset").message)
    return True


def _unseen(entries: list[Entry], options: argparse.Namespace) -> list[Entry]:
    """Return what may be decided on without reading it: of all, none with a grave finding."""
    if options.decline or not options.all:
        return entries
    return [entry for entry in entries if not entry.shown.blocked]


async def _wanted(office: Office, options: argparse.Namespace) -> list[Entry]:
    """Return the drafts to decide on.

    Raises:
        InputError: One of them cannot be decided on any more.
    """
    if not options.all:
        entries = await office.entries(options.draft_ids)
        for entry in entries:
            _decidable(entry, decline=options.decline)
        return entries
    if not office.has_store():
        return []
    entries = await office.desk.entries(states=("awaiting_approval",), limit=_MOST)
    await office.seen("get_draft", entries)
    return entries[::-1]  # the one that waits longest first


def _decidable(entry: Entry, *, decline: bool) -> None:
    """Refuse what nobody can approve; what is on its way or filed is only looked at again.

    An approval can be taken back, by declining, until the draft is picked up.
    """
    now = entry.draft.state
    also = frozenset({*DECLINABLE, "approved"}) if decline else OPEN | {*DECIDABLE, "filed"}
    if now in also:
        return
    text = f"Draft {entry.id} cannot be {'declined' if decline else 'approved'}: "
    text += f"{STATE_NAMES[now]}."
    if now == "needs_human":
        text += f" Decide with: leyr-mcp resolve {entry.id}"
    elif now == "awaiting_file":
        text += f" Choose it with: leyr-mcp review {entry.id}"
    raise InputError(text)


def _read(
    office: Office, out: Screen, entries: Sequence[Entry], options: argparse.Namespace
) -> list[Entry]:
    """Show each draft in full and ask; return those that were agreed to, none after quitting."""
    chosen, verb = [], "Decline it" if options.decline else "File it"
    if office.sandbox:
        out.paragraph("This is the sandbox: no real record is reached, no passphrase is asked for.")
    for number, entry in enumerate(entries, 1):
        if len(entries) > 1:
            out.heading(f"{number} of {len(entries)}")
        out.line()
        earlier = office.run(office.desk.earlier(entry))
        shown.whole(out, entry, earlier, office.settings.timezone, office.app.context.now())
        if entry.draft.state not in DECIDABLE and not options.decline:
            out.paragraph(f"Approved before: {STATE_NAMES[entry.draft.state]}.")
            chosen.append(entry)
            continue
        out.line()
        answer = typed.choice(out, f"{verb}? yes, no or quit: ", ("yes", "no", "quit"))
        if answer in (None, "quit"):
            return []
        if answer == "yes":
            chosen.append(entry)
    return chosen


def _person(office: Office, chosen: Sequence[Entry], options: argparse.Namespace) -> Person:
    """Return who decides: asked once for all of them.

    Raises:
        NotRecognisedError: It is not the approver.
    """
    if office.sandbox or (options.decline and not options.passphrase_stdin):
        return office.anyone()
    if options.passphrase_stdin:
        return office.recognised(typed.line(), chosen)
    return office.asked_for_passphrase(chosen)


def _declined(
    office: Office,
    out: Screen,
    chosen: Sequence[Entry],
    person: Person,
    options: argparse.Namespace,
) -> int:
    results = office.run(_decline(office, chosen, person))
    if options.json:
        _print(results)
    for result in results:
        if result.changed or not options.json:
            shown.outcome(out, result)
    return 1 if any(result.changed for result in results) else 0


async def _decline(office: Office, chosen: Sequence[Entry], person: Person) -> list[Filed]:
    results = []
    for entry in chosen:
        done = await office.desk.decline(entry, person)
        results.append(Filed(await office.desk.entry(entry.id), changed=not done))
    return results


def _told(out: Screen, results: Sequence[Filed], options: argparse.Namespace) -> int:
    if options.json:
        _print(results)
    else:
        out.line()
        for result in results:
            shown.outcome(out, result)
    return 0 if all(result.done for result in results) else 1


def _print(results: Sequence[Filed]) -> None:
    found = {
        "results": [result.as_dict() for result in results],
        "filed": sum(result.done for result in results),
    }
    write(found)
