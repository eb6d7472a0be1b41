"""`leyr-mcp resolve`: a person decides what becomes of a draft that filing could not finish."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from leyr_mcp.server.cli import shown, typed
from leyr_mcp.server.cli.desk import Filed, Office, UsageError, ended, opened, screen
from leyr_mcp.server.cli.parsing import Parser, write
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.cli.typed import NoTerminalError
from leyr_mcp.server.ehr.identifiers import check_opaque
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.filing.preview import STATE_NAMES, seen
from leyr_mcp.server.filing.reasons import reason_of, search_of, words_of
from leyr_mcp.server.times import iso


def main(argv: list[str]) -> int:
    """Show what is known of a draft, or decide on it.

    Exit code 0 when that is done, 1 when it is not, 2 for a wrong setting or option.
    """
    options = _parser().parse_args(argv)
    return ended(lambda: _run(options))


def _parser() -> Parser:
    parser = Parser(
        "resolve",
        "Decide on a draft that needs a person; without an option, show what is known.",
    )
    parser.add_argument("draft_id", metavar="DRAFT_ID")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--found", metavar="RECORD_ID", help="it is in the record, under this id: close it as filed"
    )
    ways.add_argument(
        "--send-again", action="store_true", help="it is certainly not in the record: send it again"
    )
    ways.add_argument("--drop", action="store_true", help="give it up; nothing more is sent")
    parser.add_argument(
        "--passphrase-stdin",
        action="store_true",
        help="for scripts: the first line of stdin is the passphrase",
    )
    parser.add_json("what is known or came of it")
    return parser


def _run(options: argparse.Namespace) -> int:
    record_id = None if options.found is None else _record_id(options.found)
    with opened("leyr-mcp resolve") as office:
        if options.send_again:
            office.check_writes()
        (entry,) = office.run(office.entries([options.draft_id]))
        if entry.draft.state != "needs_human":
            raise InputError(f"That draft needs nobody: {STATE_NAMES[entry.draft.state]}.")
        decides = record_id is not None or options.send_again or options.drop
        if not decides and options.json:
            write(_known(entry, office))
            return 0
        out = screen(as_json=options.json)
        if not (decides and options.passphrase_stdin):
            _show(out, entry, office)
        if not decides:
            _ways(out, entry)
            return 0
        return _decide(office, out, entry, record_id, options)


def _record_id(raw: str) -> str:
    try:
        return check_opaque(raw, field="record_id")
    except InputError as exc:
        raise UsageError("RECORD_ID must be an id as the record system gives it.") from exc


def _decide(
    office: Office, out: Screen, entry: Entry, record_id: str | None, options: argparse.Namespace
) -> int:
    person = _person(office, entry, options)
    if options.send_again:
        if not options.json:
            out.line(out.dim("Filing ..."))
        result = office.run(_send_again(office, entry, person))
    elif record_id is not None:
        result = office.run(_found(office, entry, record_id, person))
    else:
        result = office.run(_drop(office, entry, person))
    if options.json:
        write(result.as_dict())
    else:
        out.line()
        shown.outcome(out, result)
    return 0 if options.drop or result.done else 1


def _person(office: Office, entry: Entry, options: argparse.Namespace) -> Person:
    """Return who decides.

    Raises:
        NotRecognisedError: It is not the approver.
        NoTerminalError: Nobody can be asked.
    """
    if office.sandbox:
        return office.anyone()
    if options.passphrase_stdin:
        return office.recognised(typed.line(), [entry])
    if not typed.at_terminal():
        raise NoTerminalError(
            "Nobody can be asked without a terminal; scripts use --passphrase-stdin."
        )
    return office.asked_for_passphrase([entry])


async def _send_again(office: Office, entry: Entry, person: Person) -> Filed:
    """Order it sent once more; the passphrase that ordered it approves it too."""
    again = await office.desk.send_again(entry, person)
    same = (again.draft.version, again.draft.digest) == (entry.draft.version, entry.draft.digest)
    if not same:
        return Filed(again, changed=True)
    (result,) = await office.file([again], person)
    return result


async def _drop(office: Office, entry: Entry, person: Person) -> Filed:
    await office.desk.drop(entry, person)
    return Filed(await office.desk.entry(entry.id))


async def _found(office: Office, entry: Entry, record_id: str, person: Person) -> Filed:
    await office.desk.found(entry, record_id, person)
    return Filed(await office.desk.entry(entry.id))


def _known(entry: Entry, office: Office) -> dict[str, Any]:
    """Return what is known of a draft, for programs."""
    draft, reason = entry.draft, reason_of(entry.draft.reason)
    found: dict[str, Any] = {
        **Filed(entry).as_dict(),
        "reason_text": reason.text if reason else None,
        "record_system_said": words_of(draft),
        "next": reason.todo if reason else None,
        "first_sent_at": _time(draft.first_sent_at, office),
        "last_sent_at": _time(draft.last_sent_at, office),
        "attempts": draft.attempt,
        "looks": draft.looked,
        "searched": search_of(draft),
    }
    return {name: value for name, value in found.items() if value is not None}


def _show(out: Screen, entry: Entry, office: Office) -> None:
    """Write the draft in full, and what is known of what became of it."""
    zone, now = office.settings.timezone, office.app.context.now()
    if office.sandbox:
        out.paragraph("This is the sandbox: no real record is reached, no passphrase is asked for.")
    out.line()
    shown.whole(out, entry, None, zone, now)
    out.heading("What is known")
    draft, reason = entry.draft, reason_of(entry.draft.reason)
    rows = [("State", STATE_NAMES[draft.state])]
    if reason:
        rows.append(("Why", " ".join(filter(None, (reason.text, words_of(draft))))))
    rows.append(("Sent", _sent(entry, office)))
    rows.append(("Searched", search_of(draft)))
    if draft.remote_id:
        rows.append(("Record id", seen(draft.remote_id)))
    if reason:
        rows.append(("To do", reason.todo))
    shown.rows(out, rows)


def _ways(out: Screen, entry: Entry) -> None:
    """Write how a person decides."""
    out.heading("Decide")
    for option, text in (
        ("--found RECORD_ID", "it is in the record, under this id"),
        ("--send-again", "it is certainly not in the record"),
        ("--drop", "give it up; nothing more is sent"),
    ):
        out.line(f"  leyr-mcp resolve {entry.id} {out.accent(option)}")
        out.line(f"      {text}")


def _sent(entry: Entry, office: Office) -> str:
    draft, zone = entry.draft, office.settings.timezone
    if draft.first_sent_at is None or draft.last_sent_at is None:
        return "never"
    first, last = (
        f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        for moment in (draft.first_sent_at, draft.last_sent_at)
    )
    times = f"{draft.attempt} times, first at {first}, last at {last}"
    return f"{times if draft.attempt > 1 else f'once, at {last}'} ({zone.key})"


def _time(moment: datetime | None, office: Office) -> str | None:
    return None if moment is None else iso(moment, office.settings.timezone)
