"""The receiver of webhooks on its own: whose it takes, what it refuses, and in which order."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.values import Secret
from leyr_mcp.server.web import webhooks
from leyr_mcp.server.web.serving import Listener
from leyr_mcp.server.web.webhooks import LARGEST, PATH, WebhookApp
from tests.support.http_node import http_node

NEW, OLD = "whsec_new_canary", "whsec_old_canary"
EVENT = {
    "id": "evt_1",
    "access_token_reference_id": "user_1",
    "object": "event",
    "created": "2026-03-02T10:30:00Z",
    "type": "patient_note.created",
    "job_id": "12345",
    "data": {"patient_note_id": "n1", "patient_mrn": "MRN-1", "note": 'Mår bra é \u2028 / "x"'},
}


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


BODY = compact(EVENT)


def sign(body: bytes, secret: str = NEW) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Notices:
    """What was stored, and how storing goes."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[str, ...]]] = []
        self.wrong: Exception | None = None
        self.slow_s = 0.0

    async def __call__(self, event_id: str, jobs: Sequence[str]) -> bool:
        await asyncio.sleep(self.slow_s)
        if self.wrong is not None:
            raise self.wrong
        new = event_id not in [known for known, _ in self.seen]
        self.seen.append((event_id, tuple(jobs)))
        return new


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[httpx2.AsyncClient, Notices]]:
    notices = Notices()
    listener = await Listener.open("127.0.0.1", 0, WebhookApp((Secret(NEW), Secret(OLD)), notices))
    try:
        async with httpx2.AsyncClient(base_url=listener.origin, trust_env=False) as client:
            yield client, notices
    finally:
        await listener.stop()


async def send(client: httpx2.AsyncClient, body: bytes = BODY, **headers: str) -> httpx2.Response:
    own = {"cobalt-verification": sign(body), "webhook-id": "evt_1"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(PATH, content=body, headers={**own, **given})


async def test_a_signed_event_is_stored_with_the_names_of_its_job() -> None:
    async with receiver() as (client, notices):
        answer = await send(client)
        assert (answer.status_code, answer.json()) == (200, {"received": True, "new": True})
        assert notices.seen == [("evt_1", (":n1", "12345:", "12345:n1"))]


async def test_a_replay_is_answered_and_is_nothing_new() -> None:
    async with receiver() as (client, _):
        await send(client)
        answer = await send(client)
        assert (answer.status_code, answer.json()["new"]) == (200, False)


@pytest.mark.parametrize("secret", [NEW, OLD])
async def test_during_a_rotation_both_secrets_are_good(secret: str) -> None:
    async with receiver() as (client, _):
        assert (await send(client, cobalt_verification=sign(BODY, secret))).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(EVENT).encode(),  # spaces, and what is not ASCII escaped
        json.dumps(EVENT, indent=2).encode(),
        BODY.replace(b"/", b"\\/"),
        BODY.replace(b'"12345"', b"12345.0"),
    ],
)
async def test_what_was_written_otherwise_is_read_as_javascript_reads_it(raw: bytes) -> None:
    signed = compact(json.loads(raw, parse_float=lambda text: int(float(text))))
    async with receiver() as (client, notices):
        answer = await send(client, raw, cobalt_verification=sign(signed))
        assert answer.status_code == 200
        assert notices.seen


async def test_the_older_shape_is_an_event_too() -> None:
    older = compact(
        {"event_id": "evt_1", "event_type": "document.uploaded", "job_id": 5, "data": {}}
    )
    async with receiver() as (client, notices):
        assert (await send(client, older)).status_code == 200
        assert notices.seen == [("evt_1", ("5:",))]


async def test_an_event_without_a_job_is_stored_too() -> None:
    told = compact({"id": "evt_1", "type": "access_token.login_required", "data": {}})
    async with receiver() as (client, notices):
        assert (await send(client, told)).status_code == 200
        assert notices.seen == [("evt_1", ())]


Forged = Callable[[], dict[str, Any]]
FORGED: dict[str, Forged] = {
    "no signature": lambda: {"cobalt_verification": ""},
    "too short": lambda: {"cobalt_verification": sign(BODY)[:63]},
    "too long": lambda: {"cobalt_verification": sign(BODY) + "0"},
    "capital letters": lambda: {"cobalt_verification": sign(BODY).upper()},
    "with a prefix": lambda: {"cobalt_verification": f"sha256={sign(BODY)}"},
    "no hexadecimal": lambda: {"cobalt_verification": "z" * 64},
    "another secret": lambda: {"cobalt_verification": sign(BODY, "whsec_of_somebody")},
    "no secret": lambda: {"cobalt_verification": sign(BODY, "")},
    "another body's": lambda: {"cobalt_verification": sign(BODY + b" ")},
    "one byte changed": lambda: {
        "body": BODY.replace(b"MRN-1", b"MRN-2"),
        "cobalt_verification": sign(BODY),
    },
    "of the time and the body": lambda: {
        "cobalt_verification": sign(b"2026-03-02T10:30:00Z." + BODY)
    },
    "another algorithm": lambda: {
        "cobalt_verification": hmac.new(NEW.encode(), BODY, hashlib.sha512).hexdigest()[:64]
    },
    "a plain hash": lambda: {
        "cobalt_verification": hashlib.sha256(NEW.encode() + BODY).hexdigest()
    },
}


@pytest.mark.parametrize("kind", list(FORGED))
async def test_what_is_forged_is_turned_away_and_leaves_nothing(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver() as (client, notices):
        answer = await send(client, **FORGED[kind]())
        assert (answer.status_code, answer.json()) == (401, {"received": False})
        assert notices.seen == []
        assert "canary" not in caplog.text
        assert "MRN" not in caplog.text


async def test_a_signature_that_comes_twice_is_none() -> None:
    async with receiver() as (client, notices):
        twice = [("cobalt-verification", sign(BODY))] * 2
        answer = await client.post(PATH, content=BODY, headers=twice)
        assert answer.status_code == 401
        assert notices.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b"{}",
        b"\xff\xfe",
        b'{"id":"e"}',
        b'{"type":"x.created"}',
        b'{"id":"a b","type":"x"}',
    ],
)
async def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    async with receiver() as (client, notices):
        answer = await send(client, body)
        assert answer.status_code == 400
        assert notices.seen == []


async def test_an_event_under_another_ones_id_is_refused() -> None:
    async with receiver() as (client, notices):
        assert (await send(client, webhook_id="evt_2")).status_code == 400
        assert notices.seen == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("PUT", PATH, 405), ("POST", "/", 404), ("POST", f"{PATH}/x", 404)],
)
async def test_nothing_else_is_there(method: str, path: str, status: int) -> None:
    async with receiver() as (client, _):
        assert (await client.request(method, path)).status_code == status


async def test_a_body_that_is_too_long_is_cut_off() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    async with receiver() as (client, notices):
        assert (await client.post(PATH, content=b"x" * (LARGEST + 1))).status_code == 413
        with suppress(httpx2.TransportError):  # it stopped listening
            assert (await client.post(PATH, content=endless())).status_code == 413
        assert notices.seen == []


async def test_a_slow_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BODY_WITHIN_S", 0.05)
    async with receiver() as (client, notices):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())
        async with asyncio.timeout(10):
            assert b" 408 " in await reader.readline()
        writer.close()
        assert notices.seen == []


@pytest.mark.parametrize(
    ("wrong", "slow_s"), [(StorageError("The disk is full."), 0.0), (None, 60.0)]
)
async def test_what_cannot_be_stored_in_time_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, wrong: Exception | None, slow_s: float
) -> None:
    monkeypatch.setattr(webhooks, "ANSWER_WITHIN_S", 0.05)
    async with receiver() as (client, notices):
        notices.wrong, notices.slow_s = wrong, slow_s
        answer = await send(client)
        assert (answer.status_code, answer.json()) == (503, {"received": False})


async def test_a_node_receives_them_too(tmp_path: Path) -> None:
    cobalt = {"LEYR_EMR": "cobalt", "COBALT_WEBHOOK_SECRET": NEW}
    async with http_node(tmp_path, **cobalt) as at, at.http(None) as client:
        own = {"webhook-id": "evt_1", "cobalt-verification": sign(BODY)}
        told = [await client.post(PATH, content=BODY, headers=own) for _ in range(2)]
        assert [(one.status_code, one.json()["new"]) for one in told] == [(200, True), (200, False)]
        own["cobalt-verification"] = sign(BODY, "another")
        assert (await client.post(PATH, content=BODY, headers=own)).status_code == 401
        assert (await client.post(f"{PATH}/more", content=BODY)).status_code == 404
    async with http_node(tmp_path / "other") as at, at.http(None) as client:
        assert (await client.post(PATH, content=BODY)).status_code == 404
