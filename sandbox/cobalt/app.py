"""The Cobalt sandbox as one ASGI application: the API below /v1, and the control plane."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from datetime import datetime
from hmac import compare_digest
from pathlib import Path
from typing import ClassVar

from leyr_mcp.sandbox.box import Box, Meant
from leyr_mcp.sandbox.clock import Clock
from leyr_mcp.sandbox.cobalt.call import Call
from leyr_mcp.sandbox.cobalt.control import CobaltControl
from leyr_mcp.sandbox.cobalt.deliver import Deliverer
from leyr_mcp.sandbox.cobalt.jobs import Queue
from leyr_mcp.sandbox.cobalt.options import Options
from leyr_mcp.sandbox.cobalt.routes import PREFIX, SMALL_BODY, Operation, find_operation
from leyr_mcp.sandbox.cobalt.seed import SLUG, fill
from leyr_mcp.sandbox.cobalt.store import Body, Store
from leyr_mcp.sandbox.cobalt.wire import (
    Refused,
    login_required,
    read_form,
    read_json,
    unauthorized,
)
from leyr_mcp.sandbox.errors import ApiError
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.wire import Incoming, Reply, json_reply, parse_query

LIVE = ("ci_live_", "cs_live_")


class CobaltSandbox(Box):
    """A stand-in for Cobalt in front of one clinic.

    Raises:
        ValueError: credentials are real ones, or the state file is another sandbox's.
    """

    api: ClassVar[str] = f"{PREFIX}/"

    def __init__(
        self,
        state: Path | None = None,
        clock: Callable[[], datetime] | None = None,
        client_id: str = "sandbox",
        client_secret: str = "sandbox",  # noqa: S107 -- guards nothing but synthetic data
        access_token: str = "sandbox",  # noqa: S107
    ) -> None:
        super().__init__()
        if client_id.startswith(LIVE) or client_secret.startswith(LIVE):
            raise ValueError("These are credentials of a real account; the sandbox takes none.")
        self.client_id = client_id
        self.client_secret = client_secret
        self.access_token = access_token
        own_clock = Clock(clock)
        self._store = Store(state)
        self._timers: set[asyncio.TimerHandle] = set()
        queue = Queue(self._store, Options(), own_clock.now, queued=self._wake_after)
        deliverer = Deliverer(self._store, queue.options)
        self.control = CobaltControl(self._store, queue, deliverer, own_clock)
        try:
            self._open_state()
        except BaseException:
            self._store.close()
            raise

    @property
    def emr(self) -> str:
        """The slug of what is served."""
        return SLUG

    @property
    def plane(self) -> CobaltControl:
        """The control plane."""
        return self.control

    def close(self) -> None:
        """End what waits, drop late commits, give up deliveries and close the state."""
        self.release()
        self.control.late_commits.drop()
        for timer in tuple(self._timers):
            timer.cancel()
        self.control.deliverer.stop()
        self._store.close()

    def means(self, request: Incoming) -> Meant:
        """Return what a request to the API is for."""
        found = find_operation(request.method, request.raw_path)
        if found is None:
            return Meant(None, SMALL_BODY, lambda _: Refused("Not found", 404).reply())
        operation, path = found

        def answer(body: bytes | None) -> Reply:
            try:
                return self._answered(request, operation, path, body)
            except Refused as refused:
                return refused.reply()
            except ApiError as error:
                return Refused(error.detail).reply()
            except sqlite3.OperationalError:
                return Refused("The state is in use by another process", 503).reply()

        return Meant(operation.id, operation.body_limit, answer)

    def refusal(self, fault: Fault) -> Reply:
        """Return the refusal that a fault stands for."""
        if fault.kind in ("emr_401", "unauthorized"):
            return unauthorized().reply()
        status = {"429": 429, "503": 503}.get(fault.kind, 500)
        reply = json_reply({"success": False, "message": "Something went wrong"}, status)
        if fault.retry_after is None:
            return reply
        return Reply(reply.status, reply.body, (("retry-after", str(fault.retry_after)),))

    def document(self, request: Incoming) -> Reply | None:
        """Nothing is beside the API."""
        del request
        return None

    def settings(self, origin: str) -> dict[str, str]:
        """Return the settings with which the server reaches it at an address."""
        return {
            "COBALT_BASE_URL": f"{origin}{PREFIX}",
            "COBALT_CLIENT_ID": self.client_id,
            "COBALT_CLIENT_SECRET": self.client_secret,
            "COBALT_ACCESS_TOKEN": self.access_token,
            "LEYR_MCP_TIMEZONE": "America/Chicago",
        }

    def _answered(
        self, request: Incoming, operation: Operation, path: dict[str, str], body: bytes | None
    ) -> Reply:
        self.control.moved()
        self._authenticate(request, operation)
        if body is None:
            raise Refused("Request entity too large", 413)
        fields: Body = {}
        file = None
        if operation.form:
            fields, file = read_form(body, request.headers.get("content-type", ""))
        elif request.method in ("POST", "PATCH") and body:
            fields = read_json(body)
        call = Call(
            store=self._store,
            queue=self.control.queue,
            options=self.control.options,
            now=self.control.clock.now(),
            path=path,
            query=parse_query(request.raw_query),
            body=fields,
            file=file,
        )
        with self._store.transaction():
            told = operation.handler(call)
        return told if isinstance(told, Reply) else json_reply(told)

    def _authenticate(self, request: Incoming, operation: Operation) -> None:
        wanted = [("client_id", self.client_id), ("client_secret", self.client_secret)]
        if not operation.open:
            wanted.append(("access_token", self.access_token))
        for name, value in wanted:
            if not compare_digest(request.headers.get(name, "").encode(), value.encode()):
                raise unauthorized()
        if not operation.open and self.control.login_required:
            raise login_required()

    def _wake_after(self, seconds: float) -> None:
        """Look at the queue when a job is due; without a running loop the next request does."""
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()

            def due() -> None:
                self._timers.discard(timer)
                with contextlib.suppress(sqlite3.Error):
                    self.control.moved()

            timer = loop.call_later(seconds, due)
            self._timers.add(timer)

    def _open_state(self) -> None:
        with self._store.transaction():
            owner = self._store.meta("emr")
            if owner is None:
                fill(self._store, self.control.clock.now())
        if owner not in (None, SLUG):
            raise ValueError(f"The state file belongs to EMR '{owner}', not '{SLUG}'.")
