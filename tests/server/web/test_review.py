"""What a person is shown on the review page, and what each decision does."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Appointment, Patient
from leyr_mcp.server.ehr.port import NewPatient, Window
from leyr_mcp.server.filing import passphrase
from leyr_mcp.server.filing.audit import Who, parsed, rows
from leyr_mcp.server.filing.entries import Entry, Proposal
from leyr_mcp.server.filing.payloads import AppointmentItem, ChangeItem, NoteItem, Was
from tests.support.mcp_session import TOLVAN
from tests.support.review_page import (
    APPROVER,
    ASSISTANT,
    PHRASE,
    Browser,
    Desk,
    browser,
    clinic_desk,
    decided,
    sandbox_desk,
    seen,
)

LINE = "Tolvan Tolvansson, born 1912-12-12, national number 19121212-****"
OTHER = "198001022386"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "_N", 2**4)


async def one(web: Browser, entry: Entry) -> dict[str, Any]:
    """Return a draft as the page is told it."""
    (found,) = (await web.ask("drafts", {"draft_ids": [entry.id]}))["drafts"]
    assert isinstance(found, dict)
    return found


async def state(desk: Desk, entry: Entry) -> str:
    return (await desk.app.desk().entry(entry.id)).draft.state


async def audit(desk: Desk, *names: str) -> list[dict[str, Any]]:
    """Return the events of these names."""
    store, _ = await desk.app.journal.opened()
    found = [parsed(row) or {} async for _, row in rows(store)]
    return [event for event in found if event["event"] in names]


# --- what is shown -------------------------------------------------------------------------------


async def test_queue_lists_everything_unfinished_by_patient() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        first = await desk.note(title="Första")
        other = await desk.note(title="Annan", patient=OTHER)
        kept = await desk.note("Ring [namn].", title="Andra", draft=True)
        gone = await desk.note(title="Tredje")
        await web.ask("decide", decided(gone, phrase=None, approve=False))
        found = await web.ask("queue")
    assert (found["sandbox"], found["passphrase"], found["more"]) == (True, False, False)
    by_patient = {
        group["patient"]: {draft["draft_id"]: draft for draft in group["drafts"]}
        for group in found["patients"]
    }
    assert by_patient[LINE].keys() == {first.id, kept.id}
    assert [list(own) for line, own in by_patient.items() if line != LINE] == [[other.id]]
    row = by_patient[LINE][kept.id]
    assert (row["kind"], row["title"], row["name"], row["marked"]) == ("Note", "Andra", "draft", 1)


async def test_empty_queue_is_empty() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        assert (await web.ask("queue"))["patients"] == []


async def test_draft_is_shown_whole_and_its_text_to_the_byte() -> None:
    text = "Rad ett\n\n\tRad två  \n<b>inte fet</b> & [länk](x)"
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await desk.note(text, removed=3)
        found = await one(web, entry)
    assert found["patient"] == LINE
    assert found["texts"] == [{"label": "Text", "value": text}]
    assert {fact["label"] for fact in found["facts"]} == {"Template", "Author"}
    assert found["source"] == "claude-code"
    assert found["drafted"] == "Mon 2026-09-14 09:30"
    assert found["status"]["digest"] == entry.draft.digest
    assert found["status"]["told"] == ["It waits for your decision. Nothing has been filed."]
    assert found["changes"] is None
    removed = [check for check in found["checks"] if check["code"] == "characters_removed"]
    assert removed[0]["message"] == "3 invisible or control characters were removed."


async def test_findings_say_how_grave_they_are() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        found = await one(web, await desk.note("Ring [namn] om 19900602-2397."))
    assert [(check["level"], check["code"]) for check in found["checks"]] == [
        ("block", "placeholder"),
        ("block", "other_identifier"),
    ]
    assert all(check["message"].startswith("The text holds") for check in found["checks"])


async def test_names_from_the_record_hide_nothing() -> None:
    hostile = NewPatient(
        first_name="Eva\u202e\u0007 <img src=x onerror=alert(1)>",
        last_name="Ek",
    )
    async with sandbox_desk() as desk, browser(desk) as web:
        made = await desk.app.ehr.create_patient("L0_1", hostile)
        assert isinstance(made, Patient)
        found = await one(web, await desk.note(patient=f"emr_id:{made.emr_id}"))
    assert found["patient"] == (
        f"Eva⟨U+202E⟩⟨U+0007⟩ <img src=x onerror=alert(1)> Ek, emr_id:{made.emr_id}"
    )


async def test_reading_the_page_is_stored_in_the_audit() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await desk.note()
        await desk.note(title="Andra")
        await web.ask("queue")
        await one(web, entry)
        await web.ask("states", {"draft_ids": [entry.id]})
        found = [event for event in await audit(desk, "read") if "patient_key" in event]
    assert [event["client"]["name"] for event in found] == ["review page"] * 2


async def test_an_unknown_draft_is_not_found() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        for action in ("drafts", "states"):
            found = await web.refused(action, {"draft_ids": ["d_unknown"]})
            assert found == (404, "There is no such draft.")


# --- approving -----------------------------------------------------------------------------------


async def test_approve_files_and_tells_the_record_id(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        found = await web.approve(entry)
        assert found["done"]
        assert found["status"]["state"] in ("approved", "sending", "filed")
        filed = await desk.app.desk().outcome(entry, 10.0)
        (now,) = (await web.ask("states", {"draft_ids": [entry.id]}))["states"]
        (event,) = await audit(desk, "approve")
        store, _ = await desk.app.journal.opened()
        approval = await store.approval(filed.draft.approval_id or "")
    assert (now["state"], now["tone"], now["moving"]) == ("filed", "good", False)
    assert now["told"][0] == f"It is filed in the health record, id {filed.draft.remote_id}."
    assert now["told"][-1] == "It is not signed yet: sign it in the record system."
    assert event["channel"] == "review page"
    assert event["user"]["name"] == APPROVER
    assert approval is not None
    assert (approval.approver, approval.channel) == (APPROVER, "review page")


async def test_all_some_and_none(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        ones = [await desk.note(title=f"Nummer {number}") for number in range(4)]
        body = decided(ones[0], ones[1])
        body["decisions"] += decided(ones[2], approve=False)["decisions"]
        found = (await web.ask("decide", body))["results"]
        for entry in ones[:2]:
            await desk.app.desk().outcome(entry, 10.0)
        states = [await state(desk, entry) for entry in ones]
    assert [result["done"] for result in found] == [True, True, True]
    assert states == ["filed", "filed", "declined", "awaiting_approval"]


async def test_declining_needs_no_passphrase(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        assert (await web.approve(entry, None, approve=False))["done"]
        assert await state(desk, entry) == "declined"
        (event,) = await audit(desk, "reject")
    assert "error" not in event


async def test_a_kept_draft_can_be_decided_on(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        yes = await desk.note(title="Ja", draft=True)
        no = await desk.note(title="Nej", draft=True)
        assert (await web.approve(yes))["done"]
        assert (await web.approve(no, None, approve=False))["done"]
        await desk.app.desk().outcome(yes, 10.0)
        assert [await state(desk, yes), await state(desk, no)] == ["filed", "declined"]


async def test_sandbox_asks_for_no_passphrase() -> None:
    async with sandbox_desk() as desk, browser(desk) as web:
        entry = await desk.note()
        assert (await web.approve(entry, None))["done"]
        await desk.app.desk().outcome(entry, 10.0)
        assert await state(desk, entry) == "filed"


@pytest.mark.parametrize("phrase", [None, "", "wrong", PHRASE.upper(), "x" * 1_024])
async def test_a_wrong_passphrase_does_nothing_at_all(tmp_path: Path, phrase: str | None) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        yes, no = await desk.note(title="Ja"), await desk.note(title="Nej")
        body = decided(yes, phrase=phrase)
        body["decisions"] += decided(no, approve=False)["decisions"]
        status, told = await web.refused("decide", body)
        states = [await state(desk, yes), await state(desk, no)]
        (event,) = await audit(desk, "approve")
    assert status == 403
    assert told == "That is not the passphrase. 4 guesses left. Nothing was done."
    assert states == ["awaiting_approval", "awaiting_approval"]
    assert (event["outcome"], event["cause"], event["draft_id"]) == (4, "passphrase_wrong", yes.id)


async def test_five_wrong_ones_lock_out_the_right_one_too(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        for _ in range(5):
            await web.refused("decide", decided(entry, phrase="wrong"))
        locked = await web.refused("decide", decided(entry))
        assert await state(desk, entry) == "awaiting_approval"
        desk.clock.now += timedelta(minutes=16)
        assert (await web.approve(entry))["done"]
        causes = [event.get("cause") for event in await audit(desk, "approve")]
    told = "Too many wrong passphrases. Try again in 15 minutes. Nothing was done."
    assert locked == (403, told)
    assert causes == ["passphrase_wrong"] * 4 + ["passphrase_locked"] * 2 + [None]


async def test_without_a_passphrase_nothing_is_approved(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path, phrase=None) as desk, browser(desk) as web:
        entry = await desk.note()
        assert (await web.ask("queue"))["approver"] is None
        status, told = await web.refused("decide", decided(entry))
        assert await state(desk, entry) == "awaiting_approval"
    assert status == 403
    assert told.startswith("No passphrase is set. Set one with: leyr-mcp passphrase")


async def test_a_damaged_passphrase_file_approves_nothing(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        (tmp_path / "state" / "approver.json").write_bytes(b"{")
        status, _ = await web.refused("decide", decided(entry))
        assert (status, await state(desk, entry)) == (503, "awaiting_approval")


async def test_a_decision_counts_once(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        assert (await web.approve(entry))["done"]
        filed = await desk.app.desk().outcome(entry, 10.0)
        again = await web.approve(entry)
        against = await web.approve(entry, approve=False)
        now = await desk.app.desk().entry(entry.id)
    told = "It was decided on before, so nothing was done. It is now: filed."
    assert [again["message"], against["message"]] == [told, told]
    assert now.draft == filed.draft


async def test_two_decisions_on_one_draft_are_refused(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        status, _ = await web.refused("decide", decided(entry, entry))
        assert (status, await state(desk, entry)) == (400, "awaiting_approval")


@pytest.mark.parametrize("part", ["version", "digest"])
async def test_only_the_version_that_was_seen_is_approved(tmp_path: Path, part: str) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        body = decided(entry)
        body["decisions"][0][part] = 2 if part == "version" else hashlib.sha256(b"").hexdigest()
        (found,) = (await web.ask("decide", body))["results"]
        assert await state(desk, entry) == "awaiting_approval"
    assert found["message"] == (
        "It was changed after you opened it, so nothing was done. Read the new version."
    )


async def test_one_changed_character_voids_what_was_seen(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note("Mår bra.")
        new = (await web.ask("edit", {**seen(entry), "texts": {"unstructured": "Mår bra!"}}))[
            "draft"
        ]
        old = await web.approve(entry)
        assert not old["done"]
        assert new["status"]["version"] == 2
        assert await state(desk, entry) == "awaiting_approval"
        assert (await web.approve(await desk.app.desk().entry(entry.id)))["done"]


async def test_a_kept_draft_is_approved_only_as_it_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note("Mår bra.", draft=True)
        at = desk.app.desk()
        submit = at.submit

        async def revised_meanwhile(seen_entry: Entry, who: Who) -> Entry:
            found = await submit(seen_entry, who)
            item = NoteItem(
                title="Annat", template_id="leyr_unstructured", content={"unstructured": "Nytt."}
            )
            proposal = Proposal(care_unit_id="L0_1", item=item, patient=entry.payload.ref)
            await at.revise(found.id, proposal, ASSISTANT)
            return await at.entry(found.id)

        monkeypatch.setattr(at, "submit", revised_meanwhile)
        assert not (await web.approve(entry))["done"]
        assert await state(desk, entry) == "awaiting_approval"


async def test_one_that_cannot_be_done_holds_up_no_other(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        stale, good = await desk.note(title="Gammal"), await desk.note(title="Ny")
        await web.ask("edit", {**seen(stale), "title": "Nyare"})
        found = (await web.ask("decide", decided(stale, good)))["results"]
    assert [result["done"] for result in found] == [False, True]


# --- editing -------------------------------------------------------------------------------------


async def test_an_edit_is_a_version_and_shows_what_changed(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note("Ett\nTvå\nTre")
        body = {
            **seen(entry),
            "title": "Nytt",
            "texts": {"unstructured": "Ett\u200b\nTvå och\nTre"},
        }
        found = await web.ask("edit", body)
        (event,) = await audit(desk, "amend")
    draft = found["draft"]
    assert found["removed"] == 1
    assert draft["texts"][0]["value"] == "Ett\nTvå och\nTre"
    assert draft["changes"] == {
        "version": 1,
        "parts": [
            {
                "label": "Title",
                "lines": [{"mark": "removed", "text": "Besök"}, {"mark": "added", "text": "Nytt"}],
            },
            {
                "label": "Text",
                "lines": [
                    {"mark": "same", "text": "Ett"},
                    {"mark": "removed", "text": "Två"},
                    {"mark": "added", "text": "Två och"},
                    {"mark": "same", "text": "Tre"},
                ],
            },
        ],
    }
    assert event["client"]["name"] == "review page"


async def test_an_edit_of_nothing_changes_nothing(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        found = await web.ask("edit", {**seen(entry), "title": "Besök"})
    assert found["draft"]["status"]["version"] == 1


async def test_an_edit_is_checked_again(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note("Ring [namn].")
        found = await web.ask("edit", {**seen(entry), "texts": {"unstructured": "Ring Anna."}})
    assert found["draft"]["checks"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"title": " "},
        {"title": "två\nrader"},
        {"title": "x" * 201},
        {"texts": {"unstructured": "  "}},
        {"texts": {"other": "x"}},
        {"texts": {"unstructured": "x" * 200_001}},
    ],
)
async def test_an_edit_keeps_to_what_a_note_may_be(
    tmp_path: Path, change: dict[str, object]
) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        status, _ = await web.refused("edit", {**seen(entry), **change})
        now = await desk.app.desk().entry(entry.id)
    assert (status, now.draft.version) == (400, 1)


async def test_what_is_over_cannot_be_edited(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        await web.approve(entry, None, approve=False)
        status, told = await web.refused("edit", {**seen(entry), "title": "Nytt"})
    assert status == 409
    assert told == "It was decided on before, so nothing was done. It is now: declined."


@pytest.mark.parametrize("kind", ["booking", "change"])
async def test_the_comment_of_a_booking_can_be_edited(tmp_path: Path, kind: str) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        booking = await free(desk)
        entry = await desk.stage(
            booking if kind == "booking" else await cancellation(desk, booking)
        )
        assert (await one(web, entry))["edit"] == {"comment": "Ring först"}
        found = await web.ask("edit", {**seen(entry), "comment": "Ring efteråt"})
        now = await desk.app.desk().entry(entry.id)
        bare = await web.ask("edit", {**seen(now), "comment": ""})
    assert found["draft"]["texts"] == [{"label": "Comment", "value": "Ring efteråt"}]
    assert bare["draft"]["texts"] == []


async def free(desk: Desk) -> AppointmentItem:
    """Return the booking of a free time."""
    start = desk.clock() + timedelta(days=1)
    slots = await desk.app.ehr.timeslots("L0_1", Window(start, start + timedelta(days=3)))
    return AppointmentItem(
        start=slots[0].start,
        end=slots[0].end,
        resource_id=slots[0].resource_id,
        healthcare_service_id=slots[0].healthcare_service_id,
        comment="Ring först",
    )


async def cancellation(desk: Desk, booking: AppointmentItem) -> ChangeItem:
    """Return the cancellation of an appointment that another system made."""
    patient = PatientRef("emr_id", desk.box.control.patient(TOLVAN).emr_id)
    made = await desk.app.ehr.book("L0_1", booking.new(patient))
    assert isinstance(made, Appointment)
    was = Was(start=made.start, status=made.status)
    return ChangeItem(appointment_id=made.id, action="cancel", was=was, comment="Ring först")


async def test_a_confirmation_has_nothing_to_edit(tmp_path: Path) -> None:
    start = datetime(2026, 9, 15, 8, 0, tzinfo=UTC)
    item = ChangeItem(
        appointment_id="1", action="confirm", was=Was(start=start, status="booked"), code="123"
    )
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.stage(item)
        assert (await one(web, entry))["edit"] is None
        for change in ({"comment": "x"}, {"title": "x"}):
            status, _ = await web.refused("edit", {**seen(entry), **change})
            assert status == 400


# --- what is in doubt ----------------------------------------------------------------------------


async def test_doubt_says_why_and_what_was_searched(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        found = await one(web, await desk.in_doubt())
        queue = await web.ask("queue")
    assert found["status"]["resolvable"]
    assert found["status"]["tone"] == "bad"
    assert any("The record system refused it" in text for text in found["status"]["told"])
    assert found["searched"].startswith("The patient's notes were searched")
    assert [draft["name"] for draft in queue["patients"][0]["drafts"]] == ["needs a person"]


async def test_found_closes_it_with_what_reading_it_said(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.in_doubt()
        known = desk.box.control.notes(TOLVAN)[0].id
        body = {**seen(entry), "how": "found", "record_id": known, "passphrase": PHRASE}
        found = (await web.ask("resolve", body))["draft"]["status"]
    assert (found["state"], found["tone"]) == ("filed", "warn")
    assert "A person found it there." in found["told"]
    assert any("is not what was approved" in text for text in found["told"])


async def test_send_again_waits_for_a_new_approval_and_is_filed_once(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.in_doubt()
        before = len(desk.box.control.notes(TOLVAN))
        body = {**seen(entry), "how": "send_again", "passphrase": PHRASE}
        found = (await web.ask("resolve", body))["draft"]
        assert found["status"]["state"] == "awaiting_approval"
        assert (
            "It was sent before. If you approve it, it is sent once more."
            in (found["status"]["told"])
        )
        assert (await web.approve(entry))["done"]
        filed = await desk.app.desk().outcome(entry, 10.0)
        after = len(desk.box.control.notes(TOLVAN))
    assert (filed.draft.state, after - before) == ("filed", 1)


async def test_drop_gives_it_up(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.in_doubt()
        await web.ask("resolve", {**seen(entry), "how": "drop", "passphrase": PHRASE})
        assert await state(desk, entry) == "withdrawn"
        status, _ = await web.refused(
            "resolve", {**seen(entry), "how": "drop", "passphrase": PHRASE}
        )
    assert status == 409


@pytest.mark.parametrize("how", ["found", "send_again", "drop"])
async def test_doubt_is_resolved_by_the_approver_alone(tmp_path: Path, how: str) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.in_doubt()
        body = {**seen(entry), "how": how} | ({"record_id": "1"} if how == "found" else {})
        assert (await web.refused("resolve", body))[0] == 403
        assert (await web.refused("resolve", {**body, "passphrase": "wrong"}))[0] == 403
        assert await state(desk, entry) == "needs_human"
        causes = [event.get("cause") for event in await audit(desk, "approve")][1:]
    assert causes == ["passphrase_wrong"] * 2


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"how": "found"}, 400),
        ({"how": "drop", "record_id": "1"}, 400),
        ({"how": "found", "record_id": "../x"}, 400),
        ({"how": "found", "record_id": ".."}, 400),
        ({"how": "found", "record_id": "nothing-such"}, 404),
    ],
)
async def test_found_needs_an_id_that_the_record_knows(
    tmp_path: Path, more: dict[str, str], status: int
) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.in_doubt()
        found = await web.refused("resolve", {**seen(entry), **more, "passphrase": PHRASE})
        assert (found[0], await state(desk, entry)) == (status, "needs_human")


async def test_only_what_is_in_doubt_can_be_resolved(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        body = {**seen(entry), "how": "drop", "passphrase": PHRASE}
        assert (await web.refused("resolve", body))[0] == 409
        assert await state(desk, entry) == "awaiting_approval"


async def test_a_record_that_is_away_is_told_and_changes_nothing(tmp_path: Path) -> None:
    async with clinic_desk(tmp_path) as desk, browser(desk) as web:
        entry = await desk.note()
        desk.fail("503")
        status, told = await web.refused("edit", {**seen(entry), "title": "Nytt"})
        now = await desk.app.desk().entry(entry.id)
    assert (status, now.draft.version) == (502, 1)
    assert told
