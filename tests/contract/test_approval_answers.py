"""What a person may answer, in both eras, and what comes of it: only a plain yes files a draft."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import MCPError
from mcp.client import ClientSession
from mcp.types import (
    ClientCapabilities,
    ElicitationCapability,
    ElicitResult,
    UrlElicitationCapability,
)

from tests.support.mcp_asking import (
    NOTE,
    PROGRAM,
    Form,
    Way,
    asking,
    decline,
    dismiss,
    fields,
    no,
    user,
    yes,
)


async def test_yes_files_it_once_under_an_approval_of_that_very_version(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        text, data = await it.ask("write_note", **NOTE)
        assert (data["status"], data["already_filed"]) == ("filed", False)
        assert data["record_id"] in text
        (approval,) = await it.approvals()
        draft = (await it.desk.entry(data["draft_id"])).draft
        assert (approval.version, approval.digest) == (draft.version, draft.digest)
        assert approval.used_at is not None
        assert approval.channel == "host:claude-code"
        assert it.notes() == ["Mår bra."]
        assert len(it.writes()) == len(person.asked) == 1


async def test_the_question_names_the_patient_first_and_last_and_the_whole_text(mode: str) -> None:
    async with asking(mode, person := user(dismiss)) as it:
        _, data = await it.ask("write_note", **NOTE | {"content": "Rad ett.\nRad två."})
    (form,) = person.asked
    assert fields(form) == [data["draft_id"]]
    _, patient, *between, last, footer = [line for line in form.message.splitlines() if line]
    assert (
        patient
        == last
        == ("Patient: Tolvan Tolvansson, born 1912-12-12, national number 19121212-****")
    )
    assert between[-2:] == ["    | Rad ett.", "    | Rad två."]
    assert footer == f"({data['draft_id']}, version 1)"


@pytest.mark.parametrize("way", [no, decline])
async def test_no_lets_it_be_filed_by_nobody(mode: str, way: Way) -> None:
    async with asking(mode, person := user(way, yes)) as it:
        _, declined = await it.ask("write_note", **NOTE)
        assert declined["status"] == "declined"
        assert it.writes() == []
        _, anew = await it.ask("write_note", **NOTE)
        assert anew["status"] == "filed"
        assert anew["draft_id"] != declined["draft_id"]
    assert len(person.asked) == 2


def wrong(value: Any) -> Way:
    """Answer with something that is no yes and no no."""

    def way(form: Form) -> ElicitResult:
        return ElicitResult(action="accept", content=dict.fromkeys(fields(form), value))

    return way


def empty(_form: Form) -> ElicitResult:
    return ElicitResult(action="accept", content={})


def nothing(_form: Form) -> ElicitResult:
    return ElicitResult(action="accept")


def others(_form: Form) -> ElicitResult:
    return ElicitResult(action="accept", content={"d_aaaaaaaaaaaaaaaa": True, "file_it": True})


UNCLEAR: list[Way] = [
    dismiss,
    *(wrong(value) for value in ("true", "yes", 1, 1.0, ["true"], None, "")),
    empty,
    nothing,
    others,
]


@pytest.mark.parametrize("way", UNCLEAR)
async def test_what_is_no_plain_answer_decides_nothing(mode: str, way: Way) -> None:
    async with asking(mode, user(way, yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        assert data["status"] == "awaiting_approval"
        assert (it.writes(), await it.approvals()) == ([], [])
        _, same = await it.ask("write_note", **NOTE)
        assert (same["draft_id"], same["status"]) == (data["draft_id"], "filed")


async def test_fields_that_were_not_asked_for_are_passed_over(mode: str) -> None:
    def more(form: Form) -> ElicitResult:
        return ElicitResult(action="accept", content={fields(form)[0]: True, "and": False})

    async with asking(mode, user(more)) as it:
        _, data = await it.ask("write_note", **NOTE)
    assert data["status"] == "filed"


async def check_waits(it: Any) -> None:
    """Assert that a draft waits for the page or the terminal, and says how to get there."""
    text, data = await it.ask("write_note", **NOTE)
    assert data["status"] == "awaiting_approval"
    command = f"leyr-mcp approve {data['draft_id']}"
    assert data["approval"]["command"] == command
    assert data["approval"]["channel"] == "review"
    assert command in text
    assert it.writes() == []


async def test_client_that_cannot_ask_leaves_it_waiting(mode: str) -> None:
    async with asking(mode) as it:
        await check_waits(it)


async def test_client_that_can_only_open_addresses_is_not_asked(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = ElicitationCapability(url=UrlElicitationCapability())
    monkeypatch.setattr(
        ClientSession, "_build_capabilities", lambda *_: ClientCapabilities(elicitation=only)
    )
    async with asking(mode, person := user(yes)) as it:
        await check_waits(it)
    assert person.asked == []


async def test_capability_without_a_mode_means_forms(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = ClientCapabilities(elicitation=ElicitationCapability())
    monkeypatch.setattr(ClientSession, "_build_capabilities", lambda *_: bare)
    async with asking(mode, user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
    assert data["status"] == "filed"


async def test_program_that_says_yes_to_everything_is_not_asked(mode: str) -> None:
    async with asking(mode, person := user(yes), host=PROGRAM) as it:
        await check_waits(it)
    assert person.asked == []


async def test_no_host_counts_where_none_is_named(mode: str) -> None:
    async with asking(mode, person := user(yes), LEYR_MCP_APPROVAL_HOSTS="none") as it:
        await check_waits(it)
    assert person.asked == []


async def test_any_host_that_is_named_counts(mode: str) -> None:
    hosts = "another, some-agent"
    async with asking(mode, user(yes), host=PROGRAM, LEYR_MCP_APPROVAL_HOSTS=hosts) as it:
        _, data = await it.ask("write_note", **NOTE)
    assert data["status"] == "filed"


async def test_reading_asks_nobody(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        await it.ask("find_patient", patient_id=NOTE["patient_id"])
    assert person.asked == []


def broken(_form: Form) -> ElicitResult:
    raise MCPError(-32603, "Tolvan Tolvansson could not be asked")


def confused(_form: Form) -> ElicitResult:
    raise ValueError("Tolvan Tolvansson could not be asked")


@pytest.mark.parametrize("way", [broken, confused])
async def test_client_that_fails_while_it_asks_leaves_it_waiting(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking("legacy", user(way, yes)) as it:
        _, data = await it.ask("write_note", **NOTE)
        assert data["status"] == "awaiting_approval"
        assert it.writes() == []
        _, same = await it.ask("write_note", **NOTE)
        assert (same["draft_id"], same["status"]) == (data["draft_id"], "filed")
    ours = [record for record in caplog.records if record.name.startswith("leyr_mcp")]
    assert not any("Tolvan" in record.getMessage() for record in ours)


async def test_malformed_answer_is_a_failure_of_the_client_alone() -> None:
    async with asking("legacy", user(yes)) as it:
        session = it.client.session

        async def nonsense(context: Any, params: Any) -> Any:
            return ElicitResult.model_construct(action="perhaps", content=None)

        session._elicitation_callback = nonsense
        _, data = await it.ask("write_note", **NOTE)
    assert data["status"] == "awaiting_approval"


async def test_revised_draft_is_asked_about_anew(mode: str) -> None:
    async with asking(mode, person := user(dismiss, yes)) as it:
        _, first = await it.ask("write_note", **NOTE)
        better = NOTE | {"content": "Mår bättre.", "draft_id": first["draft_id"]}
        _, second = await it.ask("write_note", **better)
        assert (second["draft_id"], second["status"]) == (first["draft_id"], "filed")
        assert it.notes() == ["Mår bättre."]
        _, again = await it.ask("write_note", **better)
        assert (again["status"], again["already_filed"]) == ("filed", True)
    assert "version 2)" in person.asked[1].message
    assert len(person.asked) == 2


async def test_draft_only_asks_nobody_until_it_is_submitted(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        _, data = await it.ask("write_note", **NOTE, draft=True)
        assert (data["status"], person.asked) == ("draft", [])
        assert "approval" not in data
        _, same = await it.ask("write_note", **NOTE)
        assert (same["draft_id"], same["status"]) == (data["draft_id"], "filed")


async def test_repeat_is_answered_from_what_was_filed(mode: str) -> None:
    async with asking(mode, person := user(yes)) as it:
        _, first = await it.ask("write_note", **NOTE)
        text, again = await it.ask("write_note", **NOTE)
        assert again == first | {"already_filed": True}
        assert "nothing was sent again" in text
        _, copy = await it.ask("write_note", **NOTE, idempotency_key="k2")
        assert copy["draft_id"] != first["draft_id"]
        assert len(it.writes()) == 2
    assert "under the key k2" in person.asked[1].message


async def test_question_with_a_finding_shows_it(mode: str) -> None:
    async with asking(mode, person := user(dismiss)) as it:
        await it.ask("write_note", **NOTE | {"content": "Mår [namn]"})
    assert "- Look at this: unstructured holds a placeholder" in person.asked[0].message


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each era in turn."""
    era: str = request.param
    return era
