"""The sandbox as one ASGI application: the API, its OpenAPI document and the control plane."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from leyr_mcp.sandbox.box import Box, Meant
from leyr_mcp.sandbox.clinic import build_clinic
from leyr_mcp.sandbox.clock import Clock
from leyr_mcp.sandbox.control import Control
from leyr_mcp.sandbox.dispatch import Backend, answer, refusal_of, route
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.openapi import build_openapi
from leyr_mcp.sandbox.options import Options
from leyr_mcp.sandbox.routes import SMALL_BODY, Match
from leyr_mcp.sandbox.seed import fill
from leyr_mcp.sandbox.store import Store
from leyr_mcp.sandbox.systems import SYSTEMS
from leyr_mcp.sandbox.wire import Incoming, Reply, json_reply


class Sandbox(Box):
    """A stand-in for the API in front of one record system.

    Raises:
        ValueError: the record system is unknown, or the state file belongs to another one.
    """

    def __init__(
        self,
        emr: str = "webdoc",
        state: Path | None = None,
        clock: Callable[[], datetime] | None = None,
        client_id: str = "sandbox",
        client_secret: str = "sandbox",  # noqa: S107 -- guards nothing but synthetic data
    ) -> None:
        super().__init__()
        if emr not in SYSTEMS:
            raise ValueError(f"Unknown EMR '{emr}'. Known: {', '.join(sorted(SYSTEMS))}.")
        system = SYSTEMS[emr]
        own_clock = Clock(clock)
        self._store = Store(state)
        self._backend = Backend(
            store=self._store,
            system=system,
            units=build_clinic(system),
            options=Options(),
            now=own_clock.now,
            client_id=client_id,
            client_secret=client_secret,
        )
        self.client_id = client_id
        self.client_secret = client_secret
        self.control = Control(self._backend, own_clock)
        try:
            self._open_state(emr)
        except BaseException:
            self._store.close()
            raise

    @property
    def emr(self) -> str:
        """The slug of the record system served."""
        return self._backend.system.slug

    def close(self) -> None:
        """End what is still waiting, drop late commits and close the state."""
        self.release()
        self.control.late_commits.drop()
        self._store.close()

    @property
    def plane(self) -> Control:
        """The control plane."""
        return self.control

    def means(self, request: Incoming) -> Meant:
        """Return what a request to the API is for."""
        match = route(request)
        operation = match.operation
        return Meant(
            operation.id if operation else None,
            operation.body_limit if operation else SMALL_BODY,
            lambda body: answer(self._backend, request, match, body),
        )

    def refusal(self, fault: Fault) -> Reply:
        """Return the refusal that a fault stands for."""
        return refusal_of(fault)

    def document(self, request: Incoming) -> Reply | None:
        """Return the OpenAPI document, if that is asked for."""
        if request.raw_path != "/openapi.json":
            return None
        if request.method not in ("GET", "HEAD"):
            return answer(self._backend, request, Match(None, {}, ("GET",)), b"")
        return json_reply(build_openapi(self._backend))

    def settings(self, origin: str) -> dict[str, str]:
        """Return the settings with which the server reaches it at an address."""
        return {
            "LEYR_BASE_URL": f"{origin}/api",
            "LEYR_CLIENT_ID": self.client_id,
            "LEYR_CLIENT_SECRET": self.client_secret,
            "LEYR_EMR": self.emr,
        }

    def _open_state(self, emr: str) -> None:
        backend = self._backend
        with backend.store.transaction():
            owner = backend.store.meta("emr")
            if owner is None:
                fill(backend.store, backend.system, backend.units, backend.now())
        if owner not in (None, emr):
            raise ValueError(f"The state file belongs to EMR '{owner}', not '{emr}'.")
