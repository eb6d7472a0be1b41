"""Fills an empty state: patients, notes and documents with history, past and future bookings.

The same record system and the same day give the same content and the same ids.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from leyr_mcp.sandbox.call import stable_id
from leyr_mcp.sandbox.clinic import CareUnit
from leyr_mcp.sandbox.patients import free_token
from leyr_mcp.sandbox.people import ELSEWHERE, SWEDISH, Person
from leyr_mcp.sandbox.slots import ZONE, Slot, day_slots
from leyr_mcp.sandbox.store import Appointment, Document, Note, Patient, Store
from leyr_mcp.sandbox.systems import System
from leyr_mcp.sandbox.texts import HOSTILE_NOTE, NOTES, seed_files

# Published identifiers of single test systems that differ from the invented kind.
KNOWN_EMR_IDS = {("kaddio", "191212121212"): "mFdvd5CdhTGeoh7uf"}

PAST_DAYS = (-21, -8, -3)
FUTURE_DAYS = (1, 2, 5, 9)
HOSTILE_PLACE = 5


@dataclass(frozen=True)
class Ground:
    """Where and when the seed is sown."""

    store: Store
    system: System
    units: tuple[CareUnit, ...]
    now: datetime

    def id(self, key: str) -> str:
        """Return the id that a thing of the seed always gets."""
        return stable_id(self.system.slug, key)


def fill(store: Store, system: System, units: tuple[CareUnit, ...], now: datetime) -> None:
    """Store the seed; call inside a transaction on an empty state."""
    ground = Ground(store, system, units, now)
    people = SWEDISH if system.number_is_emr_id else SWEDISH + ELSEWHERE
    patients = [_register(ground, place, person) for place, person in enumerate(people)]
    for place, patient in enumerate(patients):
        _write_notes(ground, place, patient)
        _write_documents(ground, place, patient)
    _book(ground, patients)
    store.set_meta("emr", system.slug)


def _register(ground: Ground, place: int, person: Person) -> Patient:
    patient_id = ground.id(f"patient/seed/{place}")
    number = person.number
    known = KNOWN_EMR_IDS.get((ground.system.slug, number or ""))
    if ground.system.number_is_emr_id:
        known = number
    patient = Patient(
        id=patient_id,
        emr_id=known or free_token(ground.store, patient_id),
        external_id=number,
        first_name=person.first_name,
        last_name=person.last_name,
        phones=("+46001234567",) if place == 0 else (f"+4600123{place:04d}",),
        emails=(f"patient{place}@example.invalid",) if place % 2 else (),
        care_unit_id=ground.units[place % 2].id,
    )
    ground.store.add_patient(patient)
    return patient


def _write_notes(ground: Ground, place: int, patient: Patient) -> None:
    chosen = [NOTES[(place + turn) % len(NOTES)] for turn in range(3 - place % 4)]
    if place == HOSTILE_PLACE:
        chosen.append(HOSTILE_NOTE)
    authors = ground.units[place % 2].resources
    for turn, note in enumerate(chosen):
        ground.store.add_note(
            Note(
                id=ground.id(f"note/seed/{patient.id}/{turn}"),
                patient=patient.id,
                template_id=note.template_id,
                title=note.title,
                created_by_id=authors[turn % len(authors)].id,
                content=note.content,
                created_at=_history(ground.now, 7 + place, turn),
            )
        )


def _write_documents(ground: Ground, place: int, patient: Patient) -> None:
    files = seed_files()
    chosen = files if place == 0 else files[place % 3 : place % 3 + place % 2]
    for turn, file in enumerate(chosen):
        ground.store.add_document(
            Document(
                id=ground.id(f"document/seed/{patient.id}/{turn}"),
                patient=patient.id,
                title=file.title,
                type=file.type,
                format=file.format,
                created_by_id=ground.units[place % 2].resources[0].id,
                content=file.content,
                created_at=_history(ground.now, 9 + place, turn),
            )
        )


def _history(now: datetime, days: int, turn: int) -> str:
    """Return a moment in the past, at an hour of work, the more turns the longer ago."""
    day = now.astimezone(ZONE).date() - timedelta(days=days + 30 * turn)
    moment = datetime.combine(day, time(9 + turn, 10), ZONE)
    return moment.astimezone(now.tzinfo).isoformat()


def _book(ground: Ground, patients: list[Patient]) -> None:
    """Book a patient on each chosen day at each care unit; the first has past and future ones."""
    turn = 0
    for unit in ground.units:
        for days in PAST_DAYS + FUTURE_DAYS:
            slot = _first_slot(unit, ground.now, days, turn)
            who = patients[0] if days in (PAST_DAYS[0], FUTURE_DAYS[1]) else patients[1 + turn]
            ground.store.put_appointment(
                Appointment(
                    id=ground.id(f"appointment/seed/{unit.id}/{days}"),
                    care_unit_id=unit.id,
                    patient=who.id,
                    resource_id=slot.resource_id,
                    service_id=slot.service_id,
                    start_s=slot.start,
                    end_s=slot.end,
                    comment=None if turn % 2 else "Bokad på telefon",
                    status="booked",
                )
            )
            turn += 1


def _first_slot(unit: CareUnit, now: datetime, days: int, turn: int) -> Slot:
    """Return a slot of the unit's first resource on the working day nearest beyond `days`."""
    resource = unit.resources[0]
    service = next(item for item in unit.services if item.id == resource.service_ids[0])
    day = now.astimezone(ZONE).date() + timedelta(days=days)
    while True:
        slots = list(day_slots(resource, service, day))
        if slots:
            return slots[turn % len(slots)]
        day += timedelta(days=1 if days > 0 else -1)
