"""file_drafts: one question for all, filed in their order, and each outcome told by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from mcp.types import ElicitRequestFormParams, ElicitResult

from tests.support.mcp_asking import (
    NOTE,
    PATIENT,
    PROGRAM,
    Asking,
    Form,
    asking,
    decline,
    dismiss,
    fields,
    no,
    user,
    yes,
)
from tests.support.mcp_session import both_eras
from tests.support.mcp_snapshots import check_snapshot

OTHER = "se_personal_number:195008121856"
BOOKING = {
    "patient_id": PATIENT,
    "start": "2026-09-17T10:00:00+02:00",
    "end": "2026-09-17T10:30:00+02:00",
    "resource_id": "1022",
    "healthcare_service_id": "301",
}


async def drafted(it: Asking, tool: str = "write_note", **changes: Any) -> str:
    call = NOTE if tool == "write_note" else BOOKING
    _, data = await it.ask(tool, **{**call, "draft": True, **changes})
    return str(data["draft_id"])


def only(*titles: str) -> Any:
    """Say yes to those whose question holds one of these words, no to the others."""

    def way(form: Form) -> ElicitResult:
        given: dict[str, Any] = {
            name: any(
                title in form.requested_schema["properties"][name]["title"] for title in titles
            )
            for name in fields(form)
        }
        return ElicitResult(action="accept", content=given)

    return way


def paths(it: Asking) -> list[str]:
    return [request.path.rpartition("/")[2] for request in it.writes()]


@both_eras
async def test_whole_answer(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        note, booking = await drafted(it), await drafted(it, "book_appointment")
        text, data = await it.ask("file_drafts", draft_ids=[note, booking])
        assert paths(it) == ["appointments", "medical-notes"]
    names = {note: "d_note", booking: "d_booking"}
    for one in data["results"]:
        text = text.replace(one["record_id"], f"record of {names[one['draft_id']]}")
        one["record_id"] = f"record of {names[one['draft_id']]}"
        one["draft_id"] = names[one["draft_id"]]
    for draft_id, name in names.items():
        text = text.replace(draft_id, name)
    data["filed"] = [names[draft_id] for draft_id in data["filed"]]
    check_snapshot("answers/file_drafts", {"text": text.splitlines(), "data": data})


@both_eras
async def test_one_question_has_one_yes_or_no_for_each_in_the_order_of_filing(mode: str) -> None:
    person = user(yes)
    async with asking(mode, person) as it:
        notes = [await drafted(it, title=f"Del {number}") for number in (1, 2)]
        booking = await drafted(it, "book_appointment")
        _, data = await it.ask("file_drafts", draft_ids=[*notes, booking])
        (form,) = person.asked
        assert isinstance(form, ElicitRequestFormParams)
        assert fields(form) == data["filed"] == [booking, *notes]
        assert paths(it) == ["appointments", "medical-notes", "medical-notes"]
        titles = [note.title for note in it.control.notes(PATIENT.partition(":")[2])]
        assert {"Del 1", "Del 2"} <= set(titles)


@both_eras
async def test_order_holds_for_ten_at_the_record(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    async with asking(mode, user(yes)) as it:
        write_note = type(it.app.ehr).write_note

        async def told(ehr: Any, unit: str, ref: Any, note: Any) -> Any:
            sent.append(note.title)
            return await write_note(ehr, unit, ref, note)

        monkeypatch.setattr(type(it.app.ehr), "write_note", told)
        notes = [await drafted(it, title=f"Del {number}") for number in range(9)]
        booking = await drafted(it, "book_appointment")
        order = [*notes[::-1], booking]
        _, data = await it.ask("file_drafts", draft_ids=order)
        assert data["filed"] == [booking, *notes[::-1]]
        assert sent == [f"Del {number}" for number in reversed(range(9))]
        assert paths(it) == ["appointments", *["medical-notes"] * 9]


@both_eras
async def test_each_is_decided_by_itself(mode: str) -> None:
    async with asking(mode, user(only("Besök"))) as it:
        note, other = await drafted(it), await drafted(it, title="Annat")
        text, data = await it.ask("file_drafts", draft_ids=[other, note])
        assert (data["filed"], data["waiting"], data["failed"]) == ([note], [], [other])
        assert data["results"][0]["status"] == "declined"
        assert text.startswith("1 filed, 0 waiting, 1 failed.")
        assert it.notes() == ["Mår bra."]


@both_eras
@pytest.mark.parametrize(("way", "status"), [(no, "declined"), (decline, "declined")])
async def test_no_to_all_files_nothing_and_is_no_error(mode: str, way: Any, status: str) -> None:
    async with asking(mode, user(way)) as it:
        ids = [await drafted(it), await drafted(it, "book_appointment")]
        _, data = await it.ask("file_drafts", draft_ids=ids)
        assert [one["status"] for one in data["results"]] == [status, status]
        _, data = await it.ask("file_drafts", draft_ids=ids)
        assert len(data["failed"]) == 2
        assert it.writes() == []


@both_eras
@pytest.mark.parametrize("person", [None, user(dismiss)])
async def test_where_nobody_decides_all_wait_and_nothing_is_written(mode: str, person: Any) -> None:
    async with asking(mode, person) as it:
        ids = [await drafted(it), await drafted(it, "book_appointment")]
        text, data = await it.ask("file_drafts", draft_ids=ids)
        assert sorted(data["waiting"]) == sorted(ids)
        assert text.count("leyr-mcp approve ") == 2
        assert it.writes() == []


@both_eras
async def test_one_failure_does_not_stop_the_others(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        note, booking = await drafted(it), await drafted(it, "book_appointment")
        it.fail("emr_401", method="POST", operation="appointments-create_appointment")
        text, data = await it.ask("file_drafts", draft_ids=[note, booking])
        assert (data["filed"], data["waiting"], data["failed"]) == ([note], [], [booking])
        assert data["results"][0]["reason"] == "upstream_refused"
        assert text.startswith("1 filed, 0 waiting, 1 failed.")


@both_eras
async def test_filed_ones_are_returned_as_filed_already_and_not_asked_about(mode: str) -> None:
    person = user(yes)
    async with asking(mode, person) as it:
        note = await drafted(it)
        await it.ask("file_drafts", draft_ids=[note])
        booking = await drafted(it, "book_appointment")
        text, data = await it.ask("file_drafts", draft_ids=[note, booking])
        assert [one["already_filed"] for one in data["results"]] == [False, True]
        assert fields(person.asked[-1]) == [booking]
        assert "already filed before; nothing was sent again" in text
        _, data = await it.ask("file_drafts", draft_ids=[note, booking])
        assert [one["already_filed"] for one in data["results"]] == [True, True]
        assert len(person.asked) == 2
        assert len(it.writes()) == 2


@both_eras
async def test_drafts_of_two_patients_are_refused_before_anything_moves(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        ids = [await drafted(it), await drafted(it, patient_id=OTHER)]
        refused = await it.refused("file_drafts", draft_ids=ids)
        assert (refused.code, refused.field) == ("invalid_argument", "draft_ids")
        assert [(await it.desk.entry(one)).draft.state for one in ids] == ["draft", "draft"]


@both_eras
async def test_patient_named_in_two_ways_is_one_patient(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        emr_id = f"emr_id:{it.control.patient(PATIENT.partition(':')[2]).emr_id}"
        ids = [await drafted(it), await drafted(it, title="Annat", patient_id=emr_id)]
        _, data = await it.ask("file_drafts", draft_ids=ids)
    assert len(data["filed"]) == 2


@both_eras
@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([], "at least 1"),
        ([f"d_{number}" for number in range(11)], "at most 10"),
        (["d_a", " d_a"], "each draft once"),
        ("d_a", "valid list"),
        ([7], "valid string"),
        (["d_a", "x" * 41], "printable"),
    ],
)
async def test_wrong_list_is_refused(mode: str, ids: Any, told: str) -> None:
    async with asking(mode) as it:
        refused = await it.refused("file_drafts", draft_ids=ids)
    assert (refused.code, refused.field) == ("invalid_argument", "draft_ids")
    assert told in refused.message


@both_eras
async def test_one_unknown_id_among_good_ones_moves_nothing(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        mine = await drafted(it)
        refused = await it.refused("file_drafts", draft_ids=[mine, "d_aaaaaaaaaaaaaaaa"])
        assert (refused.code, refused.field) == ("not_found", "draft_ids")
        assert (await it.desk.entry(mine)).draft.state == "draft"
        assert it.writes() == []


@both_eras
async def test_one_whose_time_is_over_is_told_to_be_expired(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        old = await drafted(it)
        it.clock.later(days=31)
        await (await it.stored()).expire(
            now=it.clock(), drafts_before=it.clock() - timedelta(days=30)
        )
        refused = await it.refused("file_drafts", draft_ids=[old])
        assert refused.code == "not_found"
        assert refused.message.endswith("it is expired.")
        assert it.writes() == []


@both_eras
async def test_trusted_files_what_may_be_filed_unasked_and_leaves_the_rest_waiting(
    mode: str,
) -> None:
    async with asking(mode, host=PROGRAM, LEYR_MCP_APPROVAL="trusted") as it:
        good = await drafted(it, expect="Tolvansson")
        bad = await drafted(it, content="Mår bra. [namn]", expect="Tolvansson")
        _, data = await it.ask("file_drafts", draft_ids=[bad, good])
        assert (data["filed"], data["waiting"]) == ([good], [bad])
        assert it.notes() == ["Mår bra."]
        (approval,) = await it.approvals()
        assert approval.channel == "policy"
