"""A node over real HTTP for one test: uvicorn on loopback, an issuer of tokens, clients."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from uvicorn import Config, Server

from leyr_mcp.server.app import App
from leyr_mcp.server.cli.http import Address, make_node
from leyr_mcp.server.settings import load
from leyr_mcp.server.web.wire import PatientProtocol
from tests.support.tokens import claims, jwk, token

KEY = base64.b64encode(bytes(range(32))).decode()
ALL_SCOPES = "ehr.read ehr.draft ehr.file"
PUBLIC = "https://mcp.example.org"
Message = MutableMapping[str, Any]


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


@asynccontextmanager
async def served(app: Any, port: int) -> AsyncIterator[None]:
    """Serve an application as `leyr-mcp serve --http` does, without signals."""
    config = Config(
        app,
        host="127.0.0.1",
        port=port,
        http=PatientProtocol,
        ws="none",
        lifespan="auto",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16 * 1024,
    )
    server = Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # an older name
    task = asyncio.create_task(server._serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - it tells by nothing else
            await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@dataclass
class Id:
    """The issuer: its documents, tokens in its name, and people who sign in with a browser."""

    origin: str
    port: int
    keys: list[dict[str, Any]]
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    says_who: bool = True

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        status, found = 200, {
            "issuer": self.origin,
            "jwks_uri": f"{self.origin}/keys",
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "authorization_response_iss_parameter_supported": self.says_who,
        }  # fmt: skip
        if scope["path"] == "/keys":
            found = {"keys": self.keys}
        elif scope["path"] == "/token":
            body = (await receive())["body"].decode()
            status, found = self._redeemed(dict(parse_qsl(body)), dict(scope["headers"]))
        head = {"type": "http.response.start", "status": status, "headers": []}
        await send(head)
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})

    def signed_in(self, address: str, **changes: Any) -> dict[str, str]:
        """Return what the browser of somebody who signed in there brings back.

        `changes` are of the tokens: those that begin with `id_` of the id token.
        """
        at = urlsplit(address)
        asked = dict(parse_qsl(at.query))
        assert f"{at.scheme}://{at.netloc}{at.path}" == f"{self.origin}/authorize"
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = {"asked": asked, "changes": changes}
        return {"code": code, "state": asked["state"], "iss": self.origin}

    def _redeemed(
        self, form: dict[str, str], headers: dict[bytes, bytes]
    ) -> tuple[int, dict[str, Any]]:
        known = self.codes.pop(form.get("code", ""), None)
        if known is None:
            return 400, {"error": "invalid_grant"}
        asked, changes = known["asked"], known["changes"]
        digest = sha256(form["code_verifier"].encode()).digest()
        proven = base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
        basic = base64.b64encode(b"page:secret").decode()
        known_client = headers.get(b"authorization") == f"Basic {basic}".encode()
        same = form["redirect_uri"] == asked["redirect_uri"]
        if not (proven and known_client and same and form["resource"] == asked["resource"]):
            return 400, {"error": "invalid_grant"}
        own = {k.removeprefix("id_"): v for k, v in changes.items() if k.startswith("id_")}
        access = {k: v for k, v in changes.items() if not k.startswith("id_")}
        person = {"aud": asked["client_id"], "nonce": asked["nonce"], "scope": None}
        person["sub"] = access.get("sub", "dr-ek")
        made = {"client_id": asked["client_id"], "scope": asked["scope"], **access}
        return 200, {
            "token_type": "Bearer",
            "access_token": self.token(**made),
            "id_token": self.token(**{**person, **own}),
        }

    def token(self, **changes: Any) -> str:
        """Return a token that is good now, with changes."""
        now = int(time.time())
        told = {"iss": self.origin, "aud": f"{PUBLIC}/mcp", "exp": now + 600, "iat": now}
        return token(claims(**{**told, "scope": ALL_SCOPES, **changes}))


@dataclass
class Http:
    """A node, and how it is reached."""

    origin: str
    app: App
    id: Id

    def http(self, bearer: str | None, **headers: str) -> httpx2.AsyncClient:
        """Return a client that sends this token."""
        own = {"host": "mcp.example.org", **headers}
        if bearer is not None:
            own["authorization"] = f"Bearer {bearer}"
        return httpx2.AsyncClient(base_url=self.origin, headers=own, trust_env=False)

    @asynccontextmanager
    async def client(self, mode: Any = "auto", **changes: Any) -> AsyncIterator[Client]:
        """Open an MCP client of one user."""
        async with self.http(self.id.token(**changes)) as http:
            transport = streamable_http_client(f"{self.origin}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                yield client

    async def rpc(
        self, bearer: str | None, method: str = "tools/list", params: Any = None, **headers: str
    ) -> httpx2.Response:
        """Send one request of the modern protocol."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": {**(params or {}), "_meta": meta},
        }
        own = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": method,
            **({"mcp-name": params["name"]} if params and "name" in params else {}),
            **headers,
        }
        async with self.http(bearer) as http:
            return await http.post("/mcp", json=body, headers=own)


@asynccontextmanager
async def http_node(tmp_path: Path, *, port: int | str = 0, **settings: str) -> AsyncIterator[Http]:
    """Serve a node over the sandbox behind a sign-in."""
    port, id_port = int(port) or free_port(), free_port()
    issuer = Id(f"http://127.0.0.1:{id_port}", id_port, [jwk()])
    environ = {
        "LEYR_MCP_STATE_DIR": str(tmp_path / "state"),
        "LEYR_MCP_DATA_KEY": KEY,
        "LEYR_MCP_PUBLIC_URL": PUBLIC,
        "LEYR_MCP_AUTH_ISSUER": issuer.origin,
        **settings,
    }
    environ = {name: value for name, value in environ.items() if value}
    node, app = make_node(load(environ), Address("127.0.0.1", port))
    async with served(issuer, id_port), served(node, port):
        yield Http(f"http://127.0.0.1:{port}", app, issuer)
