"""Who a patient is, as far as the record tells: the national number, birth date, names compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from contextlib import suppress
from datetime import date
from typing import Literal

from leyr_mcp.server.ehr.identifiers import PatientRef, parse_patient
from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.errors import InputError

_NATIONAL = ("se_personal_number", "no_personal_number", "nhs_number")


def national_number(
    patient: Patient,
    accepted: Collection[str] | None,
    today: date,
    environment: Literal["test", "production"] | None,
) -> PatientRef | None:
    """Return a record's national number, typed, when its check digits leave no doubt."""
    number = patient.external_id
    if not number:
        return None
    for kind in _NATIONAL:
        if accepted is None or kind in accepted or kind == _NATIONAL[0]:
            try:
                return parse_patient(f"{kind}:{number}", today=today, environment=environment)
            except InputError:
                continue
    return None


def birth_date(patient: Patient, *numbers: PatientRef | None) -> date | None:
    """Return the birth date: the register's, else the one in a checked national number."""
    if patient.birth_date is not None:
        return patient.birth_date
    return next((n.birth_date for n in numbers if n is not None and n.birth_date), None)


def own_ref(patient: Patient) -> PatientRef | None:
    """Return the record's own identifier of a patient, as calls take it, if it has a usable one."""
    with suppress(InputError):
        if patient.mrn:
            return PatientRef("mrn", patient.mrn)
        if patient.emr_id:
            return PatientRef("emr_id", patient.emr_id)
    return None


def all_ids(patient: Patient) -> tuple[str, ...]:
    """Return every identifier that a record tells of a patient."""
    known = (patient.id, patient.mrn, patient.emr_id, patient.external_id)
    return tuple(filter(None, known))


def full_name(patient: Patient) -> str:
    """Return first and last name as the record has them."""
    return " ".join(filter(None, (patient.first_name, patient.last_name)))


def folded(name: str) -> str:
    """Return a name as it is compared: case, composition and spaces do not count."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())
