import re
import unicodedata
from collections import Counter
from datetime import datetime

import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.clinic import build_clinic
from leyr_mcp.sandbox.national import is_norwegian, is_swedish
from leyr_mcp.sandbox.people import ELSEWHERE, SWEDISH
from leyr_mcp.sandbox.systems import SYSTEMS
from tests.sandbox.kit import NOW, at

NUMBERS = [person.number for person in SWEDISH + ELSEWHERE if person.number]


def passes_its_check(number: str) -> bool:
    """Check digits, written out here a second time and differently from the sandbox's own."""
    digits = [int(digit) for digit in number]
    if len(number) == 12:
        doubled = "".join(str(digit * (2 - place % 2)) for place, digit in enumerate(digits[2:]))
        return sum(map(int, doubled)) % 10 == 0
    if len(number) == 11:
        first = (
            11
            - sum(a * b for a, b in zip([3, 7, 6, 1, 8, 9, 4, 5, 2], digits[:9], strict=True)) % 11
        )
        rest = sum(a * b for a, b in zip([5, 4, 3, 2, 7, 6, 5, 4, 3, 2], digits[:10], strict=True))
        return digits[9:] == [first % 11, (11 - rest % 11) % 11]
    remainder = (
        sum(digit * weight for digit, weight in zip(digits[:9], range(10, 1, -1), strict=True)) % 11
    )
    return digits[9] == (11 - remainder) % 11


@pytest.mark.parametrize("number", NUMBERS)
def test_every_seeded_number_passes_its_check_digits(number: str) -> None:
    assert re.fullmatch(r"[0-9]{10,12}", number)
    assert passes_its_check(number)
    if len(number) == 12:
        assert is_swedish(number)
        assert number[:8] <= "20260302"
    if len(number) == 11:
        assert is_norwegian(number)


@pytest.mark.parametrize("number", ["191212121213", "26258605878", "9434765918", "201509160007"])
def test_the_check_itself_finds_a_wrong_digit(number: str) -> None:
    assert not passes_its_check(number)


def test_staff_numbers_pass_and_belong_to_no_patient() -> None:
    staff = [
        one.personal_number for unit in build_clinic(SYSTEMS["webdoc"]) for one in unit.resources
    ]
    numbers = [number for number in staff if number]
    assert len(numbers) == 4
    assert all(passes_its_check(number) for number in numbers)
    assert not set(numbers) & set(NUMBERS)


def test_there_are_many_patients_and_exactly_two_pairs_of_namesakes(box: Sandbox) -> None:
    patients = box.control.patients()
    assert len(patients) == 57
    assert len(set(NUMBERS)) == len(NUMBERS)
    names = Counter((one.first_name, one.last_name) for one in patients)
    assert [count for count in names.values() if count > 1] == [2, 2]
    assert len({one.emr_id for one in patients} | {one.id for one in patients}) == 114


def test_tolvan_is_as_the_vendor_publishes_him(box: Sandbox) -> None:
    tolvan = box.control.patients()[0]
    assert (tolvan.first_name, tolvan.last_name) == ("Tolvan", "Tolvansson")
    assert (tolvan.external_id, tolvan.phones) == ("191212121212", ("+46001234567",))
    assert tolvan.care_unit_id == "L0_1"
    assert len(box.control.notes(tolvan.id)) == 3


def test_one_name_hides_characters_and_one_note_holds_an_instruction(box: Sandbox) -> None:
    hidden = [
        one.external_id
        for one in box.control.patients()
        if any(unicodedata.category(sign) == "Cf" for sign in one.first_name + one.last_name)
    ]
    assert hidden == ["200607092384"]
    texts = [
        text
        for one in box.control.patients()
        for note in box.control.notes(one.id)
        for text in note.content.values()
    ]
    assert sum("Ignore all previous instructions" in text for text in texts) == 1


@pytest.mark.parametrize("now", ["2026-03-02T07:00:00+01:00", "2026-01-01T00:30:00+01:00"])
def test_history_lies_in_the_past_and_bookings_on_both_sides(now: str) -> None:
    box = Sandbox(clock=lambda: at(now))
    notes = [note for one in box.control.patients() for note in box.control.notes(one.id)]
    assert len(notes) > 60
    assert all(datetime.fromisoformat(note.created_at) < at(now) for note in notes)
    starts = [item.start_s for item in box.control.appointments()]
    assert sum(start < at(now).timestamp() for start in starts) == 6
    assert len(starts) == 14
    box.close()


@pytest.mark.parametrize("slug", sorted(SYSTEMS))
def test_the_seed_is_the_same_for_the_same_day(slug: str) -> None:
    first, second = Sandbox(slug, clock=lambda: NOW), Sandbox(slug, clock=lambda: NOW)
    assert first.control.state() == second.control.state()
    first.control.reset()
    assert first.control.state() == second.control.state()
    first.close()
    second.close()
