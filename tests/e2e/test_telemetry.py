"""What a node tells a receiver of traces and metrics: how it goes, and nothing of anybody."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from leyr_mcp.server.telemetry_export import WITHIN_S
from tests.e2e.test_http import serving
from tests.e2e.wire import environment
from tests.support.http_node import KEY, PUBLIC, Id, free_port, served
from tests.support.tokens import jwk

TOLVAN = "se_personal_number:191212121212"
CANARIES = ("191212121212", "Tolvan", "Kanarie", "dr-ek", "söker för", "L0_1")
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Receiver:
    """Takes what is exported, over real HTTP."""

    def __init__(self) -> None:
        self.traces: list[bytes] = []
        self.metrics: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        (self.traces if scope["path"].endswith("traces") else self.metrics).append(bytes(body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def spans(self) -> list[Any]:
        """Return the spans."""
        read = [ExportTraceServiceRequest.FromString(raw) for raw in self.traces]
        return [
            span
            for one in read
            for resource in one.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def figures(self) -> dict[str, list[Any]]:
        """Return the metrics that came last, by name, each as its points."""
        found = {}
        for raw in self.metrics:
            for resource in ExportMetricsServiceRequest.FromString(raw).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        kind = metric.WhichOneof("data")
                        found[metric.name] = list(getattr(metric, str(kind)).data_points)
        return found


def said(point: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, str]]:
    receiver, port = Receiver(), free_port()
    async with served(receiver, port):
        yield receiver, f"http://127.0.0.1:{port}"


async def test_a_visit_is_told_in_names_and_counts_alone(tmp_path: Path) -> None:
    port = free_port()
    issuer = Id(f"http://127.0.0.1:{port}", port, [jwk()])
    async with served(issuer, port), receiving() as (receiver, origin):
        settings = {
            "LEYR_MCP_DATA_KEY": KEY,
            "LEYR_MCP_PUBLIC_URL": PUBLIC,
            "LEYR_MCP_AUTH_ISSUER": issuer.origin,
            "LEYR_MCP_APPROVAL": "trusted",
            "OTEL_EXPORTER_OTLP_ENDPOINT": origin,
        }
        async with serving(tmp_path, **settings) as (at, process):
            draft_id = await _visit(at, issuer)
            async with httpx2.AsyncClient(base_url=at, trust_env=False) as http:
                assert (await http.get("/readyz")).status_code == 200
            process.terminate()
            async with asyncio.timeout(20):
                await process.communicate()
    spans, figures = receiver.spans(), receiver.figures()
    names = {span.name for span in spans}
    assert {"tools/call find_patient", "tools/call write_note"} <= names
    asked = [span for span in spans if span.name.startswith("GET emrs/*/care-units/*")]
    assert asked
    (call,) = [span for span in spans if span.name == "tools/call get_draft"]
    assert call.trace_id.hex() == TRACE
    calls = {(one["tool"], one["code"]) for one in map(said, figures["leyr_mcp.calls"])}
    assert {("find_patient", "ok"), ("get_draft", "not_found")} <= calls
    moves = {(one["from"], one["to"]) for one in map(said, figures["leyr_mcp.drafts.moved"])}
    assert ("sending", "filed") in moves
    assert {said(one)["state"] for one in figures["leyr_mcp.drafts"]} == {"unknown", "needs_human"}
    assert all(one.count for one in figures["leyr_mcp.upstream.duration"])
    assert {"tools/call _OTHER", "prompts/get _OTHER"} <= names
    told = "".join(map(str, spans)) + json.dumps({k: str(v) for k, v in figures.items()})

    for canary in (*CANARIES, draft_id):
        assert canary not in told, canary


async def _visit(at: str, issuer: Id) -> str:
    """Make one as a user, and return the id of the draft that was filed."""
    scope = "ehr.read ehr.draft ehr.file ehr.file.unattended"
    headers = {
        "host": PUBLIC.removeprefix("https://"),
        "authorization": f"Bearer {issuer.token(sub='dr-ek', scope=scope)}",
    }
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        transport = streamable_http_client(f"{at}/mcp", http_client=http)
        async with Client(transport, mode="auto") as client:
            await client.call_tool("find_patient", {"patient_id": TOLVAN})
            note = {
                "patient_id": TOLVAN,
                "title": "Kanarie",
                "content": "Tolvan söker för hosta.",
                "expect": "Tolvansson",
            }
            filed = await client.call_tool("write_note", note)
            assert filed.structured_content
            assert filed.structured_content["status"] == "filed", filed
            meta: Any = {
                "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
                "tracestate": "Kanarie=191212121212",
            }
            await client.call_tool("get_draft", {"draft_id": "d_Kanarie"}, meta=meta)
            draft_id = str(filed.structured_content["draft_id"])
        await _oddly(http, at)
        return draft_id


async def _oddly(http: httpx2.AsyncClient, at: str) -> None:
    """Ask in words of its own wherever a client may choose one."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "Kanarie", "version": "191212121212"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    for method, params in (
        ("tools/call", {"name": "Kanarie", "arguments": {}}),
        ("prompts/get", {"name": "Kanarie-Tolvan", "arguments": {}}),
        ("resources/read", {"uri": "leyr://patients/Kanarie"}),
        ("Kanarie/191212121212", {}),
    ):
        body = {"jsonrpc": "2.0", "id": "191212121212", "method": method}
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": method,
        }
        if "name" in params or "uri" in params:
            headers["mcp-name"] = str(params.get("name") or params.get("uri"))
        answer = await http.post(
            f"{at}/mcp", json={**body, "params": {**params, "_meta": meta}}, headers=headers
        )
        assert '"error"' in answer.text, answer.text


def test_without_a_receiver_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    asked = "import sys; from leyr_mcp.server import telemetry as t; t.start('1', ()); "
    shown = "print([m for m in sys.modules if m.startswith('opentelemetry.sdk')], t.current())"
    for more in ({}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}):
        done = subprocess.run(
            [sys.executable, "-c", asked + shown],
            env=environment(tmp_path, **more),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "[] None\n"


async def test_a_receiver_that_is_away_delays_nothing(tmp_path: Path) -> None:
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with serving(tmp_path, **away) as (at, process):
        async with Client(f"{at}/mcp") as client:
            found = await client.call_tool("find_patient", {"last_name": "Tolvansson"})
            assert not found.is_error
        process.terminate()
        async with asyncio.timeout(20):
            await process.communicate()


async def test_a_receiver_that_hangs_delays_an_end_by_seconds_alone(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    asked = asyncio.Event()
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as hanging:
        port = hanging.sockets[0].getsockname()[1]
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        async with serving(tmp_path, **told) as (at, process):
            async with Client(f"{at}/mcp") as client:
                await client.call_tool("find_patient", {"last_name": "Tolvansson"})
            began = time.monotonic()
            process.terminate()
            async with asyncio.timeout(30):
                await process.communicate()
            took = time.monotonic() - began
    assert asked.is_set()
    # Both kinds at once have three seconds.
    assert took < WITHIN_S + 3


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ({}, "leyr-mcp"),
        ({"OTEL_SERVICE_NAME": "north"}, "north"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=south,a=b"}, "south"),
    ],
)
async def test_the_service_is_called_what_its_operator_says(
    tmp_path: Path, named: dict[str, str], name: str
) -> None:
    async with receiving() as (receiver, origin):
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": origin, **named}
        async with serving(tmp_path, **settings) as (at, process):
            async with Client(f"{at}/mcp") as client:
                await client.list_tools()
            process.terminate()
            async with asyncio.timeout(20):
                await process.communicate()
    read = [ExportTraceServiceRequest.FromString(raw) for raw in receiver.traces]
    assert read
    assert {said(one.resource)["service.name"] for r in read for one in r.resource_spans} == {name}
