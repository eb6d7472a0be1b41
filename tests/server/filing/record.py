"""A record whose every reading a test sets; one that no test set fails the test."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from leyr_mcp.server.ehr.capabilities import UNKNOWN, Capabilities
from leyr_mcp.server.ehr.models import Appointment
from tests.server.filing.desk import START

TODAY = date(2026, 3, 2)
HALF = timedelta(minutes=30)


class Record:
    """The port: each reading gives what was set for it, or raises it; `asked` tells which, how."""

    def __init__(self, capabilities: Capabilities = UNKNOWN, **said: Any) -> None:
        self.capabilities = capabilities
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._said = said

    def __getattr__(self, name: str) -> Any:
        async def reading(*_: Any, **known: Any) -> Any:
            assert name in self._said, f"{name} was read"
            self.asked.append((name, known))
            said = self._said[name]
            if isinstance(said, Exception):
                raise said
            return said

        return reading

    @property
    def read(self) -> list[str]:
        """What was read, in order."""
        return [name for name, _ in self.asked]


def record(capabilities: Capabilities = UNKNOWN, **said: Any) -> Any:
    """Return such a record, in the place of any."""
    return Record(capabilities, **said)


def standing(**more: Any) -> Appointment:
    """Return the appointment that is changed, as the record has it now."""
    fields = {"id": "b1", "start": START, "end": START + HALF, "status": "booked"}
    return Appointment(**{**fields, **more})
