"""The control plane: what a test may see and set about the sandbox, as a Python object."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import count

from pydantic import BaseModel

from leyr_mcp.sandbox.clock import Clock
from leyr_mcp.sandbox.dispatch import Backend
from leyr_mcp.sandbox.faults import Faults
from leyr_mcp.sandbox.options import Options
from leyr_mcp.sandbox.seed import fill
from leyr_mcp.sandbox.store import Appointment, Document, Note, Patient, Sms
from leyr_mcp.sandbox.wire import Incoming

# What answers a question over HTTP: from a body, or from the query of a GET, to JSON.
Ask = Callable[[object], object]
KEPT_REQUESTS = 1000
KEPT_BODY = 64 * 1024
MASK = "***"
# Headers that are never kept.
SECRETS = ("x-leyr-client-secret", "client_secret", "access_token")


@dataclass
class Recorded:
    """A request as it arrived under /api, and what became of it."""

    number: int
    at: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    operation: str | None
    body: str = ""
    body_bytes: int = 0
    fault: str | None = None
    carried_out: bool = False
    status: int | None = None


@dataclass
class RequestLog:
    """The latest requests, the oldest first."""

    entries: deque[Recorded] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def begin(self, request: Incoming, operation: str | None, at: str) -> Recorded:
        """Record a request on arrival, its secrets masked."""
        headers = dict(request.headers)
        headers |= {name: MASK for name in SECRETS if name in headers}
        entry = Recorded(
            number=next(self.numbers),
            at=at,
            method=request.method,
            path=request.raw_path,
            query=request.raw_query,
            headers=headers,
            operation=operation,
        )
        self.entries.append(entry)
        return entry


class LateCommits:
    """Requests that take effect only after a while, though nobody waits for the answer."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[int, tuple[asyncio.TimerHandle, Callable[[], object]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something take effect after a while; needs a running event loop."""
        number = next(self._numbers)

        def due() -> None:
            self._waiting.pop(number)
            act()

        handle = asyncio.get_running_loop().call_later(seconds, due)
        self._waiting[number] = (handle, act)

    def run(self) -> int:
        """Let all of them take effect now; return how many that were."""
        due = self._take()
        for act in due:
            act()
        return len(due)

    def drop(self) -> int:
        """Let none of them ever take effect; return how many that were."""
        return len(self._take())

    def _take(self) -> list[Callable[[], object]]:
        due, self._waiting = self._waiting, {}
        for handle, _ in due.values():
            handle.cancel()
        return [act for _, act in due.values()]


class Plane:
    """What a test may do to any sandbox besides calling its API."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults = Faults()
        self.requests = RequestLog()
        self.late_commits = LateCommits()

    @property
    def emr(self) -> str:
        """The slug of what is served."""
        raise NotImplementedError

    @property
    def switches(self) -> BaseModel:
        """The switches, as they stand."""
        raise NotImplementedError

    def switch(self, changes: dict[str, object]) -> None:
        """Change some of them.

        Raises:
            ValidationError: there is no such switch, or no such value.
        """
        raise NotImplementedError

    def seed(self) -> None:
        """Replace all data by the seed for the clock's today."""
        raise NotImplementedError

    def reset(self, *, seeded: bool = True) -> None:
        """Start afresh: data, faults, log, options and late commits; the clock stays."""
        raise NotImplementedError

    def people(self) -> int:
        """Return how many patients there are."""
        raise NotImplementedError

    def state(self, any_id: str | None = None) -> dict[str, object]:
        """Return all data of one patient or of all, fit for JSON; files as size and SHA-256.

        Raises:
            KeyError: nobody has that id.
        """
        raise NotImplementedError

    def moved(self) -> None:
        """Do what the clock, which was set or moved, has made due."""

    def more(self) -> "Mapping[str, Mapping[str, Ask]]":
        """Return what can be asked over HTTP besides, by path and method."""
        return {}


class Control(Plane):
    """Everything a test may do to the sandbox of Leyr besides calling its API."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        super().__init__(clock)
        self._backend = backend

    @property
    def emr(self) -> str:
        """The slug of the record system served."""
        return self._backend.system.slug

    @property
    def switches(self) -> Options:
        """The switches, as they stand."""
        return self.options

    def switch(self, changes: dict[str, object]) -> None:
        """Change some of them."""
        self.options = Options.model_validate({**self.options.model_dump(), **changes})

    def people(self) -> int:
        """Return how many patients there are."""
        return len(self.patients())

    def more(self) -> "Mapping[str, Mapping[str, Ask]]":
        """Return what can be asked over HTTP besides: the text messages."""
        return {"/sms": {"GET": lambda _: [asdict(message) for message in self.sms()]}}

    @property
    def options(self) -> Options:
        """The switches; assign to their fields, or set a new object."""
        return self._backend.options

    @options.setter
    def options(self, options: Options) -> None:
        self._backend.options = options

    def seed(self) -> None:
        """Replace all data by the seed for the clock's today."""
        self._replace(seeded=True)

    def reset(self, *, seeded: bool = True) -> None:
        """Start afresh: data, faults, log, options and late commits; the clock stays."""
        self.late_commits.drop()
        self.faults.clear()
        self.requests.entries.clear()
        self.options = Options()
        self._replace(seeded=seeded)

    def patient(self, any_id: str) -> Patient:
        """Return a patient by Leyr id, record-system id or national number.

        Raises:
            KeyError: nobody has that id.
        """
        for patient in self.patients():
            if any_id in (patient.id, patient.emr_id, patient.external_id):
                return patient
        raise KeyError(any_id)

    def patients(self) -> list[Patient]:
        """Return all patients."""
        return self._backend.store.patients()

    def notes(self, any_id: str) -> list[Note]:
        """Return a patient's notes, the newest first."""
        return self._backend.store.notes(self.patient(any_id).id)

    def documents(self, any_id: str) -> list[Document]:
        """Return a patient's documents with their bytes, the newest first."""
        store = self._backend.store
        listed = store.documents(self.patient(any_id).id)
        return [full for item in listed if (full := store.document(item.id)) is not None]

    def appointments(self, any_id: str | None = None) -> list[Appointment]:
        """Return the appointments of one patient or of all, in order of time."""
        wanted = None if any_id is None else self.patient(any_id).id
        found = self._backend.store.appointments()
        return [item for item in found if wanted in (None, item.patient)]

    def sms(self) -> list[Sms]:
        """Return the text messages that the API would have sent, the oldest first."""
        return self._backend.store.sms()

    def sms_code(self, appointment_id: str) -> str:
        """Return the code sent for an appointment or a cancellation.

        Raises:
            KeyError: none was sent for that id.
        """
        for message in reversed(self.sms()):
            if message.appointment_id == appointment_id:
                return message.code
        raise KeyError(appointment_id)

    def state(self, any_id: str | None = None) -> dict[str, object]:
        """Return all data of one patient or of all, fit for JSON; files as size and SHA-256."""
        people = self.patients() if any_id is None else [self.patient(any_id)]
        return {
            "emr": self.emr,
            "now": self.clock.now().isoformat(),
            "patients": [asdict(patient) for patient in people],
            "appointments": [asdict(item) for item in self.appointments(any_id)],
            "notes": [asdict(note) for who in people for note in self.notes(who.id)],
            "documents": [
                _without_bytes(item) for who in people for item in self.documents(who.id)
            ],
            "sms": [asdict(message) for message in self.sms()],
        }

    def _replace(self, *, seeded: bool) -> None:
        backend = self._backend
        with backend.store.transaction():
            backend.store.clear()
            backend.store.set_meta("emr", self.emr)
            if seeded:
                fill(backend.store, backend.system, backend.units, self.clock.now())


def _without_bytes(document: Document) -> dict[str, object]:
    listed: dict[str, object] = asdict(document)
    del listed["content"]
    listed["bytes"] = len(document.content)
    listed["sha256"] = sha256(document.content).hexdigest()
    return listed
