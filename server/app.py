"""The composition root: settings in, an MCP server out. Nothing is opened before the first call."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Protocol

from leyr_mcp.server.boundary import MODE_META, ToolContext
from leyr_mcp.server.ehr.capabilities import EMRS
from leyr_mcp.server.ehr.port import Ehr
from leyr_mcp.server.ehr.units import Units
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.filing.journal import Journal
from leyr_mcp.server.filing.timing import Timing, utc_now
from leyr_mcp.server.lazy import LazyDesk, LazyPage
from leyr_mcp.server.protocol import LeyrServer, Web
from leyr_mcp.server.settings import COBALT, Settings
from leyr_mcp.server.storage.keys import Keys, parse
from leyr_mcp.server.storage.place import (
    data_keys,
    database_path,
    has_store,
    node_head_path,
    node_name,
    schema_name,
)
from leyr_mcp.server.storage.store import Store
from leyr_mcp.server.text import NOTE_CAP
from leyr_mcp.tools.toolsets import Choice, choose

if TYPE_CHECKING:
    from leyr_mcp.server.files.staging import Staging
    from leyr_mcp.server.filing.attaching import Attaching
    from leyr_mcp.server.filing.audit import AuditTrail, Who
    from leyr_mcp.server.filing.desk import Desk
    from leyr_mcp.server.filing.entries import Entry
    from leyr_mcp.server.filing.worker import Worker
    from leyr_mcp.server.web.panel import Panel
    from leyr_mcp.server.web.serving import ReviewPage

_EMBEDDED = "http://sandbox.localhost"
# What the embedded sandbox is told; it is not a secret of anything.
_SANDBOX_KEY = "sandbox"
# So that a common call needs no care unit, as in a clinic that configured its own.
_SANDBOX_UNITS = {
    "webdoc": "L0_1",
    "takecare": "10",
    "pasientsky": "L0_10",
    COBALT: "a1f0c3d2-0001-4b7e-9a11-000000000001",
}

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
            from leyr_mcp.sandbox.cobalt.app import CobaltSandbox  # noqa: PLC0415 - as above

            state = self._folder / f"sandbox-{self._emr}.sqlite3" if self._folder else None
            if self._emr == COBALT:
                self._box = CobaltSandbox(state=state, clock=self._clock)
            else:
                self._box = Sandbox(emr=self._emr, state=state, clock=self._clock)
        return self._box

    def close(self) -> None:
        """Close its data."""
        if self._box is not None:
            self._box.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A server ready to be served, and what it holds open; `brief` is deleted when it is closed."""

    server: LeyrServer
    context: ToolContext
    ehr: Ehr
    sandbox: EmbeddedSandbox | None
    journal: Journal
    desk: LazyDesk
    page: LazyPage
    attaching: Callable[[], Attaching]
    keys: Callable[[], Keys]
    has_store: Callable[[], bool]
    brief: Path | None

    async def start_filing(self) -> bool:
        """Go on with what a process before this one left; False if there is no store yet.

        Raises:
            StorageError: The store cannot be opened.
        """
        if not self.has_store():
            return False
        await self.desk().start()
        return True

    async def close(self, *, drain_s: float = 0.0) -> None:
        """End what is being filed, for so long at most, and close all that is open."""
        await self.page.close()
        await self.desk.close(drain_s)
        await self.ehr.close()
        await self.journal.close()
        if self.sandbox is not None:
            self.sandbox.close()
        if self.brief is not None:
            rmtree(self.brief, ignore_errors=True)


def build(
    settings: Settings,
    choice: Choice | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    in_memory: bool = False,
    web: Web | None = None,
) -> App:
    """Return the server that the settings describe; with `web` as a node over HTTP.

    Raises:
        ConfigError: The settings contradict each other or name what does not exist.
    """
    folder, brief = _folders(settings, in_memory=in_memory)
    _see(settings)
    sandbox = _sandbox(settings, folder, clock)
    ehr = _record(settings, sandbox, clock)
    journal = _make_journal(settings, clock, in_memory=in_memory)
    units = Units(ehr, default=_default_unit(settings))
    keys = cache(lambda: Keys(secrets.token_bytes(32)) if in_memory else _keys(settings))
    desk = LazyDesk(lambda: _make_desk(settings, journal, ehr, units, clock, brief, keys))
    attaching = cache(lambda: _make_attaching(settings, desk(), folder, clock))
    page = LazyPage(lambda: _make_page(settings, journal, desk, attaching, clock))
    panel = cache(lambda: _make_panel(settings, journal, desk, attaching, page, keys, clock))
    wanted = choice or choice_of(settings)
    context = ToolContext(
        role=wanted.role,
        journal=journal,
        open_desk=desk,
        open_attaching=attaching,
        pdf_text=_pdf_text,
        review_url=page.url if web is None else web.review_url,
        upload_link=_upload_link(web, keys, clock),
        ehr=ehr,
        units=units,
        zone=settings.timezone,
        clock=clock,
        environment=settings.environment,
        sandbox=sandbox is not None,
        meta={MODE_META: "sandbox"} if sandbox is not None else {},
    )
    return App(
        server=LeyrServer(
            choose(wanted, ehr.capabilities),
            context,
            hosts=settings.approval_hosts,
            open_panel=panel if web is None else None,
            web=web,
        ),
        context=context,
        ehr=ehr,
        sandbox=sandbox,
        journal=journal,
        desk=desk,
        page=page,
        attaching=attaching,
        keys=keys,
        has_store=lambda: not in_memory and has_store(settings, os.environ),
        brief=brief,
    )


def _folders(settings: Settings, *, in_memory: bool) -> tuple[Path | None, Path | None]:
    """Return the folder of what lasts, or else one that is deleted at the end."""
    if in_memory:
        return None, Path(gettempdir(), f"leyr-mcp-{secrets.token_hex(16)}")
    return _state_folder(settings.state_dir), None


def _make_journal(settings: Settings, clock: Callable[[], datetime], *, in_memory: bool) -> Journal:
    return Journal(
        lambda: make_store(settings, in_memory=in_memory),
        clock=clock,
        device="leyr-mcp",
        origin=f"{settings.backend}:{settings.emr}",
    )


def _make_desk(
    settings: Settings,
    journal: Journal,
    ehr: Ehr,
    units: Units,
    clock: Callable[[], datetime],
    brief: Path | None,
    keys: Callable[[], Keys],
) -> Desk:
    # Not at the top: listing tools and reading need none of it, and a start is faster.
    from leyr_mcp.server.filing.desk import Desk  # noqa: PLC0415
    from leyr_mcp.server.filing.drafting import Drafting  # noqa: PLC0415
    from leyr_mcp.server.filing.owners import new_owner  # noqa: PLC0415
    from leyr_mcp.server.filing.worker import Worker  # noqa: PLC0415

    files = _make_staging(settings, journal, brief, keys, clock)

    def worker(store: Store, trail: AuditTrail) -> Worker:
        return Worker(
            store,
            ehr,
            owner=new_owner(),
            trail=trail,
            files=files,
            environment=settings.environment,
            timing=Timing.of(settings.write_deadline_s, settings.grace_s),
            clock=clock,
        )

    drafting = Drafting(
        ehr,
        units,
        clock=clock,
        zone=settings.timezone,
        author=settings.resource_id,
        sandbox=settings.backend == "sandbox",
        environment=settings.environment,
        policy=settings.approval,
    )
    return Desk(journal, ehr, drafting, files=files, make_worker=worker, clock=clock)


def _make_page(
    settings: Settings,
    journal: Journal,
    desk: LazyDesk,
    attaching: Callable[[], Attaching],
    clock: Callable[[], datetime],
) -> ReviewPage:
    # Not at the top: until a draft waits for a person, no web server is needed.
    from leyr_mcp.server.filing.passphrase import Passphrase  # noqa: PLC0415
    from leyr_mcp.server.web.deciding import Review  # noqa: PLC0415
    from leyr_mcp.server.web.seats import PageSeat  # noqa: PLC0415
    from leyr_mcp.server.web.serving import ReviewPage  # noqa: PLC0415

    passphrase = Passphrase(settings.state_dir, clock=clock)
    seat = PageSeat(passphrase, sandbox=settings.backend == "sandbox")
    review = Review(desk, journal, seat, open_attaching=attaching, zone=settings.timezone)
    return ReviewPage(review)


def _upload_link(
    web: Web | None, keys: Callable[[], Keys], clock: Callable[[], datetime]
) -> Callable[[Entry, Who], tuple[str, datetime]] | None:
    """Return what makes links for uploads, where programs can reach the server with them."""
    if web is None:
        return None
    from leyr_mcp.server.web.uploads import Links  # noqa: PLC0415 - a node alone needs it

    return Links(keys, web.base, clock=clock).make


def _make_panel(
    settings: Settings,
    journal: Journal,
    desk: LazyDesk,
    attaching: Callable[[], Attaching],
    page: LazyPage,
    keys: Callable[[], Keys],
    clock: Callable[[], datetime],
) -> Panel:
    # Not at the top: until a client shows the panel, nothing of it is needed.
    from leyr_mcp.server.filing.tickets import Tickets  # noqa: PLC0415
    from leyr_mcp.server.web.panel import Panel  # noqa: PLC0415

    return Panel(
        desk,
        journal,
        Tickets(keys, clock=clock),
        open_attaching=attaching,
        review_url=page.url,
        zone=settings.timezone,
        sandbox=settings.backend == "sandbox",
    )


def _make_staging(
    settings: Settings,
    journal: Journal,
    brief: Path | None,
    keys: Callable[[], Keys],
    clock: Callable[[], datetime],
) -> Staging:
    """Return where files wait: in the shared store, beside the own one, or for a moment."""
    from leyr_mcp.server.files.shared import SharedStaging  # noqa: PLC0415 - as above
    from leyr_mcp.server.files.staging import Staging  # noqa: PLC0415

    folder = brief or database_path(settings).with_suffix(".files")
    if brief or not settings.database_url.reveal():
        return Staging(folder, keys)

    async def store() -> Store:
        return (await journal.opened())[0]

    return SharedStaging(folder, keys, store, clock=clock)


def _make_attaching(
    settings: Settings, desk: Desk, folder: Path | None, clock: Callable[[], datetime]
) -> Attaching:
    # Not at the top: only what attaches needs it.
    from leyr_mcp.server.files.intake import Intake  # noqa: PLC0415
    from leyr_mcp.server.files.roots import Roots  # noqa: PLC0415
    from leyr_mcp.server.filing.attaching import Attaching, Letterhead  # noqa: PLC0415
    from leyr_mcp.server.filing.checkpoints import checkpoint  # noqa: PLC0415

    if settings.roots or settings.backend != "sandbox" or folder is None:
        roots = Roots(settings.roots)
    else:
        from leyr_mcp.sandbox import samples  # noqa: PLC0415 - only the sandbox has any

        place = folder / "samples"
        hint = f"The sandbox has the samples {', '.join(samples.NAMES)}."
        roots = Roots((place,), prepare=lambda: samples.unpack(place), hint=hint)
    letterhead = Letterhead(
        lines=settings.letterhead, language=settings.language, zone=settings.timezone
    )
    intake = Intake(desk.files, roots, step=checkpoint)
    return Attaching(desk, intake, letterhead, clock=clock)


def _sandbox(
    settings: Settings, folder: Path | None, clock: Callable[[], datetime]
) -> EmbeddedSandbox | None:
    """Return the sandbox of these settings, if they mean one."""
    if settings.backend != "sandbox":
        return None
    if settings.emr not in (*EMRS, COBALT):
        raise ConfigError(f"LEYR_EMR: the sandbox knows only {', '.join((*EMRS, COBALT))}.")
    return EmbeddedSandbox(settings.emr, folder, clock)


def _record(
    settings: Settings, sandbox: EmbeddedSandbox | None, clock: Callable[[], datetime]
) -> Ehr:
    """Return the health record of these settings; one of the two clients is never loaded."""
    if settings.through_cobalt:
        from leyr_mcp.server.ehr.cobalt import backend as cobalt  # noqa: PLC0415

        given = (
            settings.cobalt_client_id,
            settings.cobalt_client_secret.reveal(),
            settings.cobalt_access_token.reveal(),
        )
        client_id, secret, token = given if sandbox is None else (_SANDBOX_KEY,) * 3
        return cobalt.connect(
            base_url=settings.cobalt_base_url if sandbox is None else f"{_EMBEDDED}/v1",
            client_id=client_id,
            client_secret=secret,
            access_token=token,
            zone=settings.timezone,
            folder=settings.cobalt_folder,
            clock=clock,
            app=sandbox,
        )
    from leyr_mcp.server.ehr.leyr import backend as leyr  # noqa: PLC0415

    return leyr.connect(
        base_url=settings.base_url if sandbox is None else f"{_EMBEDDED}/api",
        client_id=settings.client_id if sandbox is None else _SANDBOX_KEY,
        client_secret=settings.client_secret.reveal() if sandbox is None else _SANDBOX_KEY,
        emr=settings.emr,
        app=sandbox,
    )


def make_store(settings: Settings, *, in_memory: bool = False) -> Store:
    """Return the store of these settings, not yet opened.

    Raises:
        LeyrMcpError: Its key cannot be read or made.
    """
    # Not at the top: listing tools needs neither SQL nor ciphers, and a start is faster.
    from leyr_mcp.server.storage.sqlite import SqliteStore  # noqa: PLC0415

    if in_memory:
        return SqliteStore(None, Keys(secrets.token_bytes(32)))
    if url := settings.database_url.reveal():
        # Nor at the top: it needs a driver, which is an extra.
        from leyr_mcp.server.storage.postgres import PostgresStore  # noqa: PLC0415

        return PostgresStore(
            url,
            _keys(settings),
            schema=schema_name(settings),
            node=node_name(settings),
            head=node_head_path(settings),
        )
    return SqliteStore(database_path(settings), _keys(settings))


def _see(settings: Settings) -> None:
    """Have what is wrong named at start, not at the first call that needs it."""
    if given := settings.data_key.reveal():
        parse(given)
    Timing.of(settings.write_deadline_s, settings.grace_s)
    if settings.database_url.reveal() and find_spec("asyncpg") is None:
        raise ConfigError(
            "LEYR_MCP_DATABASE_URL needs the extra postgres: install leyr-mcp[postgres]."
        )


def _keys(settings: Settings) -> Keys:
    return data_keys(
        settings.data_key.reveal(), os.environ, state_dir=settings.state_dir, make=True
    )


async def _pdf_text(raw: bytes) -> str | None:
    # Not at the top: only reading a PDF needs it.
    from leyr_mcp.server.files.children import text_of_pdf  # noqa: PLC0415

    return await text_of_pdf(raw, NOTE_CAP + 1)  # one more, so that a cut is seen


def _default_unit(settings: Settings) -> str:
    cobalt = settings.through_cobalt
    chosen = settings.cobalt_location_id if cobalt else settings.care_unit_id
    usual = _SANDBOX_UNITS.get(settings.emr, "L0_1")
    return chosen or (usual if settings.backend == "sandbox" else "")


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
