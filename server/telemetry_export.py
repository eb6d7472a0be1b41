"""How what is told reaches its receiver: with nothing in it that a client chose, and soon ended.

The MCP library tells of each request by itself, in the client's words: the name of a tool that may
not exist, the number of a request that may be any text, what an exception says. Names, attributes
and states pass if they are known here; everything else stays behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from mcp_types import methods
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, Status

NAME = "leyr_mcp"
WITHIN_S = 3.0
_UNKNOWN = "_OTHER"
_METHODS = frozenset(
    {
        *(method for method, _ in methods.CLIENT_REQUESTS),
        *(method for method, _ in methods.CLIENT_NOTIFICATIONS),
        *(method for method, _ in methods.SERVER_REQUESTS),
    }
)
_OWN = frozenset({"http.request.method", "url.template", "leyr_mcp.code"})
# Words of the library and of our own code, never of a client.
_FIXED = frozenset({"gen_ai.operation.name", "error.type", "rpc.response.status_code"})


class KnownWords(SpanExporter):
    """Hands on what a span says in known words."""

    def __init__(self, to: SpanExporter, names: Collection[str]) -> None:
        self._to = to
        named = frozenset(names)
        self._known: Mapping[str, Collection[str]] = {
            "mcp.method.name": _METHODS,
            "mcp.protocol.version": KNOWN_PROTOCOL_VERSIONS,
            "gen_ai.tool.name": named,
            "gen_ai.prompt.name": named,
        }

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them on."""
        return self._to.export([self._plain(span) for span in spans])

    def shutdown(self) -> None:
        """End."""
        self._to.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self._to.force_flush(timeout_millis)

    def _plain(self, span: ReadableSpan) -> ReadableSpan:
        own = span.instrumentation_scope is not None and span.instrumentation_scope.name == NAME
        passing = _OWN if own else _FIXED | self._known.keys()
        said = {
            name: _UNKNOWN if value not in self._known.get(name, (value,)) else value
            for name, value in (span.attributes or {}).items()
            if name in passing
        }
        return ReadableSpan(
            name=span.name if own else _name(said),
            context=_bare(span.context),
            parent=_bare(span.parent),
            resource=span.resource,
            attributes=said,
            kind=span.kind,
            status=Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


def _name(said: Mapping[str, object]) -> str:
    """Return what a span of the library is called."""
    of = ("mcp.method.name", "gen_ai.tool.name", "gen_ai.prompt.name")
    return " ".join(str(said[name]) for name in of if name in said) or _UNKNOWN


def _bare(context: SpanContext | None) -> SpanContext | None:
    """Return it without the free text that goes along with it from system to system."""
    if context is None:
        return None
    return SpanContext(
        context.trace_id, context.span_id, context.is_remote, trace_flags=context.trace_flags
    )


def begin(
    version: str, names: Collection[str]
) -> tuple[trace.Tracer, metrics.Meter, Callable[[], None]]:
    """Begin to send; return by what is told, and what ends it within a few seconds."""
    about = Resource.create({"service.version": version})
    if str(about.attributes["service.name"]).startswith("unknown_service"):
        about = about.merge(Resource({"service.name": "leyr-mcp"}))
    # What they would do at the end of the process waits as long as a receiver hangs.
    traces = TracerProvider(resource=about, shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(KnownWords(OTLPSpanExporter(), names)))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    meters = MeterProvider([reader], resource=about, shutdown_on_exit=False)
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(meters)

    def stop() -> None:
        # Side by side, and left behind where a receiver hangs.
        ends = [
            threading.Thread(target=end, daemon=True) for end in (traces.shutdown, meters.shutdown)
        ]
        for end in ends:
            end.start()
        until = time.monotonic() + WITHIN_S
        for end in ends:
            end.join(max(0.0, until - time.monotonic()))

    return trace.get_tracer(NAME), metrics.get_meter(NAME), stop
