import asyncio
import subprocess
import sys
from collections.abc import MutableMapping
from typing import Any

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.serve import serving
from tests.sandbox.kit import CREDENTIALS


async def test_a_served_sandbox_answers_below_api_and_frees_its_port(box: Sandbox) -> None:
    async with serving(box) as origin:
        assert origin.startswith("http://127.0.0.1:")
        async with httpx2.AsyncClient(base_url=origin, headers=CREDENTIALS) as client:
            answer = await client.get("/api/emrs/webdoc/care-units")
        assert answer.json()[0]["id"] == "L0_1"
    with pytest.raises(httpx2.ConnectError):
        async with httpx2.AsyncClient() as client:
            await client.get(origin)
    port = int(origin.rsplit(":", 1)[1])
    async with serving(box, port=port) as again:
        assert again == origin


async def test_serving_leaves_no_task_behind(box: Sandbox) -> None:
    async with serving(box) as origin, httpx2.AsyncClient(base_url=origin) as client:
        await asyncio.gather(*(client.get("/_sandbox") for _ in range(20)))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_taken_port_is_an_os_error(box: Sandbox) -> None:
    async with serving(box) as origin:
        port = int(origin.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            async with serving(box, port=port):
                pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])  # noqa: S104 -- to be refused
async def test_only_loopback_is_served(box: Sandbox, host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        async with serving(box, host=host):
            pass


async def test_lifespan_and_other_scopes_are_taken_calmly(box: Sandbox) -> None:
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return next(messages)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    await box({"type": "lifespan"}, receive, send)
    await box({"type": "websocket"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_client_that_leaves_in_the_middle_of_its_body_changes_nothing(box: Sandbox) -> None:
    async with serving(box) as origin:
        _, writer = await asyncio.open_connection("127.0.0.1", int(origin.rsplit(":", 1)[1]))
        writer.write(b"POST /api/emrs/webdoc/care-units/L0_1/patients HTTP/1.1\r\nhost: x\r\n")
        writer.write(b"content-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert len(box.control.patients()) == 57


def test_embedding_loads_no_web_server() -> None:
    code = "import sys, leyr_mcp.sandbox.app; print([m for m in sys.modules if 'uvicorn' in m])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
