"""write_note: what can be written, what is refused before a person is asked, and revising."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leyr_mcp.server.filing.checks import KNOWN_FIELDS, UNTOLD_TEMPLATES
from leyr_mcp.tools.wording import WORDINGS
from leyr_mcp.tools.write_note import TEMPLATES
from tests.support.mcp_asking import NOTE, PATIENT, Asking, asking, no, user, yes
from tests.support.mcp_session import both_eras
from tests.support.mcp_snapshots import check_snapshot

OTHER = "se_personal_number:195008121856"
FREE = {key: value for key, value in NOTE.items() if key != "content"}


def codes(data: dict[str, Any]) -> dict[str, str]:
    return {check["code"]: check["level"] for check in data["checks"]}


async def kept(it: Asking, **changes: Any) -> dict[str, Any]:
    _, data = await it.ask("write_note", **{**NOTE, "draft": True, **changes})
    return data


@both_eras
async def test_whole_answer_of_a_draft_that_waits(mode: str) -> None:
    async with asking(mode) as it:
        text, data = await it.ask("write_note", **{**NOTE, "content": "Mår bra. [saknas: puls]"})
        assert it.writes() == []
    url = data["approval"]["url"]
    assert url.endswith(f"#{data['draft_id']}")
    text = text.replace(url, "the page").replace(data["draft_id"], "d_0")
    data["approval"]["url"] = "the page"
    data["approval"]["command"] = data["approval"]["command"].replace(data["draft_id"], "d_0")
    data["draft_id"] = "d_0"
    check_snapshot("answers/write_note", {"text": text.splitlines(), "data": data})


@both_eras
async def test_filed_note_is_told_to_be_unsigned(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        text, data = await it.ask("write_note", **NOTE, expect="Tolvansson")
        assert (data["status"], data["verified"]) == ("filed", "equal")
        assert "unsigned" in data["next"]
        assert data["record_id"] in text
        assert it.notes() == ["Mår bra."]
        text, data = await it.ask("write_note", **NOTE, expect="Tolvansson")
        assert data["already_filed"]
        assert "already filed before" in text
        assert it.notes() == ["Mår bra."]


def test_templates_are_those_that_the_checks_know() -> None:
    assert set(TEMPLATES) == KNOWN_FIELDS.keys() | UNTOLD_TEMPLATES


@both_eras
@pytest.mark.parametrize("template", TEMPLATES)
async def test_every_template_takes_fields(mode: str, template: str) -> None:
    name = "unstructured" if template in KNOWN_FIELDS else "anamnes"
    async with asking(mode) as it:
        _, data = await it.ask(
            "write_note", **FREE, template_id=template, fields={name: "Frisk."}, draft=True
        )
        assert codes(data) == ({} if template in KNOWN_FIELDS else {"field_unproven": "info"})
        _, draft = await it.ask("get_draft", draft_id=data["draft_id"])
    assert draft["content"] == {name: "Frisk."}
    assert draft["details"]["Template"] == template


@both_eras
async def test_field_that_the_template_does_not_have_is_for_a_person_to_look_at(mode: str) -> None:
    async with asking(mode) as it:
        _, data = await it.ask("write_note", **FREE, fields={"plan": "Åter."}, draft=True)
        assert codes(data) == {"field_unknown": "block"}
        _, data = await it.ask(
            "write_note", **FREE, template_id="eget", fields={"plan": "Åter."}, draft=True
        )
        assert codes(data) == {"template_unknown": "info", "field_unproven": "info"}


@both_eras
async def test_a_hundred_thousand_characters_are_filed_whole(mode: str) -> None:
    text = ("Patienten mår bra idag. " * 5_000)[:100_000].rstrip() + "."
    async with asking(mode, user(yes)) as it:
        _, data = await it.ask("write_note", **{**NOTE, "content": text})
        assert (data["status"], data["verified"]) == ("filed", "equal")
        assert it.notes() == [text]


@both_eras
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"content": None}, "content"),
        ({"content": ""}, "content"),
        ({"content": "   \n\t "}, "content"),
        ({"content": "\u200b\u2060\ufeff"}, "content"),
        ({"content": "x" * 200_001}, "content"),
        ({"content": "\ufb2c" * 70_000}, "content"),
        ({"fields": {"plan": "x"}}, "content"),
        ({"content": None, "fields": {}}, "fields"),
        ({"content": None, "fields": {"a": "", "b": " "}}, "fields"),
        ({"content": None, "fields": {"": "x"}}, "fields"),
        ({"content": None, "fields": {" plan": "x"}}, "fields"),
        ({"content": None, "fields": {"pl\nan": "x"}}, "fields"),
        ({"content": None, "fields": {"pl\u202ean": "x"}}, "fields"),
        ({"content": None, "fields": {"plan\ufe0f": "x"}}, "fields"),
        ({"content": None, "fields": {"p" * 101: "x"}}, "fields"),
        ({"content": None, "fields": {f"f{n}": "x" for n in range(51)}}, "fields"),
        ({"content": None, "fields": {"Hemligsson": 7}}, "fields"),
        ({"template_id": "leyr_acute_visit"}, "fields"),
        ({"title": ""}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"title": "t" * 201}, "title"),
        ({"title": "\ufe0f"}, "title"),
        ({"title": "\ufb2c" * 100}, "title"),
        ({"template_id": "a\nb"}, "template_id"),
        ({"expect": "1912"}, "expect"),
        ({"patient_id": "emr_id:x/y"}, "patient_id"),
    ],
)
async def test_wrong_call_is_refused_before_anything_is_sent(
    mode: str, changes: dict[str, Any], field: str
) -> None:
    call = {name: value for name, value in {**NOTE, **changes}.items() if value is not None}
    async with asking(mode) as it:
        refused = await it.refused("write_note", **call)
        assert (refused.code, refused.field) == ("invalid_argument", field)
        assert "Hemligsson" not in refused.text
        assert it.requests() == []


@both_eras
async def test_wrong_patient_is_refused_by_name_and_by_birth_date(mode: str) -> None:
    async with asking(mode) as it:
        for expect in ("Testdotter", "1912-12-13"):
            refused = await it.refused("write_note", **NOTE, expect=expect)
            assert (refused.code, refused.field) == ("patient_mismatch", "expect")
        for expect in ("Tolvansson", "tolvan  TOLVANSSON", "1912-12-12"):
            await it.ask("write_note", **NOTE, expect=expect, draft=True)


@both_eras
async def test_removed_characters_are_counted(mode: str) -> None:
    async with asking(mode) as it:
        data = await kept(it, content="Mår\u200b bra\u202e.")
        assert data["checks"][0]["message"] == "2 invisible or control characters were removed."
        _, draft = await it.ask("get_draft", draft_id=data["draft_id"])
    assert draft["content"] == {"unstructured": "Mår bra."}


@both_eras
@pytest.mark.parametrize("language", WORDINGS)
async def test_marks_of_the_prompts_ask_for_a_look_and_no_more(mode: str, language: str) -> None:
    words = WORDINGS[language]
    marks = [
        f"[{part.partition(']')[0]}]"
        for rules in (words.summary_rules, words.letter_rules)
        for part in rules.split("[")[1:]
    ]
    assert len(marks) == 4
    async with asking(mode) as it:
        for mark in marks:
            data = await kept(it, content=f"Mår bra. {mark}")
            assert codes(data) == {"bracketed": "warn"}, mark


# Revising


@both_eras
async def test_revising_makes_the_next_version_and_repeating_that_none(mode: str) -> None:
    async with asking(mode) as it:
        first = await kept(it)
        for _ in range(2):
            data = await kept(it, content="Bättre.", draft_id=first["draft_id"])
            assert data["draft_id"] == first["draft_id"]
            entry = await it.desk.entry(first["draft_id"])
            assert (entry.draft.version, entry.draft.state) == (2, "draft")
        _, data = await it.ask(
            "write_note", **{**NOTE, "content": "Bättre."}, draft_id=first["draft_id"]
        )
        assert data["status"] == "awaiting_approval"
        assert (await it.desk.entry(first["draft_id"])).draft.version == 2


@both_eras
async def test_revised_draft_is_filed_as_revised_and_once(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        first = await kept(it)
        call = {**NOTE, "content": "Bättre.", "draft_id": first["draft_id"]}
        _, data = await it.ask("write_note", **call)
        assert (data["status"], data["already_filed"]) == ("filed", False)
        _, data = await it.ask("write_note", **call)
        assert (data["status"], data["already_filed"]) == ("filed", True)
        assert it.notes() == ["Bättre."]


@both_eras
async def test_what_was_sent_cannot_be_revised(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        refused = await it.refused(
            "write_note", **{**NOTE, "content": "Nytt."}, draft_id=data["draft_id"]
        )
        assert refused.code == "in_progress"
        assert it.notes() == ["Mår bra."]


@both_eras
async def test_declined_draft_is_to_be_drafted_anew(mode: str) -> None:
    async with asking(mode, user(no)) as it:
        _, data = await it.ask("write_note", **NOTE)
        assert data["status"] == "declined"
        refused = await it.refused(
            "write_note", **{**NOTE, "content": "Nytt."}, draft_id=data["draft_id"]
        )
    assert refused.code == "in_progress"
    assert refused.next == "Draft it anew, without draft_id."


@both_eras
async def test_draft_of_another_patient_or_kind_is_not_revised(mode: str) -> None:
    async with asking(mode) as it:
        first = await kept(it)
        refused = await it.refused(
            "write_note", **{**NOTE, "patient_id": OTHER}, draft_id=first["draft_id"]
        )
        assert (refused.code, refused.field) == ("invalid_argument", "draft_id")
        _, booking = await it.ask(
            "book_appointment",
            patient_id=PATIENT,
            start="2026-09-17T10:00:00+02:00",
            end="2026-09-17T10:30:00+02:00",
            resource_id="1022",
            healthcare_service_id="301",
            draft=True,
        )
        refused = await it.refused("write_note", **NOTE, draft_id=booking["draft_id"])
        assert (refused.code, refused.field) == ("invalid_argument", "draft_id")
        refused = await it.refused("write_note", **NOTE, draft_id="d_aaaaaaaaaaaaaaaa")
        assert (refused.code, refused.field) == ("not_found", "draft_id")


@both_eras
async def test_draft_of_another_care_unit_is_not_revised(mode: str) -> None:
    async with asking(mode) as it:
        first = await kept(it)
        refused = await it.refused(
            "write_note",
            **{**NOTE, "content": "Bättre."},
            draft_id=first["draft_id"],
            care_unit_id="L0_2",
        )
        assert (refused.code, refused.field) == ("invalid_argument", "draft_id")
        assert (await it.desk.entry(first["draft_id"])).draft.version == 1


@both_eras
async def test_no_draft_is_revised_into_what_another_one_holds(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        _, filed = await it.ask("write_note", **NOTE)
        waits, other = await kept(it, content="Annat."), await kept(it, content="Tredje.")
        for text, holds in (("Mår bra.", filed), ("Annat.", waits)):
            refused = await it.refused(
                "write_note", **{**NOTE, "content": text}, draft_id=other["draft_id"]
            )
            assert (refused.code, refused.field) == ("in_progress", "draft_id")
            assert holds["draft_id"] in refused.message
        await kept(it, content="Annat.", draft_id=other["draft_id"], idempotency_key="again")
        await it.ask("discard_draft", draft_id=waits["draft_id"])
        await kept(it, content="Tredje.", draft_id=other["draft_id"])
        await kept(it, content="Annat.", draft_id=other["draft_id"])
        assert it.notes() == ["Mår bra."]


async def test_of_two_revised_at_once_into_the_same_one_stays_as_it_was() -> None:
    async with asking("auto") as it:
        drafts = [(await kept(it, content=text))["draft_id"] for text in ("Ett.", "Två.")]
        call = {**NOTE, "content": "Samma.", "draft": True}
        found = await asyncio.gather(
            *(it.client.call_tool("write_note", {**call, "draft_id": one}) for one in drafts)
        )
        versions = [(await it.desk.entry(one)).draft.version for one in drafts]
    assert sorted(answer.is_error for answer in found) == [False, True]
    assert sorted(versions) == [1, 2]


@both_eras
async def test_a_new_key_makes_a_second_copy(mode: str) -> None:
    async with asking(mode) as it:
        first, second = await kept(it), await kept(it, idempotency_key="again")
        assert first["draft_id"] != second["draft_id"]
        assert (await kept(it))["draft_id"] == first["draft_id"]
