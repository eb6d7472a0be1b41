"""`leyr-mcp serve --http HOST:PORT`: the MCP server as one of any number of equal nodes.

Nothing of a client stays in a node between two requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from mcp.server.mcpserver import RequestStateSecurity
from mcp.server.transport_security import TransportSecuritySettings

from leyr_mcp.server import VERSION, logs, telemetry
from leyr_mcp.server.addresses import LOOPBACK
from leyr_mcp.server.app import App, build
from leyr_mcp.server.boundary import no_page
from leyr_mcp.server.cli.http_parts import has_page, parts_of
from leyr_mcp.server.errors import ConfigError, LeyrMcpError
from leyr_mcp.server.limits import Limits
from leyr_mcp.server.protocol import Web
from leyr_mcp.server.settings import Settings, load
from leyr_mcp.server.users import Users
from leyr_mcp.server.web.issuer import Issuer
from leyr_mcp.server.web.node import LARGEST, MCP, Access, Node, current_user
from leyr_mcp.server.web.nodepage import PATH
from leyr_mcp.server.web.signin import SignIn
from leyr_mcp.server.web.wire import PatientProtocol, make_room
from leyr_mcp.tools.toolsets import Choice

DRAIN_S = 10
_HEADERS = 16 * 1024
_KEPT_ALIVE_S = 20
_GARBAGE = 5_000, 20, 20
_log = logging.getLogger("leyr_mcp.http")


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def address(text: str) -> Address:
    """Return HOST:PORT, or a port alone, which is one of loopback.

    Raises:
        ValueError: It is none.
    """
    host, _, number = text.rpartition(":")
    port = int(number)
    if not 0 <= port <= 65_535:  # noqa: PLR2004 - the ports that there are
        raise ValueError
    return Address(host.strip("[]") or "127.0.0.1", port)


def check(settings: Settings, at: Address) -> None:
    """See that nobody is let in who has not signed in.

    Raises:
        ConfigError: Sign-in is missing, or what it needs.
    """
    if settings.auth_issuer and not settings.public_url:
        raise ConfigError("LEYR_MCP_PUBLIC_URL is missing: tokens are made for that address.")
    if settings.backend != "sandbox" and not settings.data_key.reveal():
        raise ConfigError("LEYR_MCP_DATA_KEY is missing: over HTTP no key is made by itself.")
    if settings.roots:
        raise ConfigError(
            "LEYR_MCP_ROOTS is for one user on their own machine: over HTTP files are uploaded."
        )
    page = settings.page_client_id or settings.page_client_secret.reveal()
    if page and not (settings.page_client_id and settings.auth_issuer):
        raise ConfigError(
            "The review page needs LEYR_MCP_PAGE_CLIENT_ID and LEYR_MCP_AUTH_ISSUER, both."
        )
    if settings.auth_issuer:
        return
    if settings.backend != "sandbox":
        raise ConfigError("LEYR_MCP_AUTH_ISSUER is missing: a real record needs a sign-in.")
    if at.host not in LOOPBACK:
        raise ConfigError(
            "LEYR_MCP_AUTH_ISSUER is missing: without a sign-in only this machine is served "
            f"({', '.join(LOOPBACK)})."
        )


def make_node(settings: Settings, at: Address, choice: Choice | None = None) -> tuple[Node, App]:
    """Return a node and what it serves.

    Raises:
        ConfigError: The settings contradict each other, or would let anybody in.
    """
    check(settings, at)
    keys = [key.reveal() for key in settings.state_keys]
    public = settings.public_url or at.origin

    async def page_url(draft_id: str) -> str:
        return f"{public}{PATH}#{draft_id}"

    web = Web(
        user=current_user,
        limits=Limits(),
        state_security=RequestStateSecurity(keys=keys) if keys else None,
        review_url=page_url if has_page(settings) else no_page,
        base=public,
    )
    app = build(settings, choice, web=web)
    hosts = sorted(_hosts(settings, at))
    origins = sorted(_origins(settings, at))
    library = app.server.streamable_http_app(
        streamable_http_path=MCP,
        stateless_http=True,
        max_request_body_size=LARGEST,
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins),
    )
    issuer = Issuer(settings.auth_issuer) if settings.auth_issuer else None
    resource = public + MCP
    verifier = SignIn(issuer, settings.auth_audience or resource) if issuer else None
    users = Users(settings.users_file)
    parts = parts_of(
        app,
        settings,
        public=public,
        hosts=hosts,
        signed=(issuer, verifier, users) if issuer and verifier else None,
    )
    access = Access(
        hosts=frozenset(hosts),
        origins=frozenset(origins),
        resource=resource,
        issuer=settings.auth_issuer or None,
        verifier=verifier,
        users=users,
    )

    stop_telling = telemetry.start(VERSION, app.server.names)

    async def close() -> None:
        await app.close(drain_s=DRAIN_S)
        await asyncio.to_thread(stop_telling)
        if verifier is not None:
            await verifier.close()

    # What the library puts around its handler is done here already, by the node.
    handler = app.server.session_manager.handle_request
    return Node(handler, library, access, ready=partial(_ready, app), close=close, parts=parts), app


async def _ready(app: App) -> Mapping[str, Any]:
    """Return whether the store can be had, and how many drafts are in doubt."""
    try:
        counts = await app.desk().counts() if await app.start_filing() else {}
    except LeyrMcpError as exc:
        _log.warning("not ready: %s", exc.message)
        return {"ok": False, "error": exc.code}
    told = {state: counts.get(state, 0) for state in ("unknown", "needs_human")}
    if listening := telemetry.current():
        listening.drafts(told)
    return {"ok": True, "drafts": told}


def _hosts(settings: Settings, at: Address) -> set[str]:
    """Return the names under which a node is reached, as the Host header has them."""
    found = set(settings.allowed_hosts)
    if settings.public_url:
        found.add(settings.public_url.partition("://")[2].partition("/")[0])
    if at.host in LOOPBACK and at.port:
        found |= {f"127.0.0.1:{at.port}", f"localhost:{at.port}", f"[::1]:{at.port}"}
    return found


def serve(at: Address, choice: Choice, settings: Settings, workers: int) -> int:
    """Serve until told to stop."""
    import uvicorn  # noqa: PLC0415 - HTTP alone needs it

    check(settings, at)
    _log.info("leyr-mcp %s serves %s%s", VERSION, at.origin, MCP)
    common: dict[str, Any] = {
        "host": at.host,
        "port": at.port,
        "http": PatientProtocol,
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": DRAIN_S,
        "timeout_keep_alive": _KEPT_ALIVE_S,
        "h11_max_incomplete_event_size": _HEADERS,
    }
    if workers == 1:
        uvicorn.run(_settled(make_node(settings, at, choice)[0]), **common)
        return 0
    if choice != _own_choice(settings):
        raise ConfigError("Several workers take the tools from LEYR_MCP_TOOLSETS alone.")
    import os  # noqa: PLC0415 - for this alone

    os.environ["LEYR_MCP_AT"] = f"{at.host}:{at.port}"
    uvicorn.run(
        "leyr_mcp.server.cli.http:from_environment", factory=True, workers=workers, **common
    )
    return 0


def _settled(node: Node) -> Node:
    """Prepare this process to serve for long.

    A call leaves little behind; looking through all modules for garbage takes longer. So that is
    done less often, and never in what is loaded for as long as it serves.
    """
    import gc  # noqa: PLC0415 - for this alone

    make_room()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    return node


def _own_choice(settings: Settings) -> Choice:
    from leyr_mcp.server.app import choice_of  # noqa: PLC0415 - for this alone

    return choice_of(settings)


def from_environment() -> Node:
    """Return the node of a worker process."""
    import os  # noqa: PLC0415 - for this alone

    at = address(os.environ["LEYR_MCP_AT"])
    environ = {name: value for name, value in os.environ.items() if name != "LEYR_MCP_AT"}
    settings = load(environ)
    logs.configure(settings.log_level, settings.log_format)
    return _settled(make_node(settings, at)[0])


def _origins(settings: Settings, at: Address) -> set[str]:
    """Return the web pages that may speak to a node: those set, and without sign-in its own."""
    found = set(settings.allowed_origins)
    if not settings.auth_issuer:
        found |= {f"http://{host}" for host in _hosts(settings, at)}
    return found
