"""Leyr behind the port."""

from __future__ import annotations

from leyr_mcp.server.ehr.capabilities import capabilities_of
from leyr_mcp.server.ehr.leyr.appointments import Appointments
from leyr_mcp.server.ehr.leyr.directory import Directory
from leyr_mcp.server.ehr.leyr.documents import Documents
from leyr_mcp.server.ehr.leyr.errors import name_refusal
from leyr_mcp.server.ehr.leyr.notes import Notes
from leyr_mcp.server.ehr.leyr.patients import Patients
from leyr_mcp.server.ehr.leyr.timeslots import Timeslots
from leyr_mcp.server.ehr.transport import READ_DEADLINE_S, ASGIApp, Transport


class LeyrEhr(Directory, Timeslots, Patients, Appointments, Notes, Documents):
    """One record system, reached through Leyr."""


def connect(
    *,
    base_url: str,
    client_id: str,
    client_secret: str,
    emr: str,
    app: ASGIApp | None = None,
    read_deadline_s: float = READ_DEADLINE_S,
) -> LeyrEhr:
    """Return the record; nothing is opened before the first call. `app` answers in process."""
    headers = (
        ("x-leyr-client-id", client_id),
        ("x-leyr-client-secret", client_secret),
        ("Content-Type", "application/json"),
    )
    transport = Transport(
        base_url, headers, name_refusal=name_refusal, app=app, deadline_s=read_deadline_s
    )
    return LeyrEhr(transport, emr, capabilities_of(emr))
