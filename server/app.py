"""The composition root: settings in, an MCP server out. Nothing is opened before the first call."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from leyr_mcp.server.boundary import MODE_META, ToolContext
from leyr_mcp.server.ehr.capabilities import EMRS
from leyr_mcp.server.ehr.leyr.backend import LeyrEhr, connect
from leyr_mcp.server.ehr.units import Units
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.protocol import LeyrServer
from leyr_mcp.server.settings import Settings
from leyr_mcp.server.storage.keys import Keys, load_or_make, parse
from leyr_mcp.server.storage.place import database_path, key_path
from leyr_mcp.server.storage.store import Store
from leyr_mcp.tools.toolsets import Choice, choose

_EMBEDDED = "http://sandbox.localhost/api"
# What the embedded sandbox is told; it is not a secret of anything.
_SANDBOX_KEY = "sandbox"
# So that a common call needs no care unit, as in a clinic that configured its own.
_SANDBOX_UNITS = {"webdoc": "L0_1", "takecare": "10", "pasientsky": "L0_10"}

Message = MutableMapping[str, Any]


class _Sandbox(Protocol):
    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None: ...

    def close(self) -> None: ...


class EmbeddedSandbox:
    """The sandbox in this process, loaded at the first call; its data lives in the state folder."""

    def __init__(self, emr: str, folder: Path | None, clock: Callable[[], datetime]) -> None:
        self._emr = emr
        self._folder = folder
        self._clock = clock
        self._box: _Sandbox | None = None

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        await self.open()(scope, receive, send)

    def open(self) -> _Sandbox:
        """Return the sandbox itself, loaded now if no call did so before."""
        if self._box is None:
            # Not at the top: a server that speaks to a real record never loads it, and a start is
            # faster.
            from leyr_mcp.sandbox.app import Sandbox  # noqa: PLC0415 - loaded only when called

            state = self._folder / f"sandbox-{self._emr}.sqlite3" if self._folder else None
            self._box = Sandbox(emr=self._emr, state=state, clock=self._clock)
        return self._box

    def close(self) -> None:
        """Close its data."""
        if self._box is not None:
            self._box.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A server ready to be served, and what it holds open."""

    server: LeyrServer
    context: ToolContext
    ehr: LeyrEhr
    sandbox: EmbeddedSandbox | None
    journal: Journal

    async def close(self) -> None:
        """Close the connections, the store and the sandbox."""
        await self.ehr.close()
        await self.journal.close()
        if self.sandbox is not None:
            self.sandbox.close()


def build(
    settings: Settings,
    choice: Choice | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    in_memory: bool = False,
) -> App:
    """Return the server that the settings describe.

    Raises:
        ConfigError: The settings contradict each other or name what does not exist.
    """
    folder = None if in_memory else _state_folder(settings.state_dir)
    if given := settings.data_key.reveal():
        parse(given)  # a wrong one is named at start, not at the first call
    sandbox, ehr = _record(settings, folder, clock)
    default_unit = settings.care_unit_id
    if sandbox is not None and not default_unit:
        default_unit = _SANDBOX_UNITS.get(settings.emr, "L0_1")
    journal = Journal(
        lambda: make_store(settings, in_memory=in_memory),
        clock=clock,
        device="leyr-mcp",
        origin=f"{settings.backend}:{settings.emr}",
    )
    context = ToolContext(
        journal=journal,
        ehr=ehr,
        units=Units(ehr, default=default_unit),
        zone=settings.timezone,
        clock=clock,
        environment=settings.environment,
        sandbox=sandbox is not None,
        meta={MODE_META: "sandbox"} if sandbox is not None else {},
    )
    chosen = choose(choice or choice_of(settings), ehr.capabilities)
    return App(
        server=LeyrServer(chosen, context),
        context=context,
        ehr=ehr,
        sandbox=sandbox,
        journal=journal,
    )


def _record(
    settings: Settings, folder: Path | None, clock: Callable[[], datetime]
) -> tuple[EmbeddedSandbox | None, LeyrEhr]:
    """Return the health record of these settings, and the sandbox behind it, if it is that."""
    if settings.backend == "leyr":
        return None, connect(
            base_url=settings.base_url,
            client_id=settings.client_id,
            client_secret=settings.client_secret.reveal(),
            emr=settings.emr,
        )
    if settings.emr not in EMRS:
        raise ConfigError(f"LEYR_EMR: the sandbox knows only {', '.join(EMRS)}.")
    sandbox = EmbeddedSandbox(settings.emr, folder, clock)
    return sandbox, connect(
        base_url=_EMBEDDED,
        client_id=_SANDBOX_KEY,
        client_secret=_SANDBOX_KEY,
        emr=settings.emr,
        app=sandbox,
    )


def make_store(settings: Settings, *, in_memory: bool = False) -> Store:
    """Return the local store of these settings, not yet opened.

    Raises:
        LeyrMcpError: Its key cannot be read or made.
    """
    # Not at the top: listing tools needs neither SQL nor ciphers, and a start is faster.
    from leyr_mcp.server.storage.sqlite import SqliteStore  # noqa: PLC0415

    if in_memory:
        return SqliteStore(None, Keys(secrets.token_bytes(32)))
    given = settings.data_key.reveal()
    key_file = key_path(os.environ, state_dir=settings.state_dir)
    keys = parse(given) if given else load_or_make(key_file)
    return SqliteStore(database_path(settings.state_dir, settings.backend), keys)


def choice_of(settings: Settings) -> Choice:
    """Return the tools that the settings ask for."""
    return Choice(toolsets=settings.toolsets, role=settings.role, read_only=settings.read_only)


def _state_folder(folder: Path) -> Path:
    """Make the state folder, for its owner alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise ConfigError("LEYR_MCP_STATE_DIR: the folder cannot be made or written.") from exc
    return folder
