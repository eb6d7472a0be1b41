"""What is Cobalt's own: its refusals, its two ids, both shapes of an event, live fetches, codes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any

import pytest

from leyr_mcp.sandbox.cobalt.clinic import SECOND
from leyr_mcp.sandbox.cobalt.options import Outcome
from leyr_mcp.server.ehr.cobalt.events import event_of
from leyr_mcp.server.ehr.cobalt.schedule import Schedule
from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.port import (
    Cancel,
    Confirm,
    Failed,
    Job,
    NewAppointment,
    NewDocument,
    NewNote,
    NewPatient,
    Reschedule,
    Stored,
    Window,
)
from leyr_mcp.server.errors import (
    InputError,
    UpstreamAuthError,
    UpstreamConflictError,
    UpstreamContractError,
    UpstreamError,
    UpstreamForbiddenError,
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
    UpstreamValidationError,
)
from tests.support.cobalt_client import DOCTOR, IMA, NOW, UNIT, client, finished, sandboxed
from tests.support.leyr_client import pieces

Message = MutableMapping[str, Any]
NOTE = NewNote(
    title="Check",
    template_id="leyr_unstructured",
    content={"unstructured": "Well."},
    created_by_id=None,
)


class Says:
    """An upstream that gives one answer to everything, or one for each path."""

    def __init__(self, status: int, body: Any, **paths: Any) -> None:
        self._status = status
        self._body = body
        self._paths = paths
        self.asked: list[str] = []

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        while (await receive()).get("more_body"):
            pass
        name = scope["path"].removeprefix("/v1/").replace("-", "_").partition("/")[0]
        self.asked.append(name)
        body = self._paths.get(name, self._body)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": raw})


LOCATIONS = {"success": True, "locations": [{"id": "c" * 32, "ehr_id": UNIT, "name": "A"}]}


@pytest.mark.parametrize(
    ("status", "body", "kind", "vendor_code", "field"),
    [
        (401, {"success": False, "message": "no"}, UpstreamAuthError, "UNAUTHORIZED", None),
        (403, {"error": "login_required"}, UpstreamAuthError, "LOGIN_REQUIRED", None),
        (403, {"message": "no"}, UpstreamForbiddenError, None, None),
        (404, {"message": "gone"}, UpstreamNotFoundError, None, None),
        (409, {}, UpstreamConflictError, None, None),
        (413, {}, UpstreamValidationError, None, None),
        (429, {}, UpstreamRateLimitError, None, None),
        (500, {"message": "x"}, UpstreamUnavailableError, None, None),
        (503, {}, UpstreamUnavailableError, None, None),
        (302, {}, UpstreamUnavailableError, None, None),
        (400, {"message": "canary"}, UpstreamValidationError, None, None),
        (422, b"<html>", UpstreamValidationError, None, None),
        (400, [], UpstreamValidationError, None, None),
        (
            400,
            {"message": "Missing required field: subject"},
            UpstreamValidationError,
            "MISSING_REQUIRED_FIELD",
            "title",
        ),
        (
            400,
            {"message": "Missing required field: canary"},
            UpstreamValidationError,
            "MISSING_REQUIRED_FIELD",
            None,
        ),
        (
            400,
            {"message": "Invalid location_id. Must be one of: canary"},
            UpstreamNotFoundError,
            "INVALID_CARE_UNIT_ID",
            "care_unit_id",
        ),
    ],
)
async def test_a_refusal_is_named(
    status: int, body: Any, kind: type[UpstreamError], vendor_code: str | None, field: str | None
) -> None:
    ehr = client(Says(status, body))
    with pytest.raises(UpstreamError) as caught:
        await ehr.write_note(UNIT, IMA, NOTE)
    found = caught.value
    assert (type(found), found.vendor_code, found.field) == (kind, vendor_code, field)
    assert "canary" not in f"{found.message} {found.next_step}"
    await ehr.close()


@pytest.mark.parametrize(
    "body",
    [{"success": False, "message": "Missing required field: note"}, {"success": False}],
)
async def test_no_success_is_a_refusal_whatever_the_status_says(body: Any) -> None:
    ehr = client(Says(200, body))
    with pytest.raises(UpstreamValidationError):
        await ehr.write_note(UNIT, IMA, NOTE)
    await ehr.close()


@pytest.mark.parametrize(
    "body", [{}, [], b"{", {"success": True}, {"success": True, "job_id": None}]
)
async def test_an_acknowledgement_without_any_id_is_no_answer(body: Any) -> None:
    ehr = client(Says(200, body))
    with pytest.raises(UpstreamContractError):
        await ehr.write_note(UNIT, IMA, NOTE)
    await ehr.close()


@pytest.mark.parametrize(
    ("body", "job"),
    [
        ({"patient_note_id": "n1", "job_id": 12345}, "12345:n1"),
        ({"patient_note_id": "n1", "job_id": "12345"}, "12345:n1"),
        ({"patient_note_id": "n1"}, ":n1"),
        ({"job_id": 7}, "7:"),
        ({"data": {"patient_note_id": "n1", "job_id": 7}}, "7:n1"),
        ({"patient_note_id": "n1", "job_id": True}, ":n1"),
    ],
)
async def test_a_job_is_one_text_whatever_form_it_came_in(body: Any, job: str) -> None:
    ehr = client(Says(200, {"success": True, **body}))
    assert await ehr.write_note(UNIT, IMA, NOTE) == Job(job)
    await ehr.close()


async def test_a_location_is_named_by_the_record_systems_id_and_by_no_other() -> None:
    async with sandboxed() as (box, ehr):
        (own,) = [one.id for one in await ehr.care_units() if one.id == UNIT]
        assert own
        with pytest.raises(UpstreamNotFoundError) as caught:
            await ehr.resources("0c1a5e0000000000000000000000a001")
        assert UNIT in (caught.value.next_step or "")
        assert SECOND in (caught.value.next_step or "")
        box.control.options.cobalt_location_ids = False
        with pytest.raises(UpstreamNotFoundError) as caught:
            await ehr.write_note("0c1a5e0000000000000000000000a001", IMA, NOTE)
        assert caught.value.vendor_code == "INVALID_CARE_UNIT_ID"


async def test_who_is_out_of_use_or_hidden_is_no_resource() -> None:
    async with sandboxed() as (_, ehr):
        assert [one.id for one in await ehr.resources(UNIT)] == ["9001", "9002"]
        assert [one.id for one in await ehr.resources(SECOND)] == ["9003"]


async def test_the_directory_is_asked_for_once() -> None:
    async with sandboxed() as (box, ehr):
        for _ in range(3):
            await ehr.resources(UNIT)
            await ehr.care_units()
        asked = [entry.path for entry in box.control.requests.entries]
        assert sorted(asked) == ["/v1/locations", "/v1/providers"]


async def test_whom_the_copy_does_not_know_the_record_is_asked_for_once() -> None:
    async with sandboxed() as (box, ehr):
        ehr.live_wait_s = 0.0
        for _ in range(3):
            with pytest.raises(UpstreamUnavailableError) as caught:
                await ehr.find_patients(UNIT, first_name="Late", last_name="Livefetch")
            assert (caught.value.code, caught.value.retry_after_s) == ("upstream_busy", 15.0)
        box.control.run_jobs()
        found = await ehr.find_patients(UNIT, first_name="Late", last_name="Livefetch")
        assert [one.mrn for one in found] == ["MRN-10024", "MRN-10025"]
        assert found[0].birth_date is not None
        fetches = [e for e in box.control.requests.entries if e.path.endswith("/fetch")]
        assert len(fetches) == 1


async def test_the_answer_of_the_record_counts_where_the_copy_stays_without_it() -> None:
    async with sandboxed() as (box, ehr):
        ehr.live_wait_s = 0.0
        with pytest.raises(UpstreamUnavailableError):
            await ehr.patient(UNIT, PatientRef("mrn", "MRN-10024"))
        box.control.run_jobs()
        for one in box.control.patients():  # the copy forgets
            box.control.store.put("patient", one["id"], {**one, "copied": one["mrn"] == "x"})
        assert (await ehr.patient(UNIT, PatientRef("mrn", "MRN-10024"))).first_name == "Late"


async def test_a_live_fetch_that_fails_is_asked_for_anew() -> None:
    async with sandboxed() as (box, ehr):
        ehr.live_wait_s = 0.0
        box.control.outcomes.append(Outcome(result="fail", kind="fetch"))
        for message in ("is being asked", "could not be asked", "is being asked"):
            with pytest.raises(UpstreamUnavailableError, match=message):
                await ehr.patient(UNIT, PatientRef("mrn", "MRN-10024"))
            box.control.run_jobs()


async def test_where_no_live_fetch_is_possible_the_copy_is_all_there_is() -> None:
    says = Says(200, {"success": False}, locations=LOCATIONS)
    says._paths["patients"] = {"success": True, "patients": []}
    ehr = client(says)
    with pytest.raises(UpstreamContractError):  # an answer without a job
        await ehr.find_patients(UNIT, first_name=None, last_name="X")

    class Refusing(Says):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            fetch = scope["path"].endswith("fetch")
            self._status = 400 if fetch else 200
            await super().__call__(scope, receive, send)

    other = client(
        Refusing(200, None, locations=LOCATIONS, patients={"success": True, "patients": []})
    )
    assert await other.find_patients(UNIT, first_name=None, last_name="X") == []
    await ehr.close()
    await other.close()


async def test_one_who_is_not_in_the_record_yet_is_nobody() -> None:
    async with sandboxed() as (box, ehr):
        ehr.live_wait_s = 0.0
        one = box.control.patients()[4]
        box.control.store.put("patient", one["id"], {**one, "status": "pending"})
        with pytest.raises(UpstreamUnavailableError):
            await ehr.patient(UNIT, IMA)


@pytest.mark.parametrize("older", [False, True])
async def test_an_event_says_the_same_in_both_shapes(*, older: bool) -> None:
    async with sandboxed() as (box, ehr):
        if older:
            box.control.outcomes.append(Outcome(result="older"))
        told = await finished(box, ehr, await ehr.write_note(UNIT, IMA, NOTE))
        assert told.patient_id == str(IMA)
        assert told.record_id == box.control.stored("note")[0]["emr_note_id"]


@pytest.mark.parametrize("raw", [{}, {"id": "e"}, {"type": "x"}, {"id": None, "type": "x"}])
def test_what_is_no_event_is_none(raw: dict[str, Any]) -> None:
    assert event_of(raw) is None


def test_an_event_with_strange_parts_is_read_as_far_as_it_goes() -> None:
    found = event_of({"id": 7, "type": "a.created", "created": "soon", "data": [], "job_id": 5})
    assert found is not None
    assert (found.id, found.job_id, found.created, found.data) == ("7", "5", None, {})
    naive = event_of({"id": "e", "type": "a.failed", "created": "2026-03-02T08:00:00"})
    assert naive is not None
    assert naive.created is not None
    assert naive.created.tzinfo is not None


async def test_a_failure_keeps_the_words_of_the_record_for_people() -> None:
    async with sandboxed() as (box, ehr):
        box.control.outcomes.append(Outcome(result="fail", reason="Chart is locked."))
        job = await ehr.write_note(UNIT, IMA, NOTE)
        assert isinstance(job, Job)
        box.control.run_jobs()
        assert await ehr.job(UNIT, job.id, since=NOW) == Failed("Chart is locked.")
        assert "locked" not in repr(Failed("Chart is locked."))


async def test_without_a_job_id_the_entry_tells_by_its_own() -> None:
    async with sandboxed() as (box, ehr):
        box.control.options.job_ids = "none"
        job = await ehr.write_note(UNIT, IMA, NOTE)
        assert isinstance(job, Job)
        assert job.id.startswith(":")
        assert await ehr.job(UNIT, job.id, since=NOW) is None
        await finished(box, ehr, job)


async def test_an_event_of_another_entry_under_the_same_job_is_not_taken() -> None:
    async with sandboxed() as (box, ehr):
        job = await ehr.write_note(UNIT, IMA, NOTE)
        assert isinstance(job, Job)
        box.control.run_jobs()
        number = job.id.partition(":")[0]
        assert await ehr.job(UNIT, f"{number}:other", since=NOW) is None


async def test_success_wins_over_a_failure_told_of_the_same_job() -> None:
    async with sandboxed() as (box, ehr):
        box.control.outcomes.append(Outcome(result="twice"))
        job = await ehr.write_note(UNIT, IMA, NOTE)
        assert isinstance(job, Job)
        box.control.run_jobs()
        second = box.control.events()[1]
        failed = {**second, "type": "patient_note.failed"}
        box.control.store.put("event", second["id"], failed)
        assert isinstance(await ehr.job(UNIT, job.id, since=NOW), Stored)


async def test_more_events_than_are_read_are_no_answer() -> None:
    page = [{"event_id": f"e{n}", "event_type": "x.created"} for n in range(100)]
    says = Says(200, {"success": True, "webhook_events": page})
    ehr = client(says)
    with pytest.raises(UpstreamContractError):
        await ehr.notes(UNIT, IMA)
    assert len(says.asked) == 20
    await ehr.close()


async def test_a_pending_appointment_names_its_job_and_is_not_booked() -> None:
    async with sandboxed() as (box, ehr):
        window = Window(NOW, NOW + timedelta(days=3))
        slot = (await ehr.timeslots(UNIT, window, resource=DOCTOR, healthcare_service_id="FU"))[0]
        new = NewAppointment(
            patient=IMA,
            window=Window(slot.start, slot.end),
            resource=DOCTOR,
            healthcare_service_id="FU",
        )
        job = await ehr.book(UNIT, new)
        (one,) = await ehr.appointments(UNIT, patient=IMA, window=new.window)
        assert (one.status, one.job_id) == ("pending", f":{one.id}")
        assert await ehr.job(UNIT, one.job_id or "", since=NOW) is None
        told = await finished(box, ehr, job)
        assert told == await ehr.job(UNIT, one.job_id or "", since=NOW)
        (one,) = await ehr.appointments(UNIT, patient=IMA, window=new.window, resource=DOCTOR)
        assert (one.status, one.job_id) == ("booked", None)
        others = ResourceRef("emr_id", "9002")
        assert await ehr.appointments(UNIT, window=new.window, resource=others) == []
        assert await ehr.appointments(SECOND, window=new.window) == []


async def test_what_cobalt_cannot_do_is_said_in_plain_words() -> None:
    async with sandboxed() as (box, ehr):
        window = Window(NOW, NOW + timedelta(hours=1))
        refused: list[Awaitable[object]] = [
            ehr.change_appointment(UNIT, "a1", Reschedule(window=window)),
            ehr.change_appointment(UNIT, "a1", Confirm(code="1234")),
            ehr.create_patient(UNIT, NewPatient(first_name="A", last_name="B")),
            ehr.appointments(UNIT, resource=ResourceRef("hsa_id", "SE2321000131-E000000012345")),
        ]
        for asked in refused:
            with pytest.raises(UpstreamNotSupportedError):
                await asked
        for new in (
            NewAppointment(patient=IMA, window=window, resource=DOCTOR),
            NewAppointment(patient=IMA, window=window, healthcare_service_id="FU"),
        ):
            with pytest.raises(InputError):
                await ehr.book(UNIT, new)
        structured = NewNote(
            title="x", template_id="leyr_care_status", content={"a": "b"}, created_by_id=None
        )
        with pytest.raises(InputError):
            await ehr.write_note(UNIT, IMA, structured)
        assert all(entry.method == "GET" for entry in box.control.requests.entries)


async def test_where_a_clinic_has_no_code_for_it_nothing_is_cancelled() -> None:
    statuses = {"success": True, "visit_statuses": [{"code": "ARR", "description": "Arrived"}]}
    ehr = client(Says(200, {"success": True}, visit_statuses=statuses))
    with pytest.raises(UpstreamNotSupportedError):
        await ehr.change_appointment(UNIT, "a1", Cancel())
    await ehr.close()


async def test_a_cancellation_without_a_job_is_in_doubt() -> None:
    statuses = {"success": True, "visit_statuses": [{"code": "C", "description": "Cancelled"}]}
    ehr = client(Says(200, {"success": True}, visit_statuses=statuses))
    with pytest.raises(UpstreamContractError):
        await ehr.change_appointment(UNIT, "a1", Cancel())
    await ehr.close()


async def test_times_without_an_offset_are_the_clinics_own() -> None:
    one = {"id": 5, "datetime": "2026-03-02T09:00:00", "status": "PEN", "location": "A"}
    says = Says(
        200,
        {"success": True, "visit_types": [], "visit_statuses": []},
        locations=LOCATIONS,
        appointments={"success": True, "appointments": [one, "rubbish"]},
    )
    ehr = client(says)
    (found,) = await ehr.appointments(UNIT)
    assert found.start.isoformat() == "2026-03-02T09:00:00-06:00"
    assert (found.id, found.status, found.care_unit_id) == ("5", "PEN", UNIT)
    assert found.end > found.start
    await ehr.close()


@pytest.mark.parametrize(
    "body", [{"success": True}, {"success": True, "results": []}, {"success": True, "results": {}}]
)
async def test_an_answer_without_its_list_is_unreadable(body: Any) -> None:
    ehr = client(Says(200, body, locations=LOCATIONS))
    with pytest.raises(UpstreamContractError):
        await ehr.timeslots(UNIT, Window(NOW, NOW + timedelta(days=1)))
    await ehr.close()


@pytest.mark.parametrize("sizes", [(3, b"toolong"), (3, b"sh"), (0, b""), (21_000_000, b"x")])
async def test_a_file_of_another_size_than_announced_is_not_sent(sizes: tuple[int, bytes]) -> None:
    size, content = sizes
    async with sandboxed() as (box, ehr):
        new = NewDocument(
            title="x", format="text/plain", created_by_id=None, size=size, chunks=pieces(content)
        )
        with pytest.raises(Exception):  # noqa: B017, PT011 - in process it may be the library's own
            await ehr.attach_document(UNIT, IMA, new)
        assert not box.control.queue.waiting()


async def test_a_document_goes_into_the_folder_that_it_names() -> None:
    async with sandboxed() as (box, ehr):
        for kind in (None, "Referrals"):
            new = NewDocument(
                title="Brev é", format="text/plain", created_by_id=None, size=2,
                chunks=pieces(b"ab"), type=kind,
            )  # fmt: skip
            await finished(box, ehr, await ehr.attach_document(UNIT, IMA, new))
        folders = [(d["folder_name"], d["notes"]) for d in box.control.stored("document")]
        assert folders == [("Documents", "Brev é"), ("Referrals", "Brev é")]


async def test_half_a_character_is_never_sent() -> None:
    async with sandboxed() as (box, ehr):
        broken = NewNote(
            title="x", template_id="t", content={"unstructured": "\ud800"}, created_by_id=None
        )
        with pytest.raises(InputError):
            await ehr.write_note(UNIT, IMA, broken)
        new = NewDocument(
            title="\ud800", format="text/plain", created_by_id=None, size=1, chunks=pieces(b"x")
        )
        with pytest.raises(InputError):
            await ehr.attach_document(UNIT, IMA, new)
        assert not box.control.requests.entries


def test_the_secrets_are_nowhere_in_what_is_printed() -> None:
    ehr = client(None)
    assert "canary" not in repr(ehr)
    assert isinstance(ehr, Schedule)
