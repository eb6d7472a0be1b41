"""What the client makes of an answer: all that is bearable is read, nothing else gets in."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.models import Appointment, Note, Patient, Resource
from leyr_mcp.server.ehr.port import Cancel
from leyr_mcp.server.errors import UpstreamContractError, UpstreamError
from tests.support.leyr_client import TOLVAN, connected, days
from tests.support.upstream_app import Reply, app_of, json_reply

TIMES = {"start": "2024-03-25T14:00:00+01:00", "end": "2024-03-25T13:30:00Z"}
CANARY = "Tolvan Canarysson"

Call = Callable[[LeyrEhr], Awaitable[object]]

LISTS: dict[str, Call] = {
    "care units": lambda ehr: ehr.care_units(),
    "resources": lambda ehr: ehr.resources("L0_1"),
    "services": lambda ehr: ehr.services("L0_1"),
    "timeslots": lambda ehr: ehr.timeslots("L0_1", days(0, 1)),
    "patients": lambda ehr: ehr.find_patients("L0_1", first_name="Tolvan", last_name=None),
    "appointments": lambda ehr: ehr.appointments("L0_1"),
    "notes": lambda ehr: ehr.notes("L0_1", TOLVAN),
    "documents": lambda ehr: ehr.documents("L0_1", TOLVAN),
}
ONES: dict[str, Call] = {
    "patient": lambda ehr: ehr.patient("L0_1", TOLVAN),
    "appointment": lambda ehr: ehr.appointment("L0_1", "a1"),
    "note": lambda ehr: ehr.note("L0_1", TOLVAN, "n1"),
    "document": lambda ehr: ehr.document("L0_1", TOLVAN, "d1"),
    "document digest": lambda ehr: ehr.document_digest("L0_1", TOLVAN, "d1"),
    "change": lambda ehr: ehr.change_appointment("L0_1", "a1", Cancel()),
}


async def answered(call: Call, reply: Reply | Any) -> Any:
    """Return what a call makes of an answer."""
    app = app_of(reply if isinstance(reply, Reply) else json_reply(reply))
    async with connected(app=app) as ehr:
        return await call(ehr)


async def refused(call: Call, reply: Reply | Any) -> UpstreamContractError:
    """Return the contract error that a call ends in, after checking that it tells nothing."""
    with pytest.raises(UpstreamContractError) as caught:
        await answered(call, reply)
    error = caught.value
    assert (error.code, error.not_received) == ("upstream_bad_response", False)
    assert CANARY not in f"{error} {error.message} {error.next_step}"
    return error


@pytest.mark.parametrize("call", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("shape", ["array", "data", "items"])
async def test_a_list_is_read_in_each_of_the_three_shapes(call: Call, shape: str) -> None:
    items = [{"id": "x", "extra": {"deep": [1]}, **TIMES}]
    found = await answered(call, items if shape == "array" else {shape: items, "total": 1})
    assert len(found) == 1
    assert not hasattr(found[0], "extra")


@pytest.mark.parametrize("call", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("nothing", [[], {"data": []}, {"items": []}])
async def test_an_empty_list_is_no_error(call: Call, nothing: object) -> None:
    assert await answered(call, nothing) == []


@pytest.mark.parametrize(
    "wrong",
    [{}, {"results": []}, {"data": {}}, {"data": None}, "text", 7, None, True, [None], ["x"], [[]]],
    ids=json.dumps,
)
@pytest.mark.parametrize("call", LISTS.values(), ids=LISTS)
async def test_what_is_no_list_of_objects_breaks_the_contract(call: Call, wrong: object) -> None:
    await refused(call, wrong)


@pytest.mark.parametrize("call", ONES.values(), ids=ONES)
async def test_one_object_is_read_bare_or_as_the_first_of_an_array(call: Call) -> None:
    thing = {"id": "x", **TIMES}
    assert await answered(call, thing) == await answered(call, [thing, {"id": "other"}])


@pytest.mark.parametrize("wrong", [[], [[]], ["x"], "text", 7, None, False], ids=json.dumps)
@pytest.mark.parametrize("call", ONES.values(), ids=ONES)
async def test_what_is_no_object_breaks_the_contract(call: Call, wrong: object) -> None:
    await refused(call, wrong)


HOSTILE = {
    "empty body": Reply(b""),
    "cut JSON": Reply(b'[{"id": "a"'),
    "two values": Reply(b"[] []"),
    "not UTF-8": Reply(b'[{"id": "\xff"}]'),
    "lone surrogate": Reply(b'[{"id": "\\ud800"}]'),
    "huge nesting of arrays": Reply(b"[" * 500_000),
    "huge nesting of objects": Reply(b'{"data":' * 100_000),
    "huge number": Reply(b"[{" + b'"id":' + b"9" * 10_000 + b"}]"),
    "HTML": Reply(f"<html>{CANARY}</html>".encode(), content_type="text/html; charset=utf-8"),
    "HTML called JSON": Reply(f"<html>{CANARY}</html>".encode()),
    "text": Reply(b"[]", content_type="text/plain"),
    "no content type": Reply(b"[]", content_type=None),
    "nothing at all": Reply(b"", status=204, content_type=None),
    "text that is an id": Reply(json.dumps(CANARY).encode()),
}


@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("call", [LISTS["care units"], ONES["note"]], ids=["list", "one"])
async def test_an_unreadable_answer_breaks_the_contract(call: Call, reply: Reply) -> None:
    await refused(call, reply)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=utf-8",
        "application/problem+json",
        "Application/JSON",
        "application/json ;q=1",
    ],
)
async def test_a_media_type_may_be_spelled_in_any_way(kind: str) -> None:
    assert await answered(LISTS["care units"], Reply(b"[]", content_type=kind)) == []


async def test_identity_encoding_may_be_spelled_out_in_any_case() -> None:
    reply = Reply(b"[]", headers=(("content-encoding", "Identity"),))
    assert await answered(LISTS["care units"], reply) == []


@pytest.mark.parametrize(
    ("call", "thing"),
    [
        (LISTS["care units"], {"name": CANARY}),
        (LISTS["resources"], {"id": ""}),
        (LISTS["services"], {"id": None}),
        (LISTS["notes"], {"id": ["n"]}),
        (LISTS["documents"], {"id": {}}),
        (LISTS["appointments"], TIMES),
        (LISTS["appointments"], {"id": "a", "start": TIMES["start"]}),
        (LISTS["appointments"], {"id": "a", **TIMES, "start": "2024-03-25T14:00:00"}),
        (LISTS["timeslots"], {**TIMES, "start": "2024-03-25T14:00:00"}),
        (LISTS["timeslots"], {**TIMES, "end": "tomorrow"}),
        (LISTS["timeslots"], {"start": TIMES["start"]}),
        (LISTS["documents"], {"id": "x" * 201}),
    ],
)
async def test_a_missing_or_naive_essential_breaks_the_contract(call: Call, thing: object) -> None:
    await refused(call, [{"id": "good", **TIMES}, thing])


async def test_numeric_ids_become_text() -> None:
    (unit,) = await answered(LISTS["care units"], [{"id": 10}])
    (patient,) = await answered(LISTS["patients"], [{"id": 1, "emr_id": 2, "external_id": 3}])
    assert unit.id == "10"
    assert (patient.id, patient.emr_id, patient.external_id) == ("1", "2", "3")


async def test_everything_optional_may_be_missing_or_null() -> None:
    assert await answered(ONES["patient"], {}) == Patient()
    nulls = dict.fromkeys(("id", "emr_id", "first_name", "last_name", "birth_date"))
    assert await answered(ONES["patient"], nulls) == Patient()
    assert await answered(ONES["note"], {"id": "n", "created_at": None, "content": None}) == Note(
        id="n"
    )
    assert await answered(LISTS["resources"], [{"id": "r", "name": None}]) == [Resource(id="r")]


async def test_an_unknown_status_is_kept_as_spelled_and_a_missing_one_is_unknown() -> None:
    (odd, none) = await answered(
        LISTS["appointments"],
        [{"id": "a", **TIMES, "status": "no_show"}, {"id": "b", **TIMES}],
    )
    assert (odd.status, none.status) == ("no_show", "unknown")


async def test_times_keep_their_instant() -> None:
    found: Appointment = await answered(ONES["appointment"], {"id": "a", **TIMES})
    assert found.start == datetime(2024, 3, 25, 13, 0, tzinfo=UTC)
    assert found.end == datetime(2024, 3, 25, 13, 30, tzinfo=UTC)


async def test_created_at_may_lack_its_offset() -> None:
    note = await answered(ONES["note"], {"id": "n", "created_at": "2026-03-02T09:10:00"})
    assert note.created_at.replace(tzinfo=None) == datetime(2026, 3, 2, 9, 10)  # noqa: DTZ001 - it is what was sent


async def test_content_of_a_note_keeps_its_texts_only() -> None:
    note = await answered(
        ONES["note"], {"id": "n", "content": {"plan": "Vila", "score": 7, "more": None}}
    )
    assert note.content == {"plan": "Vila"}
    assert (await answered(ONES["note"], {"id": "n", "content": "free text"})).content is None


@pytest.mark.parametrize("name", ["birth_date", "date_of_birth", "dob"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1912-12-12", date(1912, 12, 12)),
        ("1912-12-12T00:00:00Z", date(1912, 12, 12)),
        ("1912-02-30", None),
        ("12/12/1912", None),
        (19121212, None),
        (None, None),
    ],
)
async def test_a_birth_date_is_a_plain_date_or_unknown(
    name: str, value: object, expected: date | None
) -> None:
    assert (await answered(ONES["patient"], {name: value})).birth_date == expected


async def test_content_of_a_document_stays_out_of_its_repr() -> None:
    found = await answered(ONES["document"], {"id": "d", "content": CANARY})
    assert found.content == CANARY
    assert CANARY not in repr(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["data", "items", "id", "start", "end", "content", "created_at", "status"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    body=JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60),
    call=st.sampled_from([*LISTS.values(), *ONES.values()]),
    status=st.sampled_from([200, 201, 400, 401, 404, 500, 503]),
)
@settings(max_examples=400, deadline=None)
async def test_any_body_is_read_or_named_but_never_an_unhandled_exception(
    body: bytes, call: Call, status: int
) -> None:
    app = app_of(Reply(body, status, (("retry-after", "3600"),)))
    async with connected(app=app) as ehr:
        named: UpstreamError | None = None
        try:
            await call(ehr)
        except UpstreamError as exc:
            named = exc
    assert named is not None or status < 300
    if named is not None and status < 300:
        assert isinstance(named, UpstreamContractError)
