"""list_documents: a patient's documents without their content, and what each failure tells."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import MCPError
from mcp.types import CallToolResult

from leyr_mcp.server.boundary import run
from leyr_mcp.server.filing.asking import Caller
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.tools import list_documents
from tests.support.mcp_answers import check_answer, check_error
from tests.support.mcp_session import TOLVAN, app_of, both_eras, session
from tests.support.mcp_snapshots import check_snapshot
from tests.support.mcp_upstream import Canned, client_over

SE = "se_personal_number:"


async def documents_of(*documents: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    async with client_over(Canned({"/documents": {"items": list(documents)}}), "auto") as client:
        return check_answer(await client.call_tool("list_documents", {"patient_id": "p"}))


@both_eras
async def test_whole_answer(mode: str) -> None:
    async with session(mode) as it:
        text, data = await it.ask("list_documents", patient_id=SE + TOLVAN)
    check_snapshot("answers/list_documents", {"text": text.splitlines(), "data": data})


@both_eras
async def test_no_documents_says_so(mode: str) -> None:
    async with session(mode) as it:
        new = await it.store("patients", first_name="Ny", last_name="Person")
        text, data = await it.ask("list_documents", patient_id=f"emr_id:{new['emr_id']}")
    assert (data["documents"], data["total"], data["truncated"]) == ([], 0, False)
    assert text == "The record holds no document of this patient here. Next: tell the user."


async def test_more_than_fifty_are_cut_and_counted() -> None:
    text, data = await documents_of(*({"id": f"d{number}"} for number in range(51)))
    assert len(data["documents"]) == 50
    assert (data["total"], data["truncated"]) == (51, True)
    assert "51 in all" in text


async def test_newest_first_and_content_dropped() -> None:
    text, data = await documents_of(
        {"id": "old", "created_at": "2026-01-01T10:00:00Z", "content": "QUJD"},
        {"id": "new", "created_at": "2026-02-01T10:00:00Z", "title": "Nytt", "type": "X"},
    )
    assert [d["document_id"] for d in data["documents"]] == ["new", "old"]
    assert "QUJD" not in text + str(data)
    assert text.splitlines()[0] == 'document_id new "Nytt", type "X", 2026-02-01T11:00+01:00'


@both_eras
@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({}, "invalid_argument"),
        ({"patient_id": TOLVAN}, "identifier_ambiguous"),
        ({"patient_id": f"{SE}191212121213"}, "identifier_checksum"),
    ],
)
async def test_wrong_call_is_refused_before_anything_is_sent(
    mode: str, call: dict[str, str], code: str
) -> None:
    async with session(mode) as it:
        refused = await it.refused("list_documents", **call)
        assert (refused.code, refused.field) == (code, "patient_id")
        assert it.requests() == []


@both_eras
async def test_unknown_patient(mode: str) -> None:
    async with session(mode) as it:
        refused = await it.refused("list_documents", patient_id="emr_id:nobody")
    assert (refused.code, refused.field) == ("patient_not_found", "patient_id")


@both_eras
async def test_tools_are_not_offered_where_the_record_system_has_no_documents(mode: str) -> None:
    async with session(mode, "kaddio") as it:
        listed = {tool.name for tool in (await it.client.list_tools()).tools}
        assert not listed & {"list_documents", "get_document"}
        for tool in ("list_documents", "get_document"):
            with pytest.raises(MCPError) as caught:
                await it.call(tool, patient_id="p", document_id="d")
            assert caught.value.code == -32602


async def test_refusal_as_not_supported_comes_back_in_plain_words() -> None:
    async with app_of("kaddio") as app:
        answer = await run(
            list_documents.SPEC, {"patient_id": "p"}, app.context, Caller(who=Who(subject="t"))
        )
        assert isinstance(answer, CallToolResult)
        refused = check_error(answer)
    assert refused.code == "not_supported"
    assert refused.next == "Tell the user that this record system cannot do it."
