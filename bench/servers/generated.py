"""A server that FastMCP generates from the sandbox's OpenAPI document, whose path is the argument.

Runs in an environment of its own, which holds FastMCP. The patient search is named `find_patient`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from fastmcp import FastMCP  # type: ignore[import-not-found]  # lives in the bench's environment only

document: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
search = next(
    methods["get"]["operationId"]
    for path, methods in document["paths"].items()
    if path.endswith("/patients")
)
base = urlsplit(os.environ["LEYR_BASE_URL"])
client = httpx2.AsyncClient(
    base_url=f"{base.scheme}://{base.netloc}",  # the document's paths start with /api
    headers={
        "x-leyr-client-id": os.environ["LEYR_CLIENT_ID"],
        "x-leyr-client-secret": os.environ["LEYR_CLIENT_SECRET"],
    },
)
mcp = FastMCP.from_openapi(
    document, client=client, name="generated", mcp_names={search: "find_patient"}
)

if __name__ == "__main__":
    if len(sys.argv) > 2:
        http = {"host": "127.0.0.1", "port": int(sys.argv[2]), "stateless_http": True}
        mcp.run(transport="http", show_banner=False, **http)
    else:
        mcp.run(show_banner=False)
