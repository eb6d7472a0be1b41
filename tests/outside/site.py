"""A clinic group's site on this machine: nodes behind a proxy, a database, a sign-in, a record."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.serve import serving
from leyr_mcp.server.settings import Settings, load
from leyr_mcp.server.storage.keys import parse
from leyr_mcp.server.storage.place import schema_name
from leyr_mcp.server.storage.postgres import PostgresStore
from tests.outside.programs import Outside
from tests.outside.provider import Provider, providing
from tests.support import postgres
from tests.support.http_node import KEY, PUBLIC, free_port
from tests.support.nginx import Proxy, proxying

RESOURCE = f"{PUBLIC}/mcp"
HOST = PUBLIC.removeprefix("https://")
_READY_S = 30.0


@dataclass
class Node:
    """A node's process, which may die at any time and is started again."""

    name: str
    port: int
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file of what it logs."""
        return Path(self.environ["HOME"]) / "log"

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "leyr_mcp.server", "serve", "--http"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"127.0.0.1:{self.port}"],
                env={**self.environ, "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    async def ready(self) -> dict[str, Any]:
        """Return what it says of itself once it can answer."""
        until, told = time.monotonic() + _READY_S, "nothing"
        async with httpx2.AsyncClient(trust_env=False) as http:
            while time.monotonic() < until:
                assert self.process
                assert self.process.poll() is None, self.log.read_text()
                with suppress(httpx2.TransportError):
                    answer = await http.get(f"http://127.0.0.1:{self.port}/readyz")
                    if answer.status_code == 200:
                        return dict(answer.json())
                    told = answer.text
                await asyncio.sleep(0.05)
        raise AssertionError(f"{self.name} is not ready and said {told}: {self.log.read_text()}")

    def kill(self) -> None:
        """End it as a machine does that loses its power."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator does, and return its exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(30)


@dataclass
class Site:
    """All of it."""

    sandbox: Sandbox
    database: postgres.Server
    provider: Provider
    proxy: Proxy
    nodes: list[Node]
    home: Path
    seed: int
    killed: int = 0
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have chance follow from the seed."""
        self.chance = random.Random(self.seed)  # noqa: S311 - which node dies is no secret

    async def kill_one(self) -> None:
        """Kill a node in the middle of its work, and start it again."""
        node = self.chance.choice(self.nodes)
        node.kill()
        self.killed += 1
        node.start()
        await node.ready()

    async def restart_database(self) -> None:
        """Have the database lose its connections and what was not committed, and come again."""
        await asyncio.to_thread(self.database.stop)
        await asyncio.to_thread(self.database.start)

    async def token(self, user: str) -> str:
        """Return a token of this user, of whom the client is called the same."""
        if user not in self.tokens:
            scope = "ehr.read ehr.draft ehr.file"
            self.tokens[user] = await self.provider.token(user, scope=scope)
        return self.tokens[user]

    def settings(self, node: Node) -> Settings:
        """Return what a node is set to."""
        return load(node.environ)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[PostgresStore]:
        """Open the store that the nodes share."""
        settings = self.settings(self.nodes[0])
        store = PostgresStore(
            settings.database_url.reveal(),
            parse(KEY),
            schema=schema_name(settings),
            node="looking on",
            head=self.home / "looking-on.head",
        )
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    def command(self, node: Node, *arguments: str, given: str = "") -> str:
        """Return what a command prints on a node's machine; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "leyr_mcp.server", *arguments],
            env={**node.environ, "PATH": os.environ["PATH"]},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@asynccontextmanager
async def site(
    outside: Outside, home: Path, users: dict[str, dict[str, Any]], *, nodes: int, seed: int
) -> AsyncIterator[Site]:
    """Open a site for these users, which are rows of the operator's table."""
    sandbox = Sandbox()
    table = home / "users.json"
    table.write_text(json.dumps(users))
    table.chmod(0o600)
    try:
        async with serving(sandbox) as record:
            with postgres.own() as database, providing(outside, RESOURCE, *users) as provider:
                shared = {
                    "LEYR_BASE_URL": f"{record}/api",
                    "LEYR_CLIENT_ID": sandbox.client_id,
                    "LEYR_CLIENT_SECRET": sandbox.client_secret,
                    "LEYR_EMR": "webdoc",
                    "LEYR_MCP_DATABASE_URL": database.url,
                    "LEYR_MCP_DATA_KEY": KEY,
                    "LEYR_MCP_STATE_KEYS": "the-same-on-all-nodes-and-long-enough",
                    "LEYR_MCP_PUBLIC_URL": PUBLIC,
                    "LEYR_MCP_AUTH_ISSUER": provider.issuer,
                    "LEYR_MCP_USERS_FILE": str(table),
                    "LEYR_MCP_APPROVAL_HOSTS": ",".join(users),
                    "LEYR_MCP_WRITE_DEADLINE_S": "5",
                    "LEYR_MCP_GRACE_S": "15",
                }
                made = [_node(home, f"node-{number}", shared) for number in range(1, nodes + 1)]
                with _started(made), proxying([node.port for node in made], home) as proxy:
                    for node in made:
                        await node.ready()
                    yield Site(sandbox, database, provider, proxy, made, home, seed)
    finally:
        sandbox.close()


def _node(home: Path, name: str, shared: dict[str, str]) -> Node:
    own = home / name
    own.mkdir()
    environ = {
        **shared,
        "HOME": str(own),
        "LEYR_MCP_STATE_DIR": str(own / "state"),
        "LEYR_MCP_NODE_NAME": name,
    }
    return Node(name, free_port(), environ)


@contextmanager
def _started(nodes: list[Node]) -> Iterator[None]:
    try:
        for node in nodes:
            node.start()
        yield
    finally:
        for node in nodes:
            if node.process and node.process.poll() is None:
                node.kill()
