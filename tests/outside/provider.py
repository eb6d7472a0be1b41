"""The OpenID provider of the checks from outside, which is not ours, while it runs."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
import pytest

from tests.outside.programs import HERE, Outside

SECRET = "sandbox"


@dataclass(frozen=True, slots=True)
class Provider:
    """The provider while it runs."""

    issuer: str
    resource: str
    process: subprocess.Popen[str]

    async def token(
        self,
        client: str = "RS256",
        *,
        scope: str = "ehr.read ehr.draft",
        resource: str | None = None,
    ) -> str:
        """Return a token that a program gets for itself."""
        asked = {
            "grant_type": "client_credentials",
            "scope": scope,
            "resource": resource or self.resource,
        }
        async with httpx2.AsyncClient(trust_env=False, auth=(client, SECRET)) as http:
            answer = await http.post(f"{self.issuer}/token", data=asked)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def change_keys(self) -> None:
        """Have it sign with other keys from now on."""
        self.process.send_signal(signal.SIGHUP)
        assert self.process.stdout
        assert self.process.stdout.readline() == "other keys\n"


@contextmanager
def providing(outside: Outside, resource: str, *more: str) -> Iterator[Provider]:
    """Run a provider of tokens for this server; `more` are clients besides those of its own."""
    command = (outside.node, str(HERE / "provider.mjs"), resource, SECRET, *more)
    with outside.start(*command) as process:
        assert process.stdout
        issuer = process.stdout.readline().strip()
        if not issuer:
            pytest.fail(process.communicate()[1])
        yield Provider(issuer, resource, process)
