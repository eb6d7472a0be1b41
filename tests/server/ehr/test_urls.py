"""No id moves a request to another place: it is one whole segment, or nothing is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.leyr.backend import LeyrEhr
from leyr_mcp.server.ehr.port import Cancel, NewAppointment, NewNote, NewPatient
from leyr_mcp.server.errors import InputError, UpstreamContractError
from tests.support.leyr_client import TOLVAN, connected, days, record_over, transport_of
from tests.support.upstream_app import ScriptedApp, app_of
from tests.support.upstream_raw import raw_upstream

PREFIX = ["api", "emrs", "webdoc", "care-units"]
OF_TOLVAN = ["L0_1", "patients", str(TOLVAN)]

HOSTILE = [
    "",
    ".",
    "..",
    "a/b",
    "../../../emrs/webdoc/care-units",
    "..%2f..",
    "%2e%2e",
    "%2e",
    "a%00",
    "a?b=c",
    "a#b",
    "a@b",
    "a\\b",
    "a\x00b",
    "a b",
    " ",
    "a\r\nHost: elsewhere.invalid",
    "a\n",
    "ö",
    "１２",
    "\u202e",
    "\ud800",
    "a;b",
    "a&b=c",
    "a,b",
    "a=b",
    "a+b",
    "//elsewhere.invalid",
    "http://elsewhere.invalid",
    "x" * 131,
]

Call = Callable[[LeyrEhr, str], Awaitable[object]]

# Each place where text of a caller becomes a segment, with the segments that must come out.
PLACES: dict[str, tuple[Call, Callable[[str], list[str]]]] = {
    "care unit": (lambda ehr, text: ehr.resources(text), lambda text: [text, "resources"]),
    "care unit of a patient": (
        lambda ehr, text: ehr.patient(text, TOLVAN),
        lambda text: [text, "patients", str(TOLVAN)],
    ),
    "appointment": (
        lambda ehr, text: ehr.appointment("L0_1", text),
        lambda text: ["L0_1", "appointments", text],
    ),
    "appointment to change": (
        lambda ehr, text: ehr.change_appointment("L0_1", text, Cancel()),
        lambda text: ["L0_1", "appointments", text],
    ),
    "note": (
        lambda ehr, text: ehr.note("L0_1", TOLVAN, text),
        lambda text: [*OF_TOLVAN, "medical-notes", text],
    ),
    "document": (
        lambda ehr, text: ehr.document("L0_1", TOLVAN, text),
        lambda text: [*OF_TOLVAN, "documents", text],
    ),
    "document to digest": (
        lambda ehr, text: ehr.document_digest("L0_1", TOLVAN, text),
        lambda text: [*OF_TOLVAN, "documents", text],
    ),
    "patient": (
        lambda ehr, text: ehr.notes("L0_1", PatientRef("emr_id", text)),
        lambda text: ["L0_1", "patients", f"emr_id:{text}", "medical-notes"],
    ),
}


async def _called(call: Call, text: str) -> tuple[ScriptedApp, bool]:
    """Return the upstream after a call, and whether the call was refused as input."""
    app = app_of()
    async with connected(app=app) as ehr:
        try:
            await call(ehr, text)
        except InputError:
            return app, True
        except UpstreamContractError:
            return app, False
    return app, False


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", PLACES)
async def test_a_hostile_id_never_leaves_the_process(place: str, text: str) -> None:
    call, _ = PLACES[place]
    app, refused = await _called(call, text)
    assert refused
    assert app.asked == []


@pytest.mark.parametrize("text", ["a", "A.b_c:d-1", "...", ".a", "-", ":", "_", "x" * 96])
@pytest.mark.parametrize("place", PLACES)
async def test_a_plain_id_arrives_as_it_is(place: str, text: str) -> None:
    call, segments = PLACES[place]
    app, refused = await _called(call, text)
    assert not refused
    assert app.asked[0].path == "/" + "/".join([*PREFIX, *segments(text)])


TEXTS = (
    st.text(max_size=12)
    | st.text(st.characters(codec="ascii"), max_size=8)
    | st.text("ab./%2eE?#@\\:;&=+ \x00\r\n~", max_size=10)
    | st.sampled_from(HOSTILE)
)


@given(text=TEXTS, place=st.sampled_from(sorted(PLACES)))
@example(text="a%2Fb", place="note")
@settings(max_examples=600, deadline=None)
async def test_any_text_is_refused_or_arrives_as_exactly_one_segment(text: str, place: str) -> None:
    call, segments = PLACES[place]
    app, refused = await _called(call, text)
    if refused:
        assert app.asked == []
        return
    (asked,) = app.asked
    assert asked.path.split("/")[1:] == [*PREFIX, *segments(text)]
    assert (asked.query, asked.headers["host"]) == ("", "leyr.invalid")


@given(texts=st.lists(TEXTS, min_size=5, max_size=5))
@settings(max_examples=40, deadline=None)
async def test_on_a_socket_the_segments_decode_to_the_input_or_nothing_comes(
    texts: list[str],
) -> None:
    async with raw_upstream() as upstream, connected(origin=upstream.origin) as ehr:
        sent = []
        for text in texts:
            try:
                await ehr.resources(text)
            except InputError:
                continue
            sent.append([*PREFIX, text, "resources"])
        assert [request.segments for request in upstream.requests] == sent


@given(first=st.text(max_size=30), last=st.text(max_size=30))
@settings(max_examples=100, deadline=None)
async def test_any_name_is_one_value_of_the_query_and_changes_nothing_else(
    first: str, last: str
) -> None:
    async with raw_upstream() as upstream, connected(origin=upstream.origin) as ehr:
        await ehr.find_patients("L0_1", first_name=first, last_name=last)
    (request,) = upstream.requests
    assert request.segments == [*PREFIX, "L0_1", "patients"]
    assert request.query == [("first_name", first), ("last_name", last)]


@given(resource=TEXTS, service=TEXTS)
@settings(max_examples=100, deadline=None)
async def test_filters_are_values_of_the_query_and_change_nothing_else(
    resource: str, service: str
) -> None:
    app = app_of()
    async with connected(app=app) as ehr:
        try:
            await ehr.timeslots(
                "L0_1",
                days(0, 1),
                resource=ResourceRef("emr_id", resource),
                healthcare_service_id=service,
            )
        except InputError:
            assert app.asked == []
            return
    assert app.asked[0].path == "/" + "/".join([*PREFIX, "L0_1", "timeslots"])
    assert app.asked[0].query.count("&") == 3


@pytest.mark.parametrize("name", ["\ud800", "a\udfffb", "x" * 70_000])
async def test_a_name_that_fits_no_address_is_refused(name: str) -> None:
    app = app_of()
    async with connected(app=app) as ehr:
        with pytest.raises(InputError):
            await ehr.find_patients("L0_1", first_name=name, last_name=None)
    assert app.asked == []


async def test_half_a_character_in_a_body_is_refused() -> None:
    app = app_of()
    broken = "text \ud800"
    note = NewNote(
        title="t",
        template_id="leyr_unstructured",
        content={"unstructured": broken},
        created_by_id="r",
    )
    async with connected(app=app) as ehr:
        with pytest.raises(InputError):
            await ehr.write_note("L0_1", TOLVAN, note)
        with pytest.raises(InputError):
            await ehr.create_patient("L0_1", NewPatient(first_name=broken, last_name="x"))
        with pytest.raises(InputError):
            await ehr.book(
                "L0_1", NewAppointment(patient=TOLVAN, window=days(0, 1), comment=broken)
            )
    assert app.asked == []


@pytest.mark.parametrize("emr", ["..", "web/doc", "webdoc?x", "", "web doc"])
async def test_a_slug_is_held_to_the_same_rule(emr: str) -> None:
    app = app_of()
    async with connected(app=app, emr=emr) as ehr:
        with pytest.raises(InputError):
            await ehr.care_units()
    assert app.asked == []


async def test_a_base_address_with_a_path_keeps_it() -> None:
    app = app_of()
    ehr = record_over(transport_of(app=app, origin="http://leyr.invalid:8080/proxy"))
    await ehr.care_units()
    assert app.asked[0].path == "/proxy/api/emrs/webdoc/care-units"
    assert app.asked[0].headers["host"] == "leyr.invalid:8080"
