"""nginx with the shipped file in front of a node: what it passes on, and what ends there."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.files.kinds import MAX_BYTES
from tests.support import nginx
from tests.support.certificates import certificate
from tests.support.http_node import PUBLIC, Http, free_port, http_node

HOST = b"Host: mcp.example.org\r\n"


@asynccontextmanager
async def behind(home: Path) -> AsyncIterator[tuple[Http, Http]]:
    """Yield a node, and the same as it is reached through nginx."""
    async with http_node(home) as node:
        port = int(node.origin.rpartition(":")[2])
        with nginx.proxying([port], home) as proxy:
            yield node, replace(node, origin=proxy.origin)


async def raw(at: Http, *parts: bytes, within_s: float = 25.0) -> bytes:
    """Send bytes and return all that comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(at.origin.rpartition(":")[2]))
    try:
        for part in parts:
            writer.write(part)
        async with asyncio.timeout(within_s):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_visit_goes_through_it_in_both_eras(tmp_path: Path, mode: Any) -> None:
    async with behind(tmp_path) as (_, proxied), proxied.client(mode) as client:
        found = await client.call_tool("find_patient", {"last_name": "Tolvansson"})
        assert found.structured_content is not None
        patient = found.structured_content["patients"][0]["patient_id"]
        given = {"patient_id": patient, "title": "Besök", "content": "Mår bra.", "draft": True}
        drafted = await client.call_tool("write_note", given)
        assert drafted.structured_content is not None
        assert drafted.structured_content["status"] == "draft"


async def test_only_the_names_of_the_node_are_answered(tmp_path: Path) -> None:
    async with behind(tmp_path) as (_, proxied):
        good = proxied.id.token()
        assert (await proxied.rpc(good)).status_code == 200
        for host in ("evil.example.org", "mcp.example.org:1", "localhost"):
            assert (await proxied.rpc(good, host=host)).status_code == 421
        spoofed = {"x-forwarded-host": "mcp.example.org", "forwarded": "host=mcp.example.org"}
        assert (await proxied.rpc(good, host="evil.example.org", **spoofed)).status_code == 421


async def test_what_is_for_the_operator_is_not_for_everybody(tmp_path: Path) -> None:
    async with behind(tmp_path) as (node, proxied):
        for path in ("/healthz", "/readyz"):
            async with node.http(None) as own, proxied.http(None) as theirs:
                assert (await own.get(path)).status_code == 200
                assert (await theirs.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/mcp", "/elsewhere"])
async def test_five_megabytes_end_there(tmp_path: Path, path: str) -> None:
    async with behind(tmp_path) as (_, proxied), proxied.http(proxied.id.token()) as http:
        answer = await http.post(path, content=bytes(5_000_000))
        assert answer.status_code == 413
        assert (await proxied.rpc(proxied.id.token())).status_code == 200


async def test_files_pass_and_those_that_are_too_large_do_not(tmp_path: Path) -> None:
    async with behind(tmp_path) as (node, proxied), node.client() as client:
        given = {"patient_id": "se_personal_number:191212121212", "title": "Svar"}
        answer = await client.call_tool("attach_document", given)
        assert answer.structured_content is not None
        path = answer.structured_content["upload"]["url"].removeprefix(PUBLIC)
        async with proxied.http(None, **{"content-type": "text/plain"}) as http:
            assert (await http.put(path, content=b"x" * (22 * 1024 * 1024))).status_code == 413
            brought = await http.put(path, content=b"x" * MAX_BYTES)
        assert (brought.status_code, brought.json()["size"]) == (200, MAX_BYTES)


async def test_headers_without_end_and_without_haste_end_there(tmp_path: Path) -> None:
    async with behind(tmp_path) as (_, proxied):
        long = b"GET /mcp HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 40_000 + b"\r\n\r\n"
        many = b"GET /mcp HTTP/1.1\r\n" + HOST + b"X-Y: 1\r\n" * 10_000 + b"\r\n"
        slow = b"GET /mcp HTTP/1.1\r\n" + HOST
        told = await asyncio.gather(raw(proxied, long), raw(proxied, many), raw(proxied, slow))
        assert told[0].startswith(b"HTTP/1.1 400")
        assert told[1].startswith(b"HTTP/1.1 400")
        assert not told[2] or told[2].startswith(b"HTTP/1.1 408")
        assert (await proxied.rpc(proxied.id.token())).status_code == 200


async def test_while_a_node_is_away_nothing_is_sent_twice(tmp_path: Path) -> None:
    async with http_node(tmp_path) as node:
        port = int(node.origin.rpartition(":")[2])
        seen = 0

        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal seen
            seen += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(cut, "127.0.0.1", 0) as dying:
            other = dying.sockets[0].getsockname()[1]
            with nginx.proxying([other, port], tmp_path) as proxy:
                proxied = replace(node, origin=proxy.origin)
                codes = [(await proxied.rpc(node.id.token())).status_code for _ in range(6)]
        assert seen
        assert codes.count(502) == seen  # each POST that reached it ended there, and went nowhere
        assert codes.count(200) == len(codes) - seen


async def test_a_node_that_does_not_listen_is_passed_over(tmp_path: Path) -> None:
    async with http_node(tmp_path) as node:
        port = int(node.origin.rpartition(":")[2])
        with nginx.proxying([free_port(), port], tmp_path) as proxy:
            proxied = replace(node, origin=proxy.origin)
            codes = {(await proxied.rpc(node.id.token())).status_code for _ in range(6)}
        assert codes == {200}


def test_the_file_as_it_is_shipped_is_taken(tmp_path: Path) -> None:
    text = nginx.SHIPPED.read_text()
    for name in re.findall(r"/etc/nginx/([\w.-]+)", text):
        text = text.replace(f"/etc/nginx/{name}", str(tmp_path / name))
    certificate(tmp_path, "mcp.example.org")
    text = re.sub(r"node-\d:8080", "127.0.0.1:8080", text)
    path = nginx.main_file(text, tmp_path / "nginx")
    command = [nginx.program(), "-t", "-e", str(path.with_name("error.log")), "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
