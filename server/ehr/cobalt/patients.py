"""Patients: found in Cobalt's copy, else asked for in the record itself, which takes a while."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from leyr_mcp.server.ehr.cobalt.api import day, objects, parsed, text, unreadable
from leyr_mcp.server.ehr.cobalt.directory import Directory
from leyr_mcp.server.ehr.cobalt.events import Events
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.ehr.port import Job, NewPatient
from leyr_mcp.server.errors import (
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
    UpstreamUnavailableError,
    UpstreamValidationError,
)

LIVE_WAIT_S = 15.0
_PAUSE_S = 1.0
_AGAIN_S = 15.0
_KEPT_S = 120.0
_MOST_ASKED = 100
_PAGE = "100"


@dataclass(slots=True)
class _Asked:
    """A question to the record itself: its job, and until when its answer is good."""

    job_id: str
    until: float


class Patients(Directory, Events):
    """`GET /patients`, and `POST /patients/fetch` where that knows nobody."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._asked: dict[tuple[tuple[str, str], ...], _Asked] = {}
        self.live_wait_s = LIVE_WAIT_S

    async def find_patients(
        self, care_unit_id: str, *, first_name: str | None, last_name: str | None
    ) -> list[Patient]:
        """Return the patients with these names, or parts of names."""
        await self._location(care_unit_id)
        names = {"first_name": first_name, "last_name": last_name}
        given = [(name, value) for name, value in names.items() if value is not None]
        found = await self._copy(given)
        return found or await self._live([("search_by", "name"), *given])

    async def patient(self, care_unit_id: str, patient: PatientRef) -> Patient:
        """Return one patient by medical record number."""
        await self._location(care_unit_id)
        mrn = self._mrn(patient)
        found = await self._copy([("mrn", mrn)])
        if not (exact := [one for one in found if one.mrn == mrn]):
            found = await self._live([("search_by", "mrn"), ("mrn", mrn)])
            exact = [one for one in found if one.mrn == mrn]
        if not exact:
            raise UpstreamNotFoundError(
                "No patient has this identifier here.", code="patient_not_found", field="patient_id"
            )
        return exact[0]

    async def create_patient(self, care_unit_id: str, new: NewPatient) -> Job:  # noqa: ARG002 - of the port
        """A clinic there wants more of a new patient than is asked for here."""
        raise UpstreamNotSupportedError(
            "A new patient cannot be made through Cobalt from here.",
            next_step="Tell the user to register the patient in the record system.",
        )

    async def _copy(self, given: list[tuple[str, str]]) -> list[Patient]:
        """Return whom Cobalt's own copy knows; one that is not in the record yet is nobody."""
        found = await self._list("patients", "patients", [*given, ("page_size", _PAGE)])
        known = [_patient(o) for o in found if text(o.get("status")) not in ("pending", "failed")]
        return [one for one in known if one.mrn]

    async def _live(self, question: list[tuple[str, str]]) -> list[Patient]:
        """Return whom the record itself knows.

        The same question is asked once within two minutes; who asks again waits for its answer.

        Raises:
            UpstreamUnavailableError: It has not answered yet.
        """
        key = tuple(question)
        try:
            job_id = await self._job_of(key)
        except UpstreamValidationError:  # not every record system can be asked so
            return []
        ends = time.monotonic() + self.live_wait_s
        while True:
            for event in await self._events_of_job(job_id):
                if event.bad:
                    self._asked.pop(key, None)
                    raise UpstreamUnavailableError("The record itself could not be asked.")
                return [p for p in map(_patient, objects(event.data, "patients")) if p.mrn]
            if time.monotonic() + _PAUSE_S >= ends:
                raise UpstreamUnavailableError(
                    "Cobalt's copy does not know this patient; the record itself is being asked.",
                    code="upstream_busy",
                    retry_after_s=_AGAIN_S,
                    next_step="Call again in 15 seconds; the search goes on meanwhile.",
                )
            await asyncio.sleep(_PAUSE_S)

    async def _job_of(self, key: tuple[tuple[str, str], ...]) -> str:
        """Return the job of a question, asked now if it was not asked lately."""
        asked = self._asked.get(key)
        if asked is None or asked.until < time.monotonic():
            body = await self._ask("patients/fetch", dict(key))
            job_id = text(body.get("job_id") or body.get("job_execution_id"))
            if not job_id:
                raise unreadable()
            if len(self._asked) >= _MOST_ASKED:
                self._asked.clear()
            asked = self._asked[key] = _Asked(job_id, time.monotonic() + _KEPT_S)
        return asked.job_id


def _patient(raw: dict[str, Any]) -> Patient:
    born = day(raw.get("dob")) or day(raw.get("date_of_birth"))
    return parsed(
        Patient,
        {
            "id": text(raw.get("id")) or None,
            "mrn": text(raw.get("mrn")) or None,
            "first_name": raw.get("first_name") or None,
            "last_name": raw.get("last_name") or None,
            "birth_date": born.isoformat() if born else None,
        },
    )
