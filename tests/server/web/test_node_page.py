"""The review page of a node: who gets in with a browser, what they see, and what they may do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from leyr_mcp.server.cli.http import Address, check, make_node
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.settings import load
from leyr_mcp.server.web import browser
from tests.support.http_node import PUBLIC, Http, free_port, http_node, served

TOLVAN = "se_personal_number:191212121212"
PAGE = {"LEYR_MCP_PAGE_CLIENT_ID": "page", "LEYR_MCP_PAGE_CLIENT_SECRET": "secret"}
SESSION, ASKED = "__Host-leyr-mcp", "__Host-leyr-mcp-asked"
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@dataclass
class Tab:
    """A browser that keeps what it is told to."""

    at: Http
    cookies: dict[str, str] = field(default_factory=dict)
    seen: list[httpx2.Response] = field(default_factory=list)

    async def get(self, path: str, **query: str) -> httpx2.Response:
        """Open an address."""
        async with self.at.http(None, **NAVIGATION, **self._kept()) as http:
            return self._keep(await http.get(f"/review/{path}", params=query))

    async def ask(self, name: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Ask as the page does."""
        own = {"origin": PUBLIC, "content-type": "application/json", **self._kept(), **headers}
        async with self.at.http(None, **own) as http:
            answer = await http.post(f"/review/api/{name}", content=json.dumps(body or {}))
        return self._keep(answer)

    async def begin(self, draft: str = "") -> str:
        """Ask to sign in, and return where that is."""
        answer = await self.get("sign-in", **({"draft": draft} if draft else {}))
        assert answer.status_code == 303
        return answer.headers["location"]

    async def sign_in(self, draft: str = "", **changes: Any) -> httpx2.Response:
        """Sign in there, and come back."""
        back = self.at.id.signed_in(await self.begin(draft), **changes)
        return await self.get("signed-in", **back)

    def _kept(self) -> dict[str, str]:
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"cookie": kept} if kept else {}

    def _keep(self, answer: httpx2.Response) -> httpx2.Response:
        self.seen.append(answer)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer


@asynccontextmanager
async def node(tmp_path: Path, **settings: str) -> AsyncIterator[Http]:
    async with http_node(tmp_path, **{**PAGE, **settings}) as at:
        yield at


async def drafted(at: Http, text: str = "Mår bra.", **claims: Any) -> dict[str, Any]:
    """Return what a note that waits is answered, drafted by a program of this user."""
    async with at.client(**claims) as client:
        given = {"patient_id": TOLVAN, "title": "Besök", "content": text}
        answer = await client.call_tool("write_note", given)
    assert answer.structured_content is not None
    found: dict[str, Any] = answer.structured_content
    return found


async def seen(tab: Tab, draft_id: str) -> dict[str, Any]:
    answer = await tab.ask("drafts", {"draft_ids": [draft_id]})
    assert answer.status_code == 200, answer.text
    status: dict[str, Any] = answer.json()["drafts"][0]["status"]
    return {name: status[name] for name in ("draft_id", "version", "digest")}


async def test_who_signed_in_sees_their_own_queue_and_approves(tmp_path: Path) -> None:
    async with node(tmp_path) as at:
        told = await drafted(at, sub="dr-ek")
        draft_id = told["draft_id"]
        assert told["approval"]["url"] == f"{PUBLIC}/review/#{draft_id}"
        tab = Tab(at)
        back = await tab.sign_in(draft_id, sub="dr-ek", name="Dr Ek")
        assert (back.status_code, back.headers["location"]) == (303, f"./#{draft_id}")
        assert (await tab.get("")).status_code == 200

        queue = (await tab.ask("queue")).json()
        assert queue["user"] == "Dr Ek"
        assert [row["draft_id"] for one in queue["patients"] for row in one["drafts"]] == [draft_id]
        decision = {**await seen(tab, draft_id), "approve": True}
        done = (await tab.ask("decide", {"decisions": [decision]})).json()
        assert done["results"][0]["done"], done
        desk = at.app.desk()
        draft = (await desk.outcome(await desk.entry(draft_id), 10)).draft
        assert draft.state == "filed"
        store, _ = await at.app.journal.opened()
        approval = await store.approval(str(draft.approval_id))
        assert approval
        assert (approval.channel, approval.approver) == ("review page", "Dr Ek")


async def test_nobody_sees_what_is_anothers(tmp_path: Path) -> None:
    async with node(tmp_path) as at:
        draft_id = (await drafted(at, "Canary.", sub="dr-ek"))["draft_id"]
        own, other = Tab(at), Tab(at)
        await own.sign_in(sub="dr-ek")
        await other.sign_in(sub="dr-al")
        theirs = await seen(own, draft_id)
        assert "Canary" not in (await other.ask("queue")).text
        unknown = await other.ask("drafts", {"draft_ids": ["d_none"]})
        foreign = await other.ask("drafts", {"draft_ids": [draft_id]})
        assert (foreign.status_code, unknown.status_code) == (404, 404)
        assert foreign.json()["error"]["message"] == unknown.json()["error"]["message"]
        for name, body in (
            ("decide", {"decisions": [{**theirs, "approve": True}]}),
            ("edit", {**theirs, "texts": {"unstructured": "other"}}),
            ("resolve", {**theirs, "how": "drop"}),
        ):
            answer = await other.ask(name, body)
            assert answer.status_code == 404 or not answer.json()["results"][0]["done"]
        assert (await seen(own, draft_id)) == theirs


@pytest.mark.parametrize(
    ("scope", "queue", "edit", "approve"),
    [
        ("ehr.read ehr.draft ehr.file", 200, 200, True),
        ("ehr.read ehr.draft", 200, 200, False),
        ("ehr.read", 200, 403, False),
        ("openid", 403, 403, False),
    ],
)
async def test_scopes_decide(
    tmp_path: Path, scope: str, queue: int, edit: int, *, approve: bool
) -> None:
    async with node(tmp_path) as at:
        draft_id = (await drafted(at, sub="dr-ek"))["draft_id"]
        all_, tab = Tab(at), Tab(at)
        await all_.sign_in(sub="dr-ek")
        await tab.sign_in(sub="dr-ek", scope=scope)
        assert (await tab.ask("queue")).status_code == queue
        known = await seen(all_, draft_id)
        answer = await tab.ask("edit", {**known, "texts": {"unstructured": "Mår bättre."}})
        assert answer.status_code == edit
        known = await seen(all_, draft_id)
        answer = await tab.ask("decide", {"decisions": [{**known, "approve": True}]})
        done = answer.status_code == 200 and answer.json()["results"][0]["done"]
        assert done == approve
        if not done:
            assert "scope_missing" in answer.text or "lacks" in answer.text


async def test_a_program_with_the_users_own_token_gets_nothing_here(tmp_path: Path) -> None:
    async with node(tmp_path) as at:
        draft_id = (await drafted(at, "Canary.", sub="dr-ek"))["draft_id"]
        bearer = {"authorization": f"Bearer {at.id.token(sub='dr-ek')}"}
        tab = Tab(at)
        for name in ("queue", "drafts", "decide"):
            answer = await tab.ask(name, {"draft_ids": [draft_id]}, **bearer)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "signed_out")
        for value in (at.id.token(sub="dr-ek"), "x", ""):
            tab.cookies[SESSION] = value
            assert (await tab.ask("queue")).status_code == 401
        assert not any("set-cookie" in one.headers for one in tab.seen)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example.org/mcp"},
        {"iss": "https://evil.example.org"},
        {"exp": 1},
        {"sub": "dr-al", "id_sub": "dr-ek"},
        {"id_nonce": "other"},
        {"id_nonce": None},
        {"id_aud": "another-client"},
        {"id_aud": ["page", "another-client"]},
        {"id_exp": 1},
        {"id_iss": "https://evil.example.org"},
        {"id_sub": None},
    ],
)
async def test_tokens_that_are_not_to_be_believed_sign_nobody_in(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    async with node(tmp_path) as at:
        tab = Tab(at)
        back = await tab.sign_in(**changes)
        assert back.headers["location"] == "./?problem=not_believed"
        assert SESSION not in tab.cookies
        assert (await tab.ask("queue")).status_code == 401


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"state": "other"}, "not_begun"),
        ({"state": ""}, "not_begun"),
        ({"iss": "https://evil.example.org"}, "other_issuer"),
        ({"iss": ""}, "other_issuer"),
        ({"code": "other"}, "not_finished"),
        ({"code": ""}, "not_finished"),
        ({"error": "access_denied"}, "not_finished"),
    ],
)
async def test_an_answer_that_was_not_asked_for_signs_nobody_in(
    tmp_path: Path, changes: dict[str, str], problem: str
) -> None:
    async with node(tmp_path) as at:
        tab = Tab(at)
        good = at.id.signed_in(await tab.begin())
        back = await tab.get("signed-in", **{k: v for k, v in {**good, **changes}.items() if v})
        assert back.headers["location"] == f"./?problem={problem}"
        assert (await tab.ask("queue")).status_code == 401


async def test_one_answers_only_in_the_browser_that_asked_and_once(tmp_path: Path) -> None:
    async with node(tmp_path) as at:
        own, other = Tab(at), Tab(at)
        back = at.id.signed_in(await own.begin())
        await other.begin()
        refused = await other.get("signed-in", **back)
        assert refused.headers["location"] == "./?problem=not_begun"
        assert (await own.get("signed-in", **back)).headers["location"] == "./"
        again = await own.get("signed-in", **back)
        assert again.headers["location"] == "./?problem=not_begun"
        twice = f"signed-in?state={back['state']}&state=x&code=y"
        await own.begin()
        assert (await own.get(twice)).headers["location"] == "./?problem=not_begun"


async def test_where_the_way_back_leads_is_not_for_others_to_say(tmp_path: Path) -> None:
    async with node(tmp_path) as at:
        for draft in (
            "//evil.example.org",
            "d_x#y",
            "d_a/../b",
            "javascript:alert(1)",
            "d_" + "a" * 90,
        ):
            back = await Tab(at).sign_in(draft)
            assert back.headers["location"] == "./"
        at.id.says_who = False
        assert (await Tab(at).sign_in("d_abc")).headers["location"] == "./#d_abc"


async def test_cookies_are_for_this_page_alone(tmp_path: Path) -> None:
    async with node(tmp_path) as at:
        tab = Tab(at)
        await tab.sign_in(sub="dr-ek")
        lines = [line for one in tab.seen for line in one.headers.get_list("set-cookie")]
        kept = {line.partition("=")[0]: line for line in lines if "Max-Age=0" not in line}
        assert kept.keys() == {SESSION, ASKED}
        for name, line in kept.items():
            assert {"Path=/", "HttpOnly", "Secure"} <= set(line.split("; "))
            assert f"SameSite={'Strict' if name == SESSION else 'Lax'}" in line
            assert "dr-ek" not in line
        assert ASKED not in tab.cookies
        value = tab.cookies[SESSION]
        middle = len(value) // 2
        other = "A" if value[middle] != "A" else "B"
        for wrong in (value[:-4], value[:middle] + other + value[middle + 1 :], value + "AAAA"):
            tab.cookies[SESSION] = wrong
            assert (await tab.ask("queue")).status_code == 401
        tab.cookies = {SESSION: value, "x": f"1; {SESSION}={value}"}
        assert (await tab.ask("queue")).status_code == 401
        tab.cookies = {SESSION: value}
        assert (await tab.ask("queue")).status_code == 200


async def test_a_session_ends_with_its_time_and_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(tmp_path) as at:
        tab = Tab(at)
        await tab.sign_in()
        assert (await tab.ask("queue")).status_code == 200
        foreign = await tab.ask("sign-out", origin="https://evil.example.org")
        assert foreign.status_code == 403
        assert SESSION in tab.cookies
        assert (await tab.ask("sign-out")).status_code == 200
        assert SESSION not in tab.cookies
        monkeypatch.setattr(browser, "SIGNED_IN_S", 0.0)
        await tab.sign_in()
        tab.cookies.setdefault(SESSION, "")
        assert (await tab.ask("queue")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.org"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_another_page_decides_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    async with node(tmp_path) as at:
        draft_id = (await drafted(at, sub="dr-ek"))["draft_id"]
        tab = Tab(at)
        await tab.sign_in(sub="dr-ek")
        known = await seen(tab, draft_id)
        body = {"decisions": [{**known, "approve": True}]}
        assert (await tab.ask("decide", body, **headers)).status_code == 403
        assert (await tab.ask("decide", body, **{"content-type": "text/plain"})).status_code == 415
        assert await seen(tab, draft_id) == known
        assert (await tab.ask("queue", host="evil.example.org")).status_code == 421


async def test_who_is_taken_off_the_table_is_out(tmp_path: Path) -> None:
    table = tmp_path / "users.json"
    table.write_text('{"dr-ek": {"name": "Ek", "author_id": "1021", "care_units": ["L0_1"]}}')
    table.chmod(0o600)
    async with node(tmp_path, LEYR_MCP_USERS_FILE=str(table)) as at:
        tab = Tab(at)
        await tab.sign_in(sub="dr-ek")
        assert (await tab.ask("queue")).json()["user"] == "Ek"


async def test_while_the_issuer_is_away_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(tmp_path) as at:
        tab = Tab(at)
        back = at.id.signed_in(await tab.begin())
        monkeypatch.setattr(at.id, "origin", "http://127.0.0.1:1")  # its documents are another's
        assert (await tab.get("signed-in", **back)).headers["location"].startswith("./?problem=")
        fresh = Tab(at)
        async with http_node(
            tmp_path / "other", **PAGE, LEYR_MCP_AUTH_ISSUER="http://127.0.0.1:9/x"
        ) as away:
            told = await Tab(away).get("sign-in")
        assert told.headers["location"] == "./?problem=away"
        assert not fresh.cookies


async def test_without_a_client_there_is_no_page(tmp_path: Path) -> None:
    async with http_node(tmp_path) as at:
        told = await drafted(at, sub="dr-ek")
        assert "url" not in told["approval"]
        assert (await Tab(at).get("")).status_code == 404


async def test_in_the_sandbox_on_loopback_nobody_has_to_sign_in(tmp_path: Path) -> None:
    port = free_port()
    made, app = make_node(
        load({"LEYR_MCP_STATE_DIR": str(tmp_path / "state")}), Address("127.0.0.1", port)
    )
    origin = f"http://127.0.0.1:{port}"
    async with served(made, port), httpx2.AsyncClient(base_url=origin, trust_env=False) as http:
        assert (await http.get("/review/")).status_code == 200
        own = {"origin": origin, "content-type": "application/json"}
        queue = await http.post("/review/api/queue", content="{}", headers=own)
        assert queue.json()["sandbox"] is True
        own["origin"] = "https://evil.example.org"
        assert (await http.post("/review/api/queue", content="{}", headers=own)).status_code == 403
        assert await app.context.review_url("d_x") == f"{origin}/review/#d_x"


@pytest.mark.parametrize(
    "environ",
    [
        {"LEYR_MCP_PAGE_CLIENT_ID": "page"},
        {
            "LEYR_MCP_PAGE_CLIENT_SECRET": "secret",
            "LEYR_MCP_AUTH_ISSUER": "https://id.example.org",
            "LEYR_MCP_PUBLIC_URL": PUBLIC,
        },
    ],
)
def test_half_a_client_starts_nothing(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="LEYR_MCP_PAGE_CLIENT_ID"):
        check(load(environ), Address("127.0.0.1", 80))


def test_what_the_issuer_is_asked_holds_no_secret() -> None:
    place = browser.Place(
        address="https://a.example/review/", resource="r", client_id="c", client_secret="s"
    )
    assert place.secure
    assert dict(parse_qsl(urlsplit(place.back).query)) == {}
