"""A call over a store that has grown for years, beside the same server over an empty one.

What is compared is the 99th percentile, block by block, since a store that has become slow shows
first in its slowest calls. The control is a second server over an empty store.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gc
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any

from bench.client import Session
from bench.contestants import UNIT, WORK, Contestant
from bench.measure import P50, P99, Samples
from leyr_mcp.server.filing.audit import About, Who
from leyr_mcp.server.settings import load
from leyr_mcp.server.storage import chain, ledger
from leyr_mcp.server.storage.database import Database
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.place import database_path
from leyr_mcp.server.storage.rows import Work
from leyr_mcp.server.storage.seal import Sealer
from leyr_mcp.server.storage.store import AuditEntry, NewDraft

FULL, EMPTY, CONTROL = "full store", "empty store", "second empty store"
LIMIT = 1.2
STRAY_LIMIT = 0.1
_TEXT = b'{"content": "' + b"Knee, left: no swelling, full range of movement. " * 40 + b'"}'
_AT_ONCE = 10_000
_PATIENTS = 1_000
_BETWEEN = timedelta(seconds=30)
_WHO = Who(subject="bench", client="bench", client_version="1")


@dataclass(frozen=True, slots=True)
class StorePlan:
    """How full the store is and how much is measured."""

    drafts: int = 10_000
    events: int = 1_000_000
    rounds: int = 9
    blocks: int = 9
    calls: int = 200
    warm_up: int = 60


def measure_stores(ours: Contestant, folder: Path, plan: StorePlan) -> Samples:
    """Fill a store, then measure in rounds, each with new processes that take turns."""
    data_key = secrets.token_bytes(32)
    settings = load({**ours.env, "LEYR_MCP_STATE_DIR": str(folder / "state-0")})
    fill(database_path(settings), Keys(data_key), plan)
    env = ours.env | {"LEYR_MCP_DATA_KEY": base64.b64encode(data_key).decode()}
    servers = [
        dataclasses.replace(
            ours, name=name, env=env | {"LEYR_MCP_STATE_DIR": str(folder / f"state-{number}")}
        )
        for number, name in enumerate((FULL, EMPTY, CONTROL))
    ]
    samples = Samples()
    for _ in range(plan.rounds):
        _round(servers, plan, samples)
        samples.rounds += 1
    return samples


def fill(path: Path, keys: Keys, plan: StorePlan) -> None:
    """Make a store with so many waiting drafts and events, all valid, the drafts' own included."""
    sealer = Sealer(keys)
    links = chain.Chain(keys, sealer)
    book = ledger.Ledger(sealer, links)
    began = datetime.now(UTC) - plan.events * _BETWEEN
    database = Database(path, keys, timeout_s=5)
    database.open()
    try:
        for first in range(plan.drafts, plan.events, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, plan.events))
            database.write(_append(links, numbers, began), durable=False)
        database.write(_stage(book, range(plan.drafts), datetime.now(UTC)), durable=False)
        database.put_head()
    finally:
        database.close()


def _append(links: chain.Chain, numbers: range, began: datetime) -> Work[None]:
    for number in numbers:
        yield from links.append(_event("search", "E", number), now=began + number * _BETWEEN)


def _stage(book: ledger.Ledger, numbers: range, now: datetime) -> Work[None]:
    for number in numbers:
        new = NewDraft(
            kind="note",
            state="awaiting_approval",
            principal="local",
            care_unit_id=UNIT,
            patient_key=book.sealer.patient_key(_patient(number)),
            dedupe=f"bench {number}",
            digest=f"bench {number}",
            payload=_TEXT,
        )
        yield from ledger.stage(book, new, now, _event("draft", "C", number))


def _event(event: str, action: str, number: int) -> AuditEntry:
    return AuditEntry(
        event=event,
        action=action,
        outcome=0,
        fields={
            "device": "bench",
            "origin": "local",
            "data_categories": ["demographics"],
            **_WHO.fields(),
            **About(care_unit=UNIT).fields(),
        },
        patient=_patient(number),
    )


def _patient(number: int) -> str:
    return f"emr_id:bench-{number % _PATIENTS}"


def _round(servers: Sequence[Contestant], plan: StorePlan, samples: Samples) -> None:
    with contextlib.ExitStack() as stack:
        sessions = []
        for server in servers:
            log = stack.enter_context(
                (WORK / f"bench-{server.name.replace(' ', '-')}.log").open("wb")
            )
            session = Session(server, log)
            stack.callback(session.close)
            session.calls(plan.warm_up)
            sessions.append(session)
        blocks: dict[str, list[list[float]]] = {session.name: [] for session in sessions}
        gc.collect()
        gc.disable()
        try:
            for block in range(plan.blocks):
                by = block % len(sessions)
                for session in (*sessions[by:], *sessions[:by]):
                    blocks[session.name].append(sorted(session.calls(plan.calls)))
        finally:
            gc.enable()
    at = {P50: plan.calls // 2, P99: ceil(plan.calls * 0.99) - 1}
    for name, measured in blocks.items():
        for measure, place in at.items():
            samples.add(measure, name, [block[place] for block in measured])


def verdict(samples: Samples) -> str:
    """Return whether the full store is quick enough; nothing is concluded of a stray control."""
    if _stray(samples) > STRAY_LIMIT:
        return "INCONCLUSIVE"
    return "PASS" if samples.ratio(P99, FULL, EMPTY).median <= LIMIT else "FAIL"


def exit_code(samples: Samples) -> int:
    """Return 1 when the gate fails, 3 when it is inconclusive, else 0."""
    return {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[verdict(samples)]


def table(samples: Samples, plan: StorePlan, seconds: float) -> str:
    """Return the figures for a terminal."""
    full = f"{plan.drafts:,} waiting drafts and {plan.events:,} events"
    lines = [
        f"find_patient over {full}, against an empty store, in {seconds:.0f} s",
        "",
        f"{'':26}{'full / empty':>20}{'control':>10}{'full':>12}{'empty':>12}",
    ]
    for title, measure in (("median of a call", P50), ("  99th percentile", P99)):
        found = samples.ratio(measure, FULL, EMPTY)
        ratio = f"{found.median:.2f}x ({found.low:.2f}-{found.high:.2f})"
        control = f"{samples.ratio(measure, CONTROL, EMPTY).median:.3f}x"
        values = "".join(
            f"{samples.value(measure, name) * 1000:>9.2f} ms" for name in (FULL, EMPTY)
        )
        lines.append(f"{title:26}{ratio:>20}{control:>10}{values}")
    said, found = verdict(samples), samples.ratio(P99, FULL, EMPTY)
    line = (
        f"{said:13} 99th percentile of find_patient over a full store, against an empty one:"
        f" {found.median:.2f}x, wanted <= {LIMIT:.1f}x"
    )
    if said == "INCONCLUSIVE":
        line += f" (the control is off by {_stray(samples):.1%})"
    return "\n".join([*lines, "", line])


def as_json(samples: Samples, plan: StorePlan, seconds: float) -> dict[str, Any]:
    """Return every figure."""
    return {
        "plan": asdict(plan) | {"took_s": round(seconds, 1)},
        "ratios": {
            measure: {name: asdict(samples.ratio(measure, name, EMPTY)) for name in (FULL, CONTROL)}
            for measure in (P50, P99)
        },
        "values": {
            measure: {name: samples.value(measure, name) for name in (FULL, EMPTY, CONTROL)}
            for measure in (P50, P99)
        },
        "gate": {"limit": LIMIT, "verdict": verdict(samples)},
    }


def _stray(samples: Samples) -> float:
    return abs(samples.ratio(P99, CONTROL, EMPTY).median - 1)
