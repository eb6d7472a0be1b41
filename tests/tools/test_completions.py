"""Completions of care unit, resource and service, by the beginning of an id or a part of a name."""

from __future__ import annotations

import pytest
from mcp.types import PromptReference, ResourceTemplateReference

from leyr_mcp.tools.uris import PATIENT
from leyr_mcp.tools.write_note import TEMPLATES
from tests.support.mcp_session import Session, both_eras, session
from tests.support.mcp_upstream import Canned, client_over

PROMPT = PromptReference(name="book_follow_up")
TEMPLATE = ResourceTemplateReference(uri=PATIENT)


async def values(
    it: Session, name: str, begun: str, unit: str | None = None, *, template: bool = False
) -> list[str]:
    context = {"care_unit_id": unit} if unit else None
    ref = TEMPLATE if template else PROMPT
    found = (await it.client.complete(ref, {"name": name, "value": begun}, context)).completion
    assert found.total == len(found.values)
    return found.values


@both_eras
@pytest.mark.parametrize(
    ("name", "begun", "unit", "expected"),
    [
        ("care_unit_id", "", None, ["L0_1", "L0_2"]),
        ("care_unit_id", "l0_2", None, ["L0_2"]),
        ("care_unit_id", "psyk", None, ["L0_2"]),
        ("care_unit_id", "SÖDER", None, ["L0_1"]),
        ("care_unit_id", "nowhere", None, []),
        ("resource_id", "", None, ["1021", "1022", "1023"]),
        ("resource_id", "sjögren", None, ["1022"]),
        ("resource_id", "", "L0_2", ["1031", "1032", "1033"]),
        ("healthcare_service_id", "302", None, ["302"]),
        ("healthcare_service_id", "besök", "L0_2", ["311", "312"]),
        ("patient_id", "", None, []),
        ("weeks", "4", None, []),
        ("no_such_argument", "", None, []),
        ("template_id", "", None, list(TEMPLATES)),
        ("template_id", "psych", None, [name for name in TEMPLATES if "psychology" in name]),
        ("language", "", None, ["sv", "nb", "en"]),
        ("language", "N", None, ["nb", "en"]),
    ],
)
async def test_values(
    mode: str, name: str, begun: str, unit: str | None, expected: list[str]
) -> None:
    async with session(mode) as it:
        assert await values(it, name, begun, unit) == expected


@both_eras
async def test_template_variables_complete_as_arguments_do(mode: str) -> None:
    async with session(mode) as it:
        assert await values(it, "care_unit_id", "", template=True) == ["L0_1", "L0_2"]
        assert await values(it, "patient_id", "Tolv", template=True) == []


@both_eras
async def test_patients_are_never_completed_and_nobody_is_asked(mode: str) -> None:
    async with session(mode) as it:
        for begun in ("", "Tolvan", "se_personal_number:1912"):
            assert await values(it, "patient_id", begun) == []
        assert it.requests() == []


@both_eras
@pytest.mark.parametrize("unit", ["nowhere", "a/b", ".."])
async def test_failure_completes_nothing(mode: str, unit: str) -> None:
    async with session(mode) as it:
        assert await values(it, "resource_id", "", unit) == []
        it.fail("unauthorized")
        assert await values(it, "care_unit_id", "") == []


async def test_at_most_a_hundred_values() -> None:
    units = [{"id": f"U{number}"} for number in range(150)]
    async with client_over(Canned({"/care-units": units}), "auto") as client:
        found = await client.complete(PROMPT, {"name": "care_unit_id", "value": "u"})
    assert len(found.completion.values) == 100
