"""get_draft: what became of a draft, what it holds, what a person changed of it, whose it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from mcp import MCPError

from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.entries import Proposal
from leyr_mcp.server.filing.payloads import NoteItem
from leyr_mcp.server.storage.store import Change, State
from tests.contract.test_hostile_record import POISON, check_clean
from tests.support.mcp_answers import ERROR, steady
from tests.support.mcp_asking import ANNA, NOTE, PATIENT, Asking, asking, user, yes
from tests.support.mcp_session import both_eras
from tests.support.mcp_snapshots import check_snapshot


async def drafted(it: Asking, **changes: Any) -> str:
    _, data = await it.ask("write_note", **{**NOTE, "draft": True, **changes})
    return str(data["draft_id"])


async def put(it: Asking, draft_id: str, new: State, **change: Any) -> None:
    """Move a draft as the worker would."""
    draft = (await it.desk.entry(draft_id)).draft
    moved = await (await it.stored()).move(
        draft_id, draft.state, new, version=draft.version, now=it.clock(), change=Change(**change)
    )
    assert moved


async def refused_code(it: Asking, draft_id: str) -> tuple[str, str]:
    refused = await it.refused("get_draft", draft_id=draft_id)
    assert refused.field == "draft_id"
    return refused.code, refused.message


@both_eras
async def test_whole_answer(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        draft_id = await drafted(it, title="Besök <b>idag</b>", content="Mår bra.\nÅter vid behov.")
        await it.ask("file_drafts", draft_ids=[draft_id])
        text, data = await it.ask("get_draft", draft_id=draft_id)
    text = steady(text).replace(draft_id, "d_0").replace(data["approved_by"].split()[0], "user")
    data |= {"draft_id": "d_0", "uri": "ehr://drafts/d_0", "approved_by": "user"}
    check_snapshot("answers/get_draft", {"text": text.splitlines(), "data": data})


@both_eras
async def test_unknown_and_foreign_drafts_are_told_in_the_same_words(mode: str) -> None:
    async with asking(mode) as it:
        proposal = Proposal(
            care_unit_id="L0_1",
            patient=it.app.context.patient_ref(PATIENT),
            item=NoteItem(
                title="T", template_id="leyr_unstructured", content={"unstructured": "x"}
            ),
        )
        foreign = await it.desk.stage(proposal, Who(subject="another"))
        unknown = await refused_code(it, "d_aaaaaaaaaaaaaaaa")
        assert unknown == ("not_found", "There is no such draft.")
        for strange in (foreign.id, "d_", "..", "d_' OR 1=1 --", "x" * 40):
            assert await refused_code(it, strange) == unknown
        calls: dict[str, dict[str, Any]] = {
            "discard_draft": {"draft_id": foreign.id},
            "file_drafts": {"draft_ids": [foreign.id]},
            "write_note": {**NOTE, "draft_id": foreign.id},
        }
        for tool, call in calls.items():
            refused = await it.refused(tool, **call)
            assert (refused.code, refused.message) == unknown
        with pytest.raises(MCPError) as caught:
            await it.client.read_resource(f"ehr://drafts/{foreign.id}")
        assert caught.value.data[ERROR]["code"] == "not_found"
        assert (await it.desk.entry(foreign.id)).draft.state == "awaiting_approval"


@both_eras
async def test_edits_of_a_person_are_shown_against_what_the_model_wrote(mode: str) -> None:
    async with asking(mode) as it:
        draft_id = await drafted(it, content="Ett.\nTvå.", draft=False)
        _, data = await it.ask("get_draft", draft_id=draft_id)
        assert "edits" not in data
        await it.ask("write_note", **{**NOTE, "content": "Ett.\nTre."}, draft_id=draft_id)
        for text in ("Ett.\nFyra.", "Ett.\nFem."):
            entry = await it.desk.entry(draft_id)
            item = entry.payload.item
            assert isinstance(item, NoteItem)
            new = dataclasses.replace(item, content={"unstructured": text})
            await it.desk.edit(entry, new, ANNA)
        text, data = await it.ask("get_draft", draft_id=draft_id)
        assert data["version"] == 4
        assert data["edits"].splitlines()[-2:] == ["-Tre.", "+Fem."]
        assert "A person changed it:" in text
        assert all(line in text for line in data["edits"].splitlines())
        await it.ask("write_note", **{**NOTE, "content": "Nytt."}, draft_id=draft_id)
        _, data = await it.ask("get_draft", draft_id=draft_id)
        assert "edits" not in data
        assert data["content"] == {"unstructured": "Nytt."}


async def test_texts_too_long_to_compare_are_said_to_be() -> None:
    async with asking("auto") as it:
        draft_id = await drafted(it, content="rad\n" * 5_000, draft=False)
        entry = await it.desk.entry(draft_id)
        item = entry.payload.item
        assert isinstance(item, NoteItem)
        await it.desk.edit(entry, dataclasses.replace(item, title="Annan"), ANNA)
        _, data = await it.ask("get_draft", draft_id=draft_id)
    assert data["edits"] == "The text is too long to be compared here."


@both_eras
async def test_long_text_is_cut_and_the_resource_holds_all_of_it(mode: str) -> None:
    async with asking(mode) as it:
        draft_id = await drafted(it, content="å" * 100_000)
        text, data = await it.ask("get_draft", draft_id=draft_id)
        assert data["truncated"]
        assert len(data["content"]["unstructured"]) == 4_000
        assert f"The text is cut; the resource {data['uri']} holds all of it." in text
        (whole,) = (await it.client.read_resource(data["uri"])).contents
        assert "å" * 100_000 in whole.model_dump()["text"]


@both_eras
async def test_what_needs_a_person_says_why_what_was_searched_and_what_to_do(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        it.fail("emr_401", method="POST")
        _, data = await it.ask("write_note", **NOTE)
        assert data["status"] == "needs_human"
        text, data = await it.ask("get_draft", draft_id=data["draft_id"])
    assert data["reason"] == "upstream_refused"
    assert "The record system refused it: it gave no reason that is known here." in text
    assert data["searched"].startswith("The patient's notes were searched")
    assert data["searched"] in text
    assert (data["attempts"], "record_id" in data) == (1, False)
    assert f"leyr-mcp resolve {data['draft_id']}" in data["next"]
    assert "Look in the record." in data["next"]


@both_eras
@pytest.mark.parametrize(
    ("verified", "told"),
    [
        ("equal", "Read back, verified equal: as approved."),
        ("unreadable", "verified unreadable: the record does not show all of it."),
        ("differs:truncated", "stored differently: the text is cut short."),
        ("differs:title", "stored differently: the title."),
        ("differs:new_kind", "stored differently: something."),
    ],
)
async def test_what_reading_back_found_is_told(mode: str, verified: str, told: str) -> None:
    async with asking(mode, user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        draft_id = data["draft_id"]
        await put(it, draft_id, "filed", verified=verified)
        text, data = await it.ask("get_draft", draft_id=draft_id)
        again, repeated = await it.ask("write_note", **NOTE)
    assert data["verified"] == repeated["verified"] == verified
    assert told in text
    assert told in again
    assert ("check it there" in data["next"]) is verified.startswith("differs")


@both_eras
async def test_waiting_draft_says_where_it_is_approved(mode: str) -> None:
    async with asking(mode) as it:
        draft_id = await drafted(it, draft=False)
        text, data = await it.ask("get_draft", draft_id=draft_id)
        assert data["status"] == "awaiting_approval"
        assert data["approval"]["command"] == f"leyr-mcp approve {draft_id}"
        assert data["approval"]["command"] in text
        assert "approved_by" not in data
        assert it.writes() == []


@both_eras
async def test_hostile_text_of_the_caller_comes_back_clean(mode: str) -> None:
    async with asking(mode) as it:
        fields = {"plan": POISON, "Plan <b>": "x", "anamnes](http://evil.invalid)": POISON}
        draft_id = await drafted(it, title="T ![a](http://evil.invalid) <script>", content=POISON)
        check_clean(await it.call("get_draft", draft_id=draft_id))
        other = {**NOTE, "template_id": "leyr_acute_visit", "fields": fields, "draft": True}
        del other["content"]
        _, data = await it.ask("write_note", **other)
        result = await it.call("get_draft", draft_id=data["draft_id"])
    assert not result.is_error
    assert result.structured_content is not None
    assert len(result.structured_content["content"]) == 3


@both_eras
async def test_reading_a_draft_asks_the_record_nothing_and_leaves_an_event(mode: str) -> None:
    async with asking(mode) as it:
        draft_id = await drafted(it)
        before = len(it.requests())
        await it.ask("get_draft", draft_id=draft_id)
        assert len(it.requests()) == before
        rows = await (await it.stored()).audit_rows()
    assert draft_id in rows[-1].body.decode()
    assert PATIENT not in rows[-1].body.decode()
