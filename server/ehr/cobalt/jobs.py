"""What became of a job, asked of the log of events; a webhook only makes that sooner."""

from __future__ import annotations

from datetime import datetime

from leyr_mcp.server.ehr.cobalt.api import text
from leyr_mcp.server.ehr.cobalt.documents import Documents, document_of
from leyr_mcp.server.ehr.cobalt.events import Event
from leyr_mcp.server.ehr.cobalt.notes import Notes, note_of
from leyr_mcp.server.ehr.cobalt.schedule import Schedule
from leyr_mcp.server.ehr.port import Failed, Stored


class Jobs(Schedule, Notes, Documents):
    """`GET /webhook-events?job_id=…`: an empty list means that it is not finished."""

    async def job(
        self,
        care_unit_id: str,  # noqa: ARG002 - a job is of the whole clinic
        job_id: str,
        *,
        since: datetime,
    ) -> Stored | Failed | None:
        """Return what became of a job that was queued after `since`; None while it is not known."""
        number, _, ack = job_id.partition(":")
        if number:
            found = await self._events_of_job(number)
        else:  # the acknowledgement named none, so its entry is looked for by its own id
            found = [one for one in await self._events_since(since) if ack in one.acks]
        mine = [one for one in found if not ack or not one.acks or ack in one.acks]
        for event in mine:
            if event.good:
                return await self._stored(event, ack)
        for event in mine:
            if event.bad:
                return Failed(_told(event))
        return None

    async def _stored(self, event: Event, ack: str) -> Stored:
        told, kind = event.data, event.type.partition(".")[0]
        mrn = text(told.get("patient_mrn")) or text(told.get("mrn"))
        whose = f"mrn:{mrn}" if mrn else None
        if kind == "patient_note":
            note = note_of(event)
            return Stored(record_id=note.id, entry=note, patient_id=whose)
        if kind == "document":
            document = document_of(event)
            return Stored(record_id=document.id, entry=document, patient_id=whose)
        known = text(told.get("appointment_id")) or text(told.get("id")) or ack
        near = told.get("date_time") or told.get("datetime")
        booked = await self._booked_as(known, near) if kind == "appointment" else None
        return Stored(record_id=known or ack, entry=booked, patient_id=whose)


def _told(event: Event) -> str:
    """Return why it failed, in Cobalt's words."""
    reason = event.data.get("failure_reason")
    return reason if isinstance(reason, str) else ""
