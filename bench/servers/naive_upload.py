"""Uploads a file as the vendor's guide does: read whole, encoded whole, posted as JSON, read back.

Each line on stdin is a path and a title; it is answered with an empty line when that is done.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import httpx2

BASE = (
    f"{os.environ['LEYR_BASE_URL']}/emrs/{os.environ['LEYR_EMR']}"
    f"/care-units/{os.environ['LEYR_CARE_UNIT_ID']}"
    "/patients/se_personal_number:191212121212/documents"
)
client = httpx2.Client(
    headers={
        "x-leyr-client-id": os.environ["LEYR_CLIENT_ID"],
        "x-leyr-client-secret": os.environ["LEYR_CLIENT_SECRET"],
    },
    timeout=60,
)

for line in sys.stdin:
    path, title = json.loads(line)
    content = Path(path).read_bytes()
    document = {
        "content": base64.b64encode(content).decode(),
        "format": "text/plain",
        "title": title,
        "created_by_id": os.environ["LEYR_RESOURCE_ID"],
    }
    made = client.post(BASE, json=document).raise_for_status().json()
    stored = client.get(f"{BASE}/{made['id']}").raise_for_status().json()
    if base64.b64decode(stored["content"]) != content:
        sys.exit("it was stored differently")
    print(flush=True)
