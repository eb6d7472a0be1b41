"""Cobalt behind the port."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from leyr_mcp.server.ehr.cobalt.errors import name_refusal
from leyr_mcp.server.ehr.cobalt.jobs import Jobs
from leyr_mcp.server.ehr.cobalt.patients import Patients
from leyr_mcp.server.ehr.cobalt.webhooks import Webhooks
from leyr_mcp.server.ehr.transport import READ_DEADLINE_S, ASGIApp, Transport

FOLDER = "Documents"


class CobaltEhr(Jobs, Patients, Webhooks):
    """One clinic, reached through Cobalt by its access token."""


def connect(  # noqa: PLR0913 - what it takes to reach one clinic, each part named
    *,
    base_url: str,
    client_id: str,
    client_secret: str,
    access_token: str,
    zone: ZoneInfo,
    folder: str = FOLDER,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    app: ASGIApp | None = None,
    read_deadline_s: float = READ_DEADLINE_S,
) -> CobaltEhr:
    """Return the record; nothing is opened before the first call. `app` answers in process."""
    headers = (
        ("client_id", client_id),
        ("client_secret", client_secret),
        ("access_token", access_token),
        ("Content-Type", "application/json"),
    )
    transport = Transport(
        base_url, headers, name_refusal=name_refusal, app=app, deadline_s=read_deadline_s
    )
    return CobaltEhr(transport, zone, clock, folder)
