"""What really arrives at a client's socket, seen by one that reads bytes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.serve import serving
from tests.sandbox.kit import CREDENTIALS, TOLVAN, until
from tests.sandbox.test_faults import NOTE, filed, order

NOTES = f"/api/emrs/webdoc/care-units/L0_1/patients/{TOLVAN}/medical-notes"


@dataclass
class Wire:
    """The address of a served sandbox, and requests to it byte by byte."""

    origin: str
    port: int

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def post(self) -> bytes:
        """Send a note and return all that comes back until the connection ends."""
        reader, writer = await self.open()
        try:
            writer.write(request("POST", NOTES, json.dumps(NOTE).encode()))
            return await reader.read()
        finally:
            writer.transport.abort()


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return a request that asks to close the connection afterwards."""
    headers = {
        **CREDENTIALS,
        "host": "127.0.0.1",
        "connection": "close",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@pytest.fixture
async def wire(box: Sandbox) -> AsyncIterator[Wire]:
    async with serving(box) as origin:
        yield Wire(origin, int(origin.rsplit(":", 1)[1]))


@pytest.mark.parametrize(
    ("kind", "committed"),
    [("reset_before", 0), ("reset_after", 1), ("hang", 0), ("late_commit", 0)],
)
async def test_a_reset_is_a_tcp_reset(box: Sandbox, wire: Wire, kind: str, committed: int) -> None:
    order(box, kind=kind, seconds=0.05 if kind == "hang" else 60)
    with pytest.raises(ConnectionResetError):
        await wire.post()
    assert filed(box) == committed
    assert box.control.late_commits.run() == (kind == "late_commit")


async def test_a_refused_connection_is_refused_by_the_system_until_lifted(
    box: Sandbox, wire: Wire
) -> None:
    fault = box.control.faults.add(Fault(kind="refuse", seconds=60))
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await wire.post()
    box.control.faults.clear(fault.id)
    assert b"201 Created" in await wire.post()
    assert len(box.control.requests.entries) == 1


async def test_a_refusal_ends_by_itself(box: Sandbox, wire: Wire) -> None:
    order(box, kind="refuse", seconds=0.05)
    with pytest.raises(ConnectionRefusedError):
        await wire.post()
    answer = b""
    async with asyncio.timeout(5):
        while not answer:
            try:
                answer = await wire.post()
            except ConnectionRefusedError:
                continue
    assert b"201 Created" in answer


async def test_a_refusal_also_ends_idle_connections(box: Sandbox, wire: Wire) -> None:
    async with httpx2.AsyncClient(base_url=wire.origin, headers=CREDENTIALS) as client:
        assert (await client.get(NOTES)).status_code == 200
        order(box, kind="refuse", seconds=60)
        with pytest.raises(httpx2.ConnectError):
            await client.get(NOTES)


async def test_a_refusal_ordered_before_the_start_holds_from_the_start(box: Sandbox) -> None:
    fault = box.control.faults.add(Fault(kind="refuse", seconds=60))
    async with serving(box) as origin:
        wire = Wire(origin, int(origin.rsplit(":", 1)[1]))
        with pytest.raises(ConnectionRefusedError):
            await wire.open()
        box.control.faults.clear(fault.id)
        assert b"201 Created" in await wire.post()


async def test_a_cut_answer_ends_before_its_declared_length(box: Sandbox, wire: Wire) -> None:
    order(box, kind="cut")
    head, _, body = (await wire.post()).partition(b"\r\n\r\n")
    declared = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < declared
    assert filed(box) == 1


async def test_a_hanging_request_sends_nothing_and_ends_with_the_client(
    box: Sandbox, wire: Wire
) -> None:
    order(box, kind="hang", seconds=600)
    reader, writer = await wire.open()
    writer.write(request("GET", NOTES))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(1)
    writer.close()
    await writer.wait_closed()
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_drip_sends_the_head_at_once_and_then_byte_by_byte(
    box: Sandbox, wire: Wire
) -> None:
    order(box, kind="drip", seconds=0.02)
    reader, writer = await wire.open()
    writer.write(request("GET", NOTES))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert [await reader.read(100) for _ in range(4)] == [b"{", b'"', b"d", b"a"]
    writer.transport.abort()


async def test_a_gzip_bomb_stops_when_the_client_goes(box: Sandbox, wire: Wire) -> None:
    order(box, kind="gzip_bomb")
    async with (
        httpx2.AsyncClient(base_url=wire.origin, headers=CREDENTIALS) as client,
        client.stream("GET", NOTES) as answer,
    ):
        size = 0
        async for piece in answer.aiter_bytes():
            size += len(piece)
            if size > 3_000_000:
                break
    assert size < 20_000_000


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("429", b"HTTP/1.1 429 "),
        ("503", b"HTTP/1.1 503 "),
        ("500_after", b"HTTP/1.1 500 "),
        ("html", b"HTTP/1.1 200 "),
        ("redirect", b"HTTP/1.1 307 "),
        ("emr_401", b"HTTP/1.1 401 "),
        ("unauthorized", b"HTTP/1.1 401 "),
        ("latency", b"HTTP/1.1 201 "),
    ],
)
async def test_a_strange_answer_arrives_whole(
    box: Sandbox, wire: Wire, kind: str, line: bytes
) -> None:
    order(box, kind=kind, seconds=0.01)
    answer = await wire.post()
    assert answer.startswith(line)
    assert filed(box) == (kind in ("500_after", "latency"))


async def test_stopping_ends_hanging_requests_without_delay(box: Sandbox) -> None:
    order(box, kind="hang", seconds=600)
    async with serving(box) as origin:
        wire = Wire(origin, int(origin.rsplit(":", 1)[1]))
        hanging = asyncio.create_task(wire.post())
        await until(lambda: any(entry.fault for entry in box.control.requests.entries))
        await asyncio.sleep(0)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    with pytest.raises(ConnectionResetError):
        await hanging


async def test_faults_never_hit_the_control_plane_or_the_document(box: Sandbox, wire: Wire) -> None:
    order(box, kind="reset_before", times=None)
    async with httpx2.AsyncClient(base_url=wire.origin) as client:
        assert (await client.get("/_sandbox")).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 200
        assert (await client.delete("/_sandbox/faults")).json() == {"cleared": 1}


async def test_large_uploads_pass_a_socket(box: Sandbox, wire: Wire) -> None:
    async with httpx2.AsyncClient(base_url=wire.origin, headers=CREDENTIALS) as client:
        body = {"content": "QUJD" * 2_000_000, "format": "text/plain", "title": "T"}
        path = NOTES.replace("medical-notes", "documents")
        answer = await client.post(path, json={**body, "created_by_id": "1021"})
        assert answer.status_code == 201
        large = await client.post(path, content=b"x" * 31_000_000)
        assert large.status_code == 413
    assert len(box.control.documents("191212121212")[0].content) == 6_000_000
