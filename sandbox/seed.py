"""Fills an empty state: patients, notes and documents with history, past and future bookings.

The same record system and the same day give the same content and the same ids.
"""

from datetime import datetime, time, timedelta

from leyr_mcp.sandbox.call import stable_id
from leyr_mcp.sandbox.clinic import CareUnit
from leyr_mcp.sandbox.patients import free_token
from leyr_mcp.sandbox.people import ELSEWHERE, SWEDISH, Person
from leyr_mcp.sandbox.slots import ZONE, Slot, day_slots
from leyr_mcp.sandbox.store import Appointment, Document, Note, Patient, Store
from leyr_mcp.sandbox.systems import System
from leyr_mcp.sandbox.texts import HOSTILE_NOTE, NOTES, SeedNote, seed_files

# Published identifiers of single test systems that differ from the invented kind.
KNOWN_EMR_IDS = {("kaddio", "191212121212"): "mFdvd5CdhTGeoh7uf"}

PAST_DAYS = (-21, -8, -3)
FUTURE_DAYS = (1, 2, 5, 9)
HOSTILE_PLACE = 5


def fill(store: Store, system: System, units: tuple[CareUnit, ...], now: datetime) -> None:
    """Store the seed; call inside a transaction on an empty state."""
    people = SWEDISH if system.number_is_emr_id else SWEDISH + ELSEWHERE
    patients = [_patient(store, system, units, place) for place in enumerate(people)]
    for place, patient in enumerate(patients):
        unit = units[place % 2]
        _write_notes(store, system, unit, now, (place, patient))
        _write_documents(store, system, unit, now, (place, patient))
    _book(store, system, units, now, patients)
    store.set_meta("emr", system.slug)


def _patient(
    store: Store, system: System, units: tuple[CareUnit, ...], numbered: tuple[int, Person]
) -> Patient:
    place, person = numbered
    patient_id = stable_id(system.slug, f"patient/seed/{place}")
    number = person.number
    known = KNOWN_EMR_IDS.get((system.slug, number or ""))
    token = number if system.number_is_emr_id and number else free_token(store, patient_id)
    patient = Patient(
        id=patient_id,
        emr_id=known or token,
        external_id=number,
        first_name=person.first_name,
        last_name=person.last_name,
        phones=("+46001234567",) if place == 0 else (f"+4600123{place:04d}",),
        emails=(f"patient{place}@example.invalid",) if place % 2 else (),
        care_unit_id=units[place % 2].id,
    )
    store.add_patient(patient)
    return patient


def _write_notes(
    store: Store, system: System, unit: CareUnit, now: datetime, numbered: tuple[int, Patient]
) -> None:
    place, patient = numbered
    chosen = [NOTES[(place + turn) % len(NOTES)] for turn in range(3 - place % 4)]
    if place == HOSTILE_PLACE:
        chosen.append(HOSTILE_NOTE)
    for turn, note in enumerate(chosen):
        _write_note(store, system, unit, patient, (turn, note, _history(now, 7 + place, turn)))


def _write_note(
    store: Store,
    system: System,
    unit: CareUnit,
    patient: Patient,
    dated: tuple[int, SeedNote, str],
) -> None:
    turn, note, created_at = dated
    store.add_note(
        Note(
            id=stable_id(system.slug, f"note/seed/{patient.id}/{turn}"),
            patient=patient.id,
            template_id=note.template_id,
            title=note.title,
            created_by_id=unit.resources[turn % len(unit.resources)].id,
            content=note.content,
            created_at=created_at,
        )
    )


def _write_documents(
    store: Store, system: System, unit: CareUnit, now: datetime, numbered: tuple[int, Patient]
) -> None:
    place, patient = numbered
    files = seed_files()
    chosen = files if place == 0 else files[place % 3 : place % 3 + place % 2]
    for turn, file in enumerate(chosen):
        store.add_document(
            Document(
                id=stable_id(system.slug, f"document/seed/{patient.id}/{turn}"),
                patient=patient.id,
                title=file.title,
                type=file.type,
                format=file.format,
                created_by_id=unit.resources[0].id,
                content=file.content,
                created_at=_history(now, 9 + place, turn),
            )
        )


def _history(now: datetime, days: int, turn: int) -> str:
    """Return a moment in the past, at an hour of work, the more turns the longer ago."""
    day = now.astimezone(ZONE).date() - timedelta(days=days + 30 * turn)
    moment = datetime.combine(day, time(9 + turn, 10), ZONE)
    return moment.astimezone(now.tzinfo).isoformat()


def _book(
    store: Store,
    system: System,
    units: tuple[CareUnit, ...],
    now: datetime,
    patients: list[Patient],
) -> None:
    """Book a patient on each chosen day at each care unit; the first has past and future ones."""
    turn = 0
    for unit in units:
        for days in PAST_DAYS + FUTURE_DAYS:
            slot = _first_slot(unit, now, days, turn)
            who = patients[0] if days in (PAST_DAYS[0], FUTURE_DAYS[1]) else patients[1 + turn]
            store.put_appointment(
                Appointment(
                    id=stable_id(system.slug, f"appointment/seed/{unit.id}/{days}"),
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
