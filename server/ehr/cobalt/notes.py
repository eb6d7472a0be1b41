"""Notes: written. They cannot be read; what was written is told by events alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from leyr_mcp.server.ehr.cobalt.api import parsed, queued, text
from leyr_mcp.server.ehr.cobalt.events import Event, Events
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Note
from leyr_mcp.server.ehr.port import Job, NewNote
from leyr_mcp.server.errors import InputError, UpstreamNotFoundError

CREATED = "patient_note.created"
# The one field of a note without a template, as everywhere in this server.
FREE = "unstructured"
_LOOKED_BACK = timedelta(days=7)


class Notes(Events):
    """`POST /patient-notes`; what became of one is read from the log of events."""

    async def notes(
        self,
        care_unit_id: str,  # noqa: ARG002 - an event is looked for by its patient
        patient: PatientRef,
        *,
        since: datetime | None = None,
    ) -> list[Note]:
        """Return the notes of the last days that were written through Cobalt."""
        mrn = self._mrn(patient)
        since = since or self._clock() - _LOOKED_BACK
        return [
            note_of(event)
            for event in await self._events_since(since, CREATED)
            if text(event.data.get("patient_mrn")) == mrn
        ]

    async def note(self, care_unit_id: str, patient: PatientRef, note_id: str) -> Note:
        """Return one of these."""
        for found in await self.notes(care_unit_id, patient):
            if found.id == note_id:
                return found
        raise UpstreamNotFoundError("Cobalt told of no such note in the last days.")

    async def write_note(self, care_unit_id: str, patient: PatientRef, new: NewNote) -> Job:
        """Have a note written; it arrives unsigned."""
        if set(new.content) != {FREE}:
            raise InputError("Cobalt takes a note as one text.")
        body = {
            "note": new.content[FREE],
            "subject": new.title,
            "patient_mrn": self._mrn(patient),
            "location_id": care_unit_id,
        }
        return queued(await self._write("POST", "patient-notes", body), "patient_note_id")


def note_of(event: Event) -> Note:
    """Return the note that an event tells of, under the record system's own id."""
    told = event.data
    body = told.get("note")
    return parsed(
        Note,
        {
            "id": text(told.get("emr_note_id")) or text(told.get("patient_note_id")),
            "title": told.get("subject") or None,
            "created_at": event.created.isoformat() if event.created else None,
            "content": {FREE: body} if isinstance(body, str) else None,
        },
    )
