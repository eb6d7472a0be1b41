import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.faults import Fault
from tests.sandbox.kit import ORIGIN, TOLVAN, book, codes, sandbox_client

CONTROL = f"{ORIGIN}/_sandbox"


async def test_the_summary_needs_no_credentials(box: Sandbox) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=box)) as client:
        summary = (await client.get(CONTROL)).json()
    assert summary["emr"] == "webdoc"
    assert summary["now"] == "2026-03-02T06:00:00+00:00"
    assert summary["patients"] == 57
    assert "POST /_sandbox/faults" in summary["controls"]


async def test_reset_brings_back_the_seed_and_lifts_everything(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    before = box.control.state()
    await book(client)
    await client.post(f"{CONTROL}/faults", json={"kind": "503", "times": None})
    await client.patch(f"{CONTROL}/options", json={"created_status": 200})
    summary = (await client.post(f"{CONTROL}/reset")).json()
    assert (summary["faults"], summary["requests"]) == (0, 0)
    assert summary["options"]["created_status"] == 201
    assert box.control.state() == before


async def test_seed_replaces_data_but_leaves_faults(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    box.control.reset(seeded=False)
    assert box.control.patients() == []
    box.control.faults.add(Fault(kind="503"))
    assert (await client.post(f"{CONTROL}/seed")).json()["patients"] == 57
    assert (await client.get("/resources")).status_code == 503


async def test_the_clock_is_set_moved_and_let_go(box: Sandbox, client: httpx2.AsyncClient) -> None:
    put = await client.put(f"{CONTROL}/clock", json={"now": "2026-10-24T12:00:00+02:00"})
    assert put.json() == {"now": "2026-10-24T10:00:00+00:00"}
    moved = await client.post(f"{CONTROL}/clock/advance", json={"seconds": 86400})
    assert moved.json() == {"now": "2026-10-25T10:00:00+00:00"}
    slots = (await client.get("/timeslots")).json()
    assert slots[0]["start"] == "2026-10-26T08:00:00+01:00"
    back = await client.delete(f"{CONTROL}/clock")
    assert back.json() == {"now": "2026-03-02T06:00:00+00:00"}
    with pytest.raises(ValueError, match="offset"):
        box.control.clock.set(box.control.clock.now().replace(tzinfo=None))


async def test_the_log_shows_requests_as_on_the_wire_with_the_secret_masked(
    client: httpx2.AsyncClient,
) -> None:
    await client.get(f"/patients/{TOLVAN}")
    await client.get("/patients?first_name=%C3%85sa&last_name=Test+x")
    await client.post("/patients", json={"first_name": "Å"})
    await client.get("/nowhere")
    log = (await client.get(f"{CONTROL}/requests")).json()
    prefix = "/api/emrs/webdoc/care-units/L0_1"
    assert [(one["method"], one["path"], one["query"], one["status"]) for one in log] == [
        ("GET", f"{prefix}/patients/{TOLVAN}", "", 200),
        ("GET", f"{prefix}/patients", "first_name=%C3%85sa&last_name=Test+x", 200),
        ("POST", f"{prefix}/patients", "", 400),
        ("GET", f"{prefix}/nowhere", "", 404),
    ]
    assert [one["operation"] for one in log] == [
        "patients-get_patient",
        "patients-find_patients",
        "patients-create_patient",
        None,
    ]
    assert log[2]["body"] == '{"first_name":"Å"}'
    assert log[2]["body_bytes"] == 19
    assert {one["headers"]["x-leyr-client-secret"] for one in log} == {"***"}
    assert (await client.delete(f"{CONTROL}/requests")).json() == {"cleared": 4}


async def test_a_long_body_is_cut_in_the_log(box: Sandbox, client: httpx2.AsyncClient) -> None:
    await client.post("/patients", json={"first_name": "A" * 100_000, "last_name": "B"})
    entry = box.control.requests.entries[-1]
    assert (len(entry.body), entry.body_bytes) == (65536, 100_033)


async def test_the_state_of_one_patient_is_dumped_by_any_id(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    tolvan = box.control.patient("191212121212")
    dumps = [
        (await client.get(f"{CONTROL}/state", params={"patient": key})).json()
        for key in (tolvan.id, tolvan.emr_id, "191212121212")
    ]
    assert dumps[0] == dumps[1] == dumps[2]
    assert len(dumps[0]["notes"]) == len(dumps[0]["documents"]) == 3
    assert {len(item["sha256"]) for item in dumps[0]["documents"]} == {64}
    everything = (await client.get(f"{CONTROL}/state")).json()
    assert len(everything["patients"]) == 57
    missing = await client.get(f"{CONTROL}/state", params={"patient": "nobody"})
    assert codes(missing) == (404, ["NOT_FOUND"])


async def test_sms_codes_are_read_over_http() -> None:
    async with sandbox_client("anitasystems") as (box, client):
        patient = box.control.patient("191212121212").emr_id
        appointment = (await book(client, patient_id=patient)).json()[0]
        (message,) = (await client.get(f"{CONTROL}/sms")).json()
        assert message["appointment_id"] == appointment["id"]
        assert message["code"] == box.control.sms_code(appointment["id"])
        assert message["purpose"] == "booking"
        with pytest.raises(KeyError):
            box.control.sms_code("none")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/clock", '{"now": "2026-10-24T12:00:00"}'),
        ("PUT", "/clock", "{}"),
        ("POST", "/clock/advance", '{"seconds": 1e300}'),
        ("PATCH", "/options", '{"created_status": 500}'),
        ("PATCH", "/options", '{"unknown": 1}'),
        ("PATCH", "/options", "[]"),
        ("POST", "/faults", '{"kind": "earthquake"}'),
        ("POST", "/faults", '{"kind": "503", "path": "("}'),
        ("POST", "/faults", '{"kind": "503", "times": 0}'),
        ("POST", "/faults", "{"),
        ("DELETE", "/faults?id=x", ""),
    ],
)
async def test_wrong_input_to_the_control_plane_is_refused(
    client: httpx2.AsyncClient, method: str, path: str, body: str
) -> None:
    status, _ = codes(await client.request(method, f"{CONTROL}{path}", content=body))
    assert status == 400


async def test_unknown_controls_and_methods_are_refused(client: httpx2.AsyncClient) -> None:
    assert codes(await client.get(f"{CONTROL}/nothing")) == (404, ["NOT_FOUND"])
    answer = await client.get(f"{CONTROL}/reset")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_faults_are_listed_and_lifted_over_http(client: httpx2.AsyncClient) -> None:
    fault = {"kind": "429", "operation": "resources-find_resources", "times": 2, "retry_after": 3}
    added = (await client.post(f"{CONTROL}/faults", json=fault)).json()
    other = (await client.post(f"{CONTROL}/faults", json={"kind": "503", "method": "POST"})).json()
    assert (await client.get("/resources")).headers["retry-after"] == "3"
    listed = (await client.get(f"{CONTROL}/faults")).json()
    assert [(one["id"], one["times"]) for one in listed] == [(added["id"], 1), (other["id"], 1)]
    lifted = await client.delete(f"{CONTROL}/faults", params={"id": str(added["id"])})
    assert lifted.json() == {"cleared": 1}
    assert (await client.get("/resources")).status_code == 200
    assert (await client.delete(f"{CONTROL}/faults")).json() == {"cleared": 1}
