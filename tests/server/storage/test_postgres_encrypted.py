"""A database over the network: encrypted, and believed by its certificate alone."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.postgres import PostgresStore
from tests.server.storage.builders import KEYS, NOW, READ, opened
from tests.support import postgres
from tests.support.certificates import Certificate, certificate


@pytest.fixture(scope="module")
def encrypted() -> Iterator[tuple[str, Certificate]]:
    """Yield where a server of its own is, and what it shows."""
    postgres.see_installed()
    with postgres.own() as server:
        shown = certificate(server.folder)
        if name := postgres.user():
            for file in shown:
                shutil.chown(file, name)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        server.stop("fast")
        more = (f"port={port}", "listen_addresses=127.0.0.1", "ssl=on")
        server.start(*more, f"ssl_cert_file={shown.public}", f"ssl_key_file={shown.key}")
        yield f"postgresql://tests@127.0.0.1:{port}/postgres", shown


def store_at(url: str, place: Path) -> PostgresStore:
    return PostgresStore(url, KEYS, schema="encrypted", node="n1", head=place / "head")


async def test_what_goes_there_is_encrypted(
    encrypted: tuple[str, Certificate], tmp_path: Path
) -> None:
    url, shown = encrypted
    store = store_at(f"{url}?sslmode=verify-full&sslrootcert={shown.public}", tmp_path)
    async with opened(store):
        assert await store.append(READ, now=NOW, durable=True)
        asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        async with store._main.begun("BEGIN") as connection:
            assert await connection.fetchval(asked) is True


async def test_a_certificate_of_another_is_not_believed(
    encrypted: tuple[str, Certificate], tmp_path: Path
) -> None:
    url, _ = encrypted
    other = certificate(tmp_path)
    store = store_at(f"{url}?sslmode=verify-full&sslrootcert={other.public}", tmp_path)
    with pytest.raises(StorageError, match=r"certificate .* not believed.*sslrootcert"):
        await store.open()


async def test_a_server_that_does_not_encrypt_gets_nothing(tmp_path: Path) -> None:
    heard = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(8))
        writer.write(b"N")  # no, it does not
        heard.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = store_at(f"postgresql://tests:word@127.0.0.1:{port}/x?sslmode=require", tmp_path)
        with pytest.raises(StorageError, match="cannot be reached"):
            await store.open()
    assert b"word" not in b"".join(heard)
    assert heard
