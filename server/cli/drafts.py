"""`leyr-mcp drafts`: what waits, is under way or needs a person, by patient."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import Any, get_args

from leyr_mcp.server.cli import shown
from leyr_mcp.server.cli.desk import Office, UsageError, ended, opened
from leyr_mcp.server.cli.parsing import Parser, write
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.filing.entries import UNFINISHED, Entry
from leyr_mcp.server.filing.preview import STATE_NAMES, patient_line, preview
from leyr_mcp.server.filing.reasons import reason_of, words_of
from leyr_mcp.server.storage.store import State
from leyr_mcp.server.times import iso

_MOST = 1_000


def main(argv: list[str]) -> int:
    """List the drafts.

    Exit code 0 when they are listed, 1 when they cannot be read, 2 for a wrong setting or option.
    """
    parser = Parser("drafts", "List what waits for approval, is under way, or needs a person.")
    parser.add_argument("--all", action="store_true", help="also what is filed or given up")
    parser.add_argument("--patient", metavar="PATIENT_ID", help="of this patient, as in calls")
    parser.add_json("the list")
    options = parser.parse_args(argv)
    return ended(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    with opened("leyr-mcp drafts") as office:
        states: tuple[State, ...] = get_args(State) if options.all else UNFINISHED
        ref = None if options.patient is None else _patient(office, options.patient)
        entries, left_out = office.run(_found(office, states, ref))
        if options.json:
            _print(office, entries, left_out)
        else:
            _show(office, entries, left_out, everything=options.all)
        return 0


def _patient(office: Office, raw: str) -> PatientRef:
    try:
        return office.app.context.patient_ref(raw)
    except InputError as exc:
        raise UsageError(exc.message) from exc


async def _found(
    office: Office, states: tuple[State, ...], ref: PatientRef | None
) -> tuple[list[Entry], int]:
    """Return the drafts, the latest first, and how many more there are that are not shown."""
    if not office.has_store():
        return [], 0
    if ref is None:
        entries = await office.desk.entries(states=states, limit=_MOST)
        counts = await office.desk.counts()
        left_out = sum(counts.get(state, 0) for state in states) - len(entries)
    else:
        entries, left_out = await _of_patient(office, states, ref), 0
    await office.seen("list_drafts", entries)
    return entries, max(left_out, 0)


async def _of_patient(office: Office, states: tuple[State, ...], ref: PatientRef) -> list[Entry]:
    """Return a patient's drafts, under whichever of the patient's ids they are kept."""
    names = {str(ref)}
    with suppress(LeyrMcpError):  # the record cannot tell; the id as given may still do
        unit = await office.app.context.units.resolve(None)
        names.add(await office.desk.whom(unit, ref))
    found = [
        entry
        for name in sorted(names)
        for entry in await office.desk.entries(states=states, patient=name, limit=_MOST)
    ]
    return sorted(found, key=lambda entry: entry.draft.updated_at, reverse=True)


def _print(office: Office, entries: list[Entry], left_out: int) -> None:
    found = [_as_dict(office, entry) for entry in entries]
    whole = {"drafts": found, "not_shown": left_out}
    write(whole)


def _as_dict(office: Office, entry: Entry) -> dict[str, Any]:
    draft, zone = entry.draft, office.settings.timezone
    words, reason = preview(entry, zone), reason_of(draft.reason)
    found: dict[str, Any] = {
        "draft_id": draft.id,
        "version": draft.version,
        "status": draft.state,
        "state": STATE_NAMES[draft.state],
        "kind": draft.kind,
        "patient": words.patient,
        "title": words.title,
        "created_at": iso(draft.created_at, zone),
        "updated_at": iso(draft.updated_at, zone),
        "record_id": draft.remote_id,
        "reason": draft.reason or None,
        "reason_text": reason.text if reason else None,
        "record_system_said": words_of(draft),
        "checks": [check.as_dict() for check in words.checks],
    }
    return {name: value for name, value in found.items() if value is not None}


def _show(office: Office, entries: list[Entry], left_out: int, *, everything: bool) -> None:
    screen = Screen(sys.stdout)
    if not entries and not left_out:
        screen.paragraph(
            "There are no drafts." if everything else "Nothing waits, and nothing needs you."
        )
        return
    zone, now = office.settings.timezone, office.app.context.now()
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.draft.patient_key, patient_line(entry)), []).append(entry)
    for of_patient in groups.values():
        shown.patient_heading(screen, of_patient[0])
        for entry in of_patient:
            shown.queue_line(screen, entry, zone, now)
    screen.line()
    _sum_up(screen, entries, left_out)


def _sum_up(screen: Screen, entries: list[Entry], left_out: int) -> None:
    """Write what there is in all, and what to do next."""
    states = {entry.draft.state for entry in entries}
    patients = len({entry.draft.patient_key for entry in entries})
    text = f"{_count(len(entries), 'draft')} of {_count(patients, 'patient')}."
    if left_out:
        text += f" {left_out} more cannot be shown: damaged, deleted by age, or too many."
    screen.paragraph(text)
    if states & {"draft", "awaiting_approval"}:
        screen.paragraph("Read and approve: leyr-mcp approve DRAFT_ID..., or --all that wait")
    if "needs_human" in states:
        screen.paragraph("Decide on one that needs a person: leyr-mcp resolve DRAFT_ID")


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
