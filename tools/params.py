"""Arguments that several tools share, described once; lengths are checked, not published."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from leyr_mcp.server.errors import InputError
from leyr_mcp.server.text import Cleaned, clean


def line(at_most: int) -> AfterValidator:
    """Return the rule of a short text: printable, on one line, not empty, not too long."""

    def check(value: str) -> str:
        value = value.strip()
        if not value or len(value) > at_most or not value.isprintable():
            raise ValueError(f"must be 1 to {at_most} printable characters on one line")
        return value

    return AfterValidator(check)


GROWS = 3  # composing can make a text so many times longer, and nothing is ever cut here


def cleaned(raw: str, most: int, field: str) -> Cleaned:
    """Return a text without what cannot be seen, never cut.

    Raises:
        InputError: Nothing of it is left, or it is too long.
    """
    found = clean(raw, cap=most * GROWS)
    if not found.text.strip() or len(found.text) > most:
        raise InputError(f"{field} must have 1 to {most:,} characters.", field=field)
    return found


AnyPatientId = Annotated[
    str,
    Field(
        description="From find_patient, or typed: emr_id:…, se_personal_number:YYYYMMDDNNNN, "
        "no_personal_number:…, nhs_number:…"
    ),
    line(130),
]
# The same, in short: a model that has read find_patient knows the forms.
PatientId = Annotated[str, Field(description="From find_patient, or typed as there"), line(130)]
CareUnitId = Annotated[str, Field(description="Usually not needed"), line(96)]
ResourceId = Annotated[str, Field(description="From list_care_units, or hsa_id:…"), line(130)]
ServiceId = Annotated[str, Field(description="From list_care_units"), line(96)]
EntryId = Annotated[str, line(96)]
Name = Annotated[str, line(100)]
BirthDate = Annotated[str, Field(description="YYYY-MM-DD"), line(10)]
Moment = Annotated[str, line(35)]
DraftId = Annotated[str, line(40)]
KeepDraft = Annotated[bool, Field(description="Ask nobody yet; then file_drafts")]
Key = Annotated[str, Field(description="New value: a second copy on purpose"), line(100)]
Expect = Annotated[str, Field(description="Family name or birth date you believe in"), line(100)]
