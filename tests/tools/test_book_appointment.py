"""book_appointment: what is asked, what is filed, what is refused before anybody is asked."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.mcp_answers import check_text_suffices
from tests.support.mcp_asking import (
    ANNA,
    PROGRAM,
    Asking,
    asking,
    decline,
    dismiss,
    no,
    user,
    yes,
)
from tests.support.mcp_session import TOLVAN, both_eras, session
from tests.support.mcp_snapshots import check_snapshot
from tests.support.mcp_writes import CLEANED, HOSTILE, bodies, codes, told

PATIENT = f"se_personal_number:{TOLVAN}"
AASA = "se_personal_number:197110021834"
START, END = "2026-09-17T10:00:00+02:00", "2026-09-17T10:30:00+02:00"
SLOT: dict[str, Any] = {
    "patient_id": PATIENT,
    "start": START,
    "end": END,
    "resource_id": "1022",
    "healthcare_service_id": "301",
}


def booked(it: Asking, who: str = TOLVAN) -> list[str]:
    """Return when a patient comes, cancelled appointments left out."""
    found = it.control.appointments(who)
    return [a.id for a in found if a.status != "cancelled" and a.resource_id == "1022"]


@both_eras
async def test_yes_books_it_and_tells_it_as_the_record_has_it(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        text, data = await it.ask(
            "book_appointment", **SLOT, comment="Första besöket", expect="tolvansson"
        )
        assert bodies(it) == [
            {
                "start": START,
                "end": END,
                "patient_id": PATIENT,
                "resource_id": "1022",
                "healthcare_service_id": "301",
                "comment": "Första besöket",
            }
        ]
        assert booked(it) == [data["record_id"]]
    assert (data["status"], data["already_filed"], data["checks"]) == ("filed", False, [])
    assert data["appointment"] == {
        "appointment_id": data["record_id"],
        "start": START,
        "end": END,
        "status": "booked",
        "resource_id": "1022",
        "resource": "Läkare Sjögren (läk)",
        "healthcare_service_id": "301",
        "healthcare_service": "Läkarbesök",
    }
    check_text_suffices(text, data)
    check_snapshot("answers/book_appointment_filed", told(text, data))
    assert len(person.asked) == 1


@both_eras
async def test_the_question_tells_who_when_with_whom_and_the_comment(mode: str) -> None:
    async with asking(mode, person := user(dismiss)) as it:
        await it.ask("book_appointment", **SLOT, comment="Tar med\nsin dotter")
    (form,) = person.asked
    said = [line for line in form.message.splitlines() if line]
    assert said[1].startswith("Patient: Tolvan Tolvansson, born 1912-12-12")
    assert said[2:5] == [
        "Booking: Thu 2026-09-17 10:00-10:30",
        "With: Läkare Sjögren (läk) (1022)",
        "For: Läkarbesök (301)",
    ]
    assert "Tar med" in form.message
    assert "sin dotter" in form.message
    assert said[-2] == said[1]


@both_eras
@pytest.mark.parametrize(
    ("way", "status"), [(decline, "declined"), (no, "declined"), (dismiss, "awaiting_approval")]
)
async def test_without_a_yes_nothing_is_booked(mode: str, way: Any, status: str) -> None:
    async with asking(mode, user(way)) as it:
        text, data = await it.ask("book_appointment", **SLOT)
        assert it.writes() == []
    assert data["status"] == status
    assert "record_id" not in data
    assert "status" not in data["appointment"]
    assert "appointment_id" not in data["appointment"]
    check_text_suffices(text, data)


@both_eras
async def test_client_that_cannot_ask_gets_the_command(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("book_appointment", **SLOT)
        assert {request.method for request in it.requests()} == {"GET"}
    assert data["status"] == "awaiting_approval"
    assert data["approval"]["command"] == f"leyr-mcp approve {data['draft_id']}"
    assert data["approval"]["command"] in text
    check_snapshot("answers/book_appointment_waiting", told(text, data))


@both_eras
async def test_client_that_was_not_named_is_not_asked(mode: str) -> None:
    async with asking(mode, person := user(yes), host=PROGRAM) as it:
        _, data = await it.ask("book_appointment", **SLOT)
        assert (data["status"], it.writes(), person.asked) == ("awaiting_approval", [], [])


@both_eras
async def test_draft_asks_nobody_until_it_is_wanted(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        _, draft = await it.ask("book_appointment", **SLOT, draft=True)
        assert (draft["status"], it.writes(), person.asked) == ("draft", [], [])
        _, data = await it.ask("book_appointment", **SLOT)
        assert (data["status"], data["draft_id"]) == ("filed", draft["draft_id"])
        assert len(booked(it)) == 1


@both_eras
@pytest.mark.parametrize("expect", ["Testdotter", "1971-10-02", "Tolvan"])
async def test_wrong_patient_is_refused_before_any_write(mode: str, expect: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        refused = await it.refused("book_appointment", **SLOT, expect=expect)
        assert (refused.code, refused.field) == ("patient_mismatch", "expect")
        assert (it.writes(), person.asked) == ([], [])
    assert expect not in refused.text


@both_eras
@pytest.mark.parametrize("expect", ["Tolvansson", " tolvan  TOLVANSSON", "1912-12-12"])
async def test_right_patient_is_booked(mode: str, expect: str) -> None:
    async with asking(mode, user(yes)) as it:
        _, data = await it.ask("book_appointment", **SLOT, expect=expect)
    assert data["status"] == "filed"


@both_eras
async def test_taken_time_is_refused_with_others_that_can_be_booked(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        await it.store("appointments", **{**SLOT, "patient_id": AASA})
        refused = await it.refused("book_appointment", **SLOT)
        assert (refused.code, refused.field) == ("slot_taken", "start")
        assert (it.writes(), person.asked) == (it.writes()[:1], [])
        offered = re.findall(r"(\S+) to (\d\d:\d\d) with resource_id (\S+?)[;.]", refused.next)
        assert len(offered) == 5
        start, end, resource = offered[0]
        again = {**SLOT, "start": start, "end": f"{start[:11]}{end}:00+02:00"}
        _, data = await it.ask("book_appointment", **{**again, "resource_id": resource})
        assert data["status"] == "filed"


@both_eras
async def test_taken_time_without_a_resource_offers_its_ids_too(mode: str) -> None:
    async with session(mode) as it:
        only = {"patient_id": PATIENT, "start": "2026-09-19T10:00:00+02:00"}
        refused = await it.refused("book_appointment", **only, end="2026-09-19T10:30:00+02:00")
    assert refused.code == "slot_taken"
    assert (
        "2026-09-21T08:00:00+02:00 to 08:30 with resource_id 1021 for healthcare_service_id 301"
        in (refused.next)
    )


@both_eras
async def test_no_time_at_all_says_where_to_look(mode: str) -> None:
    async with session(mode) as it:
        late = {"start": "2027-06-01T10:00:00+02:00", "end": "2027-06-01T10:30:00+02:00"}
        refused = await it.refused("book_appointment", **{**SLOT, **late})
    assert refused.code == "slot_taken"
    assert refused.next.startswith("Call list_timeslots")


@both_eras
async def test_part_of_a_free_time_is_not_one(mode: str) -> None:
    async with session(mode) as it:
        part = {**SLOT, "end": "2026-09-17T10:15:00+02:00"}
        assert (await it.refused("book_appointment", **part)).code == "slot_taken"


@both_eras
async def test_several_free_times_must_be_told_apart(mode: str) -> None:
    async with session(mode) as it:
        both = {"patient_id": PATIENT, "start": START, "end": END}
        refused = await it.refused("book_appointment", **both)
        assert (refused.code, refused.field) == ("upstream_refused", "resource_id")
        _, data = await it.ask("book_appointment", **both, resource_id="1022")
    assert data["status"] == "awaiting_approval"


@both_eras
async def test_free_times_in_a_row_are_told_to_be_several(mode: str) -> None:
    async with session(mode) as it:
        row = {**SLOT, "end": "2026-09-17T11:00:00+02:00"}
        _, data = await it.ask("book_appointment", **row)
    assert codes(data) == ["several_slots"]


@both_eras
async def test_overlap_is_told_to_caller_and_approver(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        other = {**SLOT, "resource_id": "1021"}
        stored = await it.store("appointments", **other)
        text, data = await it.ask("book_appointment", **SLOT)
    (check,) = data["checks"]
    assert (check["code"], check["level"]) == ("overlap", "warn")
    assert "Thu 2026-09-17 10:00-10:30" in check["message"]
    assert stored["id"] in check["message"]
    assert check["message"] in text
    assert check["message"] in person.asked[0].message


@both_eras
async def test_appointment_of_another_patient_is_no_overlap(mode: str) -> None:
    async with session(mode) as it:
        await it.store("appointments", **{**SLOT, "resource_id": "1021", "patient_id": AASA})
        _, data = await it.ask("book_appointment", **SLOT)
    assert data["checks"] == []


@both_eras
async def test_comment_is_cleaned_and_what_was_removed_is_told(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        _, data = await it.ask("book_appointment", **SLOT, comment=HOSTILE)
        (sent,) = bodies(it)
    assert sent["comment"] == CLEANED
    assert sent["comment"] in person.asked[0].message
    assert codes(data) == ["characters_removed"]


@both_eras
async def test_comment_about_somebody_else_is_found(mode: str) -> None:
    async with session(mode) as it:
        _, data = await it.ask("book_appointment", **SLOT, comment="Gäller 19900602-2397")
    assert [(c["code"], c["level"]) for c in data["checks"]] == [("other_identifier", "block")]


@both_eras
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patient_id", HOSTILE),
        ("start", HOSTILE),
        ("end", HOSTILE),
        ("resource_id", HOSTILE),
        ("healthcare_service_id", HOSTILE),
        ("idempotency_key", HOSTILE),
        ("expect", HOSTILE),
        ("care_unit_id", HOSTILE),
        ("comment", "x" * 301),
        ("comment", 7),
        ("draft", "true"),
    ],
)
async def test_hostile_arguments_are_refused_before_the_network(
    mode: str, field: str, value: Any
) -> None:
    async with session(mode) as it:
        refused = await it.refused("book_appointment", **{**SLOT, field: value})
        assert (refused.code, refused.field) == ("invalid_argument", field)
        assert it.requests() == []
    assert "SYSTEM" not in refused.text


TIMES: list[tuple[str, str, str]] = [
    ("2026-09-17", END, "start"),
    (START, "2026-09-17", "end"),
    ("2026-09-17T10:00:00", END, "start"),
    (START, "10:30", "end"),
    (END, START, "end"),
    (START, START, "end"),
    ("2026-09-14T09:00:00+02:00", "2026-09-14T10:00:00+02:00", "start"),
    (START, "2026-09-18T10:00:01+02:00", "end"),
    ("0001-01-01T00:00:00Z", "0001-01-01T01:00:00Z", "start"),
    ("9999-12-31T23:00:00Z", "9999-12-31T23:30:00Z", "start"),
]


@both_eras
@pytest.mark.parametrize(("start", "end", "field"), TIMES)
async def test_times_that_cannot_be_booked(mode: str, start: str, end: str, field: str) -> None:
    async with session(mode) as it:
        refused = await it.refused("book_appointment", **{**SLOT, "start": start, "end": end})
        assert (refused.code, refused.field) == ("invalid_argument", field)
        assert it.requests() == []
    assert len(start) < 11 or start not in refused.text


@both_eras
async def test_time_just_begun_is_not_past(mode: str) -> None:
    async with session(mode) as it:
        begun = {"start": "2026-09-14T09:21:00+02:00", "end": "2026-09-14T09:45:00+02:00"}
        refused = await it.refused("book_appointment", **{**SLOT, **begun})
    assert refused.code == "slot_taken"


@both_eras
async def test_same_time_written_otherwise_is_the_same_booking(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        _, first = await it.ask("book_appointment", **SLOT)
        utc = {"start": "2026-09-17T08:00Z", "end": "2026-09-17 08:30:00Z"}
        _, again = await it.ask("book_appointment", **{**SLOT, **utc})
        assert (again["draft_id"], again["already_filed"]) == (first["draft_id"], True)
        assert len(it.writes()) == len(person.asked) == 1


@both_eras
async def test_patient_named_otherwise_is_the_same_booking(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        _, first = await it.ask("book_appointment", **SLOT)
        bare = it.control.patient(TOLVAN).emr_id
        _, again = await it.ask("book_appointment", **{**SLOT, "patient_id": bare})
        assert (again["draft_id"], again["already_filed"]) == (first["draft_id"], True)


@both_eras
async def test_booked_cancelled_and_booked_again_are_two_bookings(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        _, first = await it.ask("book_appointment", **SLOT)
        _, gone = await it.ask(
            "change_appointment", appointment_id=first["record_id"], action="cancel"
        )
        assert gone["appointment"]["status"] == "cancelled"
        _, second = await it.ask("book_appointment", **SLOT)
        assert (second["status"], second["already_filed"]) == ("filed", False)
        assert second["draft_id"] != first["draft_id"]
        assert booked(it) == [second["record_id"]]
        _, third = await it.ask("book_appointment", **SLOT)
        assert (third["draft_id"], third["already_filed"]) == (second["draft_id"], True)


@both_eras
async def test_new_key_is_a_second_draft_and_shown_to_the_approver(mode: str) -> None:
    async with asking(mode, person := user(dismiss)) as it:
        _, first = await it.ask("book_appointment", **SLOT)
        _, second = await it.ask("book_appointment", **SLOT, idempotency_key="once more")
        _, again = await it.ask("book_appointment", **SLOT, idempotency_key="once more")
    assert first["draft_id"] != second["draft_id"] == again["draft_id"]
    assert "Second copy" not in person.asked[0].message
    assert "once more" in person.asked[1].message


@both_eras
async def test_declined_is_asked_anew_under_a_new_draft(mode: str) -> None:
    async with asking(mode, person := user(decline, yes)) as it:
        _, first = await it.ask("book_appointment", **SLOT)
        _, second = await it.ask("book_appointment", **SLOT)
        assert (first["status"], second["status"]) == ("declined", "filed")
        assert first["draft_id"] != second["draft_id"]
        assert len(person.asked) == 2
        assert len(booked(it)) == 1


@both_eras
async def test_taken_between_question_and_answer_is_for_a_person(mode: str) -> None:
    async with asking(mode) as it:
        _, data = await it.ask("book_appointment", **SLOT)
        entry = await it.desk.entry(data["draft_id"])
        await it.store("appointments", **{**SLOT, "patient_id": AASA})
        before = len(it.writes())
        await it.desk.approve(entry, ANNA)
        after = await it.desk.outcome(entry, 5)
        assert (after.draft.state, after.draft.reason) == ("needs_human", "slot_taken")
        assert len(it.writes()) == before


@both_eras
async def test_resource_may_be_named_by_its_hsa_id(mode: str) -> None:
    hsa = "hsa_id:SE2321000131-E000000012346"
    async with asking(mode, user(yes)) as it:
        _, data = await it.ask("book_appointment", **{**SLOT, "resource_id": hsa})
        (sent,) = bodies(it)
        stored = (await it.desk.entry(data["draft_id"])).draft
    assert sent["resource_id"] == hsa
    assert (data["status"], data["appointment"]["resource_id"]) == ("filed", "1022")
    assert stored.verified == "equal"


@both_eras
async def test_anita_systems_tells_that_the_patient_confirms(mode: str) -> None:
    async with asking(mode, user(yes), emr="anitasystems") as it:
        patient = f"emr_id:{it.control.patient(TOLVAN).emr_id}"
        call = {**SLOT, "patient_id": patient, "expect": "Tolvansson"}
        text, data = await it.ask("book_appointment", **call)
        code = it.control.sms_code(data["record_id"])
        _, done = await it.ask(
            "change_appointment", appointment_id=data["record_id"], action="confirm", code=code
        )
    assert data["appointment"]["status"] == "awaiting_confirmation"
    assert "action confirm" in data["next"]
    assert "a code was sent" in text
    assert codes(data) == ["overlap_unknown"]
    assert code not in text
    assert (done["status"], done["appointment"]["status"]) == ("filed", "booked")


@both_eras
async def test_anita_systems_without_expect_cannot_name_the_patient(mode: str) -> None:
    async with asking(mode, person := user(yes), emr="anitasystems") as it:
        patient = f"emr_id:{it.control.patient(TOLVAN).emr_id}"
        _, data = await it.ask("book_appointment", **{**SLOT, "patient_id": patient})
        refused = await it.refused(
            "book_appointment", **{**SLOT, "patient_id": patient}, expect="Testdotter"
        )
    assert "patient_unverified" in codes(data)
    assert "name not told by the record" in person.asked[0].message
    assert refused.code == "patient_mismatch"


@both_eras
@pytest.mark.parametrize("emr", ["takecare", "kaddio"])
async def test_other_record_systems_book_too(mode: str, emr: str) -> None:
    resource = "10-991890000027" if emr == "takecare" else "1022"
    async with asking(mode, user(yes), emr=emr) as it:
        _, data = await it.ask("book_appointment", **{**SLOT, "resource_id": resource})
    assert (data["status"], data["appointment"]["resource_id"]) == ("filed", resource)


@both_eras
async def test_patient_of_nobody_and_of_a_type_not_taken(mode: str) -> None:
    async with session(mode) as it:
        unknown = await it.refused("book_appointment", **{**SLOT, "patient_id": "nobody"})
        other = await it.refused(
            "book_appointment", **{**SLOT, "patient_id": "nhs_number:9990000018"}
        )
        wrong = await it.refused(
            "book_appointment", **{**SLOT, "patient_id": "se_personal_number:191212121213"}
        )
        bare = await it.refused("book_appointment", **{**SLOT, "patient_id": TOLVAN})
    codes = [refused.code for refused in (unknown, other, wrong, bare)]
    assert codes == [
        "patient_not_found",
        "not_supported",
        "identifier_checksum",
        "identifier_ambiguous",
    ]


@both_eras
async def test_resource_and_service_of_nobody(mode: str) -> None:
    async with session(mode) as it:
        resource = await it.refused("book_appointment", **{**SLOT, "resource_id": "9999"})
        service = await it.refused("book_appointment", **{**SLOT, "healthcare_service_id": "9"})
    assert (resource.code, resource.field) == ("not_found", "resource_id")
    assert service.code in {"not_found", "slot_taken"}


@both_eras
async def test_other_appointments_that_cannot_be_read_are_told(mode: str) -> None:
    async with session(mode) as it:
        it.fail("html", operation="appointments-find_appointments")
        _, data = await it.ask("book_appointment", **SLOT)
    assert [(c["code"], c["level"]) for c in data["checks"]] == [("overlap_unknown", "warn")]


@both_eras
async def test_trusted_files_unasked_only_with_expect_and_nothing_against_it(mode: str) -> None:
    async with asking(mode, person := user(yes), LEYR_MCP_APPROVAL="trusted") as it:
        refused = await it.refused("book_appointment", **SLOT)
        assert (refused.code, refused.field) == ("invalid_argument", "expect")
        _, data = await it.ask("book_appointment", **SLOT, expect="Tolvansson")
        assert (data["status"], person.asked) == ("filed", [])
        other = {**SLOT, "start": END, "end": "2026-09-17T11:00:00+02:00"}
        _, held = await it.ask(
            "book_appointment", **other, expect="Tolvansson", comment="Gäller 19900602-2397"
        )
        assert len(person.asked) == 1
        assert held["status"] == "filed"
