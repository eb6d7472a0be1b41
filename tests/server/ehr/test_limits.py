"""The bounds of a call: time, size, encoding, and an environment that has no say."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from email.utils import formatdate
from pathlib import Path
from ssl import SSLContext, TLSVersion
from typing import Literal

import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.ehr.leyr import api
from leyr_mcp.server.ehr.port import Cancel
from leyr_mcp.server.ehr.transport import BODY_LIMIT, DOCUMENT_LIMIT
from leyr_mcp.server.errors import (
    UpstreamContractError,
    UpstreamUnavailableError,
)
from tests.support.certificates import certificate
from tests.support.leyr_client import CLIENT_ID, SECRET, TOLVAN, WAYS, Naps, quick, sandboxed
from tests.support.upstream_app import Reply, app_of
from tests.support.upstream_raw import RawUpstream, answer, hang, port_of, raw_upstream

DEADLINE_S = 0.3
ROOT = Path(__file__).parents[3]


def _filled(size: int) -> bytes:
    """Return an empty JSON list of that many bytes."""
    return b"[" + b" " * (size - 2) + b"]"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["hang", "drip"])
async def test_the_total_deadline_holds_against_silence_and_against_drops(
    way: str, kind: Literal["hang", "drip"]
) -> None:
    async with sandboxed(way, deadline_s=DEADLINE_S) as (box, ehr):
        box.control.faults.add(Fault(kind=kind, seconds=60 if kind == "hang" else 0.05))
        started = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
        took = asyncio.get_running_loop().time() - started
        assert len(box.control.requests.entries) == 1
    assert caught.value.code == "upstream_busy"
    assert DEADLINE_S * 0.9 <= took < DEADLINE_S + 0.5


async def test_the_deadline_covers_all_attempts_together() -> None:
    naps = Naps()
    async with (
        raw_upstream(answer(b"", 500), hang) as upstream,
        quick(origin=upstream.origin, deadline_s=0.7, naps=naps) as ehr,
    ):
        started = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.care_units()
        took = asyncio.get_running_loop().time() - started
    assert caught.value.code == "upstream_busy"
    assert naps.taken == [0.5]
    assert took < 1.2


async def test_a_write_that_gets_no_answer_stays_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WRITE_DEADLINE_S", 0.2)
    async with raw_upstream(hang) as upstream, quick(origin=upstream.origin) as ehr:
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ehr.change_appointment("L0_1", "a1", Cancel())
        assert len(upstream.requests) == 1
    assert (caught.value.code, caught.value.not_received) == ("upstream_busy", False)


async def test_a_cancelled_call_ends_at_once_and_leaves_the_client_usable() -> None:
    async with (
        raw_upstream(hang, answer()) as upstream,
        quick(origin=upstream.origin) as ehr,
    ):
        task = asyncio.create_task(ehr.care_units())
        await upstream.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(upstream.requests) == 1
        assert await ehr.care_units() == []


async def test_an_answer_of_just_the_limit_is_read_and_one_byte_more_is_not() -> None:
    async with (
        raw_upstream(answer(_filled(BODY_LIMIT)), answer(_filled(BODY_LIMIT + 1))) as upstream,
        quick(origin=upstream.origin) as ehr,
    ):
        assert await ehr.care_units() == []
        with pytest.raises(UpstreamContractError) as caught:
            await ehr.care_units()
        assert len(upstream.requests) == 2
    assert caught.value.code == "upstream_bad_response"


async def test_a_document_may_be_larger_but_not_without_limit() -> None:
    head, tail = b'{"id":"d","content":"', b'"}'
    content = b"A" * (DOCUMENT_LIMIT - len(head) - len(tail))
    app = app_of(Reply(head + content + tail), Reply(head + content + b"A" + tail))
    async with quick(app=app) as ehr:
        found = await ehr.document("L0_1", TOLVAN, "d")
        assert len(found.content or "") == len(content)
        with pytest.raises(UpstreamContractError):
            await ehr.document("L0_1", TOLVAN, "d")


async def test_a_refusal_too_large_to_be_read_is_cut_as_well() -> None:
    async with quick(app=app_of(Reply(_filled(BODY_LIMIT + 1), 400))) as ehr:
        with pytest.raises(UpstreamContractError):
            await ehr.care_units()


class Endless:
    """Answers without end, and counts what could be sent before the client hung up."""

    def __init__(self, *headers: str) -> None:
        lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", *headers]
        self.head = "\r\n".join([*lines, "", ""]).encode("ascii")
        self.sent = 0

    async def __call__(self, _upstream: RawUpstream, writer: asyncio.StreamWriter) -> None:
        writer.write(self.head)
        while True:
            writer.write(b"[" * 65536)
            await writer.drain()
            self.sent += 65536


@pytest.mark.parametrize(
    "headers", [("Content-Encoding: gzip",), ("Content-Encoding: br",), ()], ids=str
)
async def test_an_endless_or_packed_answer_is_hung_up_on(headers: tuple[str, ...]) -> None:
    endless = Endless(*headers)
    async with raw_upstream(endless) as upstream, quick(origin=upstream.origin) as ehr:
        with pytest.raises(UpstreamContractError):
            await ehr.care_units()
    assert endless.sent < 16 * 1024 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"])
@pytest.mark.parametrize("status", [200, 503])
async def test_an_encoded_answer_is_refused_unread(encoding: str, status: int) -> None:
    app = app_of(Reply(b"[]", status, (("content-encoding", encoding),)))
    async with quick(app=app) as ehr:
        with pytest.raises(UpstreamContractError):
            await ehr.care_units()
    assert len(app.asked) == 1
    assert app.asked[0].headers["accept-encoding"] == "identity"


async def test_half_a_gibibyte_in_a_small_packet_costs_neither_memory_nor_time() -> None:
    box = Sandbox(client_id=CLIENT_ID, client_secret=SECRET)
    box.control.faults.add(Fault(kind="latency", seconds=0))  # the first call is answered
    box.control.faults.add(Fault(kind="gzip_bomb", unpacked_bytes=512 * 1024 * 1024))
    async with serving(box) as origin:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.leyr_measured", origin),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await program.communicate()
    faults = [entry.fault for entry in box.control.requests.entries]
    box.close()
    assert (program.returncode, faults) == (0, ["latency", "gzip_bomb"])
    measured = json.loads(printed)
    assert measured["code"] == "upstream_bad_response"
    assert measured["grown_mib"] < 32
    assert measured["seconds"] < 2


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


async def test_proxies_and_netrc_of_the_environment_have_no_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with raw_upstream() as dead:
        nowhere = dead.origin
    for name in PROXIES:
        monkeypatch.setenv(name, nowhere)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password netrc-canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with raw_upstream() as upstream, quick(origin=upstream.origin) as ehr:
        assert await ehr.care_units() == []
    (request,) = upstream.requests
    assert request.line.startswith("GET /api/")
    assert "Authorization" not in request.headers
    assert base64.b64encode(b"someone:netrc-canary") not in request.head


async def test_cookies_are_not_kept() -> None:
    async with (
        raw_upstream(answer(b"[]", 200, "Set-Cookie: session=canary; Path=/")) as upstream,
        quick(origin=upstream.origin) as ehr,
    ):
        await ehr.care_units()
        await ehr.care_units()
    assert all("Cookie" not in request.headers for request in upstream.requests)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_over_a_socket_reaches_no_other_host(status: int) -> None:
    async with raw_upstream() as elsewhere:
        moved = answer(b"", status, f"Location: {elsewhere.origin}/api/emrs/webdoc/care-units")
        async with raw_upstream(moved) as upstream, quick(origin=upstream.origin) as ehr:
            with pytest.raises(UpstreamUnavailableError):
                await ehr.care_units()
        assert elsewhere.connections == 0


@pytest.mark.parametrize("said", [(), ("Date: soon",), ("Date: Mon, 99 Foo 9999 99:99:99 GMT",)])
async def test_an_upstream_that_tells_no_time_leaves_the_clock_unknown(
    said: tuple[str, ...],
) -> None:
    async with (
        raw_upstream(answer(b"[]", 200, *said)) as upstream,
        quick(origin=upstream.origin) as ehr,
    ):
        await ehr.care_units()
        assert ehr.clock_skew_s() is None


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
async def test_the_upstreams_clock_is_known_from_its_last_answer(ahead: float) -> None:
    said = f"Date: {formatdate(time.time() - ahead, usegmt=True)}"
    async with (
        raw_upstream(answer(b"[]", 200, said)) as upstream,
        quick(origin=upstream.origin) as ehr,
    ):
        assert ehr.clock_skew_s() is None
        await ehr.care_units()
        assert ehr.clock_skew_s() == pytest.approx(ahead, abs=300)


async def _over_tls(context: SSLContext) -> UpstreamUnavailableError | None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer())
        await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server, quick(origin=f"https://127.0.0.1:{port_of(server)}") as ehr:
        try:
            await ehr.care_units()
        except UpstreamUnavailableError as exc:
            assert heard == []
            return exc
    return None


async def test_a_certificate_of_an_unknown_authority_ends_the_call_before_a_byte_of_it(
    tmp_path: Path,
) -> None:
    error = await _over_tls(certificate(tmp_path).shown())
    assert error is not None
    assert (error.not_received, error.code) == (True, "upstream_unreachable")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # of the outdated versions, set on purpose
async def test_a_trusted_certificate_is_taken_and_outdated_tls_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = certificate(tmp_path)
    context = made.shown()
    monkeypatch.setenv("SSL_CERT_FILE", str(made.public))
    assert await _over_tls(context) is None
    context.minimum_version = TLSVersion.TLSv1
    context.maximum_version = TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    error = await _over_tls(context)
    assert error is not None
    assert error.not_received
