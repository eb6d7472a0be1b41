"""The clinic of the sandbox: care units, resources, services and their working hours."""

from dataclasses import dataclass

from leyr_mcp.sandbox.systems import System

WEEKDAYS = frozenset(range(5))


@dataclass(frozen=True)
class Shift:
    """Minutes of the local day in which a resource takes bookings, on given weekdays."""

    first_minute: int
    last_minute: int
    days: frozenset[int] = WEEKDAYS


@dataclass(frozen=True)
class Service:
    """A bookable type of visit."""

    id: str
    name: str
    minutes: int


@dataclass(frozen=True)
class Resource:
    """A person or thing that can be booked, with the identifiers it is known by."""

    id: str
    name: str
    hsa_id: str
    personal_number: str | None
    service_ids: tuple[str, ...]
    shifts: tuple[Shift, ...]


@dataclass(frozen=True)
class CareUnit:
    """A physical place of care."""

    id: str
    name: str
    resources: tuple[Resource, ...]
    services: tuple[Service, ...]

    def resource(self, resource_id: str) -> Resource | None:
        """Return the resource with that id in the record system."""
        return next((item for item in self.resources if item.id == resource_id), None)

    def service(self, service_id: str) -> Service | None:
        """Return the service with that id."""
        return next((item for item in self.services if item.id == service_id), None)


MORNING = Shift(8 * 60, 12 * 60)
AFTERNOON = Shift(13 * 60, 16 * 60 + 30)
ODD_DAYS = Shift(9 * 60, 15 * 60, frozenset({0, 2, 4}))
FULL_DAY = (MORNING, AFTERNOON)

_SERVICES = (
    (
        Service("301", "Läkarbesök", 30),
        Service("302", "Telefonrådgivning", 15),
        Service("303", "Provtagning", 15),
    ),
    (
        Service("311", "Nybesök psykolog", 60),
        Service("312", "Återbesök psykolog", 45),
        Service("313", "Vaccination", 15),
    ),
)
_NAMES = ("Läkarmottagningen Söder", "Psykologmottagningen Norr")

# Staff numbers are official test numbers that no seeded patient carries.
_STAFF = (
    (
        ("Läkare Ehn (läk)", "189912289809", ("301", "302"), FULL_DAY),
        ("Läkare Sjögren (läk)", "189912299816", ("301",), FULL_DAY),
        ("Sköterska Ask (ssk)", "189912309805", ("303",), (MORNING,)),
    ),
    (
        ("Psykolog Åberg (psy)", "189912319812", ("311", "312"), FULL_DAY),
        ("Psykolog Holm (psy)", None, ("312",), (ODD_DAYS,)),
        ("Vaccinationsrum 1", None, ("313",), FULL_DAY),
    ),
)
_RESOURCE_IDS = (("1021", "1022", "1023"), ("1031", "1032", "1033"))
_TAKECARE_IDS = (
    ("10-991890000019", "10-991890000027", "10-991890000035"),
    ("11-991890000043", "11-991890000050", "11-991890000068"),
)


def build_clinic(system: System) -> tuple[CareUnit, ...]:
    """Return the two care units as they are known in a record system."""
    ids = _TAKECARE_IDS if system.number_is_emr_id else _RESOURCE_IDS
    return tuple(
        _unit(index, unit_id, ids[index]) for index, unit_id in enumerate(system.care_units)
    )


def _unit(index: int, unit_id: str, resource_ids: tuple[str, ...]) -> CareUnit:
    resources = tuple(
        Resource(
            id=resource_id,
            name=name,
            hsa_id=f"SE2321000131-E{12345 + 10 * index + place:012d}",
            personal_number=number,
            service_ids=service_ids,
            shifts=shifts,
        )
        for place, (resource_id, (name, number, service_ids, shifts)) in enumerate(
            zip(resource_ids, _STAFF[index], strict=True)
        )
    )
    return CareUnit(unit_id, _NAMES[index], resources, _SERVICES[index])
