"""Clients of the Cobalt sandbox for tests: a fixed clock, in process or over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.cobalt.clinic import FIRST, ZONE
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.ehr.cobalt.backend import CobaltEhr, connect
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.port import Job, Stored
from leyr_mcp.server.ehr.transport import ASGIApp

NOW = datetime.fromisoformat("2026-03-02T07:00:00-06:00")  # a Monday, before opening
UNIT = FIRST
IMA = PatientRef("mrn", "MRN-10005")
DOCTOR = ResourceRef("emr_id", "9001")
SECRETS = ("canary-id", "canary-secret", "canary-token")


def client(app: ASGIApp | None, origin: str = "http://cobalt.invalid", **more: Any) -> CobaltEhr:
    """Return a client of anything that speaks as Cobalt does."""
    client_id, secret, token = SECRETS
    return connect(
        base_url=f"{origin}/v1",
        client_id=client_id,
        client_secret=secret,
        access_token=token,
        zone=ZONE,
        clock=lambda: NOW,
        app=app,
        **more,
    )


@asynccontextmanager
async def sandboxed(way: str = "in process") -> AsyncIterator[tuple[CobaltSandbox, CobaltEhr]]:
    """Yield a sandbox and a client of it."""
    client_id, secret, token = SECRETS
    box = CobaltSandbox(
        clock=lambda: NOW, client_id=client_id, client_secret=secret, access_token=token
    )
    try:
        if way == "in process":
            ehr = client(box)
            yield box, ehr
            await ehr.close()
        else:
            async with serving(box) as origin:
                ehr = client(None, origin)
                yield box, ehr
                await ehr.close()
    finally:
        box.close()


async def finished(box: CobaltSandbox, ehr: CobaltEhr, job: Any) -> Stored:
    """Have all jobs carried out, and return what became of one that went well."""
    assert isinstance(job, Job)
    box.control.run_jobs()
    told = await ehr.job(UNIT, job.id, since=NOW)
    assert isinstance(told, Stored)
    return told
