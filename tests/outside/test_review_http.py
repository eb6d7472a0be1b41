"""A node's review page in a real browser, behind a sign-in that is not ours.

Pictures of what the page showed are left in `.work/outside/screens`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.outside.programs import HERE, WORK, Outside
from tests.outside.provider import SECRET, providing
from tests.support.http_node import free_port, http_node

SCREENS = WORK / "screens"
TOLVAN = "se_personal_number:191212121212"
TITLES = ("Första", "Andra", "Tredje")


async def test_a_person_signs_in_decides_and_leaves(outside: Outside, tmp_path: Path) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    page = f"{public}/review/"
    with providing(outside, f"{public}/mcp", f"page={page}signed-in", "dr-ek") as provider:
        settings = {
            "LEYR_MCP_AUTH_ISSUER": provider.issuer,
            "LEYR_MCP_PUBLIC_URL": public,
            "LEYR_MCP_PAGE_CLIENT_ID": "page",
            "LEYR_MCP_PAGE_CLIENT_SECRET": SECRET,
        }
        token = await provider.token("dr-ek", scope="ehr.read ehr.draft ehr.file")
        async with http_node(tmp_path, port=port, **settings) as at:
            ids = [await _drafted(at, token, title) for title in TITLES]
            found = await asyncio.to_thread(
                outside.run,
                outside.node,
                str(HERE / "review_http.mjs"),
                page,
                outside.browser,
                str(SCREENS / "review-http"),
                json.dumps(ids),
                timeout_s=120,
            )
            assert found.code == 0, found.stderr
            seen = found.json()
            states = {
                title: (await at.app.desk().entry(draft_id)).draft.state
                for title, draft_id in zip(TITLES, ids, strict=True)
            }
    assert seen["errors"] == []
    assert states == {"Första": "filed", "Andra": "declined", "Tredje": "awaiting_approval"}
    assert "Första" not in seen["shown"]["out"]
    assert not any(title in seen["shown"]["other"] for title in TITLES)
    assert "Tolvan" not in seen["shown"]["other"]
    assert seen["at"] == f"{page}#{ids[0]}"
    assert seen["readable"] == ""
    (cookie,) = seen["cookies"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert min(seen["contrast"]) >= 4.5
    assert not seen["wide"]
    assert seen["left"] == 0


async def _drafted(at: Any, token: str, title: str) -> str:
    given = {"patient_id": TOLVAN, "title": title, "content": f"{title}: mår bra."}
    params = {"name": "write_note", "arguments": given}
    answer = await at.rpc(token, "tools/call", params, host=at.origin.removeprefix("http://"))
    lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    message = json.loads(lines[-1].removeprefix("data: ")) if lines else answer.json()
    return str(message["result"]["structuredContent"]["draft_id"])
