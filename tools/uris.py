"""Addresses of record entries as MCP resources; they hold ids only, never a name."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

PATIENT = "ehr://care-units/{care_unit_id}/patients/{patient_id}"
NOTE = PATIENT + "/notes/{note_id}"
DOCUMENT = PATIENT + "/documents/{document_id}"

DRAFT = "ehr://drafts/{draft_id}"
UNSENT = "drafts://unsent"

_PREFIX = "ehr://care-units/"
_DRAFTS = "ehr://drafts/"


class Address(NamedTuple):
    """What an address names: a patient, one of their notes or documents, or drafts kept here."""

    care_unit_id: str
    patient_id: str
    kind: str
    entry_id: str


def note_uri(care_unit_id: str, patient_id: str, note_id: str) -> str:
    """Return the address of a note."""
    return NOTE.format(care_unit_id=care_unit_id, patient_id=patient_id, note_id=note_id)


def document_uri(care_unit_id: str, patient_id: str, document_id: str) -> str:
    """Return the address of a document."""
    return DOCUMENT.format(
        care_unit_id=care_unit_id, patient_id=patient_id, document_id=document_id
    )


def draft_uri(draft_id: str) -> str:
    """Return the address of a draft."""
    return DRAFT.format(draft_id=draft_id)


def parse(uri: str) -> Address | None:
    """Return what an address names, or None if it is none of ours; the ids are not yet checked."""
    if len(uri) > 500:  # noqa: PLR2004 - no id is that long
        return None
    if uri.startswith(_PREFIX):
        return _of_record(uri[len(_PREFIX) :])
    if uri.startswith(_DRAFTS):
        return Address("", "", "drafts", unquote(uri[len(_DRAFTS) :]))
    return Address("", "", "unsent", "") if uri == UNSENT else None


def _of_record(path: str) -> Address | None:
    match [unquote(part) for part in path.split("/")]:
        case [unit, "patients", patient]:
            return Address(unit, patient, "patient", "")
        case [unit, "patients", patient, "notes" | "documents" as kind, entry]:
            return Address(unit, patient, kind, entry)
    return None
