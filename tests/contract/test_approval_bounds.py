"""An approval is of one version, for one day, and only what was approved is sent."""

from __future__ import annotations

from typing import Any

import pytest

from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.filing.audit import Reader, Who, local_user
from leyr_mcp.server.filing.entries import Entry
from leyr_mcp.server.filing.payloads import NoteItem
from leyr_mcp.server.storage.keys import Keys
from tests.support.mcp_asking import ANNA, NOTE, Asking, asking, dismiss, user, yes

ME = Who(subject=local_user())


async def drafted(it: Asking, **more: Any) -> Entry:
    """Return a draft that waits for a person."""
    _, data = await it.ask("write_note", **NOTE | more)
    assert data["status"] == "awaiting_approval"
    return await it.desk.entry(data["draft_id"])


def text(content: str) -> NoteItem:
    """Return the note of these tests with another text."""
    return NoteItem(
        title=NOTE["title"], template_id="leyr_unstructured", content={"unstructured": content}
    )


async def run_sql(it: Asking, statement: str, *values: Any) -> list[Any]:
    """Run a statement in the store as somebody with the file could."""
    store: Any = await it.stored()
    connection = store._database._connection
    found: list[Any] = await store._worker.run(
        lambda: connection._db.execute(statement, values).fetchall()
    )
    return found


def hold(it: Asking) -> None:
    """Have a worker that never begins, so that a test decides when it does."""
    make = it.desk._duty._make_worker

    def made(*given: Any) -> Any:
        worker: Any = make(*given)

        async def never() -> None:
            return None

        worker.begin, worker.run = worker.run, never
        return worker

    it.desk._duty._make_worker = made


async def run_for(it: Asking, entry: Entry, seconds: float = 5.0) -> Entry:
    """Let that worker begin, and return the draft when it has nothing more to do with it."""
    worker: Any = await it.desk.start()
    it.desk._duty._run(worker.begin())
    found = await it.desk.outcome(entry, seconds)
    await worker.drain(1)
    return found


async def test_revising_an_approved_draft_voids_the_approval() -> None:
    async with asking("auto") as it:
        hold(it)
        entry = await drafted(it)
        assert await it.desk.approve(entry, ANNA)
        _, data = await it.ask("write_note", **NOTE | {"content": "Mår bra!", "draft_id": entry.id})
        assert data["status"] == "awaiting_approval"
        after = (await it.desk.entry(entry.id)).draft
        assert (after.version, after.approval_id, after.state) == (2, None, "awaiting_approval")
        assert not await it.desk.approve(entry, ANNA)
        await run_for(it, entry)
        assert it.writes() == []


async def test_draft_edited_by_a_person_is_another_version(mode: str) -> None:
    async with asking(mode, person := user(dismiss, yes)) as it:
        entry = await drafted(it)
        edited = await it.desk.edit(entry, text("Mår bättre."), ANNA)
        assert (edited.draft.version, edited.waits) == (2, True)
        assert not await it.desk.approve(entry, ANNA)
        assert not await it.desk.decline(entry, ANNA)
        _, data = await it.ask("write_note", **NOTE)  # the same call finds the edited one
        assert (data["draft_id"], data["status"]) == (entry.id, "filed")
        assert it.notes() == ["Mår bättre."]
    assert "    | Mår bättre." in person.asked[1].message


async def test_edit_of_an_approved_draft_voids_the_approval() -> None:
    async with asking("auto") as it:
        hold(it)
        entry = await drafted(it)
        assert await it.desk.approve(entry, ANNA)
        approved = await it.desk.entry(entry.id)
        await it.desk.edit(approved, text("Mår bättre."), ANNA)
        assert (await run_for(it, entry)).waits
        assert it.writes() == []


TAMPERED = [
    "UPDATE drafts SET digest = 'x' || substr(digest, 2) WHERE id = ?",
    "UPDATE approvals SET digest = 'x' || substr(digest, 2) WHERE draft_id = ?",
    "UPDATE approvals SET version = 2 WHERE draft_id = ?",
    "UPDATE approvals SET draft_id = (SELECT id FROM drafts WHERE id <> ?)",
    "UPDATE versions SET payload = (SELECT payload FROM versions WHERE draft_id <> ?)",
    "UPDATE drafts SET approval_id = 'a_none' WHERE id = ?",
]


@pytest.mark.parametrize("statement", TAMPERED)
async def test_tampered_row_is_not_sent(statement: str) -> None:
    async with asking("auto") as it:
        hold(it)
        await drafted(it, content="Något annat.")
        entry = await drafted(it)
        assert await it.desk.approve(entry, ANNA)
        await run_sql(it, statement, entry.id)
        worker: Any = await it.desk.start()
        steps = worker._steps
        for _ in range(3):
            try:
                await steps.send_one()
            except LeyrMcpError:  # the seal does not fit its row
                break
        assert it.writes() == []


async def test_row_that_is_not_what_its_digest_says_is_not_shown() -> None:
    async with asking("auto") as it:
        entry = await drafted(it)
        await run_sql(it, TAMPERED[0], entry.id)
        with pytest.raises(LeyrMcpError) as refused:
            await it.desk.entry(entry.id)
        assert refused.value.code == "audit_unavailable"
        assert await it.desk.entries() == []
        assert (await it.refused("write_note", **NOTE)).code == "audit_unavailable"


@pytest.mark.parametrize(("hours", "state"), [(23.9, "filed"), (24, "awaiting_approval")])
async def test_approval_lapses_after_a_day(hours: float, state: str) -> None:
    async with asking("auto") as it:
        hold(it)
        entry = await drafted(it)
        assert await it.desk.approve(entry, ANNA)
        it.clock.later(hours=hours, seconds=1)
        assert (await run_for(it, entry)).draft.state == state
        assert len(it.writes()) == (state == "filed")


async def test_approved_draft_is_taken_back_before_it_is_picked_up() -> None:
    async with asking("auto") as it:
        hold(it)
        entry = await drafted(it)
        assert await it.desk.approve(entry, ANNA)
        assert (await it.desk.withdraw(entry.id, ME)).draft.state == "withdrawn"
        assert (await run_for(it, entry)).draft.state == "withdrawn"
        assert it.writes() == []
        assert (await it.desk.withdraw(entry.id, ME)).draft.state == "withdrawn"
        assert (await drafted(it)).id != entry.id


async def test_person_takes_an_approval_back_before_it_is_picked_up() -> None:
    async with asking("auto") as it:
        hold(it)
        entry = await drafted(it)
        assert await it.desk.approve(entry, ANNA)
        assert await it.desk.decline(await it.desk.entry(entry.id), ANNA)
        assert (await run_for(it, entry)).draft.state == "declined"
        assert it.writes() == []


async def test_what_was_sent_is_not_taken_back_or_revised() -> None:
    async with asking("auto", user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        with pytest.raises(LeyrMcpError) as refused:
            await it.desk.withdraw(data["draft_id"], ME)
        assert refused.value.code == "in_progress"
        better = NOTE | {"content": "Mår bättre.", "draft_id": data["draft_id"]}
        assert (await it.refused("write_note", **better)).code == "in_progress"
        assert it.notes() == ["Mår bra."]


@pytest.mark.parametrize("change", [{"patient_id": "emr_id:other"}, {"draft_id": "d_nobodys"}])
async def test_draft_of_another_patient_or_of_nobody_is_not_revised(
    change: dict[str, Any],
) -> None:
    async with asking("auto") as it:
        other = next(p for p in it.control.patients() if p.external_id != "191212121212")
        entry = await drafted(it)
        call = NOTE | {"draft_id": entry.id, "content": "Mår bättre."} | change
        if "patient_id" in change:
            call["patient_id"] = f"emr_id:{other.emr_id}"
        refused = await it.refused("write_note", **call)
        assert refused.field == "draft_id"
        assert (await it.desk.entry(entry.id)).draft.version == 1


async def test_draft_of_another_user_is_not_found() -> None:
    async with asking("auto") as it:
        entry = await drafted(it)
        stranger = Who(subject="somebody else")
        for act in (it.desk.entry, it.desk.withdraw):
            with pytest.raises(InputError) as refused:
                await act(entry.id, stranger)
            assert refused.value.code == "not_found"
        assert await it.desk.entries(stranger) == []


async def test_undecided_draft_expires_and_its_text_is_deleted(mode: str) -> None:
    async with asking(mode, user(dismiss)) as it:
        entry = await drafted(it)
        store = await it.stored()
        it.clock.later(days=30, seconds=1)
        await it.desk._tidy()
        draft = await store.draft(entry.id)
        assert draft is not None
        assert (draft.state, draft.payload) == ("expired", b"")
        with pytest.raises(InputError) as refused:
            await it.desk.entry(entry.id)
        assert (refused.value.code, "deleted" in refused.value.message) == ("not_found", True)
        assert await it.desk.entries(states=("expired",)) == []
        assert not await it.desk.approve(entry, ANNA)
        assert (await drafted(it)).id != entry.id


async def test_every_step_of_a_write_is_in_the_audit_trail() -> None:
    async with asking("auto", user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        (approval,) = await it.approvals()
        reader = Reader(await it.stored(), Keys(bytes(32)))
        events = [event async for event in reader.events()]
    told = [event for event in events if event.get("draft_id") == data["draft_id"]]
    steps = [(event["event"], event.get("phase")) for event in told]
    assert steps[:6] == [
        ("draft", None),
        ("draft", None),  # the question, which shows the patient, goes out
        ("approve", None),
        ("file", "intent"),
        ("file", "outcome"),
        ("verify", "read_back"),
    ]
    assert len({event["patient_key"] for event in told}) == 1
    filed = [told[0], *told[2:6]]
    assert {event["digest"] for event in filed} == {approval.digest}
    assert {event["version"] for event in filed} == {1}
    assert {event["approval_id"] for event in told[2:6]} == {approval.id}
    approve = told[2]
    assert (approve["approver"], approve["channel"]) == (local_user(), "host:claude-code")
    assert all(event["outcome"] == 0 for event in told)


@pytest.mark.parametrize("act", ["decline", "edit", "send_again", "drop"])
async def test_every_decision_names_its_person_and_channel(act: str) -> None:
    async with asking("auto") as it:
        entry = await drafted(it)
        if act == "edit":
            await it.desk.edit(entry, text("Annat."), ANNA)
        elif act == "decline":
            assert await it.desk.decline(entry, ANNA)
        else:
            store = await it.stored()
            await store.move(
                entry.id, "awaiting_approval", "needs_human", version=1, now=it.clock()
            )
            await getattr(it.desk, act)(await it.desk.entry(entry.id), ANNA)
        reader = Reader(await it.stored(), Keys(bytes(32)))
        *_, last = [event async for event in reader.events() if "approver" in event]
    assert (last["approver"], last["channel"]) == ("Anna", "page")
    assert last["user"]["subject"] == "anna"


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each era in turn."""
    era: str = request.param
    return era
