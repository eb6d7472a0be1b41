"""Traces and metrics, where the environment names a receiver of them, and nothing elsewhere.

What is told has fixed words and counts alone: names of tools and kinds, codes, states, times. No
id, no name, no text of a record or of a person comes here, so none can leave by this way.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from leyr_mcp.server.errors import ConfigError

_RECEIVERS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
# The parts of a record's addresses that are words; all others are ids.
_WORDS = frozenset(
    {
        *("emrs", "care-units", "patients", "notes", "documents", "appointments", "timeslots"),
        *("resources", "healthcare-services", "cancellations", "confirmations", "sms", "content"),
        *("locations", "providers", "visit-types", "visit-statuses", "availability", "settings"),
        *("patient-notes", "webhook-events", "webhooks", "jobs", "folders", "link", "v1", "api"),
    }
)


class Telemetry:
    """What is told while somebody listens."""

    def __init__(self, tracer: Any, meter: Any) -> None:
        self._tracer = tracer
        self._calls = meter.create_counter("leyr_mcp.calls", description="Calls of tools")
        self._call_s = meter.create_histogram(
            "leyr_mcp.call.duration", unit="s", description="How long calls of tools take"
        )
        self._asked_s = meter.create_histogram(
            "leyr_mcp.upstream.duration", unit="s", description="How long the record system takes"
        )
        self._moves = meter.create_counter("leyr_mcp.drafts.moved", description="Moves of drafts")
        self._drafts: dict[str, int] = {}
        meter.create_observable_gauge(
            "leyr_mcp.drafts", [self._observed], description="Drafts in doubt, or for a person"
        )

    def called(self, tool: str, code: str, seconds: float) -> None:
        """Tell of a call of a tool; the code is `ok` or that of its failure."""
        said = {"tool": tool, "code": code}
        self._calls.add(1, said)
        self._call_s.record(seconds, said)

    def moved(self, kind: str, old: str, new: str) -> None:
        """Tell of a draft's move from one state to another."""
        self._moves.add(1, {"kind": kind, "from": old, "to": new})

    def drafts(self, counts: Mapping[str, int]) -> None:
        """Tell how many drafts are in which state, as they were last counted."""
        self._drafts = dict(counts)

    @contextmanager
    def asked(self, method: str, segments: Sequence[str]) -> Iterator[Callable[[str], None]]:
        """Tell of one request to the record system; yield how its outcome is told."""
        route = "/".join(part if part in _WORDS else "*" for part in segments)
        said = {"http.request.method": method, "url.template": route}
        with self._tracer.start_as_current_span(
            f"{method} {route}",
            attributes=said,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            outcome = ["cancelled"]
            began = time.perf_counter()
            try:
                yield lambda code: outcome.__setitem__(0, code)
            finally:
                span.set_attribute("leyr_mcp.code", outcome[0])
                self._asked_s.record(time.perf_counter() - began, {**said, "code": outcome[0]})

    def _observed(self, _options: object) -> list[Any]:
        from opentelemetry.metrics import Observation  # noqa: PLC0415 - only where it is told

        return [Observation(count, {"state": state}) for state, count in self._drafts.items()]


_current: Telemetry | None = None


def current() -> Telemetry | None:
    """Return what is told to; None where nobody listens."""
    return _current


def start(version: str, names: Collection[str]) -> Callable[[], None]:
    """Begin to tell if the environment names a receiver; return what ends it.

    Of tools and prompts, `names` alone are told.

    Raises:
        ConfigError: What tells is not installed.
    """
    global _current  # noqa: PLW0603 - there is one receiver for a process
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or not any(os.environ.get(name) for name in _RECEIVERS):
        return _nothing
    if importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        raise ConfigError("OTEL_EXPORTER_OTLP_ENDPOINT needs the extra otel: leyr-mcp[otel].")
    # Not at the top: it is large, and an extra.
    from leyr_mcp.server.telemetry_export import begin  # noqa: PLC0415

    tracer, meter, end = begin(version, names)
    _current = Telemetry(tracer, meter)

    def stop() -> None:
        global _current  # noqa: PLW0603 - as above
        _current = None
        end()

    return stop


def _nothing() -> None:
    """End nothing."""
