"""What is taken as an identifier, what is refused and why, and that no value leaks on the way.

All numbers are published test numbers or made up in the process; none belongs to a person.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Final, cast

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from leyr_mcp.server.ehr import identifiers
from leyr_mcp.server.ehr.identifiers import (
    Environment,
    PatientRef,
    ResourceRef,
    check_opaque,
    mask_national_number,
    parse_patient,
    parse_resource,
)
from leyr_mcp.server.errors import InputError

TODAY = date(2026, 6, 15)
LAST_OLD_DAY = date(2031, 12, 31)
FIRST_NEW_DAY = date(2032, 1, 1)


def words(text: str) -> list[str]:
    return text.split()


def take(raw: str, today: date = TODAY) -> PatientRef:
    return parse_patient(raw, today=today)


SE: Final = "se_personal_number"
NO: Final = "no_personal_number"
NHS: Final = "nhs_number"
HSA: Final = "hsa_id"

SWEDISH = words(
    "189001019802 198001022386 199006022397 201501012395 202001012398 191212121212 197110021834 "
    "194010126672 195003042222 194912062306 195008121856 198702072391"
)
COORDINATION = words("191401682396 199000702390 191711602399 193002902397")
NORWEGIAN = ["02013299997", "30108299920"]
NORWEGIAN_FROM_2032 = "30108299939"
NORWEGIAN_SYNTHETIC = ["10915596784", "26258605879", "50846202355", "53097248016"]
NORWEGIAN_HELP = "13527248013"
NHS_NUMBERS = ["9000000009", "9990000018", "9990000026", "9990000034", "9434765919"]
HSA_ID = "SE2321000131-E000000012345"

GOOD = [
    *((SE, value) for value in SWEDISH + COORDINATION),
    *((NO, value) for value in [*NORWEGIAN, *NORWEGIAN_SYNTHETIC, NORWEGIAN_HELP]),
    *((NHS, value) for value in NHS_NUMBERS),
]
GENERATED = settings(deadline=None, max_examples=300, database=None)


def refused(
    raw: object,
    *,
    today: date = TODAY,
    parse: Callable[..., object] = parse_patient,
    **more: str | bool,
) -> InputError:
    with pytest.raises(InputError) as caught:
        parse(raw, today=today, **more)
    return caught.value


# Independent of the module: check digits are searched for, the sums written out from the rule.


def luhn_sum(ten: str) -> int:
    products = [int(digit) * (2, 1)[place % 2] for place, digit in enumerate(ten)]
    return sum(product // 10 + product % 10 for product in products)


def with_luhn(nine: str) -> str:
    return next(nine + last for last in "0123456789" if luhn_sum(nine + last) % 10 == 0)


def swedish(born: str) -> str:
    return born[:2] + with_luhn(f"{born[2:]}239")


def norwegian_sums(value: str) -> tuple[int, int]:
    first, second = "37618945210", "54327654321"
    return (
        sum(int(digit) * int(weight) for digit, weight in zip(value, first, strict=True)) % 11,
        sum(int(digit) * int(weight) for digit, weight in zip(value, second, strict=True)) % 11,
    )


def with_norwegian_checks(nine: str, rest: int = 0) -> str | None:
    """The number with check digits; `rest` is what the first sum leaves over."""
    tails = (f"{tail:02}" for tail in range(100))
    return next((nine + t for t in tails if norwegian_sums(nine + t) == (rest, 0)), None)


def with_nhs_check(nine: str) -> str | None:
    check = 11 - sum(int(nine[place]) * (10 - place) for place in range(9)) % 11
    return None if check == 10 else f"{nine}{check % 11}"


def first_norwegian(start: str, rest: int = 0) -> str:
    tries = (with_norwegian_checks(f"{start}{serial:03}", rest) for serial in range(1000))
    return next(number for number in tries if number)


def first_nhs(start: str) -> str:
    nines = (f"{start}{serial:0{9 - len(start)}}" for serial in range(10, 100))
    return next(number for nine in nines if (number := with_nhs_check(nine)))


@st.composite
def swedish_numbers(draw: st.DrawFn) -> str:
    born = draw(st.dates(date(1840, 1, 1), TODAY))
    shift = draw(st.sampled_from([0, 60]))
    serial = draw(st.integers(1, 999))
    ten = with_luhn(f"{born:%y%m}{born.day + shift:02}{serial:03}")
    return f"{born:%Y}{ten[2:]}"


@st.composite
def norwegian_numbers(draw: st.DrawFn, rest: int = 0) -> str:
    born = draw(st.dates(date(2000, 1, 1), date(2099, 12, 31)))
    day = born.day + draw(st.sampled_from([0, 40]))
    month = born.month + draw(st.sampled_from([0, 0, 40, 65, 80]))
    number = with_norwegian_checks(
        f"{day:02}{month:02}{born:%y}{draw(st.integers(0, 999)):03}", rest
    )
    assume(number is not None and len(set(number)) > 1)
    return cast("str", number)


@st.composite
def nhs_numbers(draw: st.DrawFn) -> str:
    start = draw(st.sampled_from(["4", "6", "7", "9", "01", "31", "32", "39"]))
    number = with_nhs_check(start + f"{draw(st.integers(0, 10**9 - 1)):09}"[: 9 - len(start)])
    assume(number is not None and len(set(number)) > 1)
    return cast("str", number)


NUMBERS = st.one_of(
    st.tuples(st.just(SE), swedish_numbers()),
    st.tuples(st.just(NO), norwegian_numbers()),
    st.tuples(st.just(NHS), nhs_numbers()),
)


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_every_published_number_is_taken_and_kept_canonical(kind: str, value: str) -> None:
    ref = take(f"{kind}:{value}")
    assert (ref.type, ref.value, str(ref)) == (kind, value, f"{kind}:{value}")


@pytest.mark.parametrize("value", [*NORWEGIAN, *NORWEGIAN_SYNTHETIC, NORWEGIAN_HELP])
def test_norwegian_numbers_of_the_old_rule_hold_before_and_after_2032(value: str) -> None:
    assert take(f"{NO}:{value}", LAST_OLD_DAY) == take(f"{NO}:{value}", FIRST_NEW_DAY)


def test_a_norwegian_number_of_the_new_rule_holds_only_from_the_first_day_of_2032() -> None:
    raw = f"{NO}:{NORWEGIAN_FROM_2032}"
    assert refused(raw, today=LAST_OLD_DAY).code == "identifier_checksum"
    assert take(raw, FIRST_NEW_DAY).value == NORWEGIAN_FROM_2032
    # Bare, it is an id of the record system until then.
    assert take(NORWEGIAN_FROM_2032, LAST_OLD_DAY).type == "emr_id"
    assert refused(NORWEGIAN_FROM_2032, today=FIRST_NEW_DAY).code == "identifier_ambiguous"


@pytest.mark.parametrize("rest", range(11))
def test_the_new_rule_takes_a_first_sum_of_0_to_3_over_and_no_other(rest: int) -> None:
    number = first_norwegian("010155", rest)
    if rest <= 3:
        assert take(f"{NO}:{number}", FIRST_NEW_DAY).value == number
    else:
        assert refused(f"{NO}:{number}", today=FIRST_NEW_DAY).code == "identifier_checksum"
    if rest:
        assert refused(f"{NO}:{number}", today=LAST_OLD_DAY).code == "identifier_checksum"


# Parted by bars, which no identifier holds.
ACCEPTED_FORMS = {
    "191212121212": f"{SE}:19121212-1212|{SE}:191212121212|{SE}:121212+1212|emr_id:191212121212",
    "199006022397": f"{SE}:900602-2397|{SE}:199006022397| {SE}:19900602-2397 ",
    "189001019802": f"{SE}:900101+9802",
    "191401682396": f"{SE}:140168+2396",
    "199000702390": f"{SE}:900070-2390",
    "02013299997": f"{NO}:02013299997|{NO}:020132 99997",
    "9434765919": f"{NHS}:943 476 5919|{NHS}:943-476-5919|  {NHS}:9434765919  ",
    "abc_12345": "emr_id:abc_12345|abc_12345|  abc_12345 ",
    "10:20": "emr_id:10:20",
    "x" * 96: "x" * 96,
    "mFdvd5CdhTGeoh7uf": "mFdvd5CdhTGeoh7uf",
    "10-991890000019": "10-991890000019",
}


@pytest.mark.parametrize(("value", "forms"), ACCEPTED_FORMS.items())
def test_accepted_forms_lead_to_the_canonical_value(value: str, forms: str) -> None:
    for raw in forms.split("|"):
        assert take(raw).value == value


REFUSED = {
    "identifier_checksum": f"{SE}:201509160006|{SE}:197004289895|{NO}:29020112345|{NHS}:9990000000"
    f"|{NHS}:4444444444|{SE}:121212-1213|{NHS}:943-476-5918",
    "identifier_ambiguous": f"{SE}:1212121212|{SE}:1212121213",
    "invalid_argument": f"{SE}:1912121-21212|{SE}:1912 1212 1212|{SE}:19121212+1212"
    f"|{SE}:121212–1212|{SE}:19121212121|{SE}: 191212121212|{SE}:191212121212\n"
    f"|{SE}:191212121212\x00|\u00a0{SE}:191212121212|{SE}:{SE}:191212121212|{NO}:020132-99997"
    f"|{NO}:020132  99997|{NO}:0201 3299997|{NHS}:943 476-5919|{NHS}:943 4765919"
    f"|{NHS}:94347 65919|{NHS}:|{HSA}:SE2321000131-E1|emr_id:|emr_id:.|emr_id:..|..|a/b|a%2Fb|a b"
    f"|å||   |{'x' * 97}|:191212121212|ssn:191212121212|SE_PERSONAL_NUMBER:191212121212",
}


@pytest.mark.parametrize(
    ("raw", "code"), [(raw, code) for code, values in REFUSED.items() for raw in values.split("|")]
)
def test_a_bad_identifier_is_refused_without_inviting_a_guess(raw: str, code: str) -> None:
    error = refused(raw)
    assert (error.code, error.field) == (code, "patient_id")
    if raw.startswith((SE, NO, NHS)):
        assert "do not guess" in error.next_step


def test_an_unknown_type_is_answered_with_the_known_ones() -> None:
    assert refused("ssn:1").next_step == (
        "Use one of these types: emr_id, mrn, se_personal_number, no_personal_number, nhs_number."
    )


@pytest.mark.parametrize("foreign", ["٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９", "⁰¹²³⁴⁵⁶⁷⁸⁹"])
@pytest.mark.parametrize(
    ("kind", "value"), [(SE, SWEDISH[0]), (NO, NORWEGIAN[0]), (NHS, "9000000009")]
)
def test_digits_of_other_scripts_are_refused(kind: str, value: str, foreign: str) -> None:
    strange = "".join(foreign[int(digit)] for digit in value)
    for text in (strange, value[:-1] + strange[-1]):
        assert refused(f"{kind}:{text}").code == "invalid_argument"
        assert refused(text).code == "invalid_argument"
        assert mask_national_number(text) is None


@pytest.mark.parametrize("raw", [191212121212, True, None, 1.5, b"abc", ["abc"]])
def test_what_is_no_string_is_refused(raw: object) -> None:
    assert refused(raw).code == "invalid_argument"
    assert refused(raw, parse=parse_resource).field == "resource_id"
    with pytest.raises(InputError):
        check_opaque(cast("str", raw), field="note_id")
    with pytest.raises(InputError):
        PatientRef("emr_id", cast("str", raw))


@pytest.mark.parametrize("digit", "0123456789")
def test_one_digit_repeated_is_refused_in_every_scheme(digit: str) -> None:
    for kind, length in ((SE, 12), (NO, 11), (NHS, 10)):
        assert refused(f"{kind}:{digit * length}").code == "identifier_checksum"
    assert refused(f"{HSA}:SE{digit * 10}-A1", parse=parse_resource).code == "identifier_checksum"


@pytest.mark.parametrize("born", ["20260616", "20270101", "20260676", "20270060"])
def test_a_swedish_birth_date_in_the_future_is_refused_coordination_numbers_included(
    born: str,
) -> None:
    value = swedish(born)
    error = refused(f"{SE}:{value}")
    assert error.code == "identifier_checksum"
    assert "future" in error.message
    assert take(f"{SE}:{value}", TODAY + timedelta(days=600)).value == value
    assert take(f"{SE}:{swedish('20260615')}").birth_date == TODAY


# Of dates and ranges. Swedish: month 00 and days from 60 on belong to coordination numbers.
# Norwegian: D-numbers begin with 41 to 71, month 00 is in no series, above month 12 any day goes.
TAKEN_EDGES = [
    *map(swedish, words("20000229 19900160 19900191 19900060 19900291")),
    *map(first_norwegian, words("290200 290204 690204 410155 001355 992555")),
    *map(first_nhs, words("01 31 32 39 4 6 7 9")),
]
REFUSED_EDGES = [
    f"19{with_luhn('900662000')}",  # a coordination number with serial 000
    *map(swedish, words("19900229 19000229 19901301 19900001 19900132 19900159 19900192 19901391")),
    *map(first_norwegian, words("290201 690201 310455 400155 720155 010055")),
    *map(first_nhs, words("00 5 8")),
]
KIND_BY_LENGTH: Final = {12: SE, 11: NO, 10: NHS}


@pytest.mark.parametrize("value", TAKEN_EDGES)
def test_the_last_dates_and_ranges_that_are_taken(value: str) -> None:
    assert take(f"{KIND_BY_LENGTH[len(value)]}:{value}").value == value


@pytest.mark.parametrize("value", REFUSED_EDGES)
def test_the_first_dates_and_ranges_that_are_refused(value: str) -> None:
    assert refused(f"{KIND_BY_LENGTH[len(value)]}:{value}").code == "identifier_checksum"


def test_a_wrong_century_passes_as_no_check_covers_it() -> None:
    assert take(f"{SE}:181212121212").value == "181212121212"
    assert refused(f"{SE}:209006022397").code == "identifier_checksum"  # it is ahead of today


def test_the_plus_sign_holds_from_the_year_of_the_hundredth_birthday() -> None:
    tail = with_luhn("260801239")[6:]
    short = f"{SE}:260801{{}}{tail}"
    last_of_99 = date(2025, 12, 31)
    assert take(short.format("-"), last_of_99).value == f"19260801{tail}"
    assert take(short.format("+"), last_of_99).value == f"18260801{tail}"
    # On 1 January 2026 the person is still 99, but turns 100 within the year.
    assert parse_patient(short.format("+"), today=date(2026, 1, 1)).value == f"19260801{tail}"
    # The hyphen now means 2026, and that day has not come yet: refused, never read as 1926.
    assert refused(short.format("-"), today=date(2026, 1, 1)).code == "identifier_checksum"
    assert parse_patient(short.format("-"), today=date(2026, 8, 1)).value == f"20260801{tail}"


def test_29_february_of_year_00_follows_the_sign() -> None:
    tail = with_luhn("000229239")[6:]
    assert take(f"{SE}:000229-{tail}").value == f"20000229{tail}"
    assert refused(f"{SE}:000229+{tail}").code == "identifier_checksum"


BARE_NATIONAL_NUMBERS = {
    SE: "191212121212|19121212-1212|121212-1212|121212+1212|1212121212| 191212121212 |199000702390"
    # A wrong century, which looks like a date in the future; and 29 February 2000.
    f"|209006022397|000229-{with_luhn('000229239')[6:]}",
    NO: "02013299997|020132 99997|26258605879|13527248013",
    NHS: "9434765919|943 476 5919|943-476-5919",
}


@pytest.mark.parametrize(("kind", "values"), BARE_NATIONAL_NUMBERS.items())
def test_a_bare_national_number_is_answered_with_the_types_that_fit(kind: str, values: str) -> None:
    for raw in values.split("|"):
        error = refused(raw)
        assert (error.code, error.field) == ("identifier_ambiguous", "patient_id")
        assert f"Types that fit: {kind}, emr_id (" in error.next_step
        assert raw.strip() not in error.message + error.next_step


def test_ten_digits_that_can_be_two_things_name_both_types() -> None:
    nines = (f"6001{day:02}{serial:03}" for day in range(1, 29) for serial in range(1, 99))
    both = next(ten for nine in nines if (ten := with_luhn(nine)) == with_nhs_check(nine))
    assert f"Types that fit: {SE}, {NHS}, emr_id (" in refused(both).next_step
    assert mask_national_number(both) == f"{both[:3]} *** ****"  # the form that shows less


@pytest.mark.parametrize(
    "raw",
    "191212121213 201509160006 1212121213 191213121212 29020112345 9990000000 4444444444 "
    f"00000000000 12345 1234567890123 {NORWEGIAN_FROM_2032}".split(),
)
def test_digits_that_fail_the_checks_are_an_id_of_the_record_system(raw: str) -> None:
    assert str(take(raw)) == f"emr_id:{raw}"
    if raw != NORWEGIAN_FROM_2032:
        assert mask_national_number(raw) is None


@pytest.mark.parametrize(
    ("kind", "value", "test", "production"),
    [
        *((SE, value, True, True) for value in ("191212121212", "199000702390")),
        *((NO, value, False, True) for value in NORWEGIAN),
        *((NO, value, True, False) for value in ("10915596784", "26258605879", "50846202355")),
        # A D-number of an ordinary month, and a help number.
        (NO, "53097248016", False, True),
        (NO, NORWEGIAN_HELP, True, False),
        *((NHS, value, True, False) for value in NHS_NUMBERS),
        *((NHS, with_nhs_check(nine), False, True) for nine in ("400000000", "010000001")),
        ("emr_id", "abc", True, True),
    ],
)
def test_each_environment_refuses_the_numbers_of_the_other(
    kind: str, value: str, *, test: bool, production: bool
) -> None:
    raw = f"{kind}:{value}"
    assert take(raw).value == value
    for environment, good in (("test", test), ("production", production)):
        if good:
            ref = parse_patient(raw, today=TODAY, environment=cast("Environment", environment))
            assert ref.value == value
        else:
            assert refused(raw, environment=environment).code == "wrong_environment"


def test_production_takes_help_numbers_when_the_settings_say_so_and_no_other_test_numbers() -> None:
    raw = f"{NO}:{NORWEGIAN_HELP}"
    ref = parse_patient(raw, today=TODAY, environment="production", allow_help_numbers=True)
    assert str(ref) == raw
    for value in ("10915596784", "26258605879", "50846202355"):
        error = refused(f"{NO}:{value}", environment="production", allow_help_numbers=True)
        assert error.code == "wrong_environment"
    assert refused(f"{NO}:10915596785", environment="production").code == "identifier_checksum"
    # Allowed in production, a help number is still no live number to the test setting.
    ref = parse_patient(raw, today=TODAY, environment="test", allow_help_numbers=True)
    assert str(ref) == raw


ACCEPTED_RESOURCES = {
    f"{HSA}:{HSA_ID}": f"{HSA}:{HSA_ID}|{HSA}:{HSA_ID.lower()}",
    f"{HSA}:SE2321000131-A": f"{HSA}:SE2321000131-A",
    f"{HSA}:SE2321000131-{'A' * 18}": f"{HSA}:SE2321000131-{'A' * 18}",
    f"{SE}:191212121212": f"{SE}:191212121212|{SE}:121212+1212",
    f"{NO}:26258605879": f"{NO}:26258605879",
    "emr_id:10-991890000019": "10-991890000019",
    f"emr_id:{HSA_ID}": HSA_ID,
}


@pytest.mark.parametrize(("text", "forms"), ACCEPTED_RESOURCES.items())
def test_accepted_resources(text: str, forms: str) -> None:
    for raw in [text, *forms.split("|")]:
        assert str(parse_resource(raw, today=TODAY)) == text


REFUSED_RESOURCES = {
    "identifier_checksum": f"{HSA}:SE2321000132-E1",
    "identifier_ambiguous": "191212121212|9434765919",
    # The long s is a letter that upper() makes an S.
    "invalid_argument": f"{HSA}:SE2321000131-{'A' * 19}|{HSA}:SE2321000131-|{HSA}:SE2321000131E1"
    f"|{HSA}:\u017fE2321000131-E1|{HSA}:NO2321000131-E1|{HSA}:SE2321000131-Å1"
    f"|{HSA}:SE232100０131-E1|{NHS}:9434765919|a/b",
}


@pytest.mark.parametrize(("code", "values"), REFUSED_RESOURCES.items())
def test_refused_resources(code: str, values: str) -> None:
    for raw in values.split("|"):
        error = refused(raw, parse=parse_resource, field="author")
        assert (error.code, error.field) == (code, "author")


def test_a_resource_is_bound_to_the_environment_too() -> None:
    error = refused(f"{NO}:26258605879", parse=parse_resource, environment="production")
    assert (error.code, error.field) == ("wrong_environment", "resource_id")


@pytest.mark.parametrize("raw", ["L0_1", "a.b", "x" * 96, " 10 ", "a:b", "...", "191212121212"])
def test_an_opaque_id_is_returned_without_outer_spaces(raw: str) -> None:
    assert check_opaque(raw, field="note_id") == raw.strip()


@pytest.mark.parametrize("raw", ["", ".", "..", "a/b", "a b", "a\n", "a\x00", "%2e", "x" * 97, "é"])
def test_an_opaque_id_that_does_not_fit_a_url_segment_is_refused(raw: str) -> None:
    with pytest.raises(InputError) as caught:
        check_opaque(raw, field="note_id")
    assert (caught.value.code, caught.value.field) == ("invalid_argument", "note_id")


@pytest.mark.parametrize(
    "text",
    f"emr_id:.. {SE}:19121212-1212 {SE}:191212121213 {NO}:29020112345 {NHS}:4444444444 "
    f"{HSA}:{HSA_ID} ssn:1".split(),
)
def test_a_bad_reference_cannot_be_made(text: str) -> None:
    with pytest.raises(InputError):
        PatientRef(*cast("Any", text.split(":")))


@pytest.mark.parametrize("text", [f"{HSA}:{HSA_ID.lower()}", f"{NHS}:9434765919"])
def test_a_bad_resource_reference_cannot_be_made(text: str) -> None:
    with pytest.raises(InputError):
        ResourceRef(*cast("Any", text.split(":")))


def test_references_are_values() -> None:
    ref = PatientRef(SE, "191212121212")
    same = take(f"{SE}:121212+1212")
    assert ref == same
    assert hash(ref) == hash(same)
    assert copy.copy(same) == pickle.loads(pickle.dumps(same)) == same  # noqa: S301 - our own bytes
    assert ref != cast("object", ResourceRef(SE, "191212121212"))
    with pytest.raises(AttributeError):
        ref.value = "191212121213"  # type: ignore[misc]  # frozen, which is the point


@pytest.mark.parametrize(
    ("raw", "shown", "masked"),
    [
        (f"{SE}:191212121212", "19121212-1212", "19121212-****"),
        (f"{SE}:199000702390", "19900070-2390", "19900070-****"),
        (f"{NO}:26258605879", "262586 05879", "262586 *****"),
        (f"{NHS}:9434765919", "943 476 5919", "943 *** ****"),
        ("emr_id:abc_12345", "abc_12345", "abc_12345"),
        ("emr_id:191212121212", "191212121212", "19121212-****"),
        # A sole trader's organisation number is a personal number.
        (f"{HSA}:{HSA_ID}", HSA_ID, "SE232100****-****"),
    ],
)
def test_a_reference_is_shown_grouped_and_masked_after_the_first_group(
    raw: str, shown: str, masked: str
) -> None:
    ref = parse_resource(raw, today=TODAY) if raw.startswith(HSA) else take(raw)
    assert (ref.shown, ref.masked) == (shown, masked)


MASKED = {
    "19121212-****": f"191212121212| 19121212-1212 |{SE}:191212121212|emr_id:191212121212",
    "19900070-****": "199000702390",
    "121212-****": "121212-1212|1212121212",
    "121212+****": "121212+1212",
    "301082 *****": NORWEGIAN_FROM_2032,
    "020132 *****": "020132 99997",
    "943 *** ****": "943 476 5919",
    None: "abc_12345||ssn:191212121212|191212121213",
}


@pytest.mark.parametrize(("masked", "values"), MASKED.items())
def test_masking_a_value_from_the_record(masked: str | None, values: str) -> None:
    for value in values.split("|"):
        assert mask_national_number(value) == masked


BORN = {
    date(1912, 12, 12): f"{SE}:191212121212",
    date(1890, 1, 1): f"{SE}:189001019802",
    date(1914, 1, 8): f"{SE}:191401682396",
    date(1982, 10, 30): f"{NO}:30108299920",
    date(1972, 9, 13): f"{NO}:53097248016",
    # The first Norwegian one stands for 2032, which is still to come; the second for a 29 February
    # of 1900, which never was; the others for no month of the calendar.
    None: f"{NO}:02013299997|{NO}:{first_norwegian('290200')}|{NO}:10915596784|{NO}:26258605879"
    f"|{NO}:13527248013|{SE}:199000702390|{SE}:191711602399|{SE}:193002902397|{NHS}:9434765919"
    "|emr_id:191212121212",
}


@pytest.mark.parametrize(("born", "values"), BORN.items())
def test_a_birth_date_is_told_only_where_the_number_is_sure_of_it(
    born: date | None, values: str
) -> None:
    for raw in values.split("|"):
        ref = take(raw)
        assert ref.birth_date == PatientRef(ref.type, ref.value).birth_date == born


@pytest.mark.parametrize(
    ("individual", "years", "century"),
    [
        (range(500), (0, 99), 1900),
        (range(500, 750), (54, 99), 1800),
        (range(500, 1000), (0, 26), 2000),
        (range(900, 1000), (40, 99), 1900),
        (range(500, 900), (40, 53), None),
        (range(750, 900), (54, 99), None),
        (range(500, 1000), (27, 39), None),  # not come yet
    ],
)
def test_the_century_of_a_norwegian_number_follows_the_individual_number(
    individual: range, years: tuple[int, int], century: int | None
) -> None:
    for serial, year in itertools.product((individual[0], individual[-1]), years):
        tries = (with_norwegian_checks(f"{day:02}01{year:02}{serial:03}") for day in range(1, 32))
        born = take(f"{NO}:{next(number for number in tries if number)}").birth_date
        assert (born and born.year) == (None if century is None else century + year)


def test_from_2032_no_norwegian_number_tells_a_birth_date() -> None:
    for value in ("30108299920", NORWEGIAN_FROM_2032, "02013299997"):
        assert take(f"{NO}:{value}", FIRST_NEW_DAY).birth_date is None
    assert take(f"{NO}:30108299920", LAST_OLD_DAY).birth_date == date(1982, 10, 30)
    assert PatientRef(NO, NORWEGIAN_FROM_2032).birth_date is None


def test_a_moment_serves_as_today() -> None:
    now = datetime(2026, 6, 15, 12, 0)  # noqa: DTZ001 - only its date is read
    assert take(f"{NO}:30108299920", now).birth_date == date(1982, 10, 30)
    assert take(f"{SE}:191212121212", now).birth_date == date(1912, 12, 12)


@GENERATED
@given(NUMBERS)
def test_a_generated_number_round_trips_in_every_written_form(number: tuple[str, str]) -> None:
    kind, value = number
    ref = take(f"{kind}:{value}")
    assert take(str(ref)) == ref
    assert take(f"{kind}:{ref.shown}") == ref
    assert PatientRef(ref.type, ref.value) == ref
    assert refused(value).code == refused(ref.shown).code == "identifier_ambiguous"


@GENERATED
@given(NUMBERS, st.data())
def test_a_single_wrong_digit_is_always_caught(
    number: tuple[str, str], data: st.DataObject
) -> None:
    kind, value = number
    # A wrong century is beyond the Swedish check digit, see above.
    place = data.draw(st.integers(2 if kind == SE else 0, len(value) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != value[place]]))
    wrong = f"{kind}:{value[:place]}{other}{value[place + 1 :]}"
    assert refused(wrong).code == "identifier_checksum"
    assert refused(wrong, today=FIRST_NEW_DAY).code == "identifier_checksum"


@GENERATED
@given(NUMBERS, st.data())
def test_swapped_neighbours_are_caught_but_for_swedish_0_and_9(
    number: tuple[str, str], data: st.DataObject
) -> None:
    kind, value = number
    place = data.draw(st.integers(2 if kind == SE else 0, len(value) - 2))
    pair = value[place : place + 2]
    assume(pair[0] != pair[1])
    assume(kind != SE or set(pair) != {"0", "9"})
    wrong = f"{kind}:{value[:place]}{pair[::-1]}{value[place + 2 :]}"
    assert refused(wrong).code == "identifier_checksum"
    assert refused(wrong, today=FIRST_NEW_DAY).code == "identifier_checksum"


@GENERATED
@given(st.integers(1, 3).flatmap(norwegian_numbers), st.integers(0, 10))
def test_numbers_of_the_new_norwegian_rule_hold_from_2032_and_catch_wrong_digits_too(
    value: str, place: int
) -> None:
    assert refused(f"{NO}:{value}", today=LAST_OLD_DAY).code == "identifier_checksum"
    assert take(f"{NO}:{value}", FIRST_NEW_DAY).value == value
    wrong = f"{value[:place]}{(int(value[place]) + 1) % 10}{value[place + 1 :]}"
    assert refused(f"{NO}:{wrong}", today=FIRST_NEW_DAY).code == "identifier_checksum"


@GENERATED
@given(NUMBERS)
def test_no_mask_shows_more_than_the_first_group_and_no_repr_shows_anything(
    number: tuple[str, str],
) -> None:
    kind, value = number
    ref = take(f"{kind}:{value}")
    kept = {SE: 8, NO: 6, NHS: 3}[kind]
    for masked in (ref.masked, mask_national_number(ref.shown)):
        assert masked is not None
        assert "".join(sign for sign in masked if sign in "0123456789") == value[:kept]
        assert masked.endswith("****")
        assert masked.count("*") == len(value) - kept
    assert repr(ref) == f"PatientRef({kind}:***)"


ANY_TEXT = st.one_of(
    st.text(max_size=120),
    st.text("0123456789+- :", max_size=16),
    st.tuples(
        st.sampled_from(["emr_id", SE, NO, NHS, HSA, "ssn", ""]),
        st.one_of(st.text(max_size=40), st.text("0123456789+- ", max_size=14)),
    ).map(":".join),
    NUMBERS.map(lambda number: number[1]),
)


# What stands in the module's own text is no leak, even if a made-up value happens to equal it.
VOCABULARY = inspect.getsource(identifiers) + ", ".join(PatientRef._types + ResourceRef._types)


@settings(GENERATED, max_examples=2000)
@given(ANY_TEXT)
@example("\x00" * 9)
@example("9434765919")
def test_any_text_is_either_taken_or_refused_without_being_repeated(raw: str) -> None:
    for parse in (parse_patient, parse_resource):
        try:
            ref = parse(raw, today=TODAY, environment="production")
        except InputError as error:
            said = f"{error.message} {error.next_step} {error!r} {error}"
            for value in (raw, raw.strip(), raw.partition(":")[2]):
                assert len(value) <= 3 or value in VOCABULARY or value not in said
        else:
            assert parse(str(ref), today=TODAY) == ref
            assert repr(ref) == f"{ref.__class__.__name__}({ref.type}:***)"


@settings(GENERATED, max_examples=1000)
@given(ANY_TEXT)
def test_any_text_can_be_masked_or_checked_as_an_opaque_id(raw: str) -> None:
    assert (mask_national_number(raw) or "****").endswith("****")
    if re.fullmatch(r" *(?!\.\.? *$)[A-Za-z0-9._:-]{1,96} *", raw):
        assert check_opaque(raw, field="note_id") == raw.strip(" ")
    else:
        with pytest.raises(InputError) as caught:
            check_opaque(raw, field="note_id")
        said = f"{caught.value.message} {caught.value.next_step}"
        assert len(raw) <= 3 or raw in VOCABULARY or raw not in said
