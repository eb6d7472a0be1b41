"""The control plane of the Cobalt sandbox: what a test may see and set, as a Python object."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal

from leyr_mcp.sandbox.clock import Clock
from leyr_mcp.sandbox.cobalt import events
from leyr_mcp.sandbox.cobalt.clinic import REFERENCE
from leyr_mcp.sandbox.cobalt.deliver import Deliverer
from leyr_mcp.sandbox.cobalt.jobs import Queue
from leyr_mcp.sandbox.cobalt.options import Delivery, Options, Outcome
from leyr_mcp.sandbox.cobalt.seed import SLUG, fill
from leyr_mcp.sandbox.cobalt.store import Body, Store
from leyr_mcp.sandbox.control import Ask, Plane

Listed = Literal["note", "document", "appointment"]


class CobaltControl(Plane):
    """Everything a test may do besides calling the API."""

    def __init__(self, store: Store, queue: Queue, deliverer: Deliverer, clock: Clock) -> None:
        super().__init__(clock)
        self.store = store
        self.queue = queue
        self.deliverer = deliverer

    @property
    def emr(self) -> str:
        """The slug of what is served."""
        return SLUG

    @property
    def options(self) -> Options:
        """The switches; assign to their fields."""
        return self.queue.options

    @property
    def switches(self) -> Options:
        """The switches, as they stand."""
        return self.options

    def switch(self, changes: dict[str, object]) -> None:
        """Change some of them."""
        known = Options.model_validate({**self.options.model_dump(), **changes})
        for name in changes:
            setattr(self.options, name, getattr(known, name))

    @property
    def outcomes(self) -> list[Outcome]:
        """What becomes of the next jobs; append to it."""
        return self.queue.outcomes

    @property
    def deliveries(self) -> list[Delivery]:
        """What becomes of the next webhooks; append to it."""
        return self.deliverer.orders

    @property
    def login_required(self) -> bool:
        """Whether the clinic must sign in again before Cobalt reaches its record system."""
        return self.store.meta("login_required") == "1"

    @login_required.setter
    def login_required(self, required: bool) -> None:
        with self.store.transaction():
            self.store.set_meta("login_required", "1" if required else "0")
            if not required:
                return
            told = {
                "access_token_reference_id": REFERENCE,
                "message": "The EHR login must be renewed through Cobalt Link",
            }
            now = self.clock.now()
            kind = "access_token.login_required"
            event = events.record(self.store, kind, told, job=None, now=now)
        self.deliverer.push([event], now)

    def run_jobs(self) -> int:
        """Carry out all that is queued now; return how many that were."""
        waiting = len(self.queue.waiting())
        self.deliverer.push(self.queue.run(early=True), self.clock.now())
        return waiting

    def moved(self) -> None:
        """Carry out what has become due."""
        self.deliverer.push(self.queue.run(), self.clock.now())

    def advance(self, seconds: float) -> None:
        """Move the clock, and carry out what has become due by that."""
        self.clock.advance(seconds)
        self.moved()

    def patients(self) -> list[Body]:
        """Return all patients, those included whom only the record itself knows."""
        return self.store.all("patient")

    def stored(self, kind: Listed, mrn: str | None = None) -> list[Body]:
        """Return what is in the record, of one patient or of all."""
        name = "mrn" if kind == "appointment" else "patient_mrn"
        return [one for one in self.store.all(kind) if mrn in (None, one[name])]

    def events(self) -> list[Body]:
        """Return the log of events, the oldest first."""
        return self.store.all("event")

    def content(self, document_id: str) -> bytes:
        """Return the bytes of a document.

        Raises:
            KeyError: there is no such document.
        """
        found = self.store.file(document_id)
        if found is None:
            raise KeyError(document_id)
        return found

    def people(self) -> int:
        """Return how many patients there are."""
        return len(self.patients())

    def state(self, any_id: str | None = None) -> dict[str, object]:
        """Return all data of one patient or of all, fit for JSON; files as size and SHA-256."""
        people = [
            one for one in self.patients() if any_id in (None, one["mrn"], one["id"], one["ehr_id"])
        ]
        if any_id is not None and not people:
            raise KeyError(any_id)
        mrns = {one["mrn"] for one in people}
        return {
            "emr": self.emr,
            "now": self.clock.now().isoformat(),
            "patients": people,
            "appointments": [one for one in self.stored("appointment") if one["mrn"] in mrns],
            "notes": [one for one in self.stored("note") if one["patient_mrn"] in mrns],
            "documents": [one for one in self.stored("document") if one["patient_mrn"] in mrns],
        }

    def seed(self) -> None:
        """Replace all data by the seed for the clock's today."""
        self._replace(seeded=True)

    def reset(self, *, seeded: bool = True) -> None:
        """Start afresh; the clock stays."""
        self.late_commits.drop()
        self.faults.clear()
        self.requests.entries.clear()
        self.outcomes.clear()
        self.deliveries.clear()
        self.deliverer.log.clear()
        self.switch(Options().model_dump())
        self._replace(seeded=seeded)

    def more(self) -> Mapping[str, Mapping[str, Ask]]:
        """Return what can be asked over HTTP besides: jobs, outcomes, webhooks, the sign-in."""
        return {
            "/jobs": {
                "GET": lambda _: self.store.all("job"),
                "POST": lambda _: {"carried_out": self.run_jobs()},
            },
            "/outcomes": _ordered(self.outcomes, Outcome, lambda: _dumped(self.outcomes)),
            "/deliveries": _ordered(self.deliveries, Delivery, self._told_deliveries),
            "/login": {
                "GET": lambda _: self._login(),
                "PUT": lambda _: self._set_login(required=True),
                "DELETE": lambda _: self._set_login(required=False),
            },
        }

    def _told_deliveries(self) -> object:
        tried = [asdict(attempt) for attempt in self.deliverer.log]
        return {"next": _dumped(self.deliveries), "tried": tried}

    def _login(self) -> object:
        return {"login_required": self.login_required}

    def _set_login(self, *, required: bool) -> object:
        self.login_required = required
        return self._login()

    def _replace(self, *, seeded: bool) -> None:
        with self.store.transaction():
            self.store.clear()
            self.store.set_meta("emr", SLUG)
            if seeded:
                fill(self.store, self.clock.now())


def _dumped(found: list[Any]) -> list[dict[str, Any]]:
    return [one.model_dump() for one in found]


def _ordered(
    orders: list[Any], model: type[Outcome | Delivery], told: Callable[[], object]
) -> dict[str, Ask]:
    """Return how a list of orders is read, added to and emptied."""

    def add(body: object) -> object:
        orders.append(model.model_validate(body))
        return told()

    def clear(_: object) -> object:
        orders.clear()
        return told()

    return {"GET": lambda _: told(), "POST": add, "DELETE": clear}
