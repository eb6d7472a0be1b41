"""What the desk says of a move it makes: its event, and its refusal where it came too late."""

from __future__ import annotations

import dataclasses

from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.filing.audit import About
from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.filing.payloads import Payload
from leyr_mcp.server.storage.store import FREED, AuditEntry
from leyr_mcp.server.text import short


def again(entry: Entry) -> Entry:
    """Return a draft that a like call made before."""
    return dataclasses.replace(entry, already_filed=entry.draft.state == "filed")


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


def void(entry: Entry) -> LeyrMcpError:
    """Return the refusal of what was decided about another version, or another state."""
    return LeyrMcpError(
        f"The draft changed meanwhile; it is now {entry.draft.state}, version "
        f"{entry.draft.version}.",
        code="approval_void",
    )


def sent(entry: Entry) -> LeyrMcpError:
    """Return the refusal of a change that came too late."""
    return LeyrMcpError(
        f"The draft can no longer be changed: it is {entry.draft.state}.",
        code="in_progress",
        next_step="Draft it anew, without draft_id." if entry.draft.state in FREED else None,
    )
