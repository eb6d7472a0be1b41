"""Faults to order: which requests are hit, how often, and by what.

`refuse` stands apart. A connection is refused before a request is known, so over a socket the
listener is closed from the order on until the fault's seconds are over or it is lifted, whatever
method, path and times say. In process it hits like any other fault, within its seconds.
"""

import re
import time
from collections.abc import Callable
from itertools import count
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from leyr_mcp.sandbox.cobalt.routes import OPERATIONS as COBALT_OPERATIONS
from leyr_mcp.sandbox.routes import OPERATIONS

Kind = Literal[
    "refuse",
    "reset_before",
    "reset_after",
    "hang",
    "late_commit",
    "429",
    "500_after",
    "503",
    "cut",
    "html",
    "drip",
    "redirect",
    "gzip_bomb",
    "emr_401",
    "unauthorized",
    "latency",
]
KINDS: tuple[str, ...] = get_args(Kind)

# These carry out the request as well; all others leave the state untouched unless told otherwise.
CARRIED_OUT = frozenset({"reset_after", "500_after", "cut", "drip", "latency"})

DEFAULT_SECONDS = {
    "refuse": 5.0,
    "hang": 60.0,
    "late_commit": 1.0,
    "drip": 0.1,
    "latency": 1.0,
}
MIB = 1024 * 1024


class Fault(BaseModel):
    """One fault; without `method`, `path` and `operation` it hits every request under /api."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    method: str | None = Field(default=None, description="HTTP method, such as POST.")
    path: str | None = Field(
        default=None, description="Regular expression, searched in the raw path."
    )
    operation: str | None = Field(default=None, description="Operation id.")
    times: int | None = Field(
        default=1, ge=1, description="Requests it hits; null is until cleared."
    )
    seconds: float | None = Field(
        default=None,
        ge=0,
        le=86400,
        description="refuse: how long; hang: longest wait; late_commit: delay of the commit; "
        "drip: pause between two bytes; latency: wait before the answer.",
    )
    retry_after: str | int | None = Field(
        default=None, description="429, 503: value of Retry-After, seconds or a date."
    )
    status: Literal[301, 302, 303, 307, 308] = Field(
        default=307, description="redirect: the status."
    )
    location: str | None = Field(default=None, description="redirect: the target.")
    unpacked_bytes: int = Field(
        default=512 * MIB, ge=2, description="gzip_bomb: size after unpacking."
    )
    then: Literal["reset", "hang"] = Field(
        default="reset", description="late_commit: what the client sees meanwhile."
    )
    commit: bool | None = Field(
        default=None,
        description="Whether the request is carried out, where the kind leaves that open: "
        "hang, 429, 503, html, redirect, gzip_bomb, emr_401, unauthorized.",
    )
    id: int = Field(default=0, description="Given by the sandbox.")

    @field_validator("path")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError("not a regular expression") from error
        return value

    @field_validator("method")
    @classmethod
    def _upper(cls, value: str | None) -> str | None:
        return None if value is None else value.upper()

    @field_validator("operation")
    @classmethod
    def _exists(cls, value: str | None) -> str | None:
        known = [operation.id for operation in (*OPERATIONS, *COBALT_OPERATIONS)]
        if value is not None and value not in known:
            raise ValueError(f"no operation; known: {', '.join(known)}")
        return value

    @property
    def wait(self) -> float:
        """Seconds, given or usual for the kind."""
        return DEFAULT_SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds

    @property
    def carries_out(self) -> bool:
        """Whether the request takes effect at once."""
        if self.kind in ("refuse", "reset_before", "late_commit"):
            return False
        return self.kind in CARRIED_OUT if self.commit is None else self.commit

    def hits(self, method: str, path: str, operation: str | None) -> bool:
        """Whether a request is one of those meant."""
        return (
            self.method in (None, method)
            and self.operation in (None, operation)
            and (self.path is None or re.search(self.path, path) is not None)
        )


class Faults:
    """The faults in force, in the order in which they were added."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._numbers = count(1)
        self._left: dict[int, tuple[Fault, float]] = {}
        self._watchers: list[Callable[[], None]] = []

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force and return it with its id."""
        known = fault.model_copy(update={"id": next(self._numbers)})
        self._left[known.id] = (known, self._monotonic())
        self._tell()
        return known

    def active(self) -> list[Fault]:
        """Return the faults in force; `times` tells how many requests are left."""
        self._expire()
        return [fault for fault, _ in self._left.values()]

    def clear(self, fault_id: int | None = None) -> int:
        """Lift one fault or all; return how many that were."""
        chosen = [fault_id] if fault_id is not None else list(self._left)
        lifted = [number for number in chosen if self._left.pop(number, None) is not None]
        self._tell()
        return len(lifted)

    def take(self, method: str, path: str, operation: str | None) -> Fault | None:
        """Return the first fault that hits a request, and count it."""
        for fault in self.active():
            if fault.hits(method, path, operation):
                self._count(fault)
                return fault
        return None

    def refused_for(self) -> float | None:
        """Return for how many seconds connections are still refused, or none."""
        waits = [
            since + fault.wait - self._monotonic()
            for fault, since in self._left.values()
            if fault.kind == "refuse"
        ]
        left = max(waits, default=0.0)
        return left if left > 0 else None

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call a function whenever faults come or go."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Stop calling a function."""
        self._watchers.remove(watcher)

    def _count(self, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times == 1:
            del self._left[fault.id]
            return
        since = self._left[fault.id][1]
        self._left[fault.id] = (fault.model_copy(update={"times": fault.times - 1}), since)

    def _expire(self) -> None:
        now = self._monotonic()
        over = [
            number
            for number, (fault, since) in self._left.items()
            if fault.kind == "refuse" and since + fault.wait <= now
        ]
        for number in over:
            del self._left[number]

    def _tell(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()
