"""A clinic behind Cobalt on a socket: every write is queued, and a job takes a moment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.cobalt.clinic import FIRST, ZONE
from leyr_mcp.sandbox.cobalt.options import Outcome
from leyr_mcp.sandbox.cobalt.slots import free_slots
from leyr_mcp.sandbox.control import Recorded
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.storage.store import Draft
from tests.e2e.clinic import KEY, Clinic, Kind

IMA = "MRN-10005"
JOB_S = 0.3


class CobaltClinic(Clinic):
    """The same, in Cobalt's words."""

    @property
    def settings(self) -> dict[str, str]:
        """What makes a server use this record, with short deadlines."""
        return {
            **self.sandbox.settings(self.origin),
            "COBALT_LOCATION_ID": FIRST,
            "LEYR_MCP_DATA_KEY": KEY,
            "LEYR_MCP_WRITE_DEADLINE_S": "1",
            "LEYR_MCP_GRACE_S": "3",
            "LEYR_MCP_ROOTS": str(self.home / "files"),
        }

    def order(self, fate: str) -> None:
        """Have writes end like this."""
        if fate == "fail":
            self.control.outcomes.append(Outcome(result="fail", seconds=1.0, times=10))

    def call(self, kind: Kind) -> dict[str, Any]:
        """Return a call that writes something which was not there before."""
        found = super().call(kind)
        if "patient_id" in found["arguments"]:
            found["arguments"]["patient_id"] = f"mrn:{IMA}"
        if kind == "appointment":
            found["arguments"] |= {"resource_id": "9001", "healthcare_service_id": "FU"}
        return found

    def _free_time(self, turn: int) -> tuple[str, str]:
        day = (datetime.now(UTC) + timedelta(days=1)).astimezone(ZONE).date()
        slots = free_slots(
            self.control.store, day, day + timedelta(days=7), visit_code="FU", now=None
        )
        slot = [one for one in slots if one.provider.ehr_id == "9001"][turn]
        return slot.start.isoformat(), slot.end.isoformat()

    def _booked(self) -> str:
        now = datetime.now(UTC)
        return next(
            str(one["id"])
            for one in self.control.stored("appointment", IMA)
            if datetime.fromisoformat(one["datetime"]) > now
        )

    def writes(self) -> list[Recorded]:
        """Return the writes that Cobalt received, queued or not."""
        return [
            entry
            for entry in self.control.requests.entries
            if entry.method in ("POST", "PATCH") and not entry.path.endswith("/fetch")
        ]

    def copies(self, draft: Draft) -> int:
        """Return how often the record holds what a draft is about."""
        item = json.loads(draft.payload)["item"]
        control = self.control
        if draft.kind == "note":
            text = item["content"]["unstructured"]
            return sum(one["note"] == text for one in control.stored("note"))
        if draft.kind == "document":
            return sum(one["sha256"] == item["sha256"] for one in control.stored("document"))
        if draft.kind == "appointment":
            start = datetime.fromisoformat(item["start"])
            return sum(
                datetime.fromisoformat(one["datetime"]) == start and one["status"] == "scheduled"
                for one in control.stored("appointment")
            )
        done = [one for one in control.events() if one["type"] == "appointment.updated"]
        return sum(one["data"]["id"] == item["appointment_id"] for one in done)


@asynccontextmanager
async def cobalt_clinic(home: Path) -> AsyncIterator[CobaltClinic]:
    """Open a record of its own on a free port."""
    sandbox = CobaltSandbox()
    sandbox.control.options.job_seconds = JOB_S
    try:
        async with serving(sandbox) as origin:
            yield CobaltClinic(sandbox, origin, home)
    finally:
        sandbox.close()
