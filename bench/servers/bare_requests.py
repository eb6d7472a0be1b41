"""Requests and nothing else, over one connection that is kept: what a filing cannot do without.

Each line on stdin is a list of requests, made one after the other and answered with an empty line.
Where a target says `{note}` it means the note that the last write made.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import httpx2

client = httpx2.Client(
    base_url=os.environ["LEYR_BASE_URL"].removesuffix("/api"),
    headers={
        "x-leyr-client-id": os.environ["LEYR_CLIENT_ID"],
        "x-leyr-client-secret": os.environ["LEYR_CLIENT_SECRET"],
        "content-type": "application/json",
    },
)


def make(requests: list[dict[str, str]]) -> None:
    """Make the requests, each after the answer to the one before."""
    note = ""
    for request in requests:
        response = client.request(
            request["method"],
            request["target"].replace("{note}", note),
            content=request["body"] or None,
        )
        response.raise_for_status()
        found: Any = response.json()
        if request["method"] == "POST":
            note = found["id"]


for line in sys.stdin:
    make(json.loads(line))
    print(flush=True)
