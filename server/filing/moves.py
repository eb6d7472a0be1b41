"""What the desk says of a move it makes: its event, and its refusal where it came too late."""

from __future__ import annotations

import dataclasses

from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.filing.audit import About
from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.filing.payloads import Payload
from leyr_mcp.server.storage.store import FREED, AuditEntry, Draft
from leyr_mcp.server.text import short


def by(person: Person, event: AuditEntry) -> AuditEntry:
    """Return the event of a person's decision, with who it was and through what."""
    told = {"approver": short(person.name), "channel": short(person.channel)}
    return dataclasses.replace(event, fields={**event.fields, **told})


def about(payload: Payload) -> About:
    """Return whose data a draft holds."""
    return About(patient=payload.patient, care_unit=payload.care_unit_id)


def check_in_doubt(entry: Entry) -> None:
    """Refuse what is not for a person to resolve.

    Raises:
        InputError: Nothing is in doubt about it.
    """
    if entry.draft.state != "needs_human":
        raise InputError("Only a draft that needs a person can be resolved.", field="draft_id")


def check_same(entry: Entry, payload: Payload, patient_key: str) -> None:
    """Refuse to put in a draft's place what is of another patient, kind or care unit.

    Raises:
        InputError: It is.
    """
    draft = entry.draft
    now = (payload.kind, patient_key, payload.care_unit_id)
    if now != (draft.kind, draft.patient_key, draft.care_unit_id):
        raise InputError(
            "That draft is of another patient, another kind or another care unit.",
            field="draft_id",
        )


def may_be_filed(draft: Draft) -> bool:
    """Return whether a draft is in the record, may be, or may come to be."""
    return draft.state not in FREED or draft.attempt > 0


def twin(draft: Draft) -> LeyrMcpError:
    """Return the refusal to make a draft equal to another one, which would be filed twice."""
    return LeyrMcpError(
        f"Another draft holds exactly this: {draft.id}, which is {draft.state}.",
        code="in_progress",
        field="draft_id",
        next_step="Go on with that draft, and discard this one if it is not needed.",
    )


def of_another_patient() -> LeyrMcpError:
    """Return the refusal to take another patient's entry for what was drafted."""
    return LeyrMcpError(
        "That entry of the record is another patient's.",
        code="patient_mismatch",
        field="record_id",
    )


def void(entry: Entry) -> LeyrMcpError:
    """Return the refusal of what was decided about another version, or another state."""
    return LeyrMcpError(
        f"The draft changed meanwhile; it is now {entry.draft.state}, version "
        f"{entry.draft.version}.",
        code="approval_void",
    )


def sent(entry: Entry) -> LeyrMcpError:
    """Return the refusal of a change that came too late."""
    before = " and was sent before" if entry.waits and entry.draft.attempt else ""
    return LeyrMcpError(
        f"The draft can no longer be changed: it is {entry.draft.state}{before}.",
        code="in_progress",
        next_step="Draft it anew, without draft_id." if entry.draft.state in FREED else None,
    )
