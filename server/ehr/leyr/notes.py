"""Medical notes: listed, read, written."""

from __future__ import annotations

from datetime import datetime

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.leyr.api import LeyrApi
from leyr_mcp.server.ehr.models import Note
from leyr_mcp.server.ehr.port import NewNote

_NOTES = "medical-notes"


class Notes(LeyrApi):
    """`GET`, `POST medical-notes`; `GET medical-notes/{id}`.

    There is no edit, delete or signature.
    """

    async def notes(
        self,
        care_unit_id: str,
        patient: PatientRef,
        *,
        since: datetime | None = None,  # noqa: ARG002 - Leyr lists all of them
    ) -> list[Note]:
        """Return a patient's notes."""
        return await self._list(Note, self._patient_path(care_unit_id, patient, _NOTES))

    async def note(self, care_unit_id: str, patient: PatientRef, note_id: str) -> Note:
        """Return one note with its content."""
        return await self._get(Note, self._patient_path(care_unit_id, patient, _NOTES, note_id))

    async def write_note(self, care_unit_id: str, patient: PatientRef, new: NewNote) -> Note:
        """Write a note; it arrives unsigned."""
        body = {
            "template_id": new.template_id,
            "title": new.title,
            "created_by_id": new.created_by_id,
            "content": dict(new.content),
        }
        return await self._write(
            Note, "POST", self._patient_path(care_unit_id, patient, _NOTES), body
        )
