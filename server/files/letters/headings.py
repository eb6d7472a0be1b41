"""What a note's fields are called in a letter, in its language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class _Words(NamedTuple):
    sv: str
    nb: str
    en: str


_REASON = _Words("Besöksorsak", "Kontaktårsak", "Reason for visit")
_MEDICATION = _Words("Läkemedel", "Legemidler", "Medication")
_ALLERGIES = _Words("Allergier", "Allergier", "Allergies")
_EXAMINATION = _Words("Undersökning", "Undersøkelse", "Examination")
_EARLIER = _Words("Tidigare sjukdomar", "Tidligere sykdommer", "Past medical history")
_HEADINGS: Mapping[str, _Words] = {
    "allergies": _ALLERGIES,
    "allergy": _ALLERGIES,
    "anamnesis": _Words("Anamnes", "Anamnese", "History"),
    "assessment": _Words("Bedömning", "Vurdering", "Assessment"),
    "background": _Words("Bakgrund", "Bakgrunn", "Background"),
    "comment": _Words("Kommentar", "Kommentar", "Comment"),
    "current_status": _Words("Aktuell status", "Aktuell status", "Current status"),
    "diagnosis": _Words("Diagnos", "Diagnose", "Diagnosis"),
    "examination": _EXAMINATION,
    "family_history": _Words("Ärftlighet", "Familiehistorie", "Family history"),
    "findings": _Words("Fynd", "Funn", "Findings"),
    "follow_up": _Words("Uppföljning", "Oppfølging", "Follow-up"),
    "history": _Words("Sjukhistoria", "Sykehistorie", "History"),
    "lab_results": _Words("Provsvar", "Prøvesvar", "Lab results"),
    "measures": _Words("Åtgärder", "Tiltak", "Measures"),
    "medical_history": _EARLIER,
    "medication": _MEDICATION,
    "medications": _MEDICATION,
    "mental_status": _Words("Psykisk status", "Psykisk status", "Mental status"),
    "other": _Words("Övrigt", "Annet", "Other"),
    "past_medical_history": _EARLIER,
    "physical_examination": _EXAMINATION,
    "plan": _Words("Plan", "Plan", "Plan"),
    "question": _Words("Frågeställning", "Problemstilling", "Question"),
    "reason_for_visit": _REASON,
    "reason_of_visit": _REASON,
    "recommendation": _Words("Rekommendation", "Anbefaling", "Recommendation"),
    "risk_assessment": _Words("Riskbedömning", "Risikovurdering", "Risk assessment"),
    "sick_leave": _Words("Sjukskrivning", "Sykmelding", "Sick leave"),
    "social_history": _Words("Socialt", "Sosialt", "Social history"),
    "status": _Words("Status", "Status", "Status"),
    "summary": _Words("Sammanfattning", "Sammendrag", "Summary"),
    "treatment": _Words("Behandling", "Behandling", "Treatment"),
    "unstructured": _Words("", "", ""),
    "vital_signs": _Words("Vitalparametrar", "Vitale parametere", "Vital signs"),
}


def heading(field: str, language: str) -> str:
    """Return the heading of a field in `sv`, `nb` or `en`; one not known by its name, spaced."""
    if (words := _HEADINGS.get(field.lower())) is not None:
        return {"sv": words.sv, "nb": words.nb}.get(language, words.en)
    spaced = " ".join(field.replace("_", " ").split())
    return spaced[:1].upper() + spaced[1:]
