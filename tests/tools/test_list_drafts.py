"""list_drafts: what is not yet in the record, whose it is, how it is narrowed and cut."""

from __future__ import annotations

from typing import Any

import pytest

from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.entries import Proposal
from leyr_mcp.server.filing.payloads import NoteItem, PatientItem
from leyr_mcp.tools.toolsets import Choice
from tests.support.mcp_asking import NOTE, PATIENT, asking, user, yes
from tests.support.mcp_session import Session, both_eras, session
from tests.support.mcp_snapshots import check_snapshot

OTHER = "se_personal_number:195008121856"
BOOKING = {
    "patient_id": PATIENT,
    "start": "2026-09-17T10:00:00+02:00",
    "end": "2026-09-17T10:30:00+02:00",
    "resource_id": "1022",
    "healthcare_service_id": "301",
}


async def drafted(it: Session, **changes: Any) -> str:
    _, data = await it.ask("write_note", **{**NOTE, "draft": True, **changes})
    return str(data["draft_id"])


async def ids(it: Session, **narrow: str) -> list[str]:
    _, data = await it.ask("list_drafts", **narrow)
    return [entry["draft_id"] for entry in data["drafts"]]


async def of_another(it: Session) -> str:
    """Draft a note as another user of the same server."""
    proposal = Proposal(
        care_unit_id="L0_1",
        patient=it.app.context.patient_ref(PATIENT),
        item=NoteItem(
            title="Annan", template_id="leyr_unstructured", content={"unstructured": "Frisk."}
        ),
    )
    return (await it.app.desk().stage(proposal, Who(subject="another"))).id


@both_eras
async def test_whole_answer(mode: str) -> None:
    async with asking(mode) as it:
        note = await drafted(it)
        it.clock.later(minutes=1)
        _, booked = await it.ask("book_appointment", **BOOKING)
        text, data = await it.ask("list_drafts")
    for number, draft_id in enumerate((note, booked["draft_id"])):
        text = text.replace(draft_id, f"d_{number}")
        for entry in data["drafts"]:
            entry["draft_id"] = entry["draft_id"].replace(draft_id, f"d_{number}")
    check_snapshot("answers/list_drafts", {"text": text.splitlines(), "data": data})


@both_eras
async def test_nothing_drafted_says_so(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("list_drafts")
    assert data == {"drafts": [], "truncated": False}
    assert text == "There is no such draft. Next: tell the user."


@both_eras
async def test_patient_is_found_by_every_identifier_that_names_them(mode: str) -> None:
    async with session(mode) as it:
        mine = await drafted(it)
        await drafted(it, patient_id=OTHER)
        emr_id = f"emr_id:{it.control.patient(PATIENT.partition(':')[2]).emr_id}"
        for named in (PATIENT, emr_id, "se_personal_number:19121212-1212"):
            assert await ids(it, patient_id=named) == [mine]
        assert len(await ids(it)) == 2


@both_eras
async def test_state_narrows_and_names_final_ones_too(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        kept = await drafted(it)
        gone = await drafted(it, title="Annat")
        await it.ask("discard_draft", draft_id=gone)
        _, data = await it.ask("write_note", **{**NOTE, "title": "Tredje"})
        assert await ids(it) == await ids(it, state="draft") == [kept]
        assert await ids(it, state="withdrawn") == [gone]
        assert await ids(it, state="filed") == [data["draft_id"]]
        assert await ids(it, state="unknown") == []


@both_eras
async def test_care_unit_narrows(mode: str) -> None:
    async with session(mode) as it:
        mine = await drafted(it)
        assert await ids(it, care_unit_id="L0_1") == [mine]
        assert await ids(it, care_unit_id="L0_2") == []


@both_eras
async def test_drafts_of_another_are_not_shown_and_do_not_fill_the_list(mode: str) -> None:
    async with session(mode) as it:
        mine = await drafted(it)
        await of_another(it)
        assert await ids(it) == [mine]
        assert await ids(it, patient_id=PATIENT) == [mine]


async def test_more_than_fifty_are_cut_and_said_to_be() -> None:
    async with session("auto") as it:
        for number in range(50):
            await drafted(it, title=f"Nummer {number}")
        _, data = await it.ask("list_drafts")
        assert (len(data["drafts"]), data["truncated"]) == (50, False)
        await drafted(it)
        text, data = await it.ask("list_drafts")
    assert (len(data["drafts"]), data["truncated"]) == (50, True)
    assert "There are more; the latest 50 are shown." in text


async def test_latest_comes_first() -> None:
    async with asking("auto") as it:
        made = []
        for number in range(3):
            made.append(await drafted(it, title=f"Nummer {number}"))
            it.clock.later(minutes=1)
        assert await ids(it) == made[::-1]


@both_eras
@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (None, {"appointment", "note", "patient"}),
        ("front-desk", {"appointment", "patient"}),
        ("scribe", {"appointment", "note"}),
    ],
)
async def test_role_is_shown_no_draft_of_what_it_never_receives(
    mode: str, role: str | None, seen: set[str]
) -> None:
    person = PatientItem(first_name="Ny", last_name="Provsson", phones=("+46700000000",))
    note = NoteItem(title="T", template_id="leyr_unstructured", content={"unstructured": "x"})
    async with session(mode, choice=Choice(role=role)) as it:
        await it.ask("book_appointment", **BOOKING)
        (booked,) = await it.app.desk().entries()
        mine = Who(subject=booked.draft.principal.partition(":")[2])
        patient = it.app.context.patient_ref(PATIENT)
        for item, whom in ((note, patient), (person, None)):
            made = Proposal(care_unit_id="L0_1", patient=whom, item=item)
            await it.app.desk().stage(made, mine)
        _, data = await it.ask("list_drafts")
        assert {entry["kind"] for entry in data["drafts"]} == seen
        (unsent,) = (await it.client.read_resource("drafts://unsent")).contents
        for entry in await it.app.desk().entries():
            shown = entry.draft.kind in seen
            assert (entry.id in unsent.model_dump()["text"]) is shown
            result = await it.call("get_draft", draft_id=entry.id)
            assert bool(result.is_error) is not shown


@both_eras
@pytest.mark.parametrize(
    ("call", "code", "field"),
    [
        ({"state": "open"}, "invalid_argument", "state"),
        ({"patient_id": "191212121212"}, "identifier_ambiguous", "patient_id"),
        ({"patient_id": "se_personal_number:191212121213"}, "identifier_checksum", "patient_id"),
    ],
)
async def test_wrong_call_is_refused_before_anything_is_sent(
    mode: str, call: dict[str, str], code: str, field: str
) -> None:
    async with session(mode) as it:
        refused = await it.refused("list_drafts", **call)
        assert (refused.code, refused.field) == (code, field)
        assert it.requests() == []


@both_eras
async def test_patient_that_the_record_does_not_have_is_named_so(mode: str) -> None:
    async with session(mode) as it:
        refused = await it.refused("list_drafts", patient_id="emr_id:nobody")
    assert refused.code == "patient_not_found"
