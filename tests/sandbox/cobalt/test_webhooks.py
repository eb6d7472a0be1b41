"""Webhooks: registered, signed, tried twice at most, rotated; and every way they go wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import httpx2
import pytest

from leyr_mcp.sandbox.cobalt.app import CobaltSandbox
from leyr_mcp.sandbox.cobalt.options import Delivery
from tests.sandbox.cobalt.kit import Receiver, note, receiver, sandbox

FAST = {"first_limit_s": 0.3, "retry_after_s": 0.01, "retry_limit_s": 0.3}


async def registered(client: httpx2.AsyncClient, url: str) -> str:
    told = (await client.post("/webhook", json={"webhook_url": url})).json()
    secret: str = told["webhook_secret_key"]
    return secret


async def write(box: CobaltSandbox, client: httpx2.AsyncClient, count: int = 1) -> None:
    """Have some notes written, and their webhooks delivered as far as they ever are."""
    for number in range(count):
        await client.post("/patient-notes", json=note(subject=f"n{number} é/\u2028"))
    box.control.run_jobs()
    await box.control.deliverer.settled()


def signed(got: tuple[dict[str, str], bytes], secret: str) -> bool:
    """Whether a body bears the signature of a secret, worked out anew."""
    headers, body = got
    made = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return headers["cobalt-verification"] == made


async def test_an_event_is_delivered_signed_and_in_full() -> None:
    async with sandbox() as (box, client), receiver() as hook:
        secret = await registered(client, hook.url)
        assert secret.startswith("whsec_")
        await write(box, client)
        (got,) = hook.got
        headers, body = got
        event = json.loads(body)
        assert signed(got, secret)
        assert body == json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        assert headers["content-type"] == "application/json"
        assert headers["webhook-id"] == event["id"]
        assert headers["webhook-timestamp"] == event["created"]
        assert headers["webhook-attempt"] == "1"
        assert list(event) == [
            *("id", "access_token_reference_id", "object", "created", "type", "job_id", "data"),
        ]
        (logged,) = (await client.get("/webhook-events")).json()["webhook_events"]
        assert (logged["delivery_status"], logged["webhook_url"]) == ("success", hook.url)


@pytest.mark.parametrize(
    ("answers", "attempts", "status"),
    [
        ([200], 1, "success"),
        ([204], 1, "success"),
        ([500, 200], 2, "success"),
        ([503, 503, 200], 2, "failed"),
        ([429, 200], 2, "success"),
        ([404, 200], 1, "failed"),
        ([301, 200], 1, "failed"),
        ([None, 200], 1, "failed"),
        ([500, None], 2, "failed"),
    ],
)
async def test_it_is_tried_twice_at_most(
    answers: list[int | None], attempts: int, status: str
) -> None:
    async with sandbox() as (box, client), receiver() as hook:
        box.control.switch(dict(FAST))
        await registered(client, hook.url)
        hook.answers = list(answers)
        await write(box, client)
        assert [headers["webhook-attempt"] for headers, _ in hook.got] == ["1", "2"][:attempts]
        assert box.control.events()[0]["delivery_status"] == status
        assert len(box.control.deliverer.log) == attempts


async def test_an_address_where_nobody_listens_is_tried_again_and_given_up() -> None:
    async with sandbox() as (box, client), receiver() as hook:
        url = hook.url
    async with sandbox() as (box, client):
        box.control.switch(dict(FAST))
        await registered(client, url)
        await write(box, client)
        assert [attempt.attempt for attempt in box.control.deliverer.log] == [1, 2]
        assert box.control.events()[0]["delivery_status"] == "failed"


async def test_every_address_gets_the_same_event() -> None:
    async with sandbox() as (box, client), receiver() as one, receiver() as two:
        await registered(client, one.url)
        await registered(client, two.url)
        await write(box, client)
        assert one.got[0][1] == two.got[0][1]


async def test_an_address_is_forgotten_when_it_is_deleted() -> None:
    async with sandbox() as (box, client), receiver() as hook:
        await registered(client, hook.url)
        (known,) = (await client.get("/webhook")).json()["webhook_urls"]
        assert (await client.delete(f"/webhook/{known['id']}")).json()["success"]
        assert (await client.delete(f"/webhook/{known['id']}")).status_code == 404
        await write(box, client)
        assert hook.got == []


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://x/", "", "javascript:x"])
async def test_an_address_that_is_not_safe_is_refused(url: str) -> None:
    async with sandbox() as (_, client):
        answer = await client.post("/webhook", json={"webhook_url": url})
        assert (answer.status_code, answer.json()["success"]) == (400, False)


@pytest.mark.parametrize("with_id", [False, True])
async def test_after_a_rotation_the_old_secret_is_good_for_a_day(*, with_id: bool) -> None:
    async with sandbox() as (box, client), receiver() as hook:
        old = await registered(client, hook.url)
        known = (await client.get("/webhook")).json()["webhook_urls"][0]["id"]
        path = f"/webhook/{known}/rotate-secret" if with_id else "/webhook/rotate-secret"
        told = (await client.post(path)).json()["webhook"]
        new = told["secret"]
        assert told["id"] == known
        assert (await client.get("/webhook")).json()["webhook_secret_key"] == new != old
        await write(box, client)
        assert signed(hook.got[-1], new)
        box.control.options.sign_with = "old"
        await write(box, client)
        assert signed(hook.got[-1], old)
        box.control.advance(86_401)
        await write(box, client)
        assert signed(hook.got[-1], new)


async def test_without_an_address_there_is_nothing_to_rotate() -> None:
    async with sandbox() as (_, client):
        assert (await client.post("/webhook/rotate-secret")).status_code == 404


def subjects(hook: Receiver) -> list[str]:
    return [body["data"]["subject"][:2] for body in hook.bodies]


@pytest.mark.parametrize(
    ("result", "came"),
    [
        ("lose", ["n1"]),
        ("twice", ["n0", "n0", "n1"]),
        ("swap", ["n1", "n0"]),
        ("late", ["n1", "n0"]),
    ],
)
async def test_each_ordered_delivery(result: Any, came: list[str]) -> None:
    async with sandbox() as (box, client), receiver() as hook:
        await registered(client, hook.url)
        box.control.deliveries.append(Delivery(result=result, seconds=0.2))
        await write(box, client, 2)
        assert sorted(subjects(hook)) == sorted(came)
        if result in ("swap", "late"):
            assert subjects(hook) == came


async def test_a_wrong_signature_and_an_older_shape_can_be_ordered() -> None:
    async with sandbox() as (box, client), receiver() as hook:
        secret = await registered(client, hook.url)
        box.control.deliveries.append(Delivery(result="wrong_signature"))
        box.control.deliveries.append(Delivery(result="older_shape", times=2))
        for _ in range(3):
            await write(box, client)
        assert [signed(got, secret) for got in hook.got] == [False, True, True]
        assert "delivery_attempts" in hook.bodies[1]
        assert box.control.deliveries == []


async def test_nothing_is_delivered_where_that_is_switched_off() -> None:
    async with sandbox() as (box, client), receiver() as hook:
        await registered(client, hook.url)
        box.control.options.deliver = False
        await write(box, client)
        assert hook.got == []
        assert box.control.events()[0]["delivery_status"] is None


async def test_the_end_of_a_sign_in_is_told_too() -> None:
    async with sandbox() as (box, client), receiver() as hook:
        await registered(client, hook.url)
        box.control.login_required = True
        await box.control.deliverer.settled()
        (event,) = hook.bodies
        assert event["type"] == "access_token.login_required"
        assert "job_id" not in event
