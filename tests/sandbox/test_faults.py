"""Faults in process; the same ones over a socket are in test_faults_over_a_socket."""

import asyncio
import gzip
import json
import re

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.breakage import gzip_pieces
from leyr_mcp.sandbox.faults import KINDS, Fault
from tests.sandbox.kit import TOLVAN, client_of, codes, until

NOTES = f"/patients/{TOLVAN}/medical-notes"
NOTE = {
    "template_id": "leyr_unstructured",
    "created_by_id": "1021",
    "content": {"unstructured": "Text"},
}


def filed(box: Sandbox) -> int:
    """Return how many notes were written since the seed."""
    return len(box.control.notes("191212121212")) - 3


def order(box: Sandbox, **fields: object) -> None:
    """Order a fault."""
    box.control.faults.add(Fault.model_validate(fields))


@pytest.mark.parametrize(
    ("kind", "error", "committed"),
    [
        ("refuse", ConnectionRefusedError, 0),
        ("reset_before", ConnectionResetError, 0),
        ("reset_after", ConnectionResetError, 1),
        ("hang", ConnectionResetError, 0),
    ],
)
async def test_a_broken_connection_is_raised_as_its_exception(
    box: Sandbox,
    client: httpx2.AsyncClient,
    kind: str,
    error: type[OSError],
    committed: int,
) -> None:
    order(box, kind=kind, seconds=0.02)
    with pytest.raises(error):
        await client.post(NOTES, json=NOTE)
    assert filed(box) == committed
    entry = box.control.requests.entries[-1]
    assert (entry.fault, entry.status, entry.carried_out) == (kind, None, bool(committed))
    box.control.faults.clear()
    assert (await client.get(NOTES)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "code", "committed"),
    [
        ("429", 429, "UNKNOWN_ERROR", 0),
        ("503", 503, "SERVICE_UNAVAILABLE", 0),
        ("500_after", 500, "UNKNOWN_ERROR", 1),
        ("emr_401", 401, "EMR_ERROR", 0),
        ("unauthorized", 401, "UNAUTHORIZED", 0),
    ],
)
async def test_an_error_answer_comes_in_the_envelope(
    box: Sandbox, client: httpx2.AsyncClient, kind: str, status: int, code: str, committed: int
) -> None:
    order(box, kind=kind)
    answer = await client.post(NOTES, json=NOTE)
    assert codes(answer)[0] == status
    assert answer.json()["code"] == code
    assert "retry-after" not in answer.headers
    assert filed(box) == committed


@pytest.mark.parametrize("value", [7, "Mon, 02 Mar 2026 06:00:30 GMT"])
@pytest.mark.parametrize("kind", ["429", "503"])
async def test_retry_after_is_sent_as_ordered(
    box: Sandbox, client: httpx2.AsyncClient, kind: str, value: object
) -> None:
    order(box, kind=kind, retry_after=value)
    assert (await client.get(NOTES)).headers["retry-after"] == str(value)


async def test_an_answer_that_usually_refuses_can_hide_a_commit(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="503", commit=True)
    assert (await client.post(NOTES, json=NOTE)).status_code == 503
    assert filed(box) == 1


async def test_the_vendors_own_refusal_carries_its_error(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="emr_401")
    body = (await client.get(NOTES)).json()
    assert json.loads(body["detail"]) == body["errors"][0]["emr_error"]


async def test_a_late_commit_happens_after_the_connection_broke(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="late_commit", seconds=60)
    with pytest.raises(ConnectionResetError):
        await client.post(NOTES, json=NOTE)
    assert (filed(box), len(box.control.late_commits)) == (0, 1)
    assert box.control.late_commits.run() == 1
    assert (filed(box), len(box.control.late_commits)) == (1, 0)
    assert box.control.requests.entries[-1].carried_out


async def test_a_late_commit_happens_by_itself_when_its_time_comes(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="late_commit", seconds=0)
    with pytest.raises(ConnectionResetError):
        await client.post(NOTES, json=NOTE)
    await until(lambda: filed(box) == 1)
    assert len(box.control.late_commits) == 0


async def test_a_late_commit_that_hangs_meanwhile_gives_no_answer(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="late_commit", seconds=60, then="hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await client.post(NOTES, json=NOTE)
    assert len(box.control.late_commits) == 1


async def test_closing_drops_late_commits_and_ends_what_hangs() -> None:
    box = Sandbox()
    async with client_of(box) as client:
        order(box, kind="late_commit", seconds=60)
        order(box, kind="hang", seconds=600)
        with pytest.raises(ConnectionResetError):
            await client.post(NOTES, json=NOTE)
        hanging = asyncio.create_task(client.get(NOTES))
        await until(lambda: len(box.control.requests.entries) > 1)
        await asyncio.sleep(0)
        box.close()
        with pytest.raises(ConnectionResetError):
            await hanging
    assert len(box.control.late_commits) == 0


async def test_a_client_that_gives_up_on_a_hanging_request_leaves_no_task(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await client.get(NOTES)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_latency_carries_out_first_and_answers_late(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="latency", seconds=0.02)
    started = asyncio.get_running_loop().time()
    assert (await client.post(NOTES, json=NOTE)).status_code == 201
    assert asyncio.get_running_loop().time() - started >= 0.02


async def test_a_cut_answer_is_shorter_than_declared(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="cut")
    answer = await client.post(NOTES, json=NOTE)
    assert 0 < len(answer.content) < int(answer.headers["content-length"])
    assert filed(box) == 1


async def test_a_dripping_answer_is_whole_in_the_end(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="drip", seconds=0)
    assert (await client.get("/resources")).json()[0]["id"] == "1021"


async def test_a_page_of_a_proxy_comes_instead_of_json(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="html")
    answer = await client.post(NOTES, json=NOTE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert filed(box) == 0


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_points_to_another_host(
    box: Sandbox, client: httpx2.AsyncClient, status: int
) -> None:
    order(box, kind="redirect", status=status)
    answer = await client.get("/patients", params={"first_name": "A"})
    assert answer.status_code == status
    assert answer.headers["location"].startswith("https://elsewhere.invalid/api/emrs/webdoc/")
    assert answer.headers["location"].endswith("/patients?first_name=A")
    order(box, kind="redirect", location="http://127.0.0.1:1/x")
    assert (await client.get("/patients")).headers["location"] == "http://127.0.0.1:1/x"


@pytest.mark.parametrize("size", [2, 3, 1024 * 1024, 5_000_000])
def test_a_gzip_bomb_unpacks_to_a_blank_list_of_the_size(size: int) -> None:
    unpacked = gzip.decompress(b"".join(gzip_pieces(size)))
    assert len(unpacked) == size
    assert json.loads(unpacked) == []


async def test_the_usual_gzip_bomb_is_small_on_the_wire() -> None:
    packed = sum(len(piece) for piece in gzip_pieces(512 * 1024 * 1024))
    assert packed < 1024 * 1024


async def test_a_gzip_bomb_arrives_as_gzip(box: Sandbox, client: httpx2.AsyncClient) -> None:
    order(box, kind="gzip_bomb", unpacked_bytes=2_000_000)
    answer = await client.get(NOTES)
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.content) == 2_000_000


async def test_a_fault_hits_only_what_it_names_and_as_often_as_ordered(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    order(box, kind="503", operation="medical_notes-find_medical_notes", times=2)
    order(box, kind="429", method="GET", path=r"/resources$", times=None)
    notes = [(await client.get(NOTES)).status_code for _ in range(3)]
    resources = [(await client.get("/resources")).status_code for _ in range(3)]
    assert (notes, resources) == ([503, 503, 200], [429, 429, 429])
    assert (await client.get("/resources/1021")).status_code == 200
    assert (await client.post(NOTES, json=NOTE)).status_code == 201
    assert box.control.faults.clear() == 1


async def test_faults_are_used_up_in_the_order_of_their_orders(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    for kind in ("503", "429", "500_after"):
        order(box, kind=kind)
    assert [(await client.get(NOTES)).status_code for _ in range(4)] == [503, 429, 500, 200]


def test_every_kind_of_fault_can_be_ordered_by_name_alone() -> None:
    assert {Fault.model_validate({"kind": kind}).kind for kind in KINDS} == set(KINDS)
    assert len(KINDS) == 16
    assert all(re.fullmatch(r"[a-z0-9_]+", kind) for kind in KINDS)
