"""The checks of a draft: what each rule finds and lets pass, and that none repeats the text."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.filing.checks import Subject, check_texts
from leyr_mcp.server.filing.entries import Check

TODAY = date(2026, 3, 2)
TOLVAN = Subject(
    patient=PatientRef("se_personal_number", "199006022397", as_of=TODAY),
    today=TODAY,
    visit=TODAY,
    first_name="Anna Maria",
    last_name="Ek-Lund",
    birth_date=date(1990, 6, 2),
)
UNTYPED = replace(TOLVAN, patient=PatientRef("emr_id", "4711", as_of=TODAY))
NORWEGIAN = replace(TOLVAN, patient=PatientRef("no_personal_number", "30108299920", as_of=TODAY))
BRITISH = replace(TOLVAN, patient=PatientRef("nhs_number", "9000000009", as_of=TODAY))


def found(text: str, subject: Subject = TOLVAN, field: str = "unstructured") -> list[str]:
    """Return code and level of what is said of a text."""
    return [f"{c.level} {c.code}" for c in check_texts({field: text}, subject)]


PLACEHOLDERS = [
    "TODO", "Plan: TBD.", "FIXME senare", "XXX", "dos xxx mg", "Namn: ____", "Lorem ipsum dolor",
    "lorem  IPSUM", "Fyll i här", "fyll inn dato", "Fyll ut", "Uppgiften ifylls senare",
    "to be filled in", "Insert name here", "<namn>", "kl <Ange tid>", "x<br>y", "{{patient}}",
    "{ namn }", "[...]", "[ … ]", "[?]", "[namn]", "[DATUM]", "[ange dos i mg]", "[insert here]",
]  # fmt: skip


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_placeholder_blocks(text: str) -> None:
    assert "block placeholder" in found(f"Hosta sedan en vecka. {text} Åter vid behov.")


@pytest.mark.parametrize(
    "text",
    [
        "CRP <5, Hb >120 och LPK < 4.", "todos los santos", "Xxl-format", "x2 och xx", "a_b__c",
        "Patienten fyller i enkäten själv.", "fylla in", "Status: {3}", "[x] rökare [X] snus",
        "Se [1] och [12].", "kl 14.30... sedan hem", "insert removed", "5<b", "Lore ipsum",
        "p<0,05 och n>3",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_passes(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize("text", ["[ ] rökare", "CRP [mg/L] 5", "[se bild]"])
def test_other_brackets_ask_for_a_look(text: str) -> None:
    assert found(text) == ["warn bracketed"]


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "-", "–––", "...", "?", "N/A", "n.a.", "NA", "(Ej aktuellt)", "null", "*" * 99],
)  # fmt: skip
def test_text_that_says_nothing(text: str) -> None:
    assert "block section_empty" in found(text)
    two = check_texts({"plan": text, "anamnesis": "Hosta."}, TOLVAN)
    said = [(c.code, c.level, c.field) for c in two]
    assert ("section_empty", "warn", "plan") in said
    assert all(field != "anamnesis" for _, _, field in said)


@pytest.mark.parametrize("text", ["Nej.", "Inga.", "0", "Ingen", "None", "Narkos"])
def test_short_answer_is_an_answer(text: str) -> None:
    assert found(text) == []


OTHERS = [
    # Each form in which people and programs write one.
    "198001022386", "19800102-2386", "19800102 2386", "19800102–2386", "19800102 - 2386",
    "800102-2386", "800102 -2386", "８００１０２-２３８６", "pnr:198001022386.", "(800102-2386)",
    "20150101-2395", "191401682396", "140168+2396",
    "02013299997", "020132 99997", "020132-99997", "020132.99997", "10915596784", "50846202355",
    "900 000 0009", "900-000-0009", "900\u00a0000\u00a00009",
]  # fmt: skip


@pytest.mark.parametrize("text", OTHERS)
def test_another_persons_number_blocks(text: str) -> None:
    assert found(f"Enligt remiss {text} söker för hosta.") == ["block other_identifier"]
    assert found(text) == ["block other_identifier"]


@pytest.mark.parametrize(
    "text",
    ["199006022397", "19900602-2397", "900602-2397", "9006022397", "900602 2397", "19900602–2397"],
)
def test_own_number_passes_in_every_form(text: str) -> None:
    assert found(f"Patient {text}, hosta.") == []
    known = replace(UNTYPED, numbers=("se_personal_number:19900602-2397", "4711"))
    assert found(f"Patient {text}, hosta.", known) == []


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("301082 99920", NORWEGIAN), ("30108299920", NORWEGIAN),
        ("900 000 0009", BRITISH), ("9000000009", BRITISH),
    ],
)  # fmt: skip
def test_own_number_of_other_registers_passes(text: str, subject: Subject) -> None:
    assert found(text, subject) == []


@pytest.mark.parametrize(
    "text",
    [
        "198001022387", "19800102-2387", "800102-2387", "02013299998", "900 000 0008",
        "201509160006", "29020112345", "4444444444", "444 444 4444", "1980010223861",
        "2026-03-02 14:30", "20260302-1430", "tel +46 70 123 45 67", "+46701234567",
        "Ordination 5 mg 1x3", "232100-0016", "SE2321000016-1003", "1/2 2025", "120/80",
    ],
)  # fmt: skip
def test_number_that_is_none_passes(text: str) -> None:
    assert found(f"Se {text} nedan.") == []


@pytest.mark.parametrize("text", ["8001022386", "9000000009", "800102 2386", "010 000 0002"])
def test_ten_digits_without_a_sign_ask_for_a_look(text: str) -> None:
    own = replace(NORWEGIAN, birth_date=None)
    said = found(f"Ring {text}.", own)
    assert said == ["warn possible_identifier"]


def test_sure_number_outweighs_a_doubtful_one() -> None:
    assert found("9000000009 och 800102-2386") == ["block other_identifier"]


@pytest.mark.parametrize("text", ["9900602-2397", "10900 000 0009x", "x900 000 00091"])
def test_part_of_a_longer_number_is_not_taken_out_of_it(text: str) -> None:
    assert found(text) == []


def test_overlapping_numbers_do_not_hide_each_other() -> None:
    assert found("555 900 000 0009") == ["block other_identifier"]


def test_unknown_own_number_is_told_apart_by_birth_date() -> None:
    assert found("900602-2397", UNTYPED) == ["warn identifier_not_compared"]
    assert found("800102-2386", UNTYPED) == ["block other_identifier"]
    assert found("900602-2397", replace(UNTYPED, birth_date=None)) == ["block other_identifier"]
    assert found("9006022397", UNTYPED) == ["warn possible_identifier"]


def test_century_of_a_short_number_is_open_where_own_is_unknown() -> None:
    old = replace(UNTYPED, birth_date=date(1914, 8, 2))
    young = PatientRef("se_personal_number", "199006022397")
    assert young.birth_date == date(1990, 6, 2)
    assert found("900602+2397", replace(old, birth_date=date(1890, 6, 2))) == [
        "warn identifier_not_compared"
    ]


def test_another_century_is_another_person() -> None:
    assert found("18900602-2397") == ["block other_identifier"]


def test_title_is_checked_too() -> None:
    said = check_texts({"unstructured": "Hosta."}, TOLVAN, title="Besök 800102-2386")
    assert [(c.code, c.field) for c in said] == [("other_identifier", "title")]


NAMES_OF_OTHERS = [
    "Patient: Bo Alm", "patient: Bo Alm, 45 år", "Namn: Bo", "Navn: Bo Alm", "Name: Bo Alm",
    "NAMN: BO ALM", "Pat: Bo Alm", "pat.: Bo Alm", "Pasient: Bo Alm", "Pas: Bo Alm",
    "Hosta.\nPatientens namn: Bo Alm", "- Patient: Alm, Bo", "**Patient:** Bo Alm",
    "Patient = Bo Alm", "(Patient: Bo Alm)", "Patient: Anna Alm", "Patient: Bo Ek",
    "Namn: Bo von Alm", "Namn: Bo von", "Patient: Åsa Öberg", "Fullt navn: Bo Alm",
    "Name: O'Brien Bo",
    "Patient: Anna Ek-Lund\nPatient: Bo Alm",
]  # fmt: skip


@pytest.mark.parametrize("text", NAMES_OF_OTHERS)
def test_another_name_asks_for_a_look(text: str) -> None:
    assert found(text) == ["warn other_name"]


@pytest.mark.parametrize(
    "text",
    [
        "Patient: Anna Ek-Lund", "Patient: Anna Maria Ek-Lund", "Namn: Anna", "namn: ANNA EK LUND",
        "Patient: Ek-Lund, Anna", "Patient: Anna Sofia Ek-Lund", "Patient: anna ek-lund",
        "Patient: Kvinna 35 år med hosta", "Patient: Mår bra", "Pat: mår bra", "Patient: söker för",
        "Läkarens namn: Bo Alm", "Namn på läkemedel: Alvedon", "Patienten Bo Alm nämns",
        "Kompat: Bo Alm", "Patient:", "Namn: 123", "Patient: A", "Namn: von",
    ],
)  # fmt: skip
def test_own_name_and_what_is_no_name_pass(text: str) -> None:
    assert found(text) == []


def test_name_is_compared_without_regard_to_composition() -> None:
    own = replace(TOLVAN, first_name="A\u030asa", last_name="von O\u0308berg")
    assert found("Namn: Åsa Von Öberg", own) == []


def test_without_a_known_name_none_is_another() -> None:
    assert found("Patient: Bo Alm", replace(TOLVAN, first_name="", last_name="")) == []


OTHER_DAYS = [
    "Besöksdatum: 2026-03-01", "besöksdatum 2026-03-03", "Besøksdato: 01.03.2026",
    "Visit date: 1 March 2026", "Date of visit: March 1, 2026", "Date of the visit: 1st of March",
    "Datum för besöket: 1 mars 2026", "Dato for konsultasjonen: 1. mars 2026", "Idag 1/3",
    "Idag den 1 mars", "I dag, 1. mars", "Today, March 1st 2026", "Seen on 2026-03-01",
    "Vårddatum: 20260301", "Dagens datum: 2026/03/01", "Konsultationsdatum: 1/3-26",
    "Datum: 2025-03-02", "Dato: 02.03.25", "Hosta.\nDate: 2026-03-20", "Besök 2026-02-02",
    "## Konsultation: 2 april 2026", "**Datum:** 2026-01-01", "Besöksdatum: 31 februari 2026",
    "Encounter date: 12 Des 2026", "Datum: 2:a mars 2025", "Today's date: 03/04/2026",
]  # fmt: skip


@pytest.mark.parametrize("text", OTHER_DAYS)
def test_another_day_for_the_visit_asks_for_a_look(text: str) -> None:
    assert found(text) == ["warn other_day"]


@pytest.mark.parametrize(
    "text",
    [
        "Besöksdatum: 2026-03-02", "Besøksdato: 02.03.2026", "Visit date: 2 March 2026",
        "Date of visit: March 2, 2026", "Idag 2/3", "Idag den 2 mars", "Datum: 2/3-26",
        "Date: 03/02/2026", "Date: 02/03/2026", "Dato: 2. mars", "Vårddatum 20260302",
        "Nästa besök: 2026-05-01", "Nästa besöksdatum: 2026-05-01", "Next visit date: 2026-05-01",
        "Återbesök 2026-05-01", "Förra besöksdatum: 2025-01-01", "Sjuk sedan 2026-02-20",
        "Född 1990-06-02", "Lab 2026-02-20: CRP 5", "Idag mår patienten bra.", "Besök planeras",
        "idag 120/80", "Datumstämpel 2020-01-01", "Idag 20260301123",
    ],
)  # fmt: skip
def test_same_day_and_dates_of_other_things_pass(text: str) -> None:
    assert found(text) == []


def test_day_of_the_appointment_is_what_counts() -> None:
    booked = replace(TOLVAN, visit=date(2026, 3, 1))
    assert found("Besöksdatum: 2026-03-01", booked) == []
    assert found("Besöksdatum: 2026-03-02", booked) == ["warn other_day"]


def test_second_date_is_read_too() -> None:
    assert found("Datum: 2026-03-02\nDatum: 2026-03-05") == ["warn other_day"]


@pytest.mark.parametrize(
    ("template", "fields", "expected"),
    [
        ("leyr_unstructured", ["unstructured"], []),
        ("leyr_unstructured", ["plan"], [("field_unknown", "block", "plan")]),
        ("leyr_unstructured", ["Unstructured"], [("field_unknown", "block", "Unstructured")]),
        ("leyr_new_visit_psychology", ["plan"], [("field_unproven", "info", "plan")]),
        ("leyr_acute_visit", ["x"], [("field_unproven", "info", "x")]),
        ("leyr_follow_up_visit_psychology", ["x"], [("field_unproven", "info", "x")]),
        ("leyr_care_status", ["x"], [("field_unproven", "info", "x")]),
        (
            "clinic_own",
            ["x"],
            [("template_unknown", "info", "template_id"), ("field_unproven", "info", "x")],
        ),
        (None, ["comment"], []),
    ],
)
def test_fields_are_held_against_the_template(
    template: str | None, fields: list[str], expected: list[tuple[str, str, str]]
) -> None:
    said = check_texts(dict.fromkeys(fields, "Hosta."), TOLVAN, template=template)
    assert [(c.code, c.level, c.field) for c in said] == expected


def test_text_in_the_place_of_a_field_name_is_not_repeated() -> None:
    said = check_texts({"canary Anna 800102-2386": "TODO"}, TOLVAN, template="leyr_unstructured")
    assert [(c.code, c.field) for c in said] == [("field_unknown", None), ("placeholder", None)]
    assert all("canary" not in c.message and "One of the fields" in c.message for c in said)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (10_000, []),
        (10_001, ["warn text_long"]),
        (100_000, ["warn text_long"]),
        (100_001, ["block text_too_long"]),
    ],
)
def test_length_is_told(length: int, expected: list[str]) -> None:
    assert found("a" * length) == expected
    parts = {"a": "a" * (length // 2), "b": "b" * (length - length // 2)}
    said = check_texts(parts, TOLVAN)
    assert [f"{c.level} {c.code}" for c in said] == expected
    assert all(c.field is None for c in said)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (0, []),
        (1, ["1 invisible or control character was removed."]),
        (7, ["7 invisible or control characters were removed."]),
    ],
)
def test_removed_characters_are_counted(count: int, says: list[str]) -> None:
    assert [c.message for c in check_texts({"a": "Hosta."}, TOLVAN, removed=count)] == says


def test_gravest_stands_first_and_each_says_its_field() -> None:
    texts = {"plan": "[se bild] Besöksdatum: 2026-01-01", "anamnesis": "TODO 800102-2386"}
    said = check_texts(texts, TOLVAN, template="leyr_acute_visit", removed=1)
    levels = [c.level for c in said]
    assert levels == sorted(levels, key=["block", "warn", "info"].index)
    assert [c.code for c in said if c.level == "block"] == ["placeholder", "other_identifier"]
    for check in said:
        assert check.message.endswith(".")
        assert check.field is None or check.field in check.message
    assert check_texts(texts, TOLVAN, template="leyr_acute_visit", removed=1) == said


def test_no_texts_say_nothing() -> None:
    assert check_texts({}, TOLVAN, template="leyr_unstructured") == ()


def test_check_as_answers_show_it() -> None:
    assert Check("a", "info", "B.", "c").as_dict() == {
        "code": "a", "level": "info", "message": "B.", "field": "c",
    }  # fmt: skip
    assert "field" not in Check("a", "info", "B.").as_dict()


def test_subject_shows_nothing_of_the_patient() -> None:
    shown = repr(replace(TOLVAN, numbers=("4711471147",)))
    for secret in ("199006022397", "Anna", "Lund", "1990", "4711471147"):
        assert secret not in shown


def test_messages_are_fixed_sentences_without_the_text() -> None:
    texts = [*PLACEHOLDERS, *OTHERS, *NAMES_OF_OTHERS, *OTHER_DAYS, "[se canary]"]
    for text in texts:
        for check in check_texts({"plan": f"{text} canary"}, TOLVAN):
            words = check.message.replace("plan", "")
            assert "canary" not in words
            assert not any(sign.isdigit() for sign in words)
            assert "Alm" not in words


PIECES = st.sampled_from(
    [
        *PLACEHOLDERS, *OTHERS, *NAMES_OF_OTHERS, *OTHER_DAYS, "Patient: ", "Namn:", "[", "]", "<",
        "{", "_", "\n", " ", "-", "+", "1", "19", "0123456789", "Idag ", "nästa ", "\x00", "\ud800",
        "\u200b", "é", "e\u0301", "١٢٣", "۱", "²", "①",
    ]
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=25).map("".join)))
def test_no_text_makes_it_fail(text: str) -> None:
    for subject in (TOLVAN, UNTYPED):
        said = check_texts({"plan": text}, subject, template="leyr_acute_visit", title=text[:50])
        assert all(c.level in ("info", "warn", "block") for c in said)
        assert len({(c.code, c.field) for c in said}) == len(said)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(OTHERS), st.text(alphabet="abcåäö .,;:()\n", max_size=40))
def test_number_is_found_wherever_it_stands(number: str, around: str) -> None:
    assert "block other_identifier" in found(f"{around} {number} {around}")


HOSTILE = {
    "digits": "1", "grouped": "123 456 7890 ", "near numbers": "800102-2387 ",
    "tens": "0123456789 ",
    "open brackets": "[", "words in brackets": "[ab ", "braces": "{{a", "tags": "<a ",
    "underscores": "a_", "labels": "Patient: Bo", "names": "\nNamn: Aa Bb Cc Dd", "stars": "*",
    "dashes": "-", "dates": "Idag 2/3 ", "lines": "\n", "spaces": " ", "tabs": "\n\t\t\t\t",
    "other days": "nästa besök ", "fyll": "fyll   ", "x": "x", "words": "Aa ", "number runs": "1 ",
}  # fmt: skip


@pytest.mark.parametrize("number", ["800102-2386", "02013299997", "900 000 0009"])
def test_last_of_many_is_found(number: str) -> None:
    many = " ".join(
        f"{day:02}0102-{last:04}" for day in range(60, 90) for last in range(0, 9999, 198)
    )
    assert "block other_identifier" in found(f"{number} " * 3 + many)
    assert "block other_identifier" in found(f"{many} {number}")


def seconds(text: str) -> float:
    start = time.perf_counter()
    check_texts({"plan": text}, TOLVAN)
    return time.perf_counter() - start


def grows_with_its_length(text: str) -> bool:
    """Return whether the whole takes under three times its half; a busy machine has more goes."""
    half = text[: len(text) // 2]
    goes = ((min(seconds(half), seconds(half)), seconds(text)) for _ in range(5))
    return any(whole < max(3 * part, 0.01) for part, whole in goes)


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_grows_no_faster_than_the_text(piece: str) -> None:
    assert grows_with_its_length(piece * (80_000 // len(piece)))


def test_a_megabyte_of_near_misses_is_no_worse() -> None:
    text = "".join(HOSTILE.values()) * (1_000_000 // len("".join(HOSTILE.values())))
    assert grows_with_its_length(text)
    assert check_texts({"plan": text[:200_000]}, TOLVAN)[0].code == "text_too_long"
