"""One request as a handler sees it: the state, the input, and the queue."""

from dataclasses import dataclass, field
from datetime import datetime

from leyr_mcp.sandbox.cobalt.jobs import Queue
from leyr_mcp.sandbox.cobalt.options import JobKind, Options
from leyr_mcp.sandbox.cobalt.store import Body, Store
from leyr_mcp.sandbox.cobalt.wire import Refused


@dataclass(frozen=True)
class Call:
    """What a handler may know."""

    store: Store
    queue: Queue
    options: Options
    now: datetime
    path: dict[str, str]
    query: dict[str, str]
    body: Body = field(default_factory=dict)
    file: tuple[str, bytes] | None = None

    def required(self, *names: str) -> tuple[str, ...]:
        """Return texts of the body that must be there, in their documented order.

        Raises:
            Refused: one is missing, empty, or no text.
        """
        found = []
        for name in names:
            value = self.body.get(name)
            if value is None or (isinstance(value, str) and not value.strip()):
                raise Refused(f"Missing required field: {name}")
            if not isinstance(value, str):
                raise Refused(f"Invalid {name}. Must be a string")
            found.append(value)
        if self.options.strict:
            self.only(*names)
        return tuple(found)

    def only(self, *names: str) -> None:
        """Refuse what is not known.

        Raises:
            Refused: the body holds another field.
        """
        for name in self.body:
            if name not in names:
                raise Refused(f"Unexpected field: {name}")

    def acknowledged(self, kind: JobKind, mrn: str | None, work: Body, **ids: str) -> Body:
        """Queue a job and return the acknowledgement's ids."""
        number = self.queue.add(kind, mrn, work)
        told: dict[str, object] = dict(ids)
        if self.options.job_ids == "number":
            told["job_id"] = number
        elif self.options.job_ids == "text":
            told["job_id"] = str(number)
        return told
