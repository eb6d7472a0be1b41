"""The patient of a draft, read again and compared with whom the caller believes it is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from leyr_mcp.server.ehr import people
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.errors import InputError, LeyrMcpError, UpstreamNotSupportedError
from leyr_mcp.server.filing.compare import bare
from leyr_mcp.server.filing.entries import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A patient as the record has them; None where it does not tell.

    `ids` are all identifiers that are known to be theirs, without their types.
    """

    ref: PatientRef
    canonical: str
    first_name: str = ""
    last_name: str = ""
    birth_date: date | None = None
    number: PatientRef | None = None
    expected: Expected = "absent"
    ids: frozenset[str] = frozenset()

    @property
    def name(self) -> str | None:
        """First and last name."""
        return " ".join(filter(None, (self.first_name, self.last_name))) or None


async def look(
    ehr: Ehr,
    unit: str,
    ref: PatientRef,
    expect: str | None,
    *,
    today: date,
    environment: Literal["test", "production"] | None,
) -> Seen:
    """Read the patient and compare; where the record gives no patient by id, search by name.

    Raises:
        LeyrMcpError: `patient_mismatch`: it is another patient than the caller believes.
        UpstreamError: The patient cannot be read, or there is none.
    """
    day = day_of(expect)  # what is neither a name nor a date is refused before anything is read
    read = await _read(ehr, unit, ref, None if day else expect)
    if read is None:
        return Seen(
            ref=ref,
            canonical=str(ref),
            expected="unverified" if expect else "absent",
            ids=frozenset({ref.value}),
        )
    number = people.national_number(read, ehr.capabilities.patient_types, today, environment)
    own = number or (ref if ref.type not in ("emr_id", "mrn") else None)
    born = people.birth_date(read, ref, number)
    return Seen(
        ref=ref,
        canonical=_canonical(read, ref),
        first_name=read.first_name or "",
        last_name=read.last_name or "",
        birth_date=born,
        number=own,
        expected=_expected(expect, day, read, born),
        ids=frozenset({ref.value, *_ids(read)}),
    )


def _canonical(read: Patient, ref: PatientRef) -> str:
    if read.mrn:
        return f"mrn:{read.mrn}"
    return f"emr_id:{read.emr_id}" if read.emr_id else str(ref)


def _ids(read: Patient) -> set[str]:
    return {bare(known) for known in people.all_ids(read)}


async def _read(ehr: Ehr, unit: str, ref: PatientRef, name: str | None) -> Patient | None:
    """Return the patient, or None if neither the id nor a search by family name gives them."""
    if ehr.capabilities.get_patient is not False:
        try:
            return await ehr.patient(unit, ref)
        except UpstreamNotSupportedError as exc:
            if exc.field is not None:  # not the reading, but this type of identifier
                raise
    elif ehr.capabilities.patient_types and ref.type not in ehr.capabilities.patient_types:
        raise UpstreamNotSupportedError(
            f"{ehr.capabilities.name} takes no {ref.type} here.",
            field="patient_id",
            next_step="Find the patient by name and use the patient_id of the answer.",
        )
    if name is None:
        return None
    found = await ehr.find_patients(unit, first_name=None, last_name=name)
    mine = [one for one in found if ref.value in _ids(one)]
    if found and not mine:
        raise _mismatch()
    return mine[0] if len(mine) == 1 else None


def _expected(expect: str | None, day: date | None, read: Patient, born: date | None) -> Expected:
    """Compare the family name or the birth date; what the record lacks cannot be compared."""
    if expect is None:
        return "absent"
    if day is not None:
        if born is None:
            return "unverified"
        same = day == born
    else:
        if not read.last_name:
            return "unverified"
        same = people.folded(expect) in {
            people.folded(read.last_name),
            people.folded(people.full_name(read)),
        }
    if not same:
        raise _mismatch()
    return "equal"


def day_of(expect: str | None) -> date | None:
    """Return the birth date that `expect` is, or None if it is a name or not given.

    Raises:
        InputError: It is neither.
    """
    if expect is None:
        return None
    try:
        return date.fromisoformat(expect.strip())
    except ValueError:
        if expect.strip()[:1].isdigit():
            raise InputError(
                "expect must be a family name or a birth date like 1980-01-31.", field="expect"
            ) from None
        return None


def _mismatch() -> LeyrMcpError:
    return LeyrMcpError(
        "The patient with this patient_id has another name or birth date than expect says.",
        code="patient_mismatch",
        field="expect",
    )
