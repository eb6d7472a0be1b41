"""The table of operations, and the way from a request to one of them."""

from collections.abc import Callable
from dataclasses import dataclass

from leyr_mcp.sandbox.cobalt import reads, writes
from leyr_mcp.sandbox.cobalt.call import Call
from leyr_mcp.sandbox.cobalt.store import Body
from leyr_mcp.sandbox.wire import Reply

PREFIX = "/v1"
SMALL_BODY = 1024 * 1024
DOCUMENT_BODY = 30_000_000


@dataclass(frozen=True)
class Operation:
    """One operation; `open` without the clinic's access token."""

    method: str
    template: str
    handler: Callable[[Call], Body | Reply]
    open: bool = False
    form: bool = False

    @property
    def id(self) -> str:
        """What faults name it by."""
        return f"cobalt-{self.handler.__name__}"

    @property
    def body_limit(self) -> int:
        """The longest body."""
        return DOCUMENT_BODY if self.form else SMALL_BODY


OPERATIONS = (
    Operation("GET", "/settings", reads.settings),
    Operation("GET", "/visit-types", reads.visit_types),
    Operation("GET", "/visit-statuses", reads.visit_statuses),
    Operation("GET", "/locations", reads.locations),
    Operation("GET", "/providers", reads.providers),
    Operation("GET", "/patients", reads.patients),
    Operation("POST", "/patients", writes.patient),
    Operation("POST", "/patients/fetch", writes.fetch_patients),
    Operation("GET", "/appointments", reads.appointments),
    Operation("POST", "/appointments", writes.appointment),
    Operation("POST", "/appointments/fetch", writes.fetch_appointments),
    Operation("PATCH", "/appointments/{id}", writes.change_appointment),
    Operation("GET", "/availability", reads.availability),
    Operation("POST", "/availability/fetch", writes.fetch_availability),
    Operation("POST", "/patient-notes", writes.patient_note),
    Operation("POST", "/documents", writes.document, form=True),
    Operation("GET", "/documents/{id}", reads.document),
    Operation("GET", "/webhook-events", reads.webhook_events),
    Operation("POST", "/webhook", writes.register, open=True),
    Operation("GET", "/webhook", writes.webhooks, open=True),
    Operation("POST", "/webhook/rotate-secret", writes.rotate, open=True),
    Operation("DELETE", "/webhook/{id}", writes.unregister, open=True),
    Operation("POST", "/webhook/{id}/rotate-secret", writes.rotate, open=True),
)


def find_operation(method: str, raw_path: str) -> tuple[Operation, dict[str, str]] | None:
    """Return the operation for a path, and what stands in its braces."""
    if not raw_path.startswith(f"{PREFIX}/"):
        return None
    segments = raw_path.removeprefix(PREFIX).split("/")
    for one in OPERATIONS:
        template = one.template.split("/")
        pairs = list(zip(template, segments, strict=False))
        if (
            one.method == method
            and len(template) == len(segments)
            and all(part == value or (part.startswith("{") and value) for part, value in pairs)
        ):
            return one, {part[1:-1]: value for part, value in pairs if part.startswith("{")}
    return None
