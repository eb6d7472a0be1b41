"""`trusted`: nobody is asked, but the patient must be proven and nothing may stand against it."""

from __future__ import annotations

from typing import Any

import pytest

from leyr_mcp.server.ehr.models import Patient
from leyr_mcp.server.filing.approving import settle
from leyr_mcp.server.filing.asking import Caller
from leyr_mcp.server.filing.audit import Reader
from leyr_mcp.server.filing.entries import Proposal
from leyr_mcp.server.filing.payloads import ChangeItem, PatientItem, Was
from leyr_mcp.server.storage.keys import Keys
from tests.support.mcp_asking import ANNA, NOTE, PROGRAM, Asking, asking, dismiss, user, yes
from tests.support.mcp_session import NOW

TRUSTED: dict[str, Any] = {"LEYR_MCP_APPROVAL": "trusted"}
MEANT = NOTE | {"expect": "Tolvansson"}


async def events(it: Asking) -> list[dict[str, Any]]:
    """Return the audit trail."""
    reader = Reader(await it.stored(), Keys(bytes(32)))
    return [event async for event in reader.events()]


@pytest.mark.parametrize("expect", ["Tolvansson", "tolvansson", "Tolvan Tolvansson", "1912-12-12"])
async def test_proven_patient_is_filed_for_unasked(mode: str, expect: str) -> None:
    async with asking(mode, person := user(yes), **TRUSTED) as it:
        _, data = await it.ask("write_note", **NOTE, expect=expect)
        assert data["status"] == "filed"
        (approval,) = await it.approvals()
        assert (approval.approver, approval.channel) == ("policy trusted", "policy")
        approved = [event for event in await events(it) if event["event"] == "approve"]
        assert [(e["approver"], e["channel"]) for e in approved] == [("policy trusted", "policy")]
        assert approved[0]["digest"] == approval.digest
    assert person.asked == []


async def test_a_program_needs_no_person() -> None:
    async with asking("auto", host=PROGRAM, **TRUSTED) as it:
        _, data = await it.ask("write_note", **MEANT)
        assert data["status"] == "filed"


@pytest.mark.parametrize("draft", [False, True])
async def test_call_without_expect_is_refused(mode: str, *, draft: bool) -> None:
    async with asking(mode, user(yes), **TRUSTED) as it:
        refused = await it.refused("write_note", **NOTE, draft=draft)
        assert (refused.code, refused.field) == ("invalid_argument", "expect")
        assert (it.writes(), await it.desk.entries()) == ([], [])


@pytest.mark.parametrize("policy", ["trusted", "required"])
@pytest.mark.parametrize("expect", ["Testdotter", "1912-12-13", "Tolvan"])
async def test_another_patient_than_expected_is_refused(policy: str, expect: str) -> None:
    async with asking("auto", user(yes), LEYR_MCP_APPROVAL=policy) as it:
        refused = await it.refused("write_note", **NOTE, expect=expect)
        assert (refused.code, refused.field) == ("patient_mismatch", "expect")
        assert expect not in refused.text
        assert (it.writes(), await it.desk.entries()) == ([], [])


def nameless(it: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the record tell neither name nor birth date."""

    async def patient(*_: Any) -> Patient:
        return Patient.model_validate({"emr_id": "e1"})

    monkeypatch.setattr(it.app.ehr, "patient", patient)


EMR_ID = NOTE | {"patient_id": "emr_id:e1"}


@pytest.mark.parametrize("expect", ["Tolvansson", "1912-12-12"])
async def test_expect_that_cannot_be_compared_is_refused(
    monkeypatch: pytest.MonkeyPatch, expect: str
) -> None:
    async with asking("auto", user(yes), **TRUSTED) as it:
        nameless(it, monkeypatch)
        refused = await it.refused("write_note", **EMR_ID, expect=expect)
        assert (refused.code, refused.field) == ("patient_mismatch", "expect")
        assert await it.desk.entries() == []


async def test_expect_that_cannot_be_compared_is_shown_to_the_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asking("auto", person := user(dismiss)) as it:
        nameless(it, monkeypatch)
        _, data = await it.ask("write_note", **EMR_ID, expect="Tolvansson")
        assert data["status"] == "awaiting_approval"
        assert [check["code"] for check in data["checks"]] == ["patient_unverified"]
    shown = person.asked[0].message.splitlines()
    line = "Patient: name not told by the record, emr_id:e1, could not be verified"
    assert shown.count(line) == 2


BLOCKED: list[tuple[str, dict[str, Any]]] = [
    ("placeholder", {"content": "Mår [namn]."}),
    ("other_identifier", {"content": "Se 19900602-2397."}),
    ("section_empty", {"content": "--"}),
    ("text_too_long", {"content": "ord " * 25_001}),
    ("field_unknown", {"fields": {"unstructured": "Mår bra.", "plan": "Åter."}}),
    ("placeholder", {"title": "TODO"}),
]


@pytest.mark.parametrize(("code", "change"), BLOCKED)
async def test_what_blocks_goes_to_a_person(mode: str, code: str, change: dict[str, Any]) -> None:
    call = MEANT | change
    if "fields" in change:
        del call["content"]
    async with asking(mode, person := user(dismiss, yes), **TRUSTED) as it:
        _, data = await it.ask("write_note", **call)
        assert data["status"] == "awaiting_approval"
        assert [c["code"] for c in data["checks"] if c["level"] == "block"] == [code]
        assert (it.writes(), len(person.asked)) == ([], 1)
        _, same = await it.ask("write_note", **call)
        # The record itself refuses the unknown field, whoever approved it.
        ends = "needs_human" if code == "field_unknown" else "filed"
        assert (same["draft_id"], same["status"]) == (data["draft_id"], ends)
        (approval,) = await it.approvals()
        assert approval.channel == "host:claude-code"


async def test_what_blocks_waits_where_nobody_can_be_asked() -> None:
    async with asking("auto", host=PROGRAM, **TRUSTED) as it:
        for _ in range(2):
            _, data = await it.ask("write_note", **MEANT | {"content": "Mår [namn]."})
            assert data["status"] == "awaiting_approval"
        assert it.writes() == []


async def test_what_was_sent_back_goes_to_a_person() -> None:
    """A resend, or an approval that no longer fits, is never decided by policy."""
    async with asking("auto", host=PROGRAM, **TRUSTED) as it:
        it.fail("emr_401", method="POST")
        _, data = await it.ask("write_note", **MEANT)
        assert data["status"] == "needs_human"
        sent = len(it.writes())
        it.control.faults.clear()
        await it.desk.send_again(await it.desk.entry(data["draft_id"]), ANNA)
        _, same = await it.ask("write_note", **MEANT)
        assert (same["draft_id"], same["status"]) == (data["draft_id"], "awaiting_approval")
        assert len(it.writes()) == sent


async def test_draft_made_under_required_is_not_filed_by_a_later_policy() -> None:
    async with asking("auto", host=PROGRAM) as it:
        _, data = await it.ask("write_note", **NOTE)
        it.desk._drafting.policy = it.desk.policy = "trusted"
        _, same = await it.ask("write_note", **MEANT)
        assert (same["draft_id"], same["status"]) == (data["draft_id"], "awaiting_approval")


async def test_only_a_new_patient_needs_no_proof() -> None:
    """A change whose patient was not told waits for a person; nobody can be mixed up otherwise."""
    async with asking("auto") as it:
        was = Was(start=NOW, status="booked")
        change = ChangeItem(appointment_id="a1", action="cancel", was=was)
        person = PatientItem(first_name="Ola", last_name="Nord", external_id="189912289809")
        found = [
            await it.desk.stage(Proposal(care_unit_id="L0_1", item=item), ANNA.who)
            for item in (change, person)
        ]
        it.desk.policy = "trusted"
        settled = await settle(it.desk, Caller(who=ANNA.who), found, it.app.context.zone)
        assert [entry.draft.state for entry in settled] == ["awaiting_approval", "filed"]


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each era in turn."""
    era: str = request.param
    return era
