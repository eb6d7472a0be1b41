"""change_appointment: moved, cancelled, confirmed; what is refused; what a repeat comes to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from leyr_mcp.server.ehr.port import Reschedule, Window
from leyr_mcp.server.errors import UpstreamContractError
from leyr_mcp.tools.catalog import TOOLS
from tests.support.mcp_answers import check_answer, check_error, check_text_suffices
from tests.support.mcp_asking import ANNA, Asking, asking, decline, dismiss, no, user, yes
from tests.support.mcp_session import NOW, TOLVAN, both_eras, session
from tests.support.mcp_snapshots import check_snapshot
from tests.support.mcp_upstream import Canned, client_over
from tests.support.mcp_writes import CLEANED, HOSTILE, bodies, codes, told

AASA = "197110021834"
DAY = "2026-09-16T"
MOVED = {"start": f"{DAY}13:00:00+02:00", "end": f"{DAY}13:30:00+02:00"}


def own(it: Any, who: str = TOLVAN) -> str:
    """Return the id of the patient's appointment to come, on Wednesday at ten."""
    found, *_ = [
        a.id
        for a in it.control.appointments(who)
        if a.start_s > NOW.timestamp() and a.care_unit_id in {"L0_1", "10"}
    ]
    return str(found)


def now_of(it: Any, appointment_id: str) -> tuple[str, str, str | None]:
    """Return status, resource and comment of an appointment as the record has it."""
    (found,) = [a for a in it.control.appointments() if a.id == appointment_id]
    return found.status, found.resource_id, found.comment


async def change(it: Any, action: str, **more: Any) -> dict[str, Any]:
    """Change the patient's own appointment."""
    call = {"appointment_id": own(it), "action": action, **more}
    text, data = await it.ask("change_appointment", **call)
    check_text_suffices(text, data)
    return dict(data)


async def anita(it: Asking) -> str:
    """Return the id of an appointment of the first patient that is booked and confirmed."""
    booking = await it.store(
        "appointments", **MOVED, resource_id="1022", healthcare_service_id="301",
        patient_id=f"emr_id:{it.control.patient(TOLVAN).emr_id}",
    )  # fmt: skip
    code = it.control.sms_code(booking["id"])
    await it.ask("change_appointment", appointment_id=booking["id"], action="confirm", code=code)
    return str(booking["id"])


@both_eras
async def test_moved_after_a_yes(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        call = {"appointment_id": own(it), "action": "reschedule", **MOVED, "expect": "Tolvansson"}
        text, data = await it.ask("change_appointment", **call)
        (request,) = it.writes()
        assert (request.method, bodies(it)) == ("PATCH", [MOVED])
        stored = (await it.desk.entry(data["draft_id"])).draft
    assert (data["status"], data["record_id"]) == ("filed", call["appointment_id"])
    assert data["appointment"]["start"] == MOVED["start"]
    assert stored.verified == "equal"
    said = person.asked[0].message
    assert "Reschedule Wed 2026-09-16 10:00" in said
    assert "New time: Wed 2026-09-16 13:00-13:30" in said
    assert "Tolvan Tolvansson" in said
    check_text_suffices(text, data)
    check_snapshot("answers/change_appointment_moved", told(text, data))


@both_eras
async def test_cancelled_after_a_yes(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        data = await change(it, "cancel", comment="Sjuk")
        assert bodies(it) == [{"status": "cancelled", "comment": "Sjuk"}]
        assert now_of(it, own(it))[0] == "cancelled"
    assert (data["status"], data["appointment"]["status"]) == ("filed", "cancelled")
    assert data["next"] == "Tell the user that the appointment is cancelled."


@both_eras
@pytest.mark.parametrize(
    ("more", "sent"),
    [
        ({"comment": "Tar med tolk"}, {"comment": "Tar med tolk"}),
        ({"resource_id": "1022"}, {"resource_id": "1022"}),
        ({"resource_id": "emr_id:1022"}, {"resource_id": "1022"}),
    ],
)
async def test_resource_or_comment_alone(
    mode: str, more: dict[str, str], sent: dict[str, str]
) -> None:
    async with asking(mode, user(yes)) as it:
        data = await change(it, "reschedule", **more)
        assert bodies(it) == [sent]
    assert data["status"] == "filed"


@both_eras
@pytest.mark.parametrize(
    ("way", "status"), [(decline, "declined"), (no, "declined"), (dismiss, "awaiting_approval")]
)
async def test_without_a_yes_nothing_changes(mode: str, way: Any, status: str) -> None:
    async with asking(mode, user(way)) as it:
        data = await change(it, "cancel")
        assert it.writes() == []
        assert now_of(it, own(it))[0] == "booked"
    assert (data["status"], data["appointment"]["status"]) == (status, "booked")


@both_eras
async def test_client_that_cannot_ask_gets_the_command(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("change_appointment", appointment_id=own(it), action="cancel")
        assert {request.method for request in it.requests()} == {"GET"}
    assert data["status"] == "awaiting_approval"
    assert f"leyr-mcp approve {data['draft_id']}" in text
    check_snapshot("answers/change_appointment_waiting", told(text, data))


@both_eras
async def test_draft_asks_nobody(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        first = await change(it, "cancel", draft=True)
        assert (first["status"], person.asked, it.writes()) == ("draft", [], [])
        second = await change(it, "cancel")
    assert (second["draft_id"], second["status"]) == (first["draft_id"], "filed")


@both_eras
@pytest.mark.parametrize("expect", ["Testdotter", "1971-10-02"])
async def test_wrong_patient_is_refused_before_any_write(mode: str, expect: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        call = {"appointment_id": own(it), "action": "cancel", "expect": expect}
        refused = await it.refused("change_appointment", **call)
        assert (refused.code, refused.field) == ("patient_mismatch", "expect")
        assert (it.writes(), person.asked) == ([], [])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"action": "reschedule"}, "start"),
    ({"action": "reschedule", "comment": "\u200b"}, "start"),
    ({"action": "reschedule", "start": MOVED["start"]}, "end"),
    ({"action": "reschedule", "end": MOVED["end"]}, "start"),
    ({"action": "reschedule", "start": MOVED["end"], "end": MOVED["start"]}, "end"),
    ({"action": "reschedule", "start": "2026-09-16", "end": MOVED["end"]}, "start"),
    ({"action": "reschedule", "comment": "x", "code": "1"}, "code"),
    ({"action": "cancel", **MOVED}, "start"),
    ({"action": "cancel", "resource_id": "1022"}, "resource_id"),
    ({"action": "cancel", "code": "123456"}, "code"),
    ({"action": "cancel", "comment": "x" * 301}, "comment"),
    ({"action": "confirm"}, "code"),
    ({"action": "confirm", "code": "1", "comment": "x"}, "comment"),
    ({"action": "confirm", "code": HOSTILE}, "code"),
    ({"action": "approve"}, "action"),
    ({"action": "cancel", "appointment_id": "../1"}, "appointment_id"),
    ({"action": "cancel", "appointment_id": HOSTILE}, "appointment_id"),
    ({"action": "cancel", "expect": "7 Tolvansson"}, "expect"),
    ({"action": "reschedule", "resource_id": HOSTILE}, "resource_id"),
    ({"action": "cancel", "idempotency_key": HOSTILE}, "idempotency_key"),
    ({"action": "cancel", "care_unit_id": HOSTILE}, "care_unit_id"),
]


@both_eras
@pytest.mark.parametrize(("call", "field"), WRONG)
async def test_arguments_that_do_not_belong_are_refused_before_the_network(
    mode: str, call: dict[str, Any], field: str
) -> None:
    async with session(mode) as it:
        refused = await it.refused("change_appointment", **{"appointment_id": own(it), **call})
        assert (refused.code, refused.field) == ("invalid_argument", field)
        assert it.requests() == []
    assert "SYSTEM" not in refused.text


@both_eras
async def test_comment_is_cleaned(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        data = await change(it, "cancel", comment=HOSTILE)
        assert bodies(it) == [{"status": "cancelled", "comment": CLEANED}]
    assert CLEANED in person.asked[0].message
    assert "characters_removed" in codes(data)


@both_eras
async def test_appointment_of_nobody(mode: str) -> None:
    async with session(mode) as it:
        refused = await it.refused("change_appointment", appointment_id="none", action="cancel")
    assert (refused.code, refused.field) == ("not_found", "appointment_id")


@both_eras
async def test_taken_time_is_refused_with_others(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        patient = f"emr_id:{it.control.patient(AASA).emr_id}"
        await it.store(
            "appointments", **MOVED, patient_id=patient, resource_id="1021",
            healthcare_service_id="301",
        )  # fmt: skip
        call = {"appointment_id": own(it), "action": "reschedule", **MOVED}
        refused = await it.refused("change_appointment", **call)
        assert refused.code == "slot_taken"
        assert f"{DAY}13:30:00+02:00 to 14:00 with resource_id 1021" in refused.next
        assert person.asked == []


@both_eras
async def test_own_present_time_is_free_for_it(mode: str) -> None:
    async with session(mode) as it:
        longer = {"start": f"{DAY}10:00:00+02:00", "end": f"{DAY}11:00:00+02:00"}
        data = await change(it, "reschedule", **longer)
        assert (data["status"], codes(data)) == ("awaiting_approval", [])
        over = {"start": f"{DAY}11:30:00+02:00", "end": f"{DAY}12:30:00+02:00"}
        call = {"appointment_id": own(it), "action": "reschedule", **over}
        assert (await it.refused("change_appointment", **call)).code == "slot_taken"


@both_eras
async def test_overlap_with_another_of_the_patients_is_told(mode: str) -> None:
    async with session(mode) as it:
        patient = f"emr_id:{it.control.patient(TOLVAN).emr_id}"
        other = await it.store(
            "appointments", **MOVED, patient_id=patient, resource_id="1022",
            healthcare_service_id="301",
        )  # fmt: skip
        data = await change(it, "reschedule", **MOVED)
    (check,) = data["checks"]
    assert (check["code"], other["id"] in check["message"]) == ("overlap", True)


@both_eras
async def test_same_change_twice_is_one(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        for action, more in (("reschedule", MOVED), ("cancel", {"comment": "Sjuk"})):
            call = {"appointment_id": own(it), "action": action, **more}
            _, first = await it.ask("change_appointment", **call)
            _, again = await it.ask("change_appointment", **call)
            assert (first["already_filed"], again["already_filed"]) == (False, True)
            assert again["draft_id"] == first["draft_id"]
        assert len(it.writes()) == len(person.asked) == 2


@both_eras
async def test_what_is_so_already_is_told_and_not_written(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        call = {"appointment_id": own(it), "action": "reschedule"}
        there = {"start": f"{DAY}10:00:00+02:00", "end": f"{DAY}08:30:00Z"}
        same = await it.refused("change_appointment", **call, **there)
        await change(it, "cancel")
        gone = await it.refused("change_appointment", **call, **MOVED)
        twice = await it.refused(
            "change_appointment", appointment_id=own(it), action="cancel", comment="Igen"
        )
        assert len(it.writes()) == len(person.asked) == 1
    assert {same.code, gone.code, twice.code} == {"upstream_refused"}
    assert same.message == "The appointment is like this already."
    assert twice.message == "The appointment is cancelled already."
    assert gone.message.startswith("The appointment is over or cancelled")
    assert {same.next, gone.next, twice.next} == {"Tell the user; nothing was written."}


@both_eras
async def test_moved_back_and_forth_is_written_each_time(mode: str) -> None:
    back = {"start": f"{DAY}10:00:00+02:00", "end": f"{DAY}10:30:00+02:00"}
    async with asking(mode, person := user(yes)) as it:
        drafts = [
            (await change(it, "reschedule", **where))["draft_id"] for where in (MOVED, back, MOVED)
        ]
        assert len(set(drafts)) == len(it.writes()) == len(person.asked) == 3


@both_eras
async def test_new_key_is_a_second_draft(mode: str) -> None:
    async with asking(mode, person := user(dismiss)) as it:
        first = await change(it, "cancel")
        second = await change(it, "cancel", idempotency_key="again")
    assert first["draft_id"] != second["draft_id"]
    assert "again" in person.asked[1].message


@both_eras
async def test_declined_is_asked_anew(mode: str) -> None:
    async with asking(mode, person := user(decline, yes)) as it:
        first, second = await change(it, "cancel"), await change(it, "cancel")
        assert (first["status"], second["status"]) == ("declined", "filed")
        assert first["draft_id"] != second["draft_id"]
        assert len(person.asked) == 2


@both_eras
async def test_past_appointment_cannot_be_changed(mode: str) -> None:
    async with session(mode) as it:
        past = next(a for a in it.control.appointments(TOLVAN) if a.start_s < NOW.timestamp())
        refused = await it.refused("change_appointment", appointment_id=past.id, action="cancel")
    assert refused.message == "The appointment is over or cancelled and can no longer be changed."


@both_eras
async def test_what_waits_for_no_code_is_not_confirmed(mode: str) -> None:
    async with session(mode) as it:
        call = {"appointment_id": own(it), "action": "confirm", "code": "123456"}
        refused = await it.refused("change_appointment", **call)
    assert refused.message == "This appointment does not wait for a code."


@both_eras
async def test_anita_systems_cancels_in_two_steps(mode: str) -> None:
    async with asking(mode, person := user(yes), emr="anitasystems") as it:
        booked = await anita(it)
        call = {"appointment_id": booked, "action": "cancel", "expect": "Tolvansson"}
        text, first = await it.ask("change_appointment", **call)
        assert now_of(it, booked)[0] == "booked"
        waiting = first["appointment"]["appointment_id"]
        assert waiting == first["record_id"] != booked
        assert first["appointment"]["status"] == "awaiting_confirmation"
        assert first["next"].startswith("The appointment stays booked until the patient confirms")
        check_text_suffices(text, first)
        check_snapshot("answers/change_appointment_two_steps", told(text, first))

        _, again = await it.ask("change_appointment", **call)
        assert (again["draft_id"], again["already_filed"]) == (first["draft_id"], True)
        early = await it.refused(
            "change_appointment", appointment_id=booked, action="confirm", code="000000"
        )
        assert early.message == "This appointment does not wait for a code."

        code = it.control.sms_code(waiting)
        call = {"appointment_id": waiting, "action": "confirm", "code": code}
        _, done = await it.ask("change_appointment", **call)
        assert (done["status"], done["appointment"]["status"]) == ("filed", "cancelled")
        assert now_of(it, booked)[0] == "cancelled"
        _, twice = await it.ask("change_appointment", **call)
        assert (twice["draft_id"], twice["already_filed"]) == (done["draft_id"], True)
        assert [r.method for r in it.writes()].count("PATCH") == 3
    assert "Tolvan Tolvansson" in person.asked[1].message


@both_eras
async def test_wrong_code_is_for_a_person_and_never_sent_twice(mode: str) -> None:
    async with asking(mode, user(yes), emr="anitasystems") as it:
        booking = await it.store(
            "appointments", **MOVED, resource_id="1022", healthcare_service_id="301",
            patient_id=f"emr_id:{it.control.patient(TOLVAN).emr_id}",
        )  # fmt: skip
        call = {"appointment_id": booking["id"], "action": "confirm", "code": "000000"}
        _, data = await it.ask("change_appointment", **call)
        _, again = await it.ask("change_appointment", **call)
        assert (data["status"], data["reason"]) == ("needs_human", "bad_input")
        assert again["draft_id"] == data["draft_id"]
        assert [r.method for r in it.writes()].count("PATCH") == 1


@both_eras
async def test_status_that_cannot_be_read_again_is_not_guessed(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(mode, user(yes)) as it:
        kind = type(it.app.ehr)
        reading = kind.appointment

        async def once(self: Any, unit: str, appointment_id: str) -> Any:
            if it.writes():
                raise UpstreamContractError("Not readable.")
            return await reading(self, unit, appointment_id)

        appointment_id = own(it)
        monkeypatch.setattr(kind, "appointment", once)
        call = {"appointment_id": appointment_id, "action": "reschedule", **MOVED}
        text, data = await it.ask("change_appointment", **call)
        check_text_suffices(text, data)
    assert (data["status"], data["record_id"]) == ("filed", appointment_id)
    assert data["appointment"]["start"] == MOVED["start"]
    assert "status" not in data["appointment"]
    assert "could not be read again" in data["next"]


@both_eras
async def test_takecare_moves_and_cancels(mode: str) -> None:
    async with asking(mode, user(yes), emr="takecare") as it:
        assert (await change(it, "reschedule", **MOVED))["status"] == "filed"
        assert (await change(it, "cancel"))["appointment"]["status"] == "cancelled"


async def test_kaddio_is_not_offered_it() -> None:
    async with session("auto", "kaddio") as it:
        names = [tool.name for tool in (await it.client.list_tools()).tools]
    assert "change_appointment" not in names
    assert "book_appointment" in names


APPOINTMENT: dict[str, Any] = {
    "id": "a1",
    "start": f"{DAY}10:00:00+02:00",
    "end": f"{DAY}10:30:00+02:00",
    "status": "booked",
}
ONLY = [tool for tool in TOOLS if tool.name == "change_appointment"]
CANCEL = {"appointment_id": "a1", "action": "cancel"}


@both_eras
@pytest.mark.parametrize("patient_id", [None, "leyr-id-of-somebody", "nothing/usable", "x:y"])
async def test_patient_whom_the_record_does_not_tell_is_shown_as_unverified(
    mode: str, patient_id: str | None
) -> None:
    answers = {
        "/appointments/a1": {**APPOINTMENT, "patient_id": patient_id},
        "/patients/emr_id:leyr-id-of-somebody": {"code": "NOT_FOUND"},
        "/resources": [],
        "/healthcare-services": [],
    }
    async with client_over(Canned(answers), mode, tools=ONLY) as client:
        _, data = check_answer(
            await client.call_tool("change_appointment", {**CANCEL, "expect": "Tolvansson"})
        )
        _, plain = check_answer(await client.call_tool("change_appointment", CANCEL))
    assert data["status"] == plain["status"] == "awaiting_approval"
    assert codes(data) == codes(plain) == ["patient_unverified"]


@both_eras
async def test_appointment_that_cannot_be_shown_cannot_be_changed(mode: str) -> None:
    async def upstream(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"code":"NOT_SUPPORTED"}'})

    async with client_over(upstream, mode, tools=ONLY) as client:
        refused = check_error(await client.call_tool("change_appointment", CANCEL))
    assert refused.code == "not_supported"
    assert refused.message.startswith("This record system does not show a single appointment")


@both_eras
@pytest.mark.parametrize("status", [HOSTILE, "x" * 500])
async def test_status_that_a_person_could_not_read_is_refused(mode: str, status: str) -> None:
    found = {"/appointments/a1": {**APPOINTMENT, "status": status}}
    async with client_over(Canned(found), mode, tools=ONLY) as client:
        refused = check_error(await client.call_tool("change_appointment", CANCEL))
    assert refused.code == "upstream_bad_response"


@both_eras
async def test_trusted_needs_a_patient_that_can_be_compared(mode: str) -> None:
    async with asking(mode, person := user(yes), LEYR_MCP_APPROVAL="trusted") as it:
        call = {"appointment_id": own(it), "action": "cancel"}
        refused = await it.refused("change_appointment", **call)
        assert (refused.code, refused.field) == ("invalid_argument", "expect")
        _, data = await it.ask("change_appointment", **call, expect="1912-12-12")
        assert (data["status"], person.asked) == ("filed", [])


@both_eras
async def test_changed_by_another_after_the_question_is_asked_again(mode: str) -> None:
    async with asking(mode) as it:
        appointment_id = own(it)
        data = await change(it, "cancel")
        entry = await it.desk.entry(data["draft_id"])
        unit, moved = "L0_1", Window(*map(datetime.fromisoformat, MOVED.values()))
        await it.app.ehr.change_appointment(unit, appointment_id, Reschedule(window=moved))
        await it.desk.approve(entry, ANNA)
        after = await it.desk.outcome(entry, 5)
        assert (after.draft.state, after.draft.reason) == (
            "awaiting_approval", "appointment_changed",
        )  # fmt: skip
        assert now_of(it, appointment_id)[0] == "booked"
