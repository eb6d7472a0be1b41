"""Patients: by name, by identifier, created."""

from __future__ import annotations

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.leyr.api import LeyrApi, present
from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.ehr.port import NewPatient


class Patients(LeyrApi):
    """`GET patients`, `GET patients/{id}`, `POST patients` (an upsert, so it may be repeated)."""

    async def find_patients(
        self, care_unit_id: str, *, first_name: str | None, last_name: str | None
    ) -> list[Patient]:
        """Return the patients with these names."""
        query = [
            (name, value)
            for name, value in (("first_name", first_name), ("last_name", last_name))
            if value is not None
        ]
        return await self._list(Patient, self._unit(care_unit_id, "patients"), query)

    async def patient(self, care_unit_id: str, patient: PatientRef) -> Patient:
        """Return one patient."""
        return await self._get(Patient, self._patient_path(care_unit_id, patient))

    async def create_patient(self, care_unit_id: str, new: NewPatient) -> Patient:
        """Create a patient, or return the one that exists."""
        body = present(
            first_name=new.first_name,
            last_name=new.last_name,
            external_id=new.external_id,
            phones=list(new.phones),
            emails=list(new.emails),
        )
        return await self._write(
            Patient, "POST", self._unit(care_unit_id, "patients"), body, repeatable=True
        )
