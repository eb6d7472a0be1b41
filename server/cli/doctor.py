"""`leyr-mcp doctor`: is everything in place to serve?

Each check says what it saw and what to do.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Literal

from leyr_mcp.server import VERSION, logs
from leyr_mcp.server.app import App, build
from leyr_mcp.server.cli.parsing import Parser, write
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.errors import ConfigError, LeyrMcpError
from leyr_mcp.server.files.roots import CAN_WALK
from leyr_mcp.server.filing.classify import needs_sign_in
from leyr_mcp.server.filing.passphrase import Passphrase
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.settings import Settings, load
from leyr_mcp.server.storage.place import data_keys, database_path, node_name, schema_name
from leyr_mcp.server.storage.store import State

Level = Literal["ok", "note", "fail"]

_SKEW_S = 60.0
_INDENT = 21


@dataclass(frozen=True, slots=True)
class Check:
    """What one check saw."""

    name: str
    level: Level
    message: str


def main(argv: list[str]) -> int:
    """Run the checks.

    Exit code 0 when nothing failed, 1 when something did, 2 for a wrong setting.
    """
    parser = Parser("doctor", "Check settings, connection, credentials and care units.")
    parser.add_json("the checks")
    options = parser.parse_args(argv)
    logs.configure("ERROR")
    try:
        settings = load()
        app = build(settings)
    except ConfigError as exc:
        checks = [Check("settings", "fail", exc.message)]
        _show(checks, None, as_json=options.json)
        return 2
    checks, drafts = asyncio.run(_examine(settings, app))
    _show(checks, drafts, as_json=options.json)
    return 1 if any(check.level == "fail" for check in checks) else 0


async def _examine(settings: Settings, app: App) -> tuple[list[Check], Mapping[State, int] | None]:
    """Return every check, and how many drafts there are of each state, if that can be read."""
    checks = [*_settings(settings), *_approval(settings), *_files(settings), _store(settings)]
    try:
        found = await _record(settings, app)
        drafts, counts = await _drafts(settings, app)
    except Exception as exc:  # noqa: BLE001 - a check that breaks is a finding, not an end
        found = [Check("record system", "fail", f"this server failed: {logs.location(exc)}")]
        drafts, counts = [], None
    finally:
        await app.close()
    checks += [*drafts, *found, _capabilities(app.ehr.capabilities, settings.emr)]
    if settings.backend != "sandbox" and all(check.level != "fail" for check in found):
        checks.append(_clock(app))
    return checks, counts


def _settings(settings: Settings) -> list[Check]:
    if settings.backend == "sandbox":
        mode = f"sandbox ({settings.emr}): invented patients, no real record is reached"
    else:
        mode = "Cobalt" if settings.through_cobalt else f"Leyr ({settings.emr})"
    checks = [Check("settings", "ok", f"{mode}; times in {settings.timezone.key}")]
    if settings.backend == "leyr" and settings.environment is None:
        checks.append(
            Check(
                "environment",
                "note",
                "LEYR_MCP_ENVIRONMENT is unset: test and live identifiers are both taken. "
                "Set it to production or test.",
            )
        )
    if settings.backend == "leyr" and not settings.resource_id:
        checks.append(
            Check("author", "note", "LEYR_RESOURCE_ID is unset: notes will have no author.")
        )
    if settings.through_cobalt:
        told = "received ones make a queued write known sooner"
        if not settings.cobalt_webhook_secret:
            told = "COBALT_WEBHOOK_SECRET is unset: a queued write is known by asking alone"
        checks.append(Check("webhooks", "ok", told))
    return checks


def _approval(settings: Settings) -> list[Check]:
    """Return by whom and how a write is approved."""
    hosts = ", ".join(settings.approval_hosts) or "none"
    if settings.approval == "trusted":
        text = "trusted: a write that names expect is filed without asking anybody"
        policy = Check("approval", "note", f"{text}; else the question of {hosts} counts")
    else:
        text = f"a person approves every write; clients whose own question counts: {hosts}"
        policy = Check("approval", "ok", text)
    return [policy, _approver(settings)]


def _files(settings: Settings) -> list[Check]:
    """Return from where documents are taken, and whether PDFs are read and made."""
    missing = [str(folder) for folder in settings.roots if not folder.is_dir()]
    if missing:
        text = f"LEYR_MCP_ROOTS: there is no such folder: {', '.join(missing)}"
        files = Check("files", "fail", text)
    elif settings.roots and not CAN_WALK:
        text = "this system cannot open files safely by path; they are chosen on the review page"
        files = Check("files", "note", text)
    elif settings.roots:
        files = Check("files", "ok", f"may be attached from {', '.join(map(str, settings.roots))}")
    elif settings.backend == "sandbox":
        files = Check("files", "ok", "the sandbox's samples may be attached by path")
    else:
        text = "LEYR_MCP_ROOTS is unset: each file is chosen on the review page"
        files = Check("files", "ok", text)
    if all(find_spec(name) for name in ("pypdf", "reportlab")):
        return [files, Check("pdf", "ok", "text of PDFs is read, and notes are made PDFs of")]
    text = "the text of PDFs is not read and no note is made a PDF of; leyr-mcp[pdf] adds that"
    return [files, Check("pdf", "note", text)]


def _approver(settings: Settings) -> Check:
    if settings.backend == "sandbox":
        return Check("approver", "ok", "the sandbox asks for no passphrase")
    try:
        approver = Passphrase(settings.state_dir, clock=utc_now).approver()
    except LeyrMcpError as exc:
        return Check("approver", "fail", exc.message)
    if approver is None:
        text = "no passphrase is set: only a client's own question can approve."
        return Check("approver", "note", f"{text} Set one with: leyr-mcp passphrase")
    path = settings.state_dir / "approver.json"
    text = f"{approver.name}. Forgotten passphrase: delete {path} and set a new one"
    return Check("approver", "ok", text)


def _store(settings: Settings) -> Check:
    """Return where drafts and the audit trail are kept."""
    if not settings.database_url.reveal():
        return Check("store", "ok", f"a file of this machine: {database_path(settings)}")
    where = (
        f"PostgreSQL, schema {schema_name(settings)}, in which this node is {node_name(settings)}"
    )
    if not settings.data_key.reveal():
        text = "set LEYR_MCP_DATA_KEY, or no second machine can read what this one stores"
        return Check("store", "note", f"{where}; {text}")
    return Check("store", "ok", where)


async def _drafts(settings: Settings, app: App) -> tuple[list[Check], Mapping[State, int] | None]:
    """Count the drafts, where there is a store; none is made, nor a key."""
    if not app.has_store():
        return [Check("drafts", "ok", "none yet")], {}
    try:
        given = settings.data_key.reveal()
        data_keys(given, os.environ, state_dir=settings.state_dir, make=False)
        counts = await app.desk().counts()
    except LeyrMcpError as exc:
        return [Check("drafts", "fail", exc.message)], None
    told = _waiting(counts)
    doubt, human = told["unknown"], told["needs_human"]
    text = f"{told['waiting']} waiting for approval, {doubt} in doubt, {human} in need of a person"
    stuck = doubt or human
    if stuck:
        text += ". leyr-mcp drafts lists them; leyr-mcp resolve decides on one"
    return [Check("drafts", "note" if stuck else "ok", text)], counts


def _waiting(counts: Mapping[State, int]) -> dict[str, int]:
    """Return what an operator watches: what waits for a person, and what is in doubt."""
    return {
        "waiting": counts.get("awaiting_approval", 0) + counts.get("awaiting_file", 0),
        "unknown": counts.get("unknown", 0),
        "needs_human": counts.get("needs_human", 0),
    }


async def _record(settings: Settings, app: App) -> list[Check]:
    """Ask for the care units: the first call of every flow shows connection and credentials."""
    try:
        units = await app.context.units.all()
    except LeyrMcpError as exc:
        return _refused(exc, cobalt=settings.through_cobalt)
    ids = ", ".join(unit.id for unit in units[:10])
    checks = [
        Check("connection", "ok", "the record system answers"),
        Check("credentials", "ok", "accepted"),
        Check("care units", "ok" if units else "fail", f"{len(units)}: {ids}" if units else "none"),
    ]
    name, default = "LEYR_CARE_UNIT_ID", settings.care_unit_id
    if settings.through_cobalt:
        name, default = "COBALT_LOCATION_ID", settings.cobalt_location_id
    if default and default not in {unit.id for unit in units}:
        checks.append(Check("care unit", "fail", f"{name} names none of them."))
    elif not default and len(units) > 1 and settings.backend != "sandbox":
        checks.append(Check("care unit", "note", f"{name} is unset: every call must name one."))
    return checks


def _refused(exc: LeyrMcpError, *, cobalt: bool) -> list[Check]:
    """Return what an operator can do where the care units were not given."""
    base, names = "LEYR_BASE_URL", "LEYR_CLIENT_ID and LEYR_CLIENT_SECRET"
    if cobalt:
        base = "COBALT_BASE_URL"
        names = "COBALT_CLIENT_ID, COBALT_CLIENT_SECRET and COBALT_ACCESS_TOKEN"
    if exc.code in ("upstream_unreachable", "upstream_busy", "upstream_bad_response"):
        advice = f"Check {base} and the network."
        return [Check("connection", "fail", f"{exc.message} {advice}")]
    answers = Check("connection", "ok", "the record system answers")
    if needs_sign_in(exc):
        advice = "What is approved waits until the clinic has signed in again on Cobalt's Link page"
        return [answers, Check("sign-in", "fail", f"{exc.message} {advice}.")]
    if exc.code == "upstream_auth":
        advice = f"Check {names}."
        return [answers, Check("credentials", "fail", f"{exc.message} {advice}")]
    advice = "Check LEYR_EMR, and that Leyr has opened it to you."
    if cobalt:
        advice = "Check with Cobalt what your account may do."
    return [answers, Check("record system", "fail", f"{exc.message} {advice}")]


def _capabilities(known: Capabilities, emr: str) -> Check:
    if known.name == "unknown":
        return Check("capabilities", "note", f"nothing is known of {emr}; its refusals will decide")
    named = {
        "look up by identifier": known.get_patient,
        "list appointments": known.list_appointments,
        "change appointments": known.change_appointment,
        "write notes": known.notes,
        "read notes": known.read_notes,
        "attach documents": known.documents,
        "read documents": known.read_documents,
    }
    missing = [name for name, can in named.items() if can is False]
    types = ", ".join(sorted(known.patient_types)) if known.patient_types else "unknown"
    text = f"{known.name}; patient identifiers: {types}"
    if missing:
        text += f"; cannot: {', '.join(missing)}"
    if known.emr_id_is_national_number:
        text += "; its own patient id is the national number, so patient_id shows it unmasked"
        return Check("capabilities", "note", text)
    return Check("capabilities", "ok", text)


def _clock(app: App) -> Check:
    skew = app.ehr.clock_skew_s()
    if skew is None:
        return Check("clock", "ok", "the record system tells no time to compare with")
    if abs(skew) > _SKEW_S:
        way = "ahead of" if skew > 0 else "behind"
        text = f"this machine is {abs(skew):.0f} s {way} the record system; set its clock"
        return Check("clock", "fail", text)
    return Check("clock", "ok", f"within {abs(skew):.0f} s of the record system's")


def _show(checks: list[Check], counts: Mapping[State, int] | None, *, as_json: bool) -> None:
    failed = sum(check.level == "fail" for check in checks)
    if as_json:
        found = {
            "version": VERSION,
            "ok": not failed,
            "checks": [asdict(check) for check in checks],
            "drafts": None if counts is None else _waiting(counts),
        }
        write(found)
        return
    screen = Screen(sys.stdout)
    marks = {"ok": screen.good("ok  "), "note": screen.warn("note"), "fail": screen.bad("FAIL")}
    for check in checks:
        lead = f"{marks[check.level]}  {screen.bold(check.name.ljust(13))}  "
        screen.columns(lead, check.message, indent=_INDENT)
    screen.line()
    if failed:
        screen.paragraph(f"{failed} of {len(checks)} checks failed.")
    else:
        screen.paragraph("Ready to serve. Connect Claude Desktop: leyr-mcp install claude-desktop")
