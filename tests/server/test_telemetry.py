"""What is told while somebody listens: calls, moves and requests, in fixed words."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leyr_mcp.server import telemetry
from leyr_mcp.server.ehr.transport import Refusal, Transport
from leyr_mcp.server.errors import ConfigError, UpstreamError
from leyr_mcp.server.telemetry import Telemetry
from tests.support.mcp_asking import NOTE, asking, user, yes


@dataclass
class Heard:
    """What came to the receiver."""

    reader: InMemoryMetricReader
    spans: InMemorySpanExporter
    telling: Telemetry

    def points(self, name: str) -> list[dict[str, Any]]:
        """Return the attributes of a metric's points."""
        data: Any = self.reader.get_metrics_data()
        return [
            dict(point.attributes)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    reader, spans, traces = InMemoryMetricReader(), InMemorySpanExporter(), TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider([reader])
    telling = Telemetry(traces.get_tracer("x"), meters.get_meter("x"))
    monkeypatch.setattr(telemetry, "_current", telling)
    yield Heard(reader, spans, telling)
    traces.shutdown()
    meters.shutdown()


async def test_a_note_is_told_from_its_call_to_its_filing(heard: Heard) -> None:
    async with asking("auto", user(yes)) as it:
        await it.ask("write_note", **NOTE)
        _, draft = await it.ask("write_note", **NOTE | {"title": "Annat", "draft": True})
        await it.ask("discard_draft", draft_id=draft["draft_id"])
        await it.client.call_tool("get_draft", {"draft_id": "d_nothing"})
    calls = {(one["tool"], one["code"]) for one in heard.points("leyr_mcp.calls")}
    assert {("write_note", "ok"), ("get_draft", "not_found")} <= calls
    moves = {(one["from"], one["to"]) for one in heard.points("leyr_mcp.drafts.moved")}
    assert {("sending", "filed"), ("draft", "withdrawn")} <= moves


async def test_a_request_is_told_by_the_pattern_of_its_address(heard: Heard) -> None:
    transport = Transport("http://127.0.0.1:9/api", (), name_refusal=refused, deadline_s=1.0)
    with pytest.raises(UpstreamError):
        await transport.send("POST", ("emrs", "webdoc", "patients", "emr_id:Tolvan", "notes"))
    await transport.close()
    (span,) = heard.spans.get_finished_spans()
    assert span.name == "POST emrs/*/patients/*/notes"
    assert span.attributes
    assert span.attributes["leyr_mcp.code"] == "upstream_unreachable"
    (point,) = heard.points("leyr_mcp.upstream.duration")
    assert point["code"] == "upstream_unreachable"


def refused(_refusal: Refusal) -> UpstreamError:
    """Say nothing of what a vendor refused; none does here."""
    raise NotImplementedError


def test_drafts_in_doubt_are_told_as_they_were_counted(heard: Heard) -> None:
    heard.telling.drafts({"unknown": 1, "needs_human": 0})
    assert {one["state"] for one in heard.points("leyr_mcp.drafts")} == {"unknown", "needs_human"}


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"leyr-mcp\[otel\]"):
        telemetry.start("1", ())
