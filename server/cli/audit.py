"""`leyr-mcp audit`: prove the audit trail, hand it on, and list who saw one patient.

Each of these is an event of the trail itself. A patient is named only where that was asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from leyr_mcp.server.app import make_store
from leyr_mcp.server.cli.parsing import Parser, fail, write
from leyr_mcp.server.cli.terminal import Screen, progress
from leyr_mcp.server.ehr.identifiers import parse_patient
from leyr_mcp.server.errors import ConfigError, InputError, StorageError
from leyr_mcp.server.filing.audit import FAILED, OK, About, AuditTrail, Reader, Who, local_user
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.filing.verify import Verdict, verify_store
from leyr_mcp.server.settings import Settings, load
from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.place import (
    data_keys,
    database_path,
    has_store,
    node_head_path,
    node_name,
)
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Store

_OUTCOMES = {OK: "ok", FAILED: "failed"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A store that is there already, its keys, and where its head stands."""

    store: Store
    keys: Keys
    head: Path
    node: str = chain.ALONE


class _NothingYetError(Exception):
    """Nothing was ever recorded here."""


def main(argv: list[str], *, open_store: Callable[[Settings], Opened] | None = None) -> int:
    """Run one of the three.

    Exit code 0 when the chain is intact or the list is written, 1 when it is broken or cannot be
    read, 2 for a wrong setting or argument.
    """
    options = _parser().parse_args(argv)
    try:
        settings = load()
        if options.action == "patient":
            options.patients = _patients(options.patients, settings)
        opened = (open_store or _store)(settings)
        return asyncio.run(_run(options, settings, opened))
    except (ConfigError, InputError) as exc:
        return fail(exc.message, 2)
    except StorageError as exc:
        return fail(exc.message, 1)
    except FileExistsError:
        return fail("The file of --out exists already; it is left as it is.", 2)
    except OSError:
        return fail("The file of --out cannot be written.", 2)
    except _NothingYetError:
        if options.json:
            write({"intact": True, "events": 0} if options.action == "verify" else {"events": []})
        else:
            Screen(sys.stdout).paragraph("Nothing has been recorded here yet.")
        return 0


def _parser() -> Parser:
    parser = Parser("audit", "Prove, export or search the audit trail.")
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=argparse.ArgumentParser
    )
    verify = actions.add_parser(
        "verify", help="prove that nothing was changed, taken out or put in"
    )
    export = actions.add_parser("export", help="write all events, one a line")
    export.add_argument("--format", choices=["jsonl", "fhir"], default="jsonl")
    export.add_argument("--with-patients", action="store_true", help="name the patients")
    export.add_argument("--out", type=Path, metavar="FILE", help="a new file; else stdout")
    patient = actions.add_parser("patient", help="list every access to one patient")
    patient.add_argument(
        "patients",
        nargs="+",
        metavar="PATIENT_ID",
        help="as in calls, for example se_personal_number:...; further ids of the same patient",
    )
    for action in (verify, export, patient):
        told = "failures" if action is export else "what was found"
        action.add_argument("--json", action="store_true", help=f"{told} as JSON")
    return parser


def _patients(given: list[str], settings: Settings) -> list[str]:
    today = datetime.now(settings.timezone).date()
    return [str(parse_patient(raw, today=today)) for raw in given]


def _store(settings: Settings) -> Opened:
    """Return the store of these settings; none is made where there is none."""
    if settings.database_url.reveal():
        return _shared(settings)
    path = database_path(settings)
    head = chain.head_path(path)
    if not path.exists():
        if head.exists():
            raise StorageError("The audit trail is gone; the record of its last event is left.")
        raise _NothingYetError
    keys = data_keys(
        settings.data_key.reveal(), os.environ, state_dir=settings.state_dir, make=False
    )
    return Opened(SqliteStore(path, keys), keys, head)


def _shared(settings: Settings) -> Opened:
    """Return the store that several nodes share, as this one uses it."""
    if not has_store(settings, os.environ):
        raise _NothingYetError
    keys = data_keys(
        settings.data_key.reveal(), os.environ, state_dir=settings.state_dir, make=False
    )
    return Opened(make_store(settings), keys, node_head_path(settings), node_name(settings))


async def _run(options: argparse.Namespace, settings: Settings, opened: Opened) -> int:
    await opened.store.open()
    try:
        trail = AuditTrail(
            opened.store,
            clock=utc_now,
            device="leyr-mcp",
            origin=f"{settings.backend}:{settings.emr}",
        )
        who = Who(subject=local_user(), client="leyr-mcp audit")
        if options.action == "verify":
            return await _verify(options, opened, trail, who)
        reader = Reader(opened.store, opened.keys)
        if options.action == "export":
            await _export(options, reader, trail, who)
        else:
            await _of_patient(options, settings, reader, trail, who)
        return 0
    finally:
        await opened.store.close()


async def _verify(options: argparse.Namespace, opened: Opened, trail: AuditTrail, who: Who) -> int:
    problem = None
    head = None
    try:
        head = chain.read_head(opened.head, opened.keys)  # before the links: a chain grows
    except StorageError as exc:
        problem = exc.message
    verdicts = dict[str, Verdict]()
    with progress("events read") as step:
        # This node's own too if nothing is left of it.
        for node in sorted({*await opened.store.audit_nodes(), opened.node}):
            mine = head if node == opened.node else None
            verdicts[node] = await verify_store(opened.store, opened.keys, mine, step, node)
    if head is None and problem is None and verdicts[opened.node].count:
        problem = "The record of the last event, kept beside the database, is missing."
    if options.json:
        write(_as_dict(verdicts, problem))
    else:
        _show(verdicts, problem)
    broken = bool(problem) or not all(verdict.intact for verdict in verdicts.values())
    await trail.append(trail.local("verify", who, error="internal" if broken else None))
    return 1 if broken else 0


def _as_dict(verdicts: Mapping[str, Verdict], problem: str | None) -> dict[str, Any]:
    found = [
        ({"node": node} if node else {}) | {"fault": f.fault, "seq": f.seq, "count": f.count}
        for node, verdict in verdicts.items()
        for f in verdict.findings
    ]
    count = sum(verdict.count for verdict in verdicts.values())
    intact = problem is None and not found
    return {"intact": intact, "events": count, "problem": problem, "findings": found}


def _show(verdicts: Mapping[str, Verdict], problem: str | None) -> None:
    screen = Screen(sys.stdout)
    count = _events(sum(verdict.count for verdict in verdicts.values()))
    found = [
        (f"{node}: " if node else "") + f.message
        for node, verdict in verdicts.items()
        for f in verdict.findings
    ]
    if not found and problem is None:
        screen.paragraph(f"{screen.good('Intact')}: {count}, none changed, missing or put in.")
        return
    screen.paragraph(f"{screen.bad('BROKEN')}: {count} were read.")
    for message in [*([problem] if problem else []), *found]:
        screen.columns("  - ", message, indent=4)
    screen.paragraph("Keep the files as they are, and find out who could write to them.")


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


async def _export(options: argparse.Namespace, reader: Reader, trail: AuditTrail, who: Who) -> None:
    """Write the events; that they were handed on is recorded before the first one goes out."""
    about = About(object_type="audit-trail", purpose="HSYSADMIN")
    if options.out is None:
        await trail.append(trail.local("read", who, about))
        await _write(options, reader, sys.stdout)
        return
    handle = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        await trail.append(trail.local("read", who, about))
        await _write(options, reader, file)


async def _write(options: argparse.Namespace, reader: Reader, out: TextIO) -> None:
    as_fhir: Callable[[dict[str, Any]], dict[str, Any]] = dict
    if options.format == "fhir":
        from leyr_mcp.server.filing.fhir import audit_event  # noqa: PLC0415 - for this form alone

        as_fhir = audit_event
    with progress("events written") as step:
        async for event in reader.events(with_patients=options.with_patients):
            out.write(json.dumps(as_fhir(event), ensure_ascii=False) + "\n")
            step(1)


async def _of_patient(
    options: argparse.Namespace, settings: Settings, reader: Reader, trail: AuditTrail, who: Who
) -> None:
    patients = options.patients
    about = About(patient=patients[0], object_type="audit-trail", purpose="HSYSADMIN")
    await trail.append(trail.local("read", who, about))
    if options.json:
        write({"events": [event async for event in reader.of_patient(patients)]})
        return
    screen = Screen(sys.stdout)
    shown = await _list(screen, reader.of_patient(patients), settings)
    screen.line()
    text = f"{_events(shown)}, this look included; times in {settings.timezone.key}."
    screen.line(screen.dim(text))


async def _list(screen: Screen, events: AsyncIterator[dict[str, Any]], settings: Settings) -> int:
    shown = 0
    async for event in events:
        when = datetime.fromisoformat(event["time"]).astimezone(settings.timezone)
        user, client = event.get("user", {}), event.get("client", {})
        parts = [
            f"{event['event']} {event.get('phase', '')}".strip(),
            ", ".join(event["data_categories"]),
            _OUTCOMES.get(event["outcome"], "refused"),
            f"by {user.get('name') or user.get('subject')}",
            f"with {client['name']}" if client else "",
            f"in {event['care_unit']}" if "care_unit" in event else "",
        ]
        lead = f"{when:%Y-%m-%d %H:%M:%S}  "
        screen.columns(lead, "; ".join(filter(None, parts)), indent=len(lead))
        shown += 1
    return shown
