"""The desk: what it stages, finds again, lets people resolve, and refuses."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from leyr_mcp.server.ehr.models import Appointment, Patient
from leyr_mcp.server.errors import (
    InputError,
    LeyrMcpError,
    StorageError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
)
from leyr_mcp.server.filing.audit import Who, local_user
from leyr_mcp.server.filing.entries import Entry, Proposal, Shown, opened
from leyr_mcp.server.filing.payloads import AppointmentItem, NoteItem, PatientItem
from tests.support.mcp_asking import ANNA, NOTE, Asking, asking, user, yes
from tests.support.mcp_session import TOLVAN

ME = Who(subject=local_user())
OTHER = "se_personal_number:195008121856"


def item(text: str = "Mår bra.") -> NoteItem:
    """Return the note of these tests."""
    return NoteItem(
        title=NOTE["title"], template_id="leyr_unstructured", content={"unstructured": text}
    )


def proposal(it: Asking, text: str = "Mår bra.", **more: Any) -> Proposal:
    """Return what a tool proposes."""
    patient = it.app.context.patient_ref(NOTE["patient_id"])
    return Proposal(care_unit_id="L0_1", item=item(text), patient=patient, **more)


async def stuck(it: Asking, text: str = "Mår bra.") -> Entry:
    """Return a draft that needs a person."""
    entry = await it.desk.stage(proposal(it, text), ME)
    store = await it.stored()
    await store.move(entry.id, "awaiting_approval", "needs_human", version=1, now=it.clock())
    return await it.desk.entry(entry.id)


async def filed_note(it: Asking) -> str:
    """Return the record id of a note that is in the record."""
    _, data = await it.ask("write_note", **NOTE | {"title": "Annat besök"})
    return str(data["record_id"])


# Staging


async def test_equal_proposals_at_once_are_one_draft() -> None:
    async with asking("auto") as it:
        found = await asyncio.gather(*(it.desk.stage(proposal(it), ME) for _ in range(8)))
        assert len({entry.id for entry in found}) == 1
        assert {entry.waits for entry in found} == {True}
        assert len(await it.desk.entries()) == 1


async def test_equal_proposals_at_once_of_which_one_is_to_wait_are_submitted() -> None:
    async with asking("auto") as it:
        kept = [proposal(it, draft=True)] * 4
        found = await asyncio.gather(
            *(it.desk.stage(one, ME) for one in (*kept, proposal(it), *kept))
        )
        assert len({entry.id for entry in found}) == 1
        assert (await it.desk.entry(found[0].id)).waits


async def test_call_that_comes_in_second_gets_the_draft_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where what the first one filed stands against the second by now."""
    async with asking("auto") as it:
        staged: list[Entry] = []
        drafting = it.desk._drafting
        shown = drafting.shown

        async def late(*_: Any) -> Shown:
            monkeypatch.setattr(drafting, "shown", shown)
            staged.append(await it.desk.stage(proposal(it), ME))
            raise LeyrMcpError("That time is not free.", code="slot_taken")

        monkeypatch.setattr(drafting, "shown", late)
        entry = await it.desk.stage(proposal(it), ME)
        assert [entry.id] == [one.id for one in staged]


async def test_refusal_while_staging_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking("auto") as it:

        async def taken(*_: Any) -> Shown:
            raise LeyrMcpError("That time is not free.", code="slot_taken")

        monkeypatch.setattr(it.desk._drafting, "shown", taken)
        with pytest.raises(LeyrMcpError) as refused:
            await it.desk.stage(proposal(it), ME)
        assert refused.value.code == "slot_taken"
        assert await it.desk.entries() == []


def renamed(it: Asking, monkeypatch: pytest.MonkeyPatch, last_name: str) -> None:
    """Let the record tell another name from now on."""
    read = it.app.ehr.patient

    async def patient(*args: Any) -> Patient:
        return (await read(*args)).model_copy(update={"last_name": last_name})

    monkeypatch.setattr(it.app.ehr, "patient", patient)


async def test_patient_whose_name_changed_is_shown_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking("auto") as it:
        before = await it.desk.stage(proposal(it), ME)
        edited = await it.desk.edit(before, item("Mår bättre."), ANNA)
        renamed(it, monkeypatch, "Gift")
        after = await it.desk.stage(proposal(it), ME)
        assert (after.id, after.draft.version, after.waits) == (before.id, 3, True)
        assert after.payload.patient_name == "Tolvan Gift"
        assert after.payload.item == edited.payload.item
        assert (await it.desk.stage(proposal(it), ME)).draft.version == 3
        assert not await it.desk.approve(edited, ANNA)


async def test_name_that_changed_is_put_right_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking("auto") as it:
        await it.desk.stage(proposal(it), ME)
        renamed(it, monkeypatch, "Gift")
        found = await asyncio.gather(*(it.desk.stage(proposal(it), ME) for _ in range(4)))
        assert {entry.draft.version for entry in found} == {2}


async def test_what_is_sent_keeps_the_patient_it_was_approved_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asking("auto", user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        renamed(it, monkeypatch, "Gift")
        _, again = await it.ask("write_note", **NOTE)
        assert again == data | {"already_filed": True}


async def test_new_patient_is_read_by_nobody() -> None:
    async with asking("auto") as it:
        new = Proposal(care_unit_id="L0_1", item=PatientItem(first_name="Ny", last_name="Provsson"))
        first = await it.desk.stage(new, ME)
        assert (await it.desk.stage(new, ME)).id == first.id


# Reading


async def test_version_before_and_counts() -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it), ME)
        assert await it.desk.earlier(entry) is None
        edited = await it.desk.edit(entry, item("Mår bättre."), ANNA)
        earlier = await it.desk.earlier(edited)
        assert earlier is not None
        assert earlier.item == entry.payload.item
        assert await it.desk.counts() == {"awaiting_approval": 1}


async def test_approval_of_the_present_version() -> None:
    async with asking("auto", user(yes)) as it:
        waiting = await it.desk.stage(proposal(it, "Annat."), ME)
        assert await it.desk.approval(waiting) is None
        _, data = await it.ask("write_note", **NOTE)
        approval = await it.desk.approval(await it.desk.entry(data["draft_id"]))
        assert approval is not None
        assert approval.channel == "host:claude-code"


async def test_patient_has_one_name_however_one_names_them() -> None:
    async with asking("auto") as it:
        patient = it.control.patient(TOLVAN)
        named = [NOTE["patient_id"], f"emr_id:{patient.emr_id}"]
        refs = [it.app.context.patient_ref(name) for name in named]
        assert len({await it.desk.whom("L0_1", ref) for ref in refs}) == 1


async def test_draft_that_is_gone_while_waited_for_is_told_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it), ME)

        async def none(*_: Any) -> None:
            return None

        monkeypatch.setattr(await it.stored(), "draft", none)
        assert await it.desk.outcome(entry, 0) is entry


def test_damaged_findings_are_a_damaged_draft() -> None:
    assert Shown.from_bytes(b"") == Shown()
    for raw in (b"x", b"[]", b'{"checks": 1}'):
        with pytest.raises(StorageError) as damaged:
            Shown.from_bytes(raw)
        assert damaged.value.__cause__ is None


async def test_deleted_text_cannot_be_opened() -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it), ME)
        with pytest.raises(StorageError):
            opened(dataclasses.replace(entry.draft, payload=b""))


# Moves


async def test_edit_that_changes_nothing_makes_no_version() -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it), ME)
        assert await it.desk.edit(entry, item(), ANNA) is entry


async def test_edit_into_another_kind_is_refused() -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it), ME)
        with pytest.raises(InputError):
            await it.desk.edit(entry, PatientItem(first_name="A", last_name="B"), ANNA)


async def test_edit_of_an_older_version_is_void() -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it), ME)
        await it.desk.edit(entry, item("Mår bättre."), ANNA)
        with pytest.raises(LeyrMcpError) as refused:
            await it.desk.edit(entry, item("Mår sämre."), ANNA)
        assert refused.value.code == "approval_void"
        assert "version 2" in refused.value.message


async def test_edit_of_what_was_filed_is_refused() -> None:
    async with asking("auto", user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        with pytest.raises(LeyrMcpError) as refused:
            await it.desk.edit(await it.desk.entry(data["draft_id"]), item("Annat."), ANNA)
        assert refused.value.code == "in_progress"


async def test_withdrawal_wins_over_an_approval_at_the_same_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it), ME)
        store = await it.stored()
        worker = await it.desk.start()

        async def nothing() -> bool:
            return False

        monkeypatch.setattr(worker._steps, "send_one", nothing)
        move = store.move

        async def approved_first(*args: Any, **known: Any) -> bool:
            monkeypatch.setattr(store, "move", move)
            assert await it.desk.approve(entry, ANNA)
            return await move(*args, **known)

        monkeypatch.setattr(store, "move", approved_first)
        assert (await it.desk.withdraw(entry.id, ME)).draft.state == "withdrawn"
        assert it.writes() == []


async def test_submitting_twice_is_submitting_once() -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it, draft=True), ME)
        assert (await it.desk.submit(entry, ME)).waits
        assert (await it.desk.submit(entry, ME)).waits


# What a person resolves


async def test_entry_that_was_found_closes_the_draft() -> None:
    async with asking("auto", user(yes)) as it:
        entry = await stuck(it)
        record_id = await filed_note(it)
        with pytest.raises(InputError) as taken:  # it is the record's entry of another draft
            await it.desk.found(entry, record_id, ANNA)
        assert taken.value.field == "record_id"
        stored = await it.store(
            f"patients/se_personal_number:{TOLVAN}/medical-notes",
            title=NOTE["title"],
            template_id="leyr_unstructured",
            content={"unstructured": "Mår bra."},
            created_by_id="1021",
        )
        assert await it.desk.found(entry, stored["id"], ANNA) in ("equal", "differs:author")
        now = (await it.desk.entry(entry.id)).draft
        assert (now.state, now.remote_id, now.matched_by) == ("filed", stored["id"], "person")
        with pytest.raises(InputError):
            await it.desk.found(await it.desk.entry(entry.id), stored["id"], ANNA)
        with pytest.raises(LeyrMcpError) as void:  # decided about before, on another page
            await it.desk.found(entry, stored["id"], ANNA)
        assert void.value.code == "approval_void"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (UpstreamNotFoundError("No such note.", status=404), "not_found"),
        (UpstreamNotSupportedError("Not here."), None),
    ],
)
async def test_entry_that_cannot_be_read(
    said: LeyrMcpError, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking("auto") as it:
        entry = await stuck(it)

        async def note(*_: Any) -> Any:
            raise said

        monkeypatch.setattr(it.app.ehr, "note", note)
        if code is None:
            assert await it.desk.found(entry, "n1", ANNA) == "unreadable"
            assert (await it.desk.entry(entry.id)).draft.state == "filed"
            return
        with pytest.raises(InputError) as refused:
            await it.desk.found(entry, "n1", ANNA)
        assert (refused.value.code, refused.value.field) == (code, "record_id")
        assert (await it.desk.entry(entry.id)).draft.state == "needs_human"


@pytest.mark.parametrize(("whose", "taken"), [(OTHER, False), (NOTE["patient_id"], True)])
async def test_appointment_that_was_found_is_the_patients_own(whose: str, *, taken: bool) -> None:
    async with asking("auto") as it:
        booking = AppointmentItem(
            start=datetime.fromisoformat("2026-09-17T10:00:00+02:00"),
            end=datetime.fromisoformat("2026-09-17T10:30:00+02:00"),
            resource_id="1022",
            healthcare_service_id="301",
        )
        wanted = dataclasses.replace(proposal(it), item=booking)
        entry = await it.desk.stage(wanted, ME)
        store = await it.stored()
        await store.move(entry.id, "awaiting_approval", "needs_human", version=1, now=it.clock())
        entry = await it.desk.entry(entry.id)
        made = await it.app.ehr.book("L0_1", booking.new(it.app.context.patient_ref(whose)))
        assert isinstance(made, Appointment)
        if taken:
            assert await it.desk.found(entry, made.id, ANNA) == "equal"
            return
        with pytest.raises(LeyrMcpError) as refused:
            await it.desk.found(entry, made.id, ANNA)
        assert (refused.value.code, refused.value.field) == ("patient_mismatch", "record_id")
        assert (await it.desk.entry(entry.id)).draft.state == "needs_human"


@pytest.mark.parametrize("act", ["send_again", "drop"])
async def test_only_what_is_in_doubt_is_resolved_and_only_once(act: str) -> None:
    async with asking("auto") as it:
        entry = await stuck(it)
        await getattr(it.desk, act)(entry, ANNA)
        with pytest.raises(LeyrMcpError) as void:
            await getattr(it.desk, act)(entry, ANNA)
        assert void.value.code == "approval_void"
        assert "needs_human" not in void.value.message
        with pytest.raises(InputError):
            await getattr(it.desk, act)(await it.desk.entry(entry.id), ANNA)


async def test_send_again_waits_for_a_new_approval() -> None:
    async with asking("auto") as it:
        entry = await it.desk.send_again(await stuck(it), ANNA)
        assert (entry.waits, it.writes()) == (True, [])
        assert await it.desk.approve(entry, ANNA)
        assert (await it.desk.outcome(entry, 10)).draft.state == "filed"
        assert len(it.writes()) == 1


# Its life


async def test_what_was_sent_once_is_not_revised_by_its_caller() -> None:
    async with asking("auto") as it:
        it.fail("emr_401", method="POST")
        entry = await it.desk.stage(proposal(it), ME)
        assert await it.desk.approve(entry, ANNA)
        entry = await it.desk.outcome(entry, 10)
        assert (entry.draft.state, entry.draft.attempt) == ("needs_human", 1)
        it.control.faults.clear()
        await it.desk.send_again(entry, ANNA)
        with pytest.raises(LeyrMcpError, match="awaiting_approval and was sent before"):
            await it.desk.revise(entry.id, proposal(it, "Annat."), ME)
        assert (await it.desk.revise(entry.id, proposal(it), ME)).draft.version == 1


async def test_closed_desk_begins_nothing() -> None:
    async with asking("auto") as it:
        entry = await it.desk.stage(proposal(it), ME)
        await it.desk.close()
        with pytest.raises(StorageError):
            await it.desk.approve(entry, ANNA)
        await it.app.journal.close()
        with pytest.raises(StorageError):
            await it.desk.entry(entry.id)


async def test_store_is_opened_once_however_many_ask() -> None:
    async with asking("auto") as it:
        made: list[Any] = []
        make = it.app.journal._make_store

        def counted() -> Any:
            made.append(make())
            return made[-1]

        it.app.journal._make_store = counted
        await asyncio.gather(*(it.app.journal.opened() for _ in range(5)))
        assert len(made) == 1


async def test_store_that_is_being_opened_is_closed_too() -> None:
    async with asking("auto") as it:
        made: list[Any] = []
        make = it.app.journal._make_store

        def counted() -> Any:
            made.append(make())
            return made[-1]

        it.app.journal._make_store = counted
        opening = asyncio.create_task(it.app.journal.opened())
        await asyncio.sleep(0)  # it begins to open
        await it.app.journal.close()
        await opening
        with pytest.raises(StorageError):
            await made[0].counts()
        with pytest.raises(StorageError):
            await it.app.journal.opened()


async def test_booking_that_was_cancelled_is_staged_anew() -> None:
    async with asking("auto", user(yes)) as it:
        _, slots = await it.ask("list_timeslots")
        known = ("start", "end", "resource_id", "healthcare_service_id")
        call = {name: slots["timeslots"][0][name] for name in known}
        call["patient_id"] = NOTE["patient_id"]
        _, first = await it.ask("book_appointment", **call)
        _, same = await it.ask("book_appointment", **call)
        assert same["already_filed"] is True
        await it.ask("change_appointment", appointment_id=first["record_id"], action="cancel")
        _, anew = await it.ask("book_appointment", **call)
        assert anew["status"] == "filed"
        assert anew["draft_id"] != first["draft_id"]
        assert anew["already_filed"] is False


async def test_five_equal_bookings_at_once_are_one() -> None:
    async with asking("auto", LEYR_MCP_APPROVAL="trusted") as it:
        _, slots = await it.ask("list_timeslots")
        known = ("start", "end", "resource_id", "healthcare_service_id")
        call = {name: slots["timeslots"][0][name] for name in known}
        call |= {"patient_id": NOTE["patient_id"], "expect": "Tolvansson"}
        found = await asyncio.gather(*(it.ask("book_appointment", **call) for _ in range(5)))
        assert len({data["draft_id"] for _, data in found}) == 1
        assert {data["status"] for _, data in found} == {"filed"}
        assert len(it.writes()) == 1


async def test_housekeeping_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("leyr_mcp.server.filing.duty._HOUSEKEEPING_S", 0.0)
    async with asking("auto") as it:
        store = await it.stored()
        tried = asyncio.Event()
        expire = store.expire

        async def failing(**_: Any) -> int:
            monkeypatch.setattr(store, "expire", again)
            raise ZeroDivisionError("Tolvan Tolvansson")

        async def again(**known: Any) -> int:
            tried.set()
            return await expire(**known)

        monkeypatch.setattr(store, "expire", failing)
        await it.desk.start()
        await asyncio.wait_for(tried.wait(), 5)
    assert "housekeeping failed" in caplog.text
    assert "Tolvan" not in caplog.text


async def test_same_note_drafted_again_is_marked_for_a_person() -> None:
    async with asking("auto") as it:
        first = await it.desk.stage(proposal(it), ME)
        again = await it.desk.stage(replace(proposal(it), key="second"), ME)
        (check,) = [check for check in again.shown.checks if check.code == "same_before"]
        assert (check.level, first.id in check.message) == ("block", True)
        spaced = replace(proposal(it), item=item("Mår bra. \r\n"), key="third")
        assert (await it.desk.stage(spaced, ME)).shown.blocked
        other = await it.desk.stage(replace(proposal(it), item=item("Mår sämre.")), ME)
        assert "same_before" not in {check.code for check in other.shown.checks}


async def test_what_was_never_sent_and_given_up_marks_nothing() -> None:
    async with asking("auto") as it:
        first = await it.desk.stage(proposal(it), ME)
        await it.desk.withdraw(first.id, ME)
        again = await it.desk.stage(proposal(it), ME)
        assert (again.id != first.id, again.shown.checks) == (True, ())


async def test_note_that_a_person_wrote_is_known_when_it_is_drafted_again() -> None:
    async with asking("auto") as it:
        first = await it.desk.stage(proposal(it), ME)
        await it.desk.edit(first, item("Mår bättre."), ANNA)
        again = await it.desk.stage(replace(proposal(it), item=item("Mår bättre.")), ME)
        assert again.id != first.id
        assert "same_before" in {check.code for check in again.shown.checks}
