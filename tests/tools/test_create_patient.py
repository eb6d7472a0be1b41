"""create_patient: who is registered, who is found to be there, and which numbers are taken."""

from __future__ import annotations

from typing import Any

import pytest

from leyr_mcp.sandbox.systems import SYSTEMS
from leyr_mcp.server.ehr.capabilities import EMRS
from leyr_mcp.tools.toolsets import Choice
from tests.support.mcp_answers import check_answer, check_text_suffices
from tests.support.mcp_asking import ANNA, PROGRAM, asking, decline, dismiss, no, user, yes
from tests.support.mcp_session import TOLVAN, both_eras, session
from tests.support.mcp_snapshots import check_snapshot
from tests.support.mcp_upstream import client_over
from tests.support.mcp_writes import HOSTILE, bodies, codes, told

NEW: dict[str, Any] = {"first_name": "Ny", "last_name": "Provsson"}
# Published by the Swedish Tax Agency; no patient of the seed has it.
FREE_NUMBER = "189912289809"


@both_eras
async def test_yes_creates_and_tells_the_id_to_use(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        more = {"phones": ["+46 70-123 45 67"], "emails": ["ny@example.org"]}
        text, data = await it.ask("create_patient", **NEW, **more, external_id="18991228-9809")
        (request,) = it.writes()
        assert request.method == "POST"
        assert bodies(it) == [
            {
                **NEW,
                "external_id": FREE_NUMBER,
                "phones": ["+46701234567"],
                "emails": ["ny@example.org"],
            }
        ]
        created = it.control.patient(FREE_NUMBER)
        _, found = await it.ask("find_patient", patient_id=data["patient_id"])
    assert data["patient_id"] == f"emr_id:{created.emr_id}"
    assert found["patients"][0]["patient_id"] == data["patient_id"]
    assert (data["status"], data["existed"], data["checks"]) == ("filed", False, [])
    assert data["next"] == "Use patient_id from here on."
    assert f"patient_id {data['patient_id']}, new" in text
    check_text_suffices(text, data)
    check_snapshot("answers/create_patient_new", told(text, data))
    said = person.asked[0].message
    for shown in ("Ny Provsson (new)", FREE_NUMBER, "+46701234567", "ny@example.org"):
        assert shown in said


@both_eras
async def test_patient_who_exists_is_returned_and_told_before_anybody_decides(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        call = {"first_name": "tolvan", "last_name": "Tolvansson", "external_id": TOLVAN}
        before = len(it.control.patients())
        text, data = await it.ask("create_patient", **call)
        assert len(it.control.patients()) == before
        known = f"emr_id:{it.control.patient(TOLVAN).emr_id}"
    assert (data["patient_id"], data["existed"]) == (known, True)
    assert [(c["code"], c["level"]) for c in data["checks"]] == [("patient_exists", "warn")]
    assert known in data["checks"][0]["message"]
    assert data["checks"][0]["message"] in person.asked[0].message
    assert "in the record before" in text
    check_snapshot("answers/create_patient_known", told(text, data))


@both_eras
async def test_number_of_somebody_else_is_a_block(mode: str) -> None:
    async with asking(mode, person := user(dismiss)) as it:
        _, data = await it.ask("create_patient", **NEW, external_id=TOLVAN)
    assert [(c["code"], c["level"]) for c in data["checks"]] == [("patient_exists", "block")]
    assert "another name" in person.asked[0].message
    assert "Tolvansson" not in str(data)


@both_eras
async def test_number_under_another_name_is_told_after_filing_too(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        text, data = await it.ask("create_patient", **NEW, external_id=TOLVAN)
    assert (data["status"], data["existed"]) == ("filed", True)
    assert "under another name" in data["next"]
    assert data["next"] in text


@both_eras
async def test_namesakes_are_told(mode: str) -> None:
    async with session(mode) as it:
        same = {"first_name": "Åsa", "last_name": "Testdotter"}
        _, without = await it.ask("create_patient", **same)
        _, with_number = await it.ask("create_patient", **same, external_id=FREE_NUMBER)
    assert [(c["code"], c["level"]) for c in without["checks"]] == [("same_name", "warn")]
    assert without["checks"][0]["message"].startswith("The record has 2 patients of this name")
    assert [(c["code"], c["level"]) for c in with_number["checks"]] == [("same_name", "info")]


@both_eras
@pytest.mark.parametrize(
    ("way", "status"), [(decline, "declined"), (no, "declined"), (dismiss, "awaiting_approval")]
)
async def test_without_a_yes_nobody_is_created(mode: str, way: Any, status: str) -> None:
    async with asking(mode, user(way)) as it:
        text, data = await it.ask("create_patient", **NEW)
        assert it.writes() == []
    assert data["status"] == status
    assert not {"patient_id", "existed", "record_id"} & data.keys()
    check_text_suffices(text, data)


@both_eras
async def test_client_that_cannot_ask_gets_the_command(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("create_patient", **NEW)
        assert {request.method for request in it.requests()} == {"GET"}
    assert data["approval"]["command"] == f"leyr-mcp approve {data['draft_id']}"
    check_snapshot("answers/create_patient_waiting", told(text, data))


@both_eras
async def test_client_that_was_not_named_is_not_asked(mode: str) -> None:
    async with asking(mode, person := user(yes), host=PROGRAM) as it:
        _, data = await it.ask("create_patient", **NEW)
        assert (data["status"], it.writes(), person.asked) == ("awaiting_approval", [], [])


@both_eras
async def test_draft_asks_nobody_and_a_repeat_is_the_same(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        _, draft = await it.ask("create_patient", **NEW, draft=True)
        assert (draft["status"], person.asked) == ("draft", [])
        _, first = await it.ask("create_patient", **NEW)
        _, again = await it.ask("create_patient", **NEW)
        assert first["draft_id"] == again["draft_id"] == draft["draft_id"]
        assert (first["already_filed"], again["already_filed"]) == (False, True)
        assert again["patient_id"] == first["patient_id"]
        assert len(it.writes()) == 1


@both_eras
async def test_new_key_and_declined_are_new_drafts(mode: str) -> None:
    async with asking(mode, person := user(decline, dismiss)) as it:
        ids = [
            (await it.ask("create_patient", **NEW, **more))[1]["draft_id"]
            for more in ({}, {}, {"idempotency_key": "another Ny"})
        ]
    assert len(set(ids)) == len(person.asked) == 3
    assert "another Ny" in person.asked[2].message


@both_eras
@pytest.mark.parametrize(
    ("number", "sent"),
    [
        ("se_personal_number:18991228-9809", FREE_NUMBER),
        ("18991228-9809", FREE_NUMBER),
        (f" {FREE_NUMBER} ", FREE_NUMBER),
        ("no_personal_number:109155 96784", "10915596784"),
        ("nhs_number:999 000 0018", "9990000018"),
        ("AB-1234", "AB-1234"),
        ("1234", "1234"),
    ],
)
async def test_numbers_that_are_taken(mode: str, number: str, sent: str) -> None:
    async with asking(mode, user(yes)) as it:
        await it.ask("create_patient", **NEW, external_id=number)
        assert bodies(it)[0]["external_id"] == sent


@both_eras
@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("191212121213", "identifier_checksum"),
        ("se_personal_number:191212121213", "identifier_checksum"),
        ("20151301-2395", "identifier_checksum"),
        ("201509160006", "identifier_checksum"),
        ("1212121212", "identifier_ambiguous"),
        ("9990000018", "identifier_ambiguous"),
        ("10915596785", "identifier_checksum"),
        ("no_personal_number:10915596785", "identifier_checksum"),
        ("nhs_number:9990000000", "identifier_checksum"),
        ("emr_id:abc_1", "invalid_argument"),
        ("other:abc", "invalid_argument"),
        ("123456789", "invalid_argument"),
        ("1234567890123", "invalid_argument"),
        ("Å-1", "invalid_argument"),
        (
            "\u0661\u0669\u0661\u0662\u0661\u0662\u0661\u0662\u0661\u0662\u0661\u0662",
            "invalid_argument",
        ),
        (HOSTILE, "invalid_argument"),
        ("x" * 61, "invalid_argument"),
    ],
)
async def test_numbers_that_are_refused_before_the_network(
    mode: str, number: str, code: str
) -> None:
    async with session(mode) as it:
        refused = await it.refused("create_patient", **NEW, external_id=number)
        assert (refused.code, refused.field) == (code, "external_id")
        assert it.requests() == []
    assert number not in refused.text


@both_eras
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", ""),
        ("first_name", "  "),
        ("first_name", "1234"),
        ("first_name", HOSTILE),
        ("last_name", HOSTILE),
        ("last_name", "Prov\u200bsson"),
        ("last_name", "Prov\u3164sson"),
        ("last_name", "x" * 101),
        ("phones", ["+46" + "1" * 20]),
        ("phones", ["070 (0) 123"]),
        ("phones", [HOSTILE]),
        ("phones", [""]),
        ("phones", ["\u0664\u0666\u0667\u0660\u0661\u0662"]),
        ("phones", [f"+4670000000{n}" for n in range(6)]),
        ("phones", "+46701234567"),
        ("emails", ["nobody"]),
        ("emails", ["a@b"]),
        ("emails", ["a@b.c\n"]),
        ("emails", [HOSTILE]),
        ("emails", [f"a{n}@example.org" for n in range(6)]),
        ("idempotency_key", HOSTILE),
        ("care_unit_id", HOSTILE),
    ],
)
async def test_hostile_arguments_are_refused_before_the_network(
    mode: str, field: str, value: Any
) -> None:
    async with session(mode) as it:
        refused = await it.refused("create_patient", **{**NEW, field: value})
        assert (refused.code, refused.field) == ("invalid_argument", field)
        assert it.requests() == []
    assert "SYSTEM" not in refused.text


@both_eras
async def test_names_are_composed_and_otherwise_as_given(mode: str) -> None:
    async with asking(mode, user(yes)) as it:
        names = {"first_name": "A\u030asa", "last_name": "O'Testigan-<b>"}
        await it.ask("create_patient", **names)
        (sent,) = bodies(it)
    assert sent == {"first_name": "Åsa", "last_name": "O'Testigan-<b>"}


def test_the_sandbox_needs_what_the_table_promises() -> None:
    for slug, system in SYSTEMS.items():
        known = EMRS[slug]
        assert (known.number_needed, known.phone_needed) == (
            system.number_required, system.confirms_by_sms,
        )  # fmt: skip


@both_eras
async def test_takecare_needs_a_swedish_number(mode: str) -> None:
    async with asking(mode, user(yes), emr="takecare") as it:
        none = await it.refused("create_patient", **NEW)
        other = await it.refused("create_patient", **NEW, external_id="AB-1234")
        norwegian = await it.refused(
            "create_patient", **NEW, external_id="no_personal_number:10915596784"
        )
        assert it.requests() == []
        _, data = await it.ask("create_patient", **NEW, external_id=FREE_NUMBER)
    assert {(r.code, r.field) for r in (none, other, norwegian)} == {
        ("invalid_argument", "external_id")
    }
    assert data["patient_id"] == f"emr_id:{FREE_NUMBER}"


@both_eras
async def test_konfidens_needs_a_norwegian_number(mode: str) -> None:
    async with asking(mode, user(yes), emr="konfidens") as it:
        refused = await it.refused("create_patient", **NEW, external_id=FREE_NUMBER)
        none = await it.refused("create_patient", **NEW)
        _, data = await it.ask("create_patient", **NEW, external_id="50846202355")
    assert refused.field == none.field == "external_id"
    assert (data["status"], data["existed"]) == ("filed", False)


@both_eras
async def test_anita_systems_needs_a_phone_and_tells_the_id_by_a_search(mode: str) -> None:
    async with asking(mode, user(yes), emr="anitasystems") as it:
        none = await it.refused("create_patient", **NEW)
        local = await it.refused("create_patient", **NEW, phones=["0701234567"])
        _, data = await it.ask("create_patient", **NEW, phones=["+46701234567"])
        (created,) = [p for p in it.control.patients() if p.last_name == "Provsson"]
    assert {(r.code, r.field) for r in (none, local)} == {("invalid_argument", "phones")}
    assert data["patient_id"] == f"emr_id:{created.emr_id}"


@both_eras
async def test_id_of_which_nothing_can_be_read_is_not_told(mode: str) -> None:
    async with asking(mode) as it:
        _, waiting = await it.ask("create_patient", **NEW)
        entry = await it.desk.entry(waiting["draft_id"])
        it.fail("html", operation="patients-get_patient")
        await it.desk.approve(entry, ANNA)
        assert (await it.desk.outcome(entry, 5)).draft.state == "filed"
        _, found = await it.ask("create_patient", **NEW)
        it.fail("html", operation="patients-find_patients")
        _, data = await it.ask("create_patient", **NEW)
    assert found["patient_id"] == f"emr_id:{data['record_id']}"
    assert (data["status"], data["already_filed"]) == ("filed", True)
    assert "patient_id" not in data
    assert data["next"].startswith("Call find_patient")


@both_eras
async def test_record_that_cannot_search_is_no_hindrance(mode: str) -> None:
    async def upstream(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"code":"NOT_SUPPORTED"}'})

    async with client_over(upstream, mode) as client:
        _, data = check_answer(
            await client.call_tool("create_patient", {**NEW, "external_id": FREE_NUMBER})
        )
    assert (data["status"], data["checks"]) == ("awaiting_approval", [])


@both_eras
async def test_production_refuses_test_numbers(mode: str) -> None:
    async with session(mode, LEYR_MCP_ENVIRONMENT="production") as it:
        refused = await it.refused("create_patient", **NEW, external_id="nhs_number:9990000018")
        assert (refused.code, refused.field) == ("wrong_environment", "external_id")
        assert it.requests() == []


async def test_scribe_never_creates_patients() -> None:
    async with session("auto", choice=Choice(role="scribe")) as it:
        names = {tool.name for tool in (await it.client.list_tools()).tools}
    assert "create_patient" not in names
    assert "book_appointment" in names


@both_eras
async def test_trusted_files_a_new_patient_unasked_but_not_over_another(mode: str) -> None:
    async with asking(mode, person := user(dismiss), LEYR_MCP_APPROVAL="trusted") as it:
        _, data = await it.ask("create_patient", **NEW)
        assert (data["status"], person.asked) == ("filed", [])
        _, held = await it.ask("create_patient", **NEW, external_id=TOLVAN)
        assert (held["status"], codes(held)) == ("awaiting_approval", ["patient_exists"])
        assert len(person.asked) == 1
