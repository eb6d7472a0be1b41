"""The clinic of the Cobalt sandbox: locations, providers and their hours, visit types, statuses."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("America/Chicago")
REFERENCE = "user_sandboxclinic0001"
FOLDERS = ("Documents", "Lab results", "Referrals")
REQUIRED = ("first_name", "last_name", "dob", "sex", "phone")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
DAYS = (*WEEKDAYS, "Saturday", "Sunday")


@dataclass(frozen=True)
class Location:
    """A place of care, with Cobalt's id and the record system's own."""

    id: str
    ehr_id: str
    name: str
    status: str = "active"

    def told(self) -> dict[str, Any]:
        """Return it as the API does."""
        return {
            "id": self.id,
            "ehr_id": self.ehr_id,
            "name": self.name,
            "status": self.status,
            "address": {
                "address1": "1 Example Way",
                "address2": None,
                "city": "Testville",
                "state": "IL",
                "zip": "60600",
            },
            "phone": "3125550100",
            "fax": "3125550101",
        }


@dataclass(frozen=True)
class Provider:
    """Somebody who sees patients: at which location, from when to when, on weekdays."""

    id: str
    ehr_id: str
    name: str
    location: str
    start: int
    end: int
    days: tuple[str, ...] = WEEKDAYS
    status: str = "active"
    hidden: bool = False

    def told(self) -> dict[str, Any]:
        """Return them as the API does."""
        place = location(self.location)
        shift = {
            "start": f"T{self.start:02}:00:00",
            "end": f"T{self.end:02}:00:00",
            "facility_id": self.location,
            "facility_name": place.name if place else None,
            "set_start_date": None,
            "set_end_date": None,
            "set_description": None,
        }
        return {
            "id": self.id,
            "ehr_id": self.ehr_id,
            "name": self.name,
            "npi": "0000000000",
            "timezone": ZONE.key,
            "status": self.status,
            "hide_in_availability": self.hidden,
            "hours": [{"day": day, "shifts": [shift]} for day in self.days],
        }


@dataclass(frozen=True)
class VisitType:
    """A kind of visit, and how long it is."""

    code: str
    description: str
    minutes: int


_OWN = "0c1a5e0000000000000000000000"  # Cobalt's ids are 32 hex digits
FIRST = "a1f0c3d2-0001-4b7e-9a11-000000000001"
SECOND = "a1f0c3d2-0002-4b7e-9a11-000000000002"
_CLOSED = "a1f0c3d2-0003-4b7e-9a11-000000000003"
LOCATIONS = (
    Location(f"{_OWN}a001", FIRST, "Sample Family Clinic"),
    Location(f"{_OWN}a002", SECOND, "Sample Heart Center"),
    Location(f"{_OWN}a003", _CLOSED, "Closed Test Office", "inactive"),
)
_THREE_DAYS = ("Monday", "Wednesday", "Friday")
PROVIDERS = (
    Provider(f"{_OWN}b001", "9001", "Testa Doctorson, MD", FIRST, 8, 12),
    Provider(f"{_OWN}b002", "9002", "Sam Placeholder, NP", FIRST, 13, 17),
    Provider(f"{_OWN}b003", "9003", "Cora Specimen, MD", SECOND, 9, 15, _THREE_DAYS),
    Provider(f"{_OWN}b004", "9004", "Hidden Example, PA", FIRST, 8, 16, hidden=True),
    Provider(f"{_OWN}b005", "9005", "Retired Sample, MD", FIRST, 8, 16, status="inactive"),
)
VISIT_TYPES = (
    VisitType("OV", "Office visit", 30),
    VisitType("FU", "Follow-up", 15),
    VisitType("NP", "New patient", 60),
    VisitType("PROC", "Procedure", 45),
)
VISIT_STATUSES = (
    ("PEN", "Pending arrival"),
    ("ARR", "Arrived"),
    ("CHK", "Checked out"),
    ("CANC", "Cancelled"),
    ("R/S", "Rescheduled"),
    ("N/S", "No show"),
)


def location(ehr_id: str) -> Location | None:
    """Return the location with that id in the record system."""
    return next((one for one in LOCATIONS if one.ehr_id == ehr_id), None)


def active_locations() -> list[Location]:
    """Return the locations that a write may name."""
    return [one for one in LOCATIONS if one.status == "active"]


def provider(ehr_id: str) -> Provider | None:
    """Return the provider with that id in the record system."""
    return next((one for one in PROVIDERS if one.ehr_id == ehr_id), None)


def visit_type(code: str) -> VisitType | None:
    """Return the visit type with that code."""
    return next((one for one in VISIT_TYPES if one.code == code), None)


def codes(pairs: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    """Return codes with what they mean, as the API does."""
    return [{"code": code, "description": description} for code, description in pairs]
