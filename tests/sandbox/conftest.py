from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from tests.sandbox.kit import NOW, client_of


@pytest.fixture
def box() -> Iterator[Sandbox]:
    box = Sandbox(clock=lambda: NOW)
    yield box
    box.close()


@pytest.fixture
async def client(box: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(box) as client:
        yield client
