"""One tool on the bare SDK, as its documentation writes it: the yardstick, and the control."""

from __future__ import annotations

import os
import sys
from typing import Any

import httpx2
from mcp.server import MCPServer

mcp = MCPServer("bare", log_level="WARNING")
client = httpx2.AsyncClient(
    base_url=os.environ["LEYR_BASE_URL"],
    headers={
        "x-leyr-client-id": os.environ["LEYR_CLIENT_ID"],
        "x-leyr-client-secret": os.environ["LEYR_CLIENT_SECRET"],
    },
)


@mcp.tool()
async def find_patient(last_name: str) -> list[dict[str, Any]]:
    """Find patients by last name."""
    response = await client.get(
        f"/emrs/{os.environ['LEYR_EMR']}/care-units/{os.environ['LEYR_CARE_UNIT_ID']}/patients",
        params={"last_name": last_name},
    )
    response.raise_for_status()
    found: list[dict[str, Any]] = response.json()
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        mcp.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]), stateless_http=True)
    else:
        mcp.run()
